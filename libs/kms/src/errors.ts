export type TenantKeysErrorCode =
  "kms_unavailable" | "not_found" | "exists" | "shredded" | "damaged" | "in_use" | "closed";

/** Why a tenant's keys are not at hand. `provider` names the KMS; messages hold no secret. */
export class TenantKeysError extends Error {
  override readonly name = "TenantKeysError";
  readonly code: TenantKeysErrorCode;
  /** The tenant's KMS, or "" when it plays no part. */
  readonly provider: string;
  constructor(
    code: TenantKeysErrorCode,
    provider: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.provider = provider;
  }
}

export type KeyStoreErrorCode = "newer_schema" | "damaged";

/** The key store cannot be used; the start ends. */
export class KeyStoreError extends Error {
  override readonly name = "KeyStoreError";
  readonly code: KeyStoreErrorCode;
  constructor(code: KeyStoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export type ClusterKeyErrorCode =
  "missing" | "damaged" | "unknown_version" | "wrong_secret" | "mistyped" | "exists" | "io";

/** The cluster key's files cannot be used as asked; the start ends, a person decides. */
export class ClusterKeyError extends Error {
  override readonly name = "ClusterKeyError";
  readonly code: ClusterKeyErrorCode;
  constructor(code: ClusterKeyErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
