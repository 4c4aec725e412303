import { assert, millis, type Millis, type TenantId, toHex } from "@kiseki/base";
import { type Clock, type Kms, KmsError, type KmsErrorCode } from "@kiseki/ports";
import { type BreakerEvent, type BreakerState, breakerTransition } from "./lifecycle.ts";

/** Limits of spec §4.5. Connecting has its own 2 s, kept by the drivers that connect. */
const kmsLimits = {
  callTimeout: millis(5_000),
  probeAfter: millis(30_000),
  failuresMax: 5,
  callsInFlightMax: 10,
} as const;

/** Whether a code says that the provider does not work, as against a provider that works and refuses. */
const isOutage: Record<KmsErrorCode, boolean> = {
  unavailable: true,
  auth_failed: true,
  timeout: true,
  crypto_error: false,
  aad_mismatch: false,
  key_not_found: false,
  kek_destroyed: false,
  circuit_open: false,
  concurrency_limit: false,
};

interface Circuit {
  state: BreakerState;
  failures: number;
  openedAt: Millis;
  calls: number;
}

/**
 * `kms` with a time limit on each call, a bound on calls in flight per tenant, and a circuit breaker
 * per tenant: after five failures in a row calls fail at once, with one probe every 30 s. Errors that
 * are no `KmsError` become `unavailable`; the caller's own abort passes as it is.
 */
export class GuardedKms implements Kms {
  readonly provider: string;
  readonly #clock: Clock;
  readonly #kms: Kms;
  /** Only tenants with calls in flight or with failures. */
  readonly #circuits = new Map<string, Circuit>();

  constructor(clock: Clock, kms: Kms) {
    this.#clock = clock;
    this.#kms = kms;
    this.provider = kms.provider;
  }
  #fail(code: KmsErrorCode, options?: ErrorOptions): KmsError {
    return new KmsError(code, this.provider, `KMS ${this.provider}: ${code}`, options);
  }
  #step(circuit: Circuit, event: BreakerEvent): void {
    circuit.state = breakerTransition[circuit.state][event];
  }
  /** Lets a call in or throws. */
  #enter(name: string): Circuit {
    const circuit = this.#circuits.get(name) ?? {
      state: "shut",
      failures: 0,
      openedAt: millis(0),
      calls: 0,
    };
    if (circuit.calls >= kmsLimits.callsInFlightMax) throw this.#fail("concurrency_limit");
    if (circuit.state === "probing") throw this.#fail("circuit_open");
    if (circuit.state === "open") {
      if (this.#clock.monotonic() - circuit.openedAt < kmsLimits.probeAfter) {
        throw this.#fail("circuit_open");
      }
      this.#step(circuit, "probe_due");
    }
    circuit.calls += 1;
    this.#circuits.set(name, circuit);
    return circuit;
  }
  #leave(name: string, circuit: Circuit, outcome: "answered" | "failed" | "aborted"): void {
    assert(circuit.calls > 0, "a call that ends began");
    circuit.calls -= 1;
    if (outcome === "answered") {
      circuit.failures = 0;
      this.#step(circuit, "answered");
    } else if (outcome === "failed") {
      circuit.failures += 1;
      if (circuit.failures >= kmsLimits.failuresMax || circuit.state === "probing") {
        circuit.openedAt = this.#clock.monotonic();
        this.#step(circuit, "failed_last");
      }
    } else if (circuit.state === "probing") {
      this.#step(circuit, "failed_last"); // the probe said nothing: `openedAt` stands, the next call probes
    }
    const isIdle = circuit.calls === 0 && circuit.failures === 0 && circuit.state === "shut";
    if (isIdle) this.#circuits.delete(name);
  }
  async #call<T>(
    tenant: TenantId,
    signal: AbortSignal,
    act: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted();
    const name = toHex(tenant);
    const circuit = this.#enter(name);
    let outcome: "answered" | "failed" | "aborted" = "answered";
    try {
      return await this.#limited(signal, act);
    } catch (reason) {
      if (signal.aborted) {
        outcome = "aborted";
        throw signal.reason;
      }
      const error =
        reason instanceof KmsError ? reason : this.#fail("unavailable", { cause: reason });
      if (isOutage[error.code]) outcome = "failed";
      throw error;
    } finally {
      this.#leave(name, circuit, outcome);
    }
  }
  /** Settles by the time limit or the caller's abort, also when the driver heeds neither. */
  async #limited<T>(signal: AbortSignal, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const ended = new AbortController();
    const call = new AbortController();
    const inner = AbortSignal.any([signal, call.signal]);
    const limit = this.#clock
      .sleep(kmsLimits.callTimeout, AbortSignal.any([signal, ended.signal]))
      .then(() => {
        const error = this.#fail("timeout");
        call.abort(error);
        throw error;
      });
    try {
      return await Promise.race([act(inner), limit]);
    } finally {
      ended.abort();
      limit.catch(() => undefined); // lost the race
    }
  }
  provision(tenant: TenantId, signal: AbortSignal): Promise<void> {
    return this.#call(tenant, signal, (inner) => this.#kms.provision(tenant, inner));
  }
  wrap(
    tenant: TenantId,
    plaintext: Uint8Array,
    aad: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    return this.#call(tenant, signal, (inner) => this.#kms.wrap(tenant, plaintext, aad, inner));
  }
  unwrap(
    tenant: TenantId,
    wrapped: Uint8Array,
    aad: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    return this.#call(tenant, signal, (inner) => this.#kms.unwrap(tenant, wrapped, aad, inner));
  }
  rotate(tenant: TenantId, signal: AbortSignal): Promise<string> {
    return this.#call(tenant, signal, (inner) => this.#kms.rotate(tenant, inner));
  }
  rewrap(
    tenant: TenantId,
    wrapped: Uint8Array,
    aad: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    return this.#call(tenant, signal, (inner) => this.#kms.rewrap(tenant, wrapped, aad, inner));
  }
  destroy(tenant: TenantId, signal: AbortSignal): Promise<{ readonly effectiveAt: number }> {
    return this.#call(tenant, signal, (inner) => this.#kms.destroy(tenant, inner));
  }
  validate(tenant: TenantId, signal: AbortSignal): Promise<void> {
    return this.#call(tenant, signal, (inner) => this.#kms.validate(tenant, inner));
  }
}
