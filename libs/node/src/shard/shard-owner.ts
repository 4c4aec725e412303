import type {
  Epoch,
  InodeId,
  Keyset,
  LogIndex,
  OperationId,
  Prng,
  ShardId,
  TenantId,
} from "@kiseki/base";
import {
  assert,
  AssertionError,
  BoundedQueue,
  failpoint,
  logIndex,
  toUuid,
  wallTime,
} from "@kiseki/base";
import {
  type Answer,
  apply,
  type Change,
  decide,
  type DirKeys,
  encodeChange,
  type Limits,
  type Operation,
  type Origin,
  type RefusalCode,
} from "@kiseki/composition";
import {
  type Hlc,
  isLoggedNoticeKey,
  logEntryBodySizeMax,
  logEntryDeltasMax,
} from "@kiseki/format";
import type { TenantKeyring } from "@kiseki/keys";
import {
  type Admission,
  advanceHlc,
  canGoOn,
  firstHlc,
  type LogChain,
  packEntry,
  packEpochEntry,
  sealDelta,
  truncationTarget,
} from "@kiseki/log";
import {
  type Clock,
  type Crypto,
  type Metrics,
  type ShardStore,
  type ShardTx,
  whileMoreCome,
} from "@kiseki/ports";
import type { NodeSafeties } from "../safeties.ts";
import type { EditedFiles } from "./edited-files.ts";
import type { ChangedInode, ChangeFeed } from "./change-feed.ts";
import { changedInodes, RecordingDirKeys } from "./changed-inodes.ts";

/** What became of an operation. `busy`, `no_space` and `closed` wrote nothing and may be tried again. */
export type Outcome =
  | { readonly kind: "done"; readonly answer: Answer }
  | { readonly kind: "refused"; readonly code: RefusalCode | "busy" | "no_space" | "closed" };

export interface OwnerPorts {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly crypto: Crypto;
  readonly metrics: Metrics;
}

export interface OwnerOptions {
  readonly tenant: TenantId;
  readonly shard: ShardId;
  /** Of this start; higher than any that the shard has seen. */
  readonly epoch: Epoch;
  readonly node: bigint;
  readonly store: ShardStore;
  /** Where the log stands. */
  readonly chain: LogChain;
  /** Keys may be replaced while the tenant is open (a new keyset). */
  readonly keyring: () => TenantKeyring;
  readonly dirKeys: (keyring: TenantKeyring) => DirKeys;
  readonly limits: Limits;
  /** From the space of the data directory and its mirrors. */
  readonly admission: () => Admission;
  readonly queueMax: number;
  /** The outcome of a commit is not known: the process must end (STORE §2). */
  readonly onFatal: (reason: unknown) => void;
  readonly safeties: NodeSafeties;
  /** Told of each entry that holds notices: before its commit, so that nobody passes it, and after, when it can be read. */
  readonly onNotices?: ((index: LogIndex) => void) | undefined;
  /** Told of what each committed batch has changed, when somebody watches. */
  readonly changes?: ChangeFeed | undefined;
  /** As in `DecideContext`. `client`: the native one whose operation takes the name away. */
  readonly keeper?: ((inode: InodeId, client?: Uint8Array) => Uint8Array | undefined) | undefined;
  /** Told of what was written to files. */
  readonly edited?: EditedFiles | undefined;
  /** The machine; the simulator puts a wrong one in its place to see that its checkers find it. */
  readonly decide?: typeof decide;
}

interface Waiting {
  readonly operation: Operation;
  readonly operationId: OperationId;
  readonly origin: Origin | undefined;
  readonly client: Uint8Array | undefined;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (reason: unknown) => void;
}

const batchOperationsMax = 256;
const nameTagSize = 16;
/** Log entries beyond the last that are kept before the log is cut: cutting each time would cost a write per batch. */
const logEntriesKept = 1024n;
/** Entries that are cut at once: one transaction of the store. */
const logEntriesCut = 256n;

/** Operations that free space: they go on when the data directory is nearly full. */
const freeing: ReadonlySet<Operation["kind"]> = new Set<Operation["kind"]>([
  "delete_object",
  "delete_namespace",
  "abort_upload",
  "reclaim_step",
  "dropped",
  "unlink",
  "rmdir",
  "close_file",
  "close_session",
  "unlock",
]);

/** The keys of one batch, derived once and wiped after its commit. */
interface BatchKeys extends Disposable {
  readonly keyset: Keyset;
  readonly log: Uint8Array;
  readonly chain: Uint8Array;
  readonly nameTag: Uint8Array;
  readonly dirKeys: DirKeys;
}

/** One batch while it is being made: what its transaction holds and who waits for it. */
interface Batch {
  readonly keys: BatchKeys;
  readonly tx: ShardTx;
  readonly deltas: Uint8Array[];
  readonly answers: { readonly waiting: Waiting; readonly outcome: Outcome }[];
  size: number;
  /** Its entry says something to those who subscribed. */
  hasNotices: boolean;
  /** For those who watch. */
  readonly changed: ChangedInode[];
}

/**
 * The one writer of a shard (STORE §2). Operations queue; a batch takes what is there, checks each against
 * what the batch has done so far, commits deltas and rows in one transaction, then answers. One batch
 * in flight: while it commits, the next one gathers.
 */
export class ShardOwner {
  readonly #ports: OwnerPorts;
  readonly #options: OwnerOptions;
  readonly #queue: BoundedQueue<Waiting>;
  #chain: LogChain;
  #hlc: Hlc;
  /** Never goes back while this owner lives: drop rows are in the order of their times. */
  #now = wallTime(0);
  #held: Waiting | undefined;
  #running: Promise<void> | undefined;
  #isClosed = false;
  readonly #metricLabels: { readonly shard: string };

  private constructor(ports: OwnerPorts, options: OwnerOptions, chain: LogChain) {
    this.#ports = ports;
    this.#options = options;
    this.#queue = new BoundedQueue(options.queueMax);
    this.#chain = chain;
    this.#hlc = firstHlc(options.node);
    this.#metricLabels = { shard: toUuid(options.shard) };
  }

  /** Appends the epoch entry of this start: from then on nobody of an older epoch can commit. */
  static async open(ports: OwnerPorts, options: OwnerOptions): Promise<ShardOwner> {
    const owner = new ShardOwner(ports, options, options.chain);
    await owner.#startEpoch(options.epoch);
    return owner;
  }

  /** Durable when it resolves with `done`. `client`: the native one that asked. Rejects when the tenant's keys are gone or a row is damaged; nothing was written then. */
  submit(
    operation: Operation,
    operationId: OperationId,
    origin?: Origin,
    client?: Uint8Array,
  ): Promise<Outcome> {
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    const waiting = { operation, operationId, origin, client, resolve, reject };
    if (this.#isClosed) resolve({ kind: "refused", code: "closed" });
    else if (!this.#queue.push(waiting)) resolve({ kind: "refused", code: "busy" });
    else this.#running ??= this.#run();
    return promise;
  }

  /** Answers what is queued, then refuses. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
  }

  get epoch(): Epoch {
    return this.#chain.epoch;
  }

  async #run(): Promise<void> {
    // Lets whoever is about to submit in this turn of the loop join the first batch.
    await Promise.resolve();
    const { clock } = this.#ports;
    try {
      while (this.#held !== undefined || this.#queue.count > 0) {
        const coming = this.#held ? undefined : whileMoreCome(clock, () => this.#queue.count);
        if (coming !== undefined) await coming;
        await this.#runBatch();
      }
    } catch (reason) {
      this.#isClosed = true;
      this.#options.onFatal(reason);
    } finally {
      this.#running = undefined;
    }
  }

  #next(): Waiting | undefined {
    const held = this.#held;
    this.#held = undefined;
    return held ?? this.#queue.shift();
  }

  async #runBatch(): Promise<void> {
    if (!canGoOn(this.#chain, batchOperationsMax)) {
      await this.#startEpoch((this.#chain.epoch + 1n) as Epoch);
    }
    const resting = this.#options.store.rest?.();
    if (resting !== undefined) await resting;
    using keys = this.#tryDeriveKeys();
    if (keys === undefined) return;
    const tx = this.#options.store.begin();
    const batch: Batch = {
      ...{ keys, tx, deltas: [], answers: [], changed: [] },
      ...{ size: 0, hasNotices: false },
    };
    try {
      this.#gather(batch);
    } catch (reason) {
      tx.rollback();
      throw reason;
    }
    if (!this.#options.safeties.commitBeforeAnswer) this.#answer(batch);
    if (batch.deltas.length === 0) tx.rollback();
    else await this.#commit(batch);
    this.#answer(batch);
  }

  /** Without keys nothing is sealed: whoever waits is told why. */
  #tryDeriveKeys(): BatchKeys | undefined {
    try {
      return this.#deriveKeys();
    } catch (reason) {
      if (reason instanceof AssertionError) throw reason;
      for (let waiting = this.#next(); waiting !== undefined; waiting = this.#next()) {
        waiting.reject(reason);
      }
      return undefined;
    }
  }

  #gather(batch: Batch): void {
    const admission = this.#options.admission();
    while (batch.answers.length < batchOperationsMax) {
      const waiting = this.#next();
      if (waiting === undefined) return;
      const mayBegin =
        admission === "all" || (admission === "deletes" && freeing.has(waiting.operation.kind));
      if (!mayBegin) {
        batch.answers.push({ waiting, outcome: { kind: "refused", code: "no_space" } });
        continue;
      }
      try {
        if (this.#decide(batch, waiting)) continue;
      } catch (reason) {
        if (reason instanceof AssertionError) throw reason;
        waiting.reject(reason); // a row that cannot be read: deciding wrote nothing
        continue;
      }
      this.#held = waiting; // it does not fit this entry any more: first of the next batch
      return;
    }
  }

  /** False when the change is too large for what is left of the batch's log entry. */
  #decide(batch: Batch, waiting: Waiting): boolean {
    const { crypto, clock } = this.#ports;
    this.#now = wallTime(Math.max(this.#now, clock.realtime()));
    const { keeper } = this.#options;
    const isWatched = this.#options.changes?.isWatched === true;
    const watched = isWatched ? new RecordingDirKeys(batch.keys.dirKeys) : undefined;
    const decision = (this.#options.decide ?? decide)(batch.tx, waiting.operation, {
      now: this.#now,
      operationId: waiting.operationId,
      origin: waiting.origin,
      dirKeys: watched ?? batch.keys.dirKeys,
      keeper: keeper && ((inode) => keeper(inode, waiting.client)),
      md5: crypto.md5,
      limits: this.#options.limits,
    });
    if (decision.kind === "change") {
      const delta = this.#sealChange(batch, waiting, decision.change);
      if (
        batch.size + delta.byteLength > logEntryBodySizeMax ||
        batch.deltas.length >= logEntryDeltasMax
      ) {
        assert(batch.deltas.length > 0, "one delta fits one entry");
        return false;
      }
      if (watched)
        batch.changed.push(...changedInodes(batch.tx, decision.change, watched, waiting.client));
      apply(batch.tx, decision.change);
      const last = decision.change.rows.at(-1);
      if (last !== undefined && isLoggedNoticeKey(last.key)) batch.hasNotices = true;
      batch.deltas.push(delta);
      batch.size += delta.byteLength;
    }
    const outcome: Outcome =
      decision.kind === "refused" ? decision : { kind: "done", answer: decision.answer };
    batch.answers.push({ waiting, outcome });
    return true;
  }

  #sealChange(batch: Batch, waiting: Waiting, change: Change): Uint8Array {
    const { crypto, prng, clock } = this.#ports;
    const { shard, tenant } = this.#options;
    const { keys } = batch;
    this.#hlc = advanceHlc(this.#hlc, clock.realtime());
    const tag = crypto.hmacSha256(keys.nameTag, change.dirKey, change.name);
    const sequence = this.#chain.sequence + 1n + BigInt(batch.deltas.length);
    return sealDelta(crypto, prng, {
      logKey: keys.log,
      content: {
        operation: change.operation,
        dirKey: change.dirKey,
        nameTag: tag.subarray(0, nameTagSize),
        chunkRefs: change.chunkRefs,
        payload: encodeChange(change),
      },
      stamp: {
        shard,
        tenant,
        sequence: sequence as LogChain["sequence"],
        hlc: this.#hlc,
        operationId: waiting.operationId,
        epoch: this.#chain.epoch,
        keyset: keys.keyset,
      },
    });
  }

  async #commit(batch: Batch): Promise<void> {
    const { clock, metrics, crypto } = this.#ports;
    const packed = packEntry(crypto, batch.keys.chain, this.#chain, {
      keyset: batch.keys.keyset,
      deltas: batch.deltas,
    });
    const started = clock.monotonic();
    failpoint("batch-decided");
    if (batch.hasNotices) this.#options.onNotices?.(packed.next.index);
    const outcome = await batch.tx.commit(packed.bytes, this.#chain.index, this.#chain.epoch);
    failpoint("batch-committed");
    // Embedded there is one writer and COMMIT's word is final; a cluster's owner steps down here.
    if (outcome.kind !== "committed") throw new Error(`Cannot go on: commit was ${outcome.kind}`);
    this.#chain = packed.next;
    this.#options.changes?.note(batch.changed);
    if (batch.hasNotices) this.#options.onNotices?.(packed.next.index);
    metrics.observe("kiseki_shard_commit_seconds", (clock.monotonic() - started) / 1000);
    metrics.observe("kiseki_shard_batch_operations", batch.answers.length);
    metrics.add("kiseki_shard_delta_count", batch.deltas.length, this.#metricLabels);
    this.#truncate();
  }

  #answer(batch: Batch): void {
    const { edited } = this.#options;
    for (const { waiting, outcome } of batch.answers) {
      if (outcome.kind === "done") edited?.note(waiting.operation, outcome.answer);
      waiting.resolve(outcome);
    }
  }

  #deriveKeys(): BatchKeys {
    const { crypto } = this.#ports;
    const { shard } = this.#options;
    const keyring = this.#options.keyring();
    const log = keyring.writing.logKey(shard, this.#chain.epoch);
    const chain = keyring.chainKey(keyring.current, shard);
    const nameTag = keyring.writing.nameTagKey(shard);
    return {
      keyset: keyring.current,
      log,
      chain,
      nameTag,
      dirKeys: this.#options.dirKeys(keyring),
      [Symbol.dispose]: () => [log, chain, nameTag].forEach((key) => crypto.wipe(key)),
    };
  }

  async #startEpoch(epoch: Epoch): Promise<void> {
    using keys = this.#deriveKeys();
    const packed = packEpochEntry(this.#ports.crypto, keys.chain, this.#chain, {
      epoch,
      keyset: keys.keyset,
    });
    const tx = this.#options.store.begin();
    const outcome = await tx.commit(packed.bytes, this.#chain.index, epoch);
    if (outcome.kind !== "committed") throw new Error(`Cannot start: commit was ${outcome.kind}`);
    this.#chain = packed.next;
  }

  #truncate(): void {
    const { store } = this.#options;
    const head = store.head();
    if (head.index - head.first < logEntriesKept + logEntriesCut) return;
    const target = truncationTarget(head, store.consumers().values());
    if (target === undefined) return;
    failpoint("log-truncate");
    const step = logIndex(head.first + logEntriesCut - 1n);
    store.truncate(target < step ? target : step);
  }
}
