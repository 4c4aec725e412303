import {
  type Epoch,
  idText,
  type LogIndex,
  newBytes,
  type ShardId,
  shardId,
  type TenantId,
  toHex,
} from "@kiseki/base";
import { type decide, type DirKeys, defaultLimits, type Limits } from "@kiseki/composition";
import type { TenantKeyring } from "@kiseki/keys";
import { type KeyNeed, type TenantKeys, TenantKeysError } from "@kiseki/kms";
import { type Admission, emptyChain, type LogChain, resumeChain } from "@kiseki/log";
import type { Crypto, ShardStore } from "@kiseki/ports";
import type { DataPorts, OpenTenant } from "../object/types.ts";
import { ChangeFeed } from "../shard/change-feed.ts";
import { Keepers } from "../shard/keepers.ts";
import { EditedFiles } from "../shard/edited-files.ts";
import { Pins } from "../shard/pins.ts";
import { cutOldKeysets } from "../keys/old-log.ts";
import { Readers } from "../shard/readers.ts";
import { ShardOwner } from "../shard/shard-owner.ts";

/** A shard's store, opened under a tenant's keys. */
export interface OpenedShard {
  readonly store: ShardStore;
  /** Closes the file and zeroes its key slot. The store was disposed before. */
  readonly close: () => void;
  /**
   * There when the file is under an older keyset: makes another under the newest from what the store holds, while
   * nobody writes; `onStep` is called again and again. True when the next opening takes that one; an abort ends it
   * soon. Rejects for bugs and lost disks alone.
   */
  readonly rewrite?: (signal: AbortSignal, onStep: () => void) => Promise<boolean>;
}

export interface TenantsParts {
  readonly ports: DataPorts;
  readonly keys: Pick<TenantKeys, "get" | "open" | "onLost">;
  /** Without `isNew` a file that is not there is a loss, and is not made. */
  readonly openShard: (shard: ShardId, keyring: TenantKeyring, isNew: boolean) => OpenedShard;
  /** Counts the node's starts. */
  readonly nodeEpoch: Epoch;
  readonly node: bigint;
  readonly acceptLoss: boolean;
  readonly admission: () => Admission;
  /** What S3 promises unless told. */
  readonly limits?: Limits;
  /** See `OwnerOptions.decide`. */
  readonly decide?: typeof decide;
  readonly onFatal: (reason: unknown) => void;
  /** Who reads the logs of open tenants. */
  readonly subscriber?: {
    /** Before anything is written under this opening. */
    opened(tenant: OpenTenant): void;
    noticed(tenant: TenantId, index: LogIndex): void;
  };
}

/** A shard file is older than what the devices remember of its shard: it is an old copy (STORE §2). */
export class OldShardError extends Error {
  override readonly name = "OldShardError";
}

interface Held {
  readonly tenant: OpenTenant;
  readonly close: () => Promise<void>;
}

const operationsQueuedMax = 4096;

/** The tenants that are open in this process; each opens at its first request and closes when its keys go. */
export class Tenants implements AsyncDisposable {
  readonly #parts: TenantsParts;
  readonly #held = new Map<string, Promise<Held>>();
  readonly #open = new Map<string, OpenTenant>();
  /** While a shard is rewritten its tenant is read alone; resolves, never rejects, when it may be opened for writing. */
  readonly #rewriting = new Map<string, Promise<void>>();
  /** A shard has one writer: a tenant opens again only when its last opening is closed. */
  readonly #closing = new Map<string, Promise<void>>();
  /** Outlive an opening: who reads goes on under the next one. */
  readonly #readers = new Map<string, Readers>();
  readonly #keepers = new Map<string, Keepers>();
  readonly #listening: Disposable;
  #isClosed = false;

  constructor(parts: TenantsParts) {
    this.#parts = parts;
    this.#listening = parts.keys.onLost((tenant) => void this.close(tenant));
  }

  /**
   * The tenant with keys young enough for `need`: what writes asks anew after a quiet minute, and waits
   * while the shard is rewritten under a new keyset.
   * @throws {TenantKeysError} when its KMS does not answer; {OldShardError}.
   */
  async open(tenant: TenantId, need: KeyNeed, signal: AbortSignal): Promise<OpenTenant> {
    const known = this.#open.get(toHex(tenant));
    const rewriting = need === "write" ? this.#rewriting.get(toHex(tenant)) : undefined;
    if (rewriting !== undefined) {
      await untilAborted(rewriting, signal);
      return this.open(tenant, need, signal);
    }
    if (known && this.#parts.keys.get(tenant, need)) return known;
    if (this.#isClosed) throw new TenantKeysError("closed", "", "Cannot open a tenant: stopping");
    // Opening appends an epoch entry, so it asks for what writes.
    await this.#parts.keys.open(tenant, known ? need : "write", signal);
    const name = toHex(tenant);
    let held = this.#held.get(name);
    if (held === undefined) {
      held = this.#openHeld(tenant);
      this.#held.set(name, held);
      held.catch(() => this.#held.delete(name)); // the next request tries again
    }
    const opened = (await held).tenant;
    const mayUse = need === "read" || !this.#rewriting.has(name);
    return mayUse ? opened : this.open(tenant, need, signal);
  }

  /** As `open`, of a tenant that nothing has to be waited for. */
  openNow(tenant: TenantId, need: KeyNeed): OpenTenant | undefined {
    const name = idText(tenant);
    if (need === "write" && this.#rewriting.has(name)) return undefined;
    const known = this.#open.get(name);
    return known && this.#parts.keys.get(tenant, need) ? known : undefined;
  }

  /** Tenants that are open now. */
  get all(): Iterable<OpenTenant> {
    return this.#open.values();
  }

  async close(tenant: TenantId): Promise<void> {
    const name = toHex(tenant);
    const held = this.#held.get(name);
    this.#held.delete(name);
    this.#open.delete(name);
    if (held === undefined) return this.#closing.get(name);
    const closing = held.then(({ close }) => close()).catch(() => undefined); // it never opened
    this.#closing.set(name, closing);
    await closing;
    if (this.#closing.get(name) === closing) this.#closing.delete(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#listening[Symbol.dispose]();
    const held = [...this.#held.values()];
    this.#held.clear();
    this.#open.clear();
    await Promise.allSettled(held.map(async (opening) => (await opening).close()));
    await Promise.all(this.#closing.values());
  }

  async #openHeld(id: TenantId): Promise<Held> {
    const { keys, openShard, ports } = this.#parts;
    const shard = firstShardOf(id);
    await this.#closing.get(toHex(id));
    const keyring = keys.get(id, "read");
    if (keyring === undefined)
      throw new TenantKeysError("closed", "", "Cannot open a tenant: its keys went");
    const isNew = ports.chunkStore.shardEpoch(shard) === undefined || this.#parts.acceptLoss;
    const opened = openShard(shard, keyring, isNew);
    try {
      const chain = this.#checkedChain(shard, opened.store);
      const keysFor = (use: "read" | "write"): TenantKeyring => youngKeys(keys.get(id, use));
      const dirKeys = dirKeysFrom(ports.crypto);
      const epoch = maxEpoch(this.#parts.nodeEpoch, (chain.epoch + 1n) as Epoch);
      const followed = { changes: new ChangeFeed(epoch), edited: new EditedFiles() };
      const keepers = this.#keepersOf(id);
      const owner = await ShardOwner.open(ports, {
        ...{ tenant: id, shard, epoch, chain, dirKeys },
        ...followed,
        node: this.#parts.node,
        store: opened.store,
        keyring: () => keysFor("write"),
        limits: this.#parts.limits ?? defaultLimits,
        safeties: ports.safeties,
        ...(this.#parts.decide && { decide: this.#parts.decide }),
        admission: this.#parts.admission,
        queueMax: operationsQueuedMax,
        onFatal: this.#parts.onFatal,
        keeper: (inode, client) => keepers.keeper(inode, client),
        onNotices: (index) => this.#parts.subscriber?.noticed(id, index),
      });
      cutOldKeysets(opened.store);
      let isRewriting = false;
      const tenant: OpenTenant = {
        id,
        shard,
        keys: keysFor,
        dirKeys,
        store: opened.store,
        owner: refusingWhile(owner, () => isRewriting),
        pins: new Pins(),
        readers: this.#readersOf(id),
        keepers,
        ...followed,
      };
      this.#parts.subscriber?.opened(tenant);
      this.#open.set(toHex(id), tenant);
      if (!opened.rewrite) return { tenant, close: () => closeAll(owner, opened) };
      isRewriting = true;
      const ending = new AbortController();
      const over = this.#rewrite(
        tenant,
        opened.rewrite,
        ending.signal,
        () => (isRewriting = false),
      );
      const close = async (): Promise<void> => {
        ending.abort();
        await over;
        await closeAll(owner, opened);
      };
      return { tenant, close };
    } catch (reason) {
      await opened.store[Symbol.asyncDispose]();
      opened.close();
      throw reason;
    }
  }

  /** Resolves when the rewriting is over. A tenant with a new file is closed after that; who comes then opens that one. */
  #rewrite(
    tenant: OpenTenant,
    rewrite: NonNullable<OpenedShard["rewrite"]>,
    signal: AbortSignal,
    onKept: () => void,
  ): Promise<void> {
    const name = toHex(tenant.id);
    const { keys, onFatal } = this.#parts;
    let outcome: "made" | "kept" | "failed" = "failed";
    const stayOpen = (): void => void keys.get(tenant.id, "read"); // asking is what starts a refresh
    const over = rewrite(signal, stayOpen).then(
      (isMade) => void (outcome = isMade ? "made" : "kept"),
      onFatal,
    );
    const settled = over.then(async () => {
      if (outcome === "kept") onKept();
      // Whoever has closed it meanwhile goes on by itself.
      if (outcome === "made" && this.#open.get(name) === tenant) await this.close(tenant.id);
      if (this.#rewriting.get(name) === settled) this.#rewriting.delete(name);
    });
    this.#rewriting.set(name, settled);
    return over;
  }

  #readersOf(id: TenantId): Readers {
    const name = toHex(id);
    const known = this.#readers.get(name) ?? new Readers();
    this.#readers.set(name, known);
    return known;
  }

  #keepersOf(id: TenantId): Keepers {
    const name = toHex(id);
    const known = this.#keepers.get(name) ?? new Keepers(this.#parts.ports);
    this.#keepers.set(name, known);
    return known;
  }

  #checkedChain(shard: ShardId, store: ShardStore): LogChain {
    const chain = chainOf(shard, store);
    const { ports } = this.#parts;
    const seen = ports.chunkStore.shardEpoch(shard);
    if (seen === undefined || seen <= chain.epoch || this.#parts.acceptLoss) return chain;
    if (!ports.safeties.checkShardEpoch) return chain;
    throw new OldShardError(
      `Cannot open the shard: its file ends in epoch ${chain.epoch}, its devices have records of epoch ${seen}, ` +
        "so the file is an old copy; restore a newer one, or start with --accept-loss",
    );
  }
}

/** @throws {TenantKeysError} */
function youngKeys(found: TenantKeyring | undefined): TenantKeyring {
  if (found) return found;
  throw new TenantKeysError("kms_unavailable", "", "The tenant's keys are too old for this");
}

/** A tenant starts with one shard, named like it; shards that split off later have random names. */
export const firstShardOf = (tenant: TenantId): ShardId => shardId(tenant);

const maxEpoch = (a: Epoch, b: Epoch): Epoch => (a > b ? a : b);

async function untilAborted(over: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    await Promise.race([over, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

const refusingWhile = (owner: ShardOwner, isHeld: () => boolean): OpenTenant["owner"] => ({
  get epoch() {
    return owner.epoch;
  },
  submit: async (...asked) =>
    isHeld() ? { kind: "refused", code: "busy" } : await owner.submit(...asked),
});

async function closeAll(owner: ShardOwner, opened: OpenedShard): Promise<void> {
  await owner.close();
  await opened.store[Symbol.asyncDispose]();
  opened.close();
}

function chainOf(shard: ShardId, store: ShardStore): LogChain {
  const { index } = store.head();
  if (index === 0n) return emptyChain(shard);
  const entry = store.read(index, 1, 1)[0];
  const chain = entry && resumeChain(entry);
  if (chain === undefined || typeof chain === "string") {
    throw new OldShardError(`Cannot open the shard: the end of its log is ${chain ?? "missing"}`);
  }
  return chain;
}

/** dirKeys of whichever keyring is at hand, and the keyed names under which POSIX shows what it cannot name. */
function dirKeysFrom(crypto: Crypto): (keyring: TenantKeyring) => DirKeys {
  return (keyring) => ({
    dirKey: (inode) => keyring.dirKey(inode),
    hiddenName(dirKey, name) {
      const key = keyring.hiddenNameKey();
      const hash = crypto.hmacSha256(key, dirKey, name);
      crypto.wipe(key);
      const hidden = newBytes(16);
      hidden.set(hash.subarray(0, 16));
      return hidden;
    },
  });
}
