import {
  assert,
  type Keyset,
  newBytes,
  type Prng,
  type ShardId,
  type TenantId,
} from "@kiseki/base";
import {
  bindShare,
  type ClusterKeyring,
  deriveChainKey,
  deriveInfo,
  deriveMasterWrapKey,
  droppableMasters,
  type KeysetKeyring,
  type KeyTools,
  openKey,
  sealedKeyGeneration,
  sealKey,
  type ShareOwner,
  shareContext,
  unbindShare,
} from "@kiseki/keys";
import type { Clock } from "@kiseki/ports";
import { TenantKeysError } from "./errors.ts";
import type { KeyStore, TenantRow } from "./key-store.ts";

interface SystemSharesParts {
  readonly clock: Clock;
  /** The secure one. */
  readonly prng: Prng;
  readonly tools: KeyTools;
  readonly cluster: ClusterKeyring;
  readonly store: KeyStore;
}

const damaged = (what: string): TenantKeysError =>
  new TenantKeysError("damaged", "", `Cannot open ${what}: the key store's record is damaged`);

/** The system's halves: wrapped by master epochs, which the cluster key seals. No KMS is asked here. */
export class SystemShares {
  readonly #parts: SystemSharesParts;

  /** Makes master 1 in a new key store. */
  constructor(parts: SystemSharesParts) {
    this.#parts = parts;
    if (parts.store.masters().length === 0) parts.store.change(() => this.#insertMaster(1));
  }
  #insertMaster(epoch: number): void {
    const { clock, cluster, prng, store, tools } = this.#parts;
    const master = prng.fill(newBytes(32));
    const sealed = cluster.sealMaster(prng, epoch, master);
    store.insertMaster({ epoch, sealed }, clock.realtime());
    tools.crypto.wipe(master);
  }
  /** Runs `use` on the key of master[epoch] and wipes it. */
  #withMaster<T>(epoch: number | undefined, use: (key: Uint8Array, epoch: number) => T): T {
    const { cluster, store, tools } = this.#parts;
    const rows = store.masters();
    const row = epoch === undefined ? rows.at(-1) : rows.find((each) => each.epoch === epoch);
    if (row === undefined) throw damaged("a share's master");
    const master = cluster.openMaster(row.epoch, row.sealed);
    if (typeof master === "string") throw damaged("a master");
    const key = deriveMasterWrapKey(tools, master);
    tools.crypto.wipe(master);
    try {
      return use(key, row.epoch);
    } finally {
      tools.crypto.wipe(key);
    }
  }
  /** Wraps under the newest master. */
  wrap(tenant: TenantId, keyset: Keyset, share: Uint8Array): Uint8Array {
    const { prng, tools } = this.#parts;
    const owner: ShareOwner = { tenant, keyset, purpose: "system" };
    const bound = bindShare(tools.crypto, owner, share);
    const context = shareContext(owner);
    const wrapped = this.#withMaster(undefined, (key, generation) =>
      sealKey(tools.crypto, prng, { key, kind: "share", generation, context }, bound),
    );
    tools.crypto.wipe(bound);
    return wrapped;
  }
  /** The share, wiped by the caller. @throws {TenantKeysError} `damaged`. */
  unwrap(tenant: TenantId, keyset: Keyset, wrapped: Uint8Array): Uint8Array {
    const { crypto } = this.#parts.tools;
    const owner: ShareOwner = { tenant, keyset, purpose: "system" };
    const context = shareContext(owner);
    const generation = sealedKeyGeneration("share", wrapped);
    if (generation === undefined) throw damaged("a system share");
    const bound = this.#withMaster(generation, (key) =>
      openKey(crypto, { key, kind: "share", generation, context }, wrapped),
    );
    const share = typeof bound === "string" ? bound : unbindShare(crypto, owner, bound);
    if (typeof share === "string") throw damaged("a system share");
    return share;
  }
  /** @throws {TenantKeysError} `not_found`, `damaged`. */
  chainKey(tenant: TenantId, keyset: Keyset, shard: ShardId): Uint8Array {
    const row = this.#parts.store.keyset(tenant, keyset);
    if (row === undefined) {
      throw new TenantKeysError("not_found", "", `Cannot find keyset ${keyset} of the tenant`);
    }
    const share = this.unwrap(tenant, keyset, row.systemShare);
    const key = deriveChainKey(this.#parts.tools.crypto, share, shard);
    this.#parts.tools.crypto.wipe(share);
    return key;
  }
  /** New epoch, every share wrapped by it, older epochs dropped, in one transaction. */
  rotate(): number {
    const { store, tools } = this.#parts;
    const next = store.change(() => {
      const newest = store.masters().at(-1);
      assert(newest !== undefined, "a key store has a master");
      this.#insertMaster(newest.epoch + 1);
      for (const row of store.everyKeyset()) {
        const share = this.unwrap(row.tenant, row.keyset, row.systemShare);
        store.updateSystemShare(row.tenant, row.keyset, this.wrap(row.tenant, row.keyset, share));
        tools.crypto.wipe(share);
      }
      const wrappedBy = store
        .everyKeyset()
        .map((row) => sealedKeyGeneration("share", row.systemShare) ?? 0);
      const epochs = store.masters().map((row) => row.epoch);
      for (const epoch of droppableMasters(epochs, wrappedBy)) store.deleteMaster(epoch);
      return newest.epoch + 1;
    });
    return next;
  }
}

type TenantSecrets = Pick<TenantRow, "current" | "idKey" | "dirSecret">;

/** Seals idKey and dirSecret under the root of a keyset; the sources are borrowed. */
export function sealTenantSecrets(
  tools: KeyTools,
  prng: Prng,
  keyring: KeysetKeyring,
  secrets: Pick<TenantRow, "idKey" | "dirSecret">,
): TenantSecrets {
  const key = keyring.tenantSecretKey();
  const seal = (kind: "id_key" | "dir_secret", secret: Uint8Array) => {
    const context = deriveInfo("tenant-secret", keyring.tenant);
    return sealKey(tools.crypto, prng, { key, kind, generation: keyring.keyset, context }, secret);
  };
  const sealed = {
    current: keyring.keyset,
    idKey: seal("id_key", secrets.idKey),
    dirSecret: seal("dir_secret", secrets.dirSecret),
  };
  tools.crypto.wipe(key);
  return sealed;
}

/** idKey and dirSecret, wiped by the caller. @throws {TenantKeysError} `damaged`. */
export function openTenantSecrets(
  tools: KeyTools,
  keyring: KeysetKeyring,
  row: Pick<TenantRow, "idKey" | "dirSecret">,
): { readonly idKey: Uint8Array; readonly dirSecret: Uint8Array } {
  const key = keyring.tenantSecretKey();
  const open = (kind: "id_key" | "dir_secret", stored: Uint8Array) => {
    const context = deriveInfo("tenant-secret", keyring.tenant);
    return openKey(tools.crypto, { key, kind, generation: keyring.keyset, context }, stored);
  };
  const idKey = open("id_key", row.idKey);
  const dirSecret = open("dir_secret", row.dirSecret);
  tools.crypto.wipe(key);
  if (typeof idKey === "string" || typeof dirSecret === "string") {
    if (typeof idKey !== "string") tools.crypto.wipe(idKey);
    if (typeof dirSecret !== "string") tools.crypto.wipe(dirSecret);
    throw damaged("the tenant's secrets");
  }
  return { idKey, dirSecret };
}
