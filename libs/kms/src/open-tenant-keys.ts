import {
  failpoint,
  keyset,
  type Keyset,
  type Millis,
  millis,
  newBytes,
  type Prng,
  type ShardId,
  type TenantId,
  toHex,
} from "@kiseki/base";
import {
  bindShare,
  canDropKeyset,
  type ClusterKeyring,
  deriveRoot,
  KeysetKeyring,
  type KeysetUse,
  type KeyTools,
  type ShareOwner,
  shareContext,
  TenantKeyring,
  unbindShare,
} from "@kiseki/keys";
import { type Clock, type Kms, KmsError } from "@kiseki/ports";
import { TenantKeysError } from "./errors.ts";
import { GuardedKms } from "./guard-kms.ts";
import type { KeysetRow, KeyStore, TenantRow } from "./key-store.ts";
import { OpenTenants, type TenantEntry } from "./open-tenants.ts";
import { openTenantSecrets, sealTenantSecrets, SystemShares } from "./shares.ts";
import type {
  KeyNeed,
  LossReason,
  ProvisionOptions,
  ShredReport,
  TenantKeys,
} from "./tenant-keys.ts";
import { ttlDefault, ttlLimits, ttlMax, ttlMin } from "./ttl.ts";

export interface TenantKeysParts {
  readonly clock: Clock;
  /** The secure one. */
  readonly prng: Prng;
  readonly tools: KeyTools;
  readonly cluster: ClusterKeyring;
  readonly store: KeyStore;
  /** The tenants' KMS, unguarded: limits and circuit breaker are put around it here. */
  readonly kms: Kms;
  /** Names of the key store's mirror members that are away; none unless given. */
  readonly absentMembers?: () => readonly string[];
  /** Open tenants at once; the one opened first is closed for a new one. 4096 unless given. */
  readonly tenantsOpenMax?: number;
}

/** A keyset not in the store yet. */
interface NewKeyset extends Disposable {
  readonly keyring: KeysetKeyring;
  /** Inside a change: wraps the system's share by the master that is newest then. */
  insert(): void;
}

/** Opens the tenants' keys on a key store and a KMS. Makes the first master in a new key store. @throws {TenantKeysError} `damaged`. */
export function openTenantKeys(parts: TenantKeysParts): TenantKeys {
  return new StoredTenantKeys(parts);
}

class StoredTenantKeys implements TenantKeys {
  readonly #parts: TenantKeysParts;
  readonly #kms: GuardedKms;
  readonly #system: SystemShares;
  readonly #tenants: OpenTenants;
  /** The end of each tenant's line of changes: provision, rotate, shred exclude each other. */
  readonly #lines = new Map<string, Promise<unknown>>();
  #isOpen = true;

  constructor(parts: TenantKeysParts) {
    this.#parts = parts;
    this.#kms = new GuardedKms(parts.clock, parts.kms);
    this.#system = new SystemShares(parts);
    this.#tenants = new OpenTenants(parts.clock);
  }

  has(tenant: TenantId): boolean {
    return this.#parts.store.tenant(tenant)?.state === "live";
  }
  get(tenant: TenantId, need: KeyNeed): TenantKeyring | undefined {
    const entry = this.#tenants.find(tenant);
    if (entry === undefined) return undefined;
    const keyring = this.#tenants.usable(entry, need);
    if (keyring !== undefined && this.#tenants.isRefreshDue(entry)) {
      this.#refresh(entry).catch(() => undefined); // it shows in the age; who cannot go on hears of it by `open`
    }
    return keyring;
  }
  async open(tenant: TenantId, need: KeyNeed, signal: AbortSignal): Promise<TenantKeyring> {
    signal.throwIfAborted();
    const known = this.get(tenant, need);
    if (known !== undefined) return known;
    const entry = this.#tenants.find(tenant) ?? this.#beginOpening(tenant);
    await untilAborted(entry.pending ?? this.#refresh(entry), signal);
    const keyring = this.#tenants.isPresent(entry) && this.#tenants.usable(entry, need);
    if (!keyring) throw this.#closed("the answer came too late");
    return keyring;
  }
  close(tenant: TenantId): void {
    const entry = this.#tenants.find(tenant);
    if (entry !== undefined) this.#tenants.end(entry, "lost", "closed");
  }
  onLost(listener: (tenant: TenantId, reason: LossReason) => void): Disposable {
    return this.#tenants.onLost(listener);
  }
  chainKey(tenant: TenantId, number: Keyset, shard: ShardId): Uint8Array {
    return this.#system.chainKey(tenant, number, shard);
  }

  #closed(why: string): TenantKeysError {
    const { provider } = this.#kms;
    return new TenantKeysError("closed", provider, `Cannot open the tenant's keys: ${why}`);
  }
  /** @throws {TenantKeysError} `not_found`, `shredded`. */
  #liveRow(tenant: TenantId): TenantRow {
    const row = this.#parts.store.tenant(tenant);
    if (row === undefined)
      throw new TenantKeysError("not_found", "", "Cannot find the tenant's keys");
    if (row.state !== "live") {
      throw new TenantKeysError("shredded", row.provider, "Cannot use the tenant's keys: shredded");
    }
    return row;
  }
  /** What a KMS's error means for who waits. */
  #explain(reason: unknown): unknown {
    if (!(reason instanceof KmsError)) return reason;
    const isDamage = reason.code === "crypto_error" || reason.code === "aad_mismatch";
    const text = `Cannot use the tenant's keys: KMS ${this.#kms.provider} answers ${reason.code}`;
    const code = isDamage ? "damaged" : "kms_unavailable";
    return new TenantKeysError(code, this.#kms.provider, text, { cause: reason });
  }

  #beginOpening(tenant: TenantId): TenantEntry {
    if (!this.#isOpen) throw this.#closed("the program ends");
    this.#liveRow(tenant);
    this.#makeRoom();
    const entry = this.#tenants.begin(tenant);
    const pending = this.#finishOpening(entry);
    pending.catch(() => undefined); // every waiter has it too
    entry.pending = pending;
    return entry;
  }
  #makeRoom(): void {
    let count = 0;
    for (const _ of this.#tenants.entries) count += 1;
    for (const entry of this.#tenants.entries) {
      if (count < (this.#parts.tenantsOpenMax ?? 4096)) return;
      if (entry.keyring === undefined) continue;
      this.#tenants.end(entry, "lost", "closed");
      count -= 1;
    }
  }
  async #finishOpening(entry: TenantEntry): Promise<void> {
    const { clock, prng } = this.#parts;
    const row = this.#liveRow(entry.tenant);
    const validatedAt = clock.monotonic();
    try {
      const keyring = await this.#unlock(row, entry.ended.signal);
      if (!this.#tenants.isPresent(entry)) {
        keyring[Symbol.dispose]();
        throw this.#closed("closed meanwhile");
      }
      const limits = ttlLimits(prng, millis(row.ttlMs));
      this.#tenants.opened(entry, keyring, limits, validatedAt);
    } catch (reason) {
      this.#tenants.end(entry, "failed", "closed");
      throw this.#explain(reason);
    } finally {
      entry.pending = undefined;
    }
  }
  /** One validation in the background, shared by all who want it. */
  #refresh(entry: TenantEntry): Promise<void> {
    entry.pending ??= this.#finishRefresh(entry);
    return entry.pending;
  }
  async #finishRefresh(entry: TenantEntry): Promise<void> {
    const validatedAt = this.#parts.clock.monotonic();
    try {
      await this.#kms.validate(entry.tenant, entry.ended.signal);
      if (!this.#tenants.isPresent(entry)) throw this.#closed("closed meanwhile");
      this.#tenants.validated(entry, validatedAt);
    } catch (reason) {
      const isGone =
        reason instanceof KmsError &&
        (reason.code === "kek_destroyed" || reason.code === "key_not_found");
      if (isGone) this.#tenants.end(entry, "lost", "kek");
      else if (this.#tenants.isPresent(entry)) this.#tenants.step(entry, "failed");
      throw this.#explain(reason);
    } finally {
      entry.pending = undefined;
    }
  }

  /** The tenant's share, wiped by the caller; unwrapped by the KMS and checked. */
  async #unwrapTenantShare(
    owner: ShareOwner,
    wrapped: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const bound = await this.#kms.unwrap(owner.tenant, wrapped, shareContext(owner), signal);
    const share = unbindShare(this.#parts.tools.crypto, owner, bound);
    if (share instanceof Uint8Array) return share;
    const text = `Cannot open the tenant's share: ${share}`;
    throw new TenantKeysError("damaged", this.#kms.provider, text);
  }
  /** The keyring of one keyset from both its shares. */
  async #unlockKeyset(row: KeysetRow, signal: AbortSignal): Promise<KeysetKeyring> {
    const { tools } = this.#parts;
    const owner: ShareOwner = { tenant: row.tenant, keyset: row.keyset, purpose: "tenant" };
    const tenantShare = await this.#unwrapTenantShare(owner, row.tenantShare, signal);
    try {
      const now = this.#parts.store.keyset(row.tenant, row.keyset); // masters may have rotated meanwhile
      if (now === undefined) throw this.#closed("the keyset went meanwhile");
      const systemShare = this.#system.unwrap(row.tenant, row.keyset, now.systemShare);
      const root = deriveRoot(tools.crypto, systemShare, tenantShare);
      tools.crypto.wipe(systemShare);
      return new KeysetKeyring(tools, row.tenant, row.keyset, root);
    } finally {
      tools.crypto.wipe(tenantShare);
    }
  }
  async #unlock(row: TenantRow, signal: AbortSignal): Promise<TenantKeyring> {
    using building = new DisposableStack();
    const keysets: KeysetKeyring[] = [];
    for (const each of this.#parts.store.keysets(row.tenant)) {
      keysets.push(building.use(await this.#unlockKeyset(each, signal)));
    }
    const current = keysets.find((keyring) => keyring.keyset === row.current);
    if (current === undefined) {
      throw new TenantKeysError("damaged", "", "Cannot find the tenant's current keyset");
    }
    const secrets = openTenantSecrets(this.#parts.tools, current, row);
    const keyring = new TenantKeyring(this.#parts.tools, {
      tenant: row.tenant,
      current: row.current,
      keysets,
      ...secrets,
      chainKey: (number, shard) => this.#system.chainKey(row.tenant, number, shard),
    });
    building.move();
    return keyring;
  }

  /** Runs `change` after every change of this tenant that came before. */
  async #inLine<T>(tenant: TenantId, change: () => Promise<T>): Promise<T> {
    const name = toHex(tenant);
    const before = this.#lines.get(name) ?? Promise.resolve();
    const own = before.then(change, change);
    const settled = own.catch(() => undefined);
    this.#lines.set(name, settled);
    try {
      return await own;
    } catch (reason) {
      throw this.#explain(reason);
    } finally {
      if (this.#lines.get(name) === settled) this.#lines.delete(name);
    }
  }
  /** New shares of `number`; the tenant's is wrapped and read back. */
  async #newKeyset(tenant: TenantId, number: Keyset, signal: AbortSignal): Promise<NewKeyset> {
    const { prng, tools } = this.#parts;
    const owner: ShareOwner = { tenant, keyset: number, purpose: "tenant" };
    const bound = bindShare(tools.crypto, owner, prng.fill(newBytes(32)));
    const wrapped = await this.#kms.wrap(tenant, bound, shareContext(owner), signal);
    tools.crypto.wipe(bound);
    const tenantShare = await this.#unwrapTenantShare(owner, wrapped, signal);
    const systemShare = prng.fill(newBytes(32));
    const root = deriveRoot(tools.crypto, systemShare, tenantShare);
    tools.crypto.wipe(tenantShare);
    const keyring = new KeysetKeyring(tools, tenant, number, root);
    return {
      keyring,
      insert: () => {
        const row = {
          tenant,
          keyset: number,
          systemShare: this.#system.wrap(tenant, number, systemShare),
          tenantShare: wrapped,
        };
        this.#parts.store.insertKeyset(row, this.#parts.clock.realtime());
      },
      [Symbol.dispose]: () => {
        tools.crypto.wipe(systemShare);
        keyring[Symbol.dispose]();
      },
    };
  }
  provision(tenant: TenantId, options: ProvisionOptions, signal: AbortSignal): Promise<void> {
    return this.#inLine(tenant, async () => {
      const { clock, prng, store, tools } = this.#parts;
      const ttlMs: Millis = options.ttl ?? ttlDefault;
      if (ttlMs < ttlMin || ttlMs > ttlMax) throw new RangeError("Cannot use a TTL beyond 5-300 s");
      if (store.tenant(tenant) !== undefined) {
        this.#liveRow(tenant);
        throw new TenantKeysError("exists", this.#kms.provider, "Cannot provision: keys exist");
      }
      await this.#kms.provision(tenant, signal);
      using fresh = await this.#newKeyset(tenant, keyset(1), signal);
      const idKey = prng.fill(newBytes(32));
      const dirSecret = prng.fill(newBytes(32));
      const secrets = sealTenantSecrets(tools, prng, fresh.keyring, { idKey, dirSecret });
      tools.crypto.wipe(idKey);
      tools.crypto.wipe(dirSecret);
      const { provider } = this.#kms;
      store.change(() => {
        store.insertTenant(
          { tenant, provider, ttlMs, state: "live", effectiveAt: undefined, ...secrets },
          clock.realtime(),
        );
        fresh.insert();
      });
    });
  }
  rotateMaster(): number {
    const epoch = this.#system.rotate();
    this.#parts.store.erase(); // the WAL holds the older masters, unless a reader is in the way
    return epoch;
  }
  rotateKek(tenant: TenantId, signal: AbortSignal): Promise<string> {
    return this.#inLine(tenant, async () => {
      const { store, tools } = this.#parts;
      this.#liveRow(tenant);
      const version = await this.#kms.rotate(tenant, signal);
      for (const row of store.keysets(tenant)) {
        const owner: ShareOwner = { tenant, keyset: row.keyset, purpose: "tenant" };
        const context = shareContext(owner);
        const wrapped = await this.#kms.rewrap(tenant, row.tenantShare, context, signal);
        const bound = await this.#kms.unwrap(tenant, wrapped, context, signal);
        const share = unbindShare(tools.crypto, owner, bound); // read back before the old one goes
        if (typeof share === "string") {
          throw new TenantKeysError(
            "damaged",
            this.#kms.provider,
            "Cannot rewrap: it reads back wrong",
          );
        }
        tools.crypto.wipe(share);
        store.change(() => store.updateTenantShare(tenant, row.keyset, wrapped));
      }
      return version;
    });
  }
  addKeyset(tenant: TenantId, signal: AbortSignal): Promise<Keyset> {
    return this.#inLine(tenant, async () => {
      const { prng, store, tools } = this.#parts;
      const tenantRow = this.#liveRow(tenant);
      const currentRow = store.keyset(tenant, tenantRow.current);
      if (currentRow === undefined) {
        throw new TenantKeysError("damaged", "", "Cannot find the tenant's current keyset");
      }
      using old = await this.#unlockKeyset(currentRow, signal);
      const number = keyset(tenantRow.current + 1);
      using fresh = await this.#newKeyset(tenant, number, signal);
      const secrets = openTenantSecrets(tools, old, tenantRow);
      const sealed = sealTenantSecrets(tools, prng, fresh.keyring, secrets);
      tools.crypto.wipe(secrets.idKey);
      tools.crypto.wipe(secrets.dirSecret);
      store.change(() => {
        fresh.insert();
        store.updateTenantSecrets({ tenant, ...sealed });
      });
      await this.#renewKeyring(tenant);
      return number;
    });
  }
  /**
   * A keyring that is open is replaced by one that fits the store, so that who reads goes on without a gap; where
   * that fails, and while it is being opened still, it ends.
   */
  async #renewKeyring(tenant: TenantId): Promise<void> {
    const entry = this.#tenants.find(tenant);
    if (entry === undefined) return;
    if (entry.keyring === undefined) return this.#tenants.end(entry, "lost", "keyset");
    try {
      const keyring = await this.#unlock(this.#liveRow(tenant), entry.ended.signal);
      if (entry.keyring !== undefined) this.#tenants.replace(entry, keyring);
      else keyring[Symbol.dispose]();
    } catch {
      this.#tenants.end(entry, "lost", "keyset"); // the next opening says why
    }
  }
  dropKeyset(tenant: TenantId, number: Keyset, use: KeysetUse): void {
    const { store } = this.#parts;
    const { current } = this.#liveRow(tenant);
    if (store.keyset(tenant, number) === undefined) {
      throw new TenantKeysError("not_found", "", `Cannot find keyset ${number} of the tenant`);
    }
    if (!canDropKeyset(number, current, use)) {
      throw new TenantKeysError(
        "in_use",
        "",
        `Cannot drop keyset ${number}: something is under it`,
      );
    }
    store.change(() => store.deleteKeyset(tenant, number));
    store.erase(); // the WAL holds what the row was, unless a reader is in the way
    const entry = this.#tenants.find(tenant);
    if (entry?.keyring !== undefined) entry.keyring.forget(number);
    else if (entry !== undefined) this.#tenants.end(entry, "lost", "keyset");
  }
  isShredded(tenant: TenantId): boolean {
    const state = this.#parts.store.tenant(tenant)?.state;
    return state !== undefined && state !== "live";
  }
  unfinishedShreds(): readonly TenantId[] {
    return this.#parts.store.unfinishedShreds();
  }
  shred(tenant: TenantId, signal: AbortSignal): Promise<ShredReport> {
    return this.#inLine(tenant, async () => {
      const { store } = this.#parts;
      const row = store.tenant(tenant);
      if (row === undefined)
        throw new TenantKeysError("not_found", "", "Cannot find the tenant's keys");
      const { provider } = row;
      const absentMembers = this.#parts.absentMembers?.() ?? [];
      if (row.state === "shredded" && row.effectiveAt !== undefined) {
        return { effectiveAt: row.effectiveAt, provider, absentMembers };
      }
      store.change(() => store.markShredding(tenant));
      failpoint("shred-begun");
      const entry = this.#tenants.find(tenant);
      if (entry !== undefined) this.#tenants.end(entry, "shredded", "shred");
      const { effectiveAt } = await this.#kms.destroy(tenant, signal);
      failpoint("shred-destroyed");
      store.change(() => store.finishShred(tenant, effectiveAt));
      store.erase(); // the wrapped shares are zeros already; this also clears the WAL, unless a reader is in the way
      return { effectiveAt, provider, absentMembers };
    });
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOpen = false;
    for (const entry of [...this.#tenants.entries]) this.#tenants.end(entry, "lost", "closed");
    await Promise.all(this.#lines.values());
  }
}

/** `promise`, or the abort's reason if that comes first. */
async function untilAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
