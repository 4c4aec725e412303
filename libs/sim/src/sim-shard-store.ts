import type { Epoch, LogIndex } from "@kiseki/base";
import { assert, logIndex, newBytes } from "@kiseki/base";
import type {
  CommitOutcome,
  LogEntry,
  MapReader,
  ShardHead,
  ShardStore,
  ShardTx,
} from "@kiseki/ports";
import type { SimShardMembers } from "./sim-shard-store-members.ts";
import type { SimRowsDraft } from "./sim-shard-store-rows.ts";
import type { SimShardState } from "./sim-shard-store-state.ts";
import { logKey, SimCrash } from "./sim-shard-store-state.ts";

/** What the next commit is made to answer, by a test or by a fault that struck. */
type Forced =
  | { readonly kind: "fenced"; readonly entry: Uint8Array }
  | { readonly kind: "unknown"; readonly stored: boolean };

/** The port's simulated driver: rows and log in memory, durable in `SimShardMembers`. */
export class SimShardStore implements ShardStore {
  readonly declares: ShardStore["declares"];
  readonly #members: SimShardMembers;
  #state: SimShardState;
  /** Marks that are not durable yet. */
  readonly #consumers: Map<string, LogIndex>;
  #tx: SimShardTx | undefined;
  #forced: Forced | undefined;
  #isDead = false;

  constructor(members: SimShardMembers, state: SimShardState) {
    this.declares = members.declares;
    this.#members = members;
    this.#state = state;
    this.#consumers = new Map(state.consumers);
  }
  head(): ShardHead {
    return { index: this.#state.index, first: this.#state.first };
  }
  /** Highest epoch that ever committed. */
  epoch(): Epoch {
    return this.#state.epoch;
  }
  begin(): ShardTx {
    this.#mustLive();
    assert(this.#tx === undefined, "one transaction at a time");
    this.#tx = new SimShardTx(this.#state.rows.draft(), {
      commit: (draft, entry, expectIndex, at) => this.#commit(draft, entry, expectIndex, at),
      ended: () => (this.#tx = undefined),
    });
    return this.#tx;
  }
  view<T>(body: (map: MapReader) => T): T {
    this.#mustLive();
    const result = body(this.#state.rows);
    assert(!(result instanceof Promise), "a view does not wait");
    return result;
  }
  recall<T extends object>(_name: string, body: (map: MapReader) => T | undefined): T | undefined {
    return this.view(body);
  }
  read(from: LogIndex, countMax: number, sizeMax: number): readonly LogEntry[] {
    this.#mustLive();
    assert(countMax >= 1, "at least one entry is asked for");
    const entries: LogEntry[] = [];
    let size = 0;
    let index: bigint = from > this.#state.first ? from : this.#state.first;
    this.#state.log.scan({ start: logKey(index) }, (_, bytes) => {
      size += bytes.byteLength;
      if (entries.length > 0 && size > sizeMax) return false;
      entries.push({ index: logIndex(index), bytes });
      index += 1n;
      return entries.length < countMax;
    });
    return entries;
  }
  async readBarrier(): Promise<void> {
    this.#mustLive();
  }
  registerConsumer(name: string, from: LogIndex): void {
    this.#mustLive();
    if (this.#consumers.has(name)) return;
    this.#consumers.set(name, from);
    if (this.#tx === undefined) this.#store({});
  }
  advanceConsumer(name: string, index: LogIndex): void {
    this.#mustLive();
    const mark = this.#consumers.get(name);
    assert(mark !== undefined, "the consumer is registered");
    assert(index <= this.#state.index, "a mark is within the log");
    if (index > mark) this.#consumers.set(name, index);
  }
  consumers(): ReadonlyMap<string, LogIndex> {
    return new Map(this.#consumers);
  }
  truncate(upTo: LogIndex): LogIndex {
    this.#mustLive();
    assert(this.#tx === undefined, "no transaction is open");
    let target: bigint = upTo < this.#state.index ? upTo : this.#state.index;
    for (const mark of this.#consumers.values()) if (mark < target) target = mark;
    if (target < this.#state.first) return this.#state.first;
    const log = this.#state.log.draft();
    for (let index: bigint = this.#state.first; index <= target; index += 1n) {
      log.delete(logKey(index));
    }
    this.#store({ log: log.finish(), first: logIndex(target + 1n) });
    return this.#state.first;
  }
  /** Counted, not kept: rows and entries as bytes. */
  size(): number {
    let size = 0;
    for (const rows of [this.#state.log, this.#state.rows]) {
      rows.scan({ start: newBytes(0) }, (key, value) => {
        size += key.byteLength + value.byteLength;
        return true;
      });
    }
    return size;
  }
  /** The next commit finds that someone else appended `entry`. */
  fenceNext(entry: Uint8Array): void {
    assert(this.declares.fenced, "the store declares fenced");
    this.#forced = { kind: "fenced", entry };
  }
  /** The next commit's outcome is unknown; `stored` says which it was. */
  unknownNext(stored: boolean): void {
    assert(this.declares.unknown, "the store declares unknown");
    this.#forced = { kind: "unknown", stored };
  }
  /** Ends it as a killed process: every later call throws `SimCrash`. For `SimShardMembers`. */
  crash(): void {
    this.#isDead = true;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isDead) return;
    this.#tx?.rollback();
    try {
      this.#store({});
    } catch (reason) {
      if (reason instanceof SimCrash) return; // killed while it ended
      throw reason;
    }
    this.#isDead = true;
    this.#members.closed();
  }
  #mustLive(): void {
    if (this.#isDead) throw new SimCrash("The process of this store has ended");
  }
  #store(change: Partial<SimShardState>): void {
    const generation = this.#state.generation + 1;
    const consumers = new Map(this.#consumers);
    const next = { ...this.#state, consumers, ...change, generation };
    this.#members.store(next);
    this.#state = next;
  }
  #commit(draft: SimRowsDraft, entry: Uint8Array, expectIndex: LogIndex, at: Epoch): CommitOutcome {
    this.#mustLive();
    assert(this.declares.fenced || expectIndex === this.#state.index, "the owner knows the head");
    assert(this.declares.fenced || at >= this.#state.epoch, "the owner's epoch is not behind");
    if (expectIndex !== this.#state.index) return { kind: "fenced" };
    const forced = this.#forced ?? this.#drawn();
    this.#forced = undefined;
    if (forced?.kind === "fenced") {
      this.#append(forced.entry, at, undefined);
      return { kind: "fenced" };
    }
    if (forced !== undefined) {
      if (forced.stored) this.#append(entry, at, undefined);
      return { kind: "unknown" };
    }
    return { kind: "committed", index: this.#append(entry, at, draft) };
  }
  /** Stores `entry` as the next; with `draft` the rows too. */
  #append(entry: Uint8Array, at: Epoch, draft: SimRowsDraft | undefined): LogIndex {
    const index = logIndex(this.#state.index + 1n);
    const log = this.#state.log.draft();
    log.put(logKey(index), entry);
    const epoch = at > this.#state.epoch ? at : this.#state.epoch;
    const rows = draft === undefined ? {} : { rows: draft.finish() };
    this.#store({ index, log: log.finish(), epoch, ...rows });
    return index;
  }
  #drawn(): Forced | undefined {
    if (!this.declares.unknown) return undefined;
    if (this.#members.strikes("unknown_stored")) return { kind: "unknown", stored: true };
    if (this.#members.strikes("unknown_not_stored")) return { kind: "unknown", stored: false };
    return undefined;
  }
}

interface SimShardTxHost {
  commit(
    draft: SimRowsDraft,
    entry: Uint8Array,
    expectIndex: LogIndex,
    epoch: Epoch,
  ): CommitOutcome;
  ended(): void;
}

class SimShardTx implements ShardTx {
  readonly #draft: SimRowsDraft;
  readonly #host: SimShardTxHost;
  #isOpen = true;
  constructor(draft: SimRowsDraft, host: SimShardTxHost) {
    this.#draft = draft;
    this.#host = host;
  }
  get(key: Uint8Array): Uint8Array | undefined {
    return this.#open().get(key);
  }
  scan(range: Parameters<MapReader["scan"]>[0], visit: Parameters<MapReader["scan"]>[1]): void {
    this.#open().scan(range, visit);
  }
  put(key: Uint8Array, value: Uint8Array): void {
    this.#open().put(key, value);
  }
  delete(key: Uint8Array): void {
    this.#open().delete(key);
  }
  rollback(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#host.ended();
  }
  async commit(entry: Uint8Array, expectIndex: LogIndex, epoch: Epoch): Promise<CommitOutcome> {
    const draft = this.#open();
    this.#isOpen = false;
    this.#host.ended();
    return this.#host.commit(draft, entry, expectIndex, epoch);
  }
  #open(): SimRowsDraft {
    assert(this.#isOpen, "the transaction is open");
    return this.#draft;
  }
}
