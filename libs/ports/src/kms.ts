import type { TenantId } from "@kiseki/base";

export type KmsErrorCode =
  | "unavailable"
  | "auth_failed"
  | "crypto_error"
  | "aad_mismatch"
  | "key_not_found"
  | "kek_destroyed"
  | "circuit_open"
  | "concurrency_limit"
  | "timeout";

/** Thrown by every method of `Kms`; no caller branches on the provider. */
export class KmsError extends Error {
  override readonly name = "KmsError";
  readonly code: KmsErrorCode;
  readonly provider: string;
  constructor(code: KmsErrorCode, provider: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.provider = provider;
  }
}

/** A tenant's key manager: holds KEKs, never gives them out. */
export interface Kms {
  readonly provider: string;
  /** Makes the tenant's KEK if it has none. */
  provision(tenant: TenantId, signal: AbortSignal): Promise<void>;
  /** Seals up to 4 KiB under the tenant's KEK; `aad` must be given again to unwrap. */
  wrap(
    tenant: TenantId,
    plaintext: Uint8Array,
    aad: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array>;
  unwrap(
    tenant: TenantId,
    wrapped: Uint8Array,
    aad: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array>;
  /** New writes are wrapped by a new version of the KEK; older wraps still open. Returns the provider's epoch id. */
  rotate(tenant: TenantId, signal: AbortSignal): Promise<string>;
  /** Wraps again under the newest version. */
  rewrap(
    tenant: TenantId,
    wrapped: Uint8Array,
    aad: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array>;
  /** Destroys the KEK: the shred. Returns when it is effective, in milliseconds since the Unix epoch. */
  destroy(tenant: TenantId, signal: AbortSignal): Promise<{ readonly effectiveAt: number }>;
  /** Resolves when the provider answers and `tenant`'s KEK is usable. */
  validate(tenant: TenantId, signal: AbortSignal): Promise<void>;
}
