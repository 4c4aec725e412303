import type { TenantId } from "@kiseki/base";
import { type Kms, KmsError, type KmsErrorCode } from "@kiseki/ports";

/** `silent`: never settles, whatever the signal says. `garbled`: answers wrong bytes. */
export type KmsFault = KmsErrorCode | "silent" | "garbled" | "crash";

/** Passes calls on to a working driver, or fails as `fault` says; counts calls by method. */
export class FaultyKms implements Kms {
  readonly provider: string;
  readonly #kms: Kms;
  readonly calls = new Map<string, number>();
  /** Injected into each call of the methods in `faulty`; `undefined`: none. */
  fault: KmsFault | undefined;
  /** Methods that `fault` strikes; all when empty. */
  readonly faulty = new Set<string>();
  /** Set: a call waits here before it goes on. */
  gate: Promise<void> | undefined;

  constructor(kms: Kms) {
    this.#kms = kms;
    this.provider = kms.provider;
  }
  count(method: string): number {
    return this.calls.get(method) ?? 0;
  }
  async #call<T>(method: string, act: () => Promise<T>): Promise<T> {
    this.calls.set(method, this.count(method) + 1);
    if (this.gate) await this.gate;
    const { fault } = this;
    if (fault === undefined || (this.faulty.size > 0 && !this.faulty.has(method))) return act();
    if (fault === "silent") return new Promise<T>(() => undefined);
    if (fault === "crash") throw new Error("a bug in the driver");
    if (fault !== "garbled") throw new KmsError(fault, this.provider, `injected ${fault}`);
    const answer = await act();
    if (answer instanceof Uint8Array) answer[answer.byteLength >> 1]! ^= 1;
    return answer;
  }
  provision(tenant: TenantId, signal: AbortSignal): Promise<void> {
    return this.#call("provision", () => this.#kms.provision(tenant, signal));
  }
  wrap(
    tenant: TenantId,
    plaintext: Uint8Array,
    aad: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    return this.#call("wrap", () => this.#kms.wrap(tenant, plaintext, aad, signal));
  }
  unwrap(
    tenant: TenantId,
    wrapped: Uint8Array,
    aad: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    return this.#call("unwrap", () => this.#kms.unwrap(tenant, wrapped, aad, signal));
  }
  rotate(tenant: TenantId, signal: AbortSignal): Promise<string> {
    return this.#call("rotate", () => this.#kms.rotate(tenant, signal));
  }
  rewrap(
    tenant: TenantId,
    wrapped: Uint8Array,
    aad: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    return this.#call("rewrap", () => this.#kms.rewrap(tenant, wrapped, aad, signal));
  }
  destroy(tenant: TenantId, signal: AbortSignal): Promise<{ readonly effectiveAt: number }> {
    return this.#call("destroy", () => this.#kms.destroy(tenant, signal));
  }
  validate(tenant: TenantId, signal: AbortSignal): Promise<void> {
    return this.#call("validate", () => this.#kms.validate(tenant, signal));
  }
}
