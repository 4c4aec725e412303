import type { Database } from "bun:sqlite";
import type { Epoch, LogIndex } from "@kiseki/base";
import type { Committer } from "@kiseki/sealed-sqlite";
import { assert, logIndex } from "@kiseki/base";
import type {
  CommitOutcome,
  Crypto,
  LogEntry,
  MapReader,
  ShardHead,
  ShardStore,
  ShardTx,
} from "@kiseki/ports";
import type { HashedChange, RowHash, TableSum } from "./row-sums.ts";
import { RowBudget, type RowCache } from "./row-cache.ts";
import { RowSums, rowHasher } from "./row-sums.ts";
import type { OpenDatabase } from "./shard-database.ts";
import { checkpointPages, openReader, openWriter, pragma } from "./shard-database.ts";
import { ShardStoreError } from "./shard-store-error.ts";
import type { ShardState } from "./shard-state.ts";
import { encodeShardState } from "./shard-state.ts";
import type { Statements } from "./shard-statements.ts";
import { loadState, prepareStatements } from "./shard-statements.ts";
import type { OverlayRow, ShardTxHost } from "./shard-tx.ts";
import { SqliteShardTx, writeRow } from "./shard-tx.ts";
import { SqliteMap } from "./sqlite-map.ts";
import { SqliteShardReader } from "./sqlite-shard-reader.ts";
import { SumCheck } from "./sum-check.ts";

/** Entries that one transaction of `truncate` drops. */
const truncateEntriesMax = 256;
const cacheSizeDefault = 4 << 20;

export interface SqliteShardStoreOptions {
  readonly openDatabase: OpenDatabase;
  readonly crypto: Pick<Crypto, "hmacSha256">;
  /** Key of the row sums, 32 bytes; used until the store is disposed. */
  readonly sumKey: Uint8Array;
  /** Bytes of pages that each of the two connections keeps; 4 MiB unless told. */
  readonly cacheSize?: number;
  /** Room for rows that were read of late, shared with other stores; 4 MiB of its own unless told. */
  readonly rows?: RowBudget;
  /** Makes what commits in another thread; without it COMMIT keeps this one until all is synced. */
  readonly openCommitter?: (database: Database) => Committer;
}

const u64 = (n: LogIndex): number => {
  assert(n <= BigInt(Number.MAX_SAFE_INTEGER), "an index fits a safe integer");
  return Number(n);
};

/** The embedded driver: log and map of one shard in one SQLite file, one COMMIT for both (STORE §1–2). */
export class SqliteShardStore implements ShardStore {
  readonly declares = { fenced: false, unknown: false, snapshots: false };
  readonly #database: Database;
  readonly #reader: SqliteShardReader;
  readonly #map: SqliteMap;
  readonly #cache: RowCache;
  readonly #statements: Statements;
  readonly #rowHash: RowHash;
  readonly #host: ShardTxHost;
  readonly #checks = new Set<SumCheck>();
  readonly #committer: Committer | undefined;
  /** What runs in another thread. */
  #flight: Promise<unknown> | undefined;
  #isCommitting = false;
  /** A consumer came while a commit was under way. */
  #isConsumerNew = false;
  readonly #consumers = new Map<string, LogIndex>();
  #sums: RowSums;
  #state: ShardState;
  #areConsumersDirty = false;
  #tx: SqliteShardTx | undefined;
  #isFailed = false;
  #isClosed = false;

  constructor(database: Database, reader: SqliteShardReader, options: SqliteShardStoreOptions) {
    this.#database = database;
    this.#reader = reader;
    this.#rowHash = rowHasher(options.crypto, options.sumKey);
    // Damage shows here, before statements are prepared that would keep the file open.
    this.#state = loadState(database);
    this.#sums = RowSums.from(this.#state.tables);
    for (const [name, mark] of database.query("SELECT name, mark FROM consumer").values()) {
      this.#consumers.set(name as string, logIndex(BigInt(mark as number)));
    }
    this.#map = new SqliteMap(database);
    this.#statements = prepareStatements(database);
    this.#committer = options.openCommitter?.(database);
    this.#cache = (options.rows ?? new RowBudget(cacheSizeDefault)).open();
    this.#host = {
      get: (key, text) => this.#cache.get(key, this.#map, undefined, text), // asked only for rows that the transaction has not written
      scan: (range, visit) => this.#map.scan(range, visit),
      put: (key, value) => void this.#statements.put.run(key, value),
      insert: (key, value) => this.#statements.insert.run(key, value).changes === 1,
      delete: (key) => void this.#statements.delete.run(key),
      commit: (rows, entry, expect, at) => this.#commit(rows, entry, expect, at),
      rollback: () => this.#rollback(),
    };
  }
  head(): ShardHead {
    return { index: this.#state.index, first: this.#state.first };
  }
  /** Highest epoch that ever committed here; a file behind the epoch of device records is an old copy (STORE §2). */
  epoch(): Epoch {
    return this.#state.epoch;
  }
  begin(): ShardTx {
    assert(this.#tx === undefined, "one transaction at a time");
    this.#mustBeGood();
    this.#statements.begin.run();
    this.#tx = new SqliteShardTx(this.#host);
    return this.#tx;
  }
  /** Moves what the write-ahead log holds to its place, once that is much. */
  rest(): Promise<void> | undefined {
    const committer = this.#committer;
    if (committer === undefined || this.#isFailed || committer.frames < checkpointPages) return;
    // What could not be moved is moved another time: the log is the truth until then.
    const flight = committer.checkpoint().catch(() => undefined);
    this.#flight = flight;
    return flight;
  }
  view<T>(body: (map: MapReader) => T): T {
    this.#mustBeGood();
    return this.#reader.view(body, this.#cache);
  }
  recall<T extends object>(name: string, body: (map: MapReader) => T | undefined): T | undefined {
    this.#mustBeGood();
    return this.#reader.recall(name, body, this.#cache);
  }
  read(from: LogIndex, countMax: number, sizeMax: number): readonly LogEntry[] {
    this.#mustBeGood();
    return this.#reader.read(from, countMax, sizeMax);
  }
  async readBarrier(): Promise<void> {
    this.#mustBeGood(); // COMMIT precedes every acknowledgement, so `view` is exact
  }
  registerConsumer(name: string, from: LogIndex): void {
    if (this.#consumers.has(name)) return;
    this.#consumers.set(name, from);
    this.#areConsumersDirty = true;
    if (this.#isCommitting) this.#isConsumerNew = true;
    else if (this.#tx === undefined) this.#inTransaction(() => this.#writeConsumers());
  }
  advanceConsumer(name: string, index: LogIndex): void {
    const mark = this.#consumers.get(name);
    assert(mark !== undefined, "the consumer is registered");
    assert(index <= this.#state.index, "a mark is within the log");
    if (index <= mark) return;
    this.#consumers.set(name, index);
    this.#areConsumersDirty = true;
  }
  consumers(): ReadonlyMap<string, LogIndex> {
    return new Map(this.#consumers);
  }
  /** Works in transactions of 256 entries; the owner asks for a step at a time where it may not wait long. */
  truncate(upTo: LogIndex): LogIndex {
    assert(this.#tx === undefined, "no transaction is open");
    let target = upTo < this.#state.index ? upTo : this.#state.index;
    for (const mark of this.#consumers.values()) if (mark < target) target = mark;
    while (this.#state.first <= target) {
      const next = this.#state.first + BigInt(truncateEntriesMax);
      const first = logIndex(next <= target ? next : target + 1n);
      this.#inTransaction(() => {
        this.#writeConsumers();
        this.#statements.deleteLog.run(u64(first));
        this.#writeState({ ...this.#state, first });
      });
      this.#state = { ...this.#state, first };
    }
    return this.#state.first;
  }
  /** Pages of the file, free ones included; the write-ahead log apart, which checkpoints keep small. */
  size(): number {
    return (pragma(this.#database, "page_count") as number) * this.#statements.pageSize;
  }
  /** Rows and sums of each table, as committed. */
  sums(): readonly TableSum[] {
    return this.#state.tables;
  }
  /** Begins to recompute the sums from the rows; goes on in steps while batches commit in between. */
  startSumCheck(): SumCheck {
    const check: SumCheck = new SumCheck({
      view: (body) => this.view(body),
      rowHash: this.#rowHash,
      recorded: () => this.#state.tables,
      ended: () => void this.#checks.delete(check),
    });
    this.#checks.add(check);
    return check;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#flight;
    this.#tx?.rollback();
    if (!this.#isFailed && this.#areConsumersDirty) {
      this.#inTransaction(() => this.#writeConsumers());
    }
    this.#isClosed = true;
    this.#cache[Symbol.dispose]();
    this.#reader[Symbol.dispose]();
    this.#map[Symbol.dispose]();
    for (const statement of this.#statements.all) statement.finalize();
    this.#committer?.[Symbol.dispose]();
    this.#database.close(true); // what lies below may be closed after it
  }
  #mustBeGood(): void {
    if (this.#isClosed) throw new ShardStoreError("closed", "Cannot use the shard: it was closed");
    if (!this.#isFailed) return;
    throw new ShardStoreError(
      "commit_failed",
      "Cannot use the shard: the outcome of a COMMIT is open",
    );
  }
  #rollback(): void {
    this.#tx = undefined;
    if (this.#database.inTransaction) this.#statements.rollback.run();
  }
  #commit(
    rows: Iterable<OverlayRow>,
    entry: Uint8Array,
    expectIndex: LogIndex,
    at: Epoch,
  ): CommitOutcome | Promise<CommitOutcome> {
    assert(expectIndex === this.#state.index, "the owner knows the head");
    assert(at >= this.#state.epoch, "the owner's epoch is not behind");
    const index = logIndex(expectIndex + 1n);
    const changes: HashedChange[] = [];
    const written = [...rows];
    const sums = this.#sums.clone();
    let state: ShardState;
    try {
      for (const row of written) {
        if (row.isDirty) writeRow(this.#host, row);
        const change = this.#hashChange(row);
        if (change.old !== undefined) sums.remove(row.key, change.old);
        if (change.now !== undefined) sums.add(row.key, change.now);
        changes.push(change);
      }
      state = { index, first: this.#state.first, epoch: at, tables: sums.tables() };
      this.#statements.insertLog.run(u64(index), entry);
      this.#writeConsumers();
      this.#writeState(state);
      if (this.#committer !== undefined) this.#reader.hold();
    } catch (reason) {
      this.#areConsumersDirty = true;
      this.#rollback();
      throw new ShardStoreError("not_committed", "Cannot write the batch", { cause: reason });
    }
    const finish = (): CommitOutcome => {
      for (const { text, now } of written) this.#cache.replace(text, now);
      this.#state = state;
      this.#sums = sums;
      for (const check of this.#checks) check.committed(changes);
      return { kind: "committed", index };
    };
    if (this.#committer !== undefined) return this.#commitBeside(this.#committer, finish);
    this.#endTransaction();
    return finish();
  }
  /** Until it is known that all is synced, views show the state before, which the reader holds. */
  async #commitBeside(committer: Committer, finish: () => CommitOutcome): Promise<CommitOutcome> {
    this.#isCommitting = true;
    const flight = committer.commit();
    this.#flight = flight.catch(() => undefined);
    try {
      await flight;
    } catch (reason) {
      this.#isFailed = true;
      throw commitFailed(reason);
    } finally {
      this.#isCommitting = false;
      this.#tx = undefined;
      this.#reader.leave();
    }
    const outcome = finish();
    if (this.#isConsumerNew) this.#inTransaction(() => this.#writeConsumers());
    this.#isConsumerNew = false;
    return outcome;
  }
  #hashChange(row: OverlayRow): HashedChange {
    assert(row.isOldKnown, "a changed row's committed value is known");
    const old = row.old === undefined ? undefined : this.#rowHash(row.key, row.old);
    const now = row.now === undefined ? undefined : this.#rowHash(row.key, row.now);
    return { key: row.key, old, now };
  }
  #endTransaction(): void {
    try {
      this.#statements.commit.run();
    } catch (reason) {
      this.#isFailed = true;
      throw commitFailed(reason);
    } finally {
      this.#tx = undefined;
    }
  }
  #inTransaction(body: () => void): void {
    this.#mustBeGood();
    this.#statements.begin.run();
    try {
      body();
    } catch (reason) {
      this.#areConsumersDirty = true;
      this.#rollback();
      throw new ShardStoreError("not_committed", "Cannot write to the shard", { cause: reason });
    }
    this.#endTransaction();
  }
  #writeConsumers(): void {
    if (!this.#areConsumersDirty) return;
    for (const [name, mark] of this.#consumers) this.#statements.putConsumer.run(name, u64(mark));
    this.#areConsumersDirty = false;
  }
  #writeState(state: ShardState): void {
    this.#statements.putState.run(encodeShardState(state));
  }
}

const commitFailed = (reason: unknown): ShardStoreError =>
  new ShardStoreError("commit_failed", "Cannot commit: the process must end", { cause: reason });

/**
 * Opens a shard's store, making its tables in an empty file.
 * @throws {ShardStoreError} `wrong_mode`, `unknown_version`, `damaged`.
 */
export function openSqliteShardStore(options: SqliteShardStoreOptions): SqliteShardStore {
  const cacheSize = options.cacheSize ?? cacheSizeDefault;
  using building = new DisposableStack();
  const database = building.adopt(openWriter(options.openDatabase, cacheSize), (it) => it.close());
  const reader = building.use(new SqliteShardReader(openReader(options.openDatabase, cacheSize)));
  const store = new SqliteShardStore(database, reader, options);
  building.move();
  return store;
}
