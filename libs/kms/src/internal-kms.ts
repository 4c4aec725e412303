import { newBytes, type Prng, type TenantId } from "@kiseki/base";
import {
  type ClusterKeyring,
  deriveInfo,
  type KeyTools,
  openKey,
  sealedKeyGeneration,
  sealKey,
} from "@kiseki/keys";
import { type Clock, type Kms, KmsError } from "@kiseki/ports";
import type { KeyStore } from "./key-store.ts";

const internalProvider = "internal";

export interface InternalKmsParts {
  readonly clock: Clock;
  /** The secure one. */
  readonly prng: Prng;
  readonly tools: KeyTools;
  readonly cluster: ClusterKeyring;
  readonly store: KeyStore;
}

/**
 * The internal key manager: a KEK per tenant in epochs, sealed under the cluster key in the key store's
 * table `internal_kek`. `destroy` overwrites every epoch in file and WAL before it resolves; an erasure
 * that was cut short is finished by the next opening.
 */
export class InternalKms implements Kms {
  readonly provider = internalProvider;
  readonly #parts: InternalKmsParts;

  private constructor(parts: InternalKmsParts) {
    this.#parts = parts;
  }
  static open(parts: InternalKmsParts): InternalKms {
    if (parts.store.keksToErase().length > 0) parts.store.erase();
    return new InternalKms(parts);
  }
  #fail(code: KmsError["code"], act: string): KmsError {
    return new KmsError(code, internalProvider, `Cannot ${act}: internal key manager, ${code}`);
  }
  #checkNotDestroyed(tenant: TenantId, act: string): void {
    if (this.#parts.store.kekDestroyedAt(tenant) !== undefined) {
      throw this.#fail("kek_destroyed", act);
    }
  }
  /** Runs `use` on the KEK of `epoch`, or on the newest, and wipes it. */
  #withKek<T>(
    tenant: TenantId,
    epoch: number | undefined,
    act: string,
    use: (kek: Uint8Array, epoch: number) => T,
  ): T {
    const { store, cluster, tools } = this.#parts;
    this.#checkNotDestroyed(tenant, act);
    const rows = store.keks(tenant);
    const row = epoch === undefined ? rows.at(-1) : rows.find((each) => each.epoch === epoch);
    if (row === undefined) {
      throw this.#fail(rows.length === 0 ? "key_not_found" : "crypto_error", act);
    }
    const kek = cluster.openKek(tenant, row.epoch, row.sealed);
    if (typeof kek === "string") throw this.#fail("crypto_error", act);
    try {
      return use(kek, row.epoch);
    } finally {
      tools.crypto.wipe(kek);
    }
  }
  #insertKek(tenant: TenantId, epoch: number): void {
    const { cluster, prng, store, tools } = this.#parts;
    const kek = prng.fill(newBytes(32));
    store.insertKek(tenant, { epoch, sealed: cluster.sealKek(prng, tenant, epoch, kek) });
    tools.crypto.wipe(kek);
  }
  async provision(tenant: TenantId, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { store } = this.#parts;
    store.change(() => {
      this.#checkNotDestroyed(tenant, "provision");
      if (store.keks(tenant).length === 0) this.#insertKek(tenant, 1);
    });
  }
  async wrap(
    tenant: TenantId,
    plaintext: Uint8Array,
    aad: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    signal.throwIfAborted();
    const { prng, tools } = this.#parts;
    const context = deriveInfo("internal-wrap", tenant, aad);
    return this.#withKek(tenant, undefined, "wrap", (key, generation) =>
      sealKey(tools.crypto, prng, { key, kind: "internal_wrap", generation, context }, plaintext),
    );
  }
  async unwrap(
    tenant: TenantId,
    wrapped: Uint8Array,
    aad: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    signal.throwIfAborted();
    const { tools } = this.#parts;
    const generation = sealedKeyGeneration("internal_wrap", wrapped) ?? 0;
    const context = deriveInfo("internal-wrap", tenant, aad);
    return this.#withKek(tenant, generation, "unwrap", (key) => {
      const place = { key, kind: "internal_wrap", generation, context } as const;
      const plaintext = openKey(tools.crypto, place, wrapped);
      if (typeof plaintext === "string") throw this.#fail("crypto_error", "unwrap");
      return plaintext;
    });
  }
  async rotate(tenant: TenantId, signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    const { store } = this.#parts;
    return store.change(() => {
      this.#checkNotDestroyed(tenant, "rotate");
      const newest = store.keks(tenant).at(-1);
      if (newest === undefined) throw this.#fail("key_not_found", "rotate");
      this.#insertKek(tenant, newest.epoch + 1);
      return String(newest.epoch + 1);
    });
  }
  async rewrap(
    tenant: TenantId,
    wrapped: Uint8Array,
    aad: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const plaintext = await this.unwrap(tenant, wrapped, aad, signal);
    try {
      return await this.wrap(tenant, plaintext, aad, signal);
    } finally {
      this.#parts.tools.crypto.wipe(plaintext);
    }
  }
  async destroy(tenant: TenantId, signal: AbortSignal): Promise<{ readonly effectiveAt: number }> {
    signal.throwIfAborted();
    const { clock, store } = this.#parts;
    const effectiveAt = store.change(() => {
      const before = store.kekDestroyedAt(tenant);
      if (before !== undefined) return before;
      if (store.keks(tenant).length === 0) throw this.#fail("key_not_found", "destroy");
      const now = clock.realtime();
      store.destroyKeks(tenant, now);
      return now;
    });
    if (store.keksToErase().length > 0 && !store.erase()) {
      throw this.#fail("unavailable", "destroy");
    }
    return { effectiveAt };
  }
  async validate(tenant: TenantId, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#withKek(tenant, undefined, "validate", () => undefined);
  }
}
