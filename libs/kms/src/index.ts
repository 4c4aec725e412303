/**
 * Key store, internal key manager, and the tenants' keys of this process (KEYS §1, §3, §5).
 *
 * `KeyStore.open` works on a database given in: master epochs, wrapped shares, idKey and dirSecret,
 * internal KEKs; schema versioned, a newer one refused. `TenantKeys` opens tenants: closed → opening →
 * open → reads_only → closed by age of the last KMS validation; `shredded` is for good. Invariants: a
 * key older than its TTL is never handed out, one tenant's silent KMS makes nobody else wait, shred and
 * rotation of one tenant exclude each other, secrets stand in no message. Refused: damage, another
 * owner's share, a shredded tenant, dropping a keyset in use.
 */
export type { KeyFiles } from "./cluster-key-store.ts";
export {
  createClusterKey,
  exportClusterKey,
  hasClusterKey,
  importClusterKey,
  openClusterKey,
  recoverClusterKey,
  renewRecoveryCode,
} from "./cluster-key-store.ts";
export type { ClusterKeyErrorCode } from "./errors.ts";
export { ClusterKeyError, KeyStoreError, TenantKeysError } from "./errors.ts";
export { InternalKms } from "./internal-kms.ts";
export { KeyStore } from "./key-store.ts";
export { openTenantKeys } from "./open-tenant-keys.ts";
export type { KeyNeed, ShredReport, TenantKeys } from "./tenant-keys.ts";
