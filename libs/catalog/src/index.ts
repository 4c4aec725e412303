/**
 * Tenants, users, policies, access keys and aliases (STORE §2), in SQL through Drizzle, whose only importer this
 * is; now on sealed SQLite, with types that PostgreSQL has too.
 *
 * Open: migrations in one transaction, a newer schema refused. `AliasQueue`: changes of aliases that come
 * together share a commit. Invariants: an alias belongs to one tenant, the first that claimed it; a secret
 * is returned once, by the call that made it, and stands in no error; a look-up after a change sees the
 * change. Refused by `CatalogError`: names out of range, what exists already, what does not exist.
 */
export type { AliasedBucket } from "./alias-queue.ts";
export { AliasQueue } from "./alias-queue.ts";
export { openCatalog } from "./open-catalog.ts";
export type {
  AccessKeyInfo,
  AccessKeyLimits,
  AccessKeyRecord,
  Catalog,
  CatalogErrorCode,
} from "./types.ts";
export type { ManagedPolicy, User } from "./types.ts";
export { CatalogError } from "./types.ts";
