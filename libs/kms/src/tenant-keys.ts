import type { Keyset, Millis, ShardId, TenantId } from "@kiseki/base";
import type { KeysetUse, TenantKeyring } from "@kiseki/keys";

export type KeyNeed = "read" | "write";
/** Why a tenant's keys went away. */
export type LossReason = "ttl" | "kek" | "shred" | "closed" | "keyset";

export interface ProvisionOptions {
  /** In [5 s, 300 s]; 60 s unless given. */
  readonly ttl?: Millis;
}
export interface ShredReport {
  /** Milliseconds since the Unix epoch; later than now where the provider waits. */
  readonly effectiveAt: number;
  readonly provider: string;
  /** Members of the key store's mirror that were away: their copies are overwritten before they are read again. */
  readonly absentMembers: readonly string[];
}

/** The tenants' keys of this process. See `index.ts`. */
export interface TenantKeys extends AsyncDisposable {
  /** True once the tenant was provisioned and not shredded. Asks no KMS. */
  has(tenant: TenantId): boolean;
  /**
   * The keyring if it is at hand and young enough for `need`; else `undefined`: `open` it. Ask again for
   * each request or batch, never keep it: asking is also what starts the refresh.
   */
  get(tenant: TenantId, need: KeyNeed): TenantKeyring | undefined;
  /**
   * The keyring, asking the KMS if need be. Waits at most for one round of KMS calls (5 s each).
   * @throws {TenantKeysError} `kms_unavailable`, `not_found`, `shredded`, `damaged`, `closed`.
   */
  open(tenant: TenantId, need: KeyNeed, signal: AbortSignal): Promise<TenantKeyring>;
  /** Wipes the tenant's keys here; the next `open` asks the KMS. */
  close(tenant: TenantId): void;
  /**
   * Called, in order of registration, right after a tenant's keys were wiped: close its shards, zeroize slots and
   * caches. With reason `keyset` newer keys may be at hand already. Disposal unregisters.
   */
  onLost(listener: (tenant: TenantId, reason: LossReason) => void): Disposable;
  /** Key of a shard's MAC chain; needs no KMS, works while the tenant is closed. 32 new bytes. @throws {TenantKeysError} `not_found`, `damaged`. */
  chainKey(tenant: TenantId, keyset: Keyset, shard: ShardId): Uint8Array;
  /** Makes KEK, keyset 1, idKey and dirSecret. @throws {TenantKeysError} `exists`, `shredded`, `kms_unavailable`. */
  provision(tenant: TenantId, options: ProvisionOptions, signal: AbortSignal): Promise<void>;
  /** New master epoch; wraps every system share by it and drops masters nothing is wrapped by. Returns the epoch. */
  rotateMaster(): number;
  /** New version of the tenant's KEK, its shares wrapped by it. Touches no data. Returns the provider's epoch id. */
  rotateKek(tenant: TenantId, signal: AbortSignal): Promise<string>;
  /** Keyset k+1 for new writes, idKey and dirSecret sealed anew under it. Keyrings handed out end (`keyset`); a tenant that is open has a new one at once. */
  addKeyset(tenant: TenantId, signal: AbortSignal): Promise<Keyset>;
  /** Deletes the shares of an old keyset that a scan found empty; keyrings handed out go on without it. @throws {TenantKeysError} `in_use`. */
  dropKeyset(tenant: TenantId, keyset: Keyset, use: KeysetUse): void;
  /** True from the begin of the tenant's shred, for ever. Asks no KMS. */
  isShredded(tenant: TenantId): boolean;
  /** Tenants whose shred began and did not end: a start repeats it. */
  unfinishedShreds(): readonly TenantId[];
  /** Destroys the KEK and deletes our wrapped shares. May be repeated; from its begin the tenant stays closed. */
  shred(tenant: TenantId, signal: AbortSignal): Promise<ShredReport>;
}
