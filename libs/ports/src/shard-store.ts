import type { Epoch, LogIndex } from "@kiseki/base";
import type { MapReader, MapWriter } from "./ordered-map.ts";

/** `committed`: durable. `fenced`: someone else appended. `unknown`: it may be either; read the log to learn. */
export type CommitOutcome =
  | { readonly kind: "committed"; readonly index: LogIndex }
  | { readonly kind: "fenced" }
  | { readonly kind: "unknown" };

/** One append: the bytes of the deltas of one batch (packed and MAC'd by `libs/log`). */
export interface LogEntry {
  readonly index: LogIndex;
  readonly bytes: Uint8Array;
}

/** A write transaction. One at a time per store; it is the overlay of the batch. */
export interface ShardTx extends MapWriter {
  /** Drops everything. Does nothing after `commit` or `rollback`. */
  rollback(): void;
  /**
   * Appends `entry` as index `expectIndex + 1` and makes it and the map's changes durable together.
   * An error that leaves the outcome open rejects; embedded, the process must then end (STORE §2).
   */
  commit(entry: Uint8Array, expectIndex: LogIndex, epoch: Epoch): Promise<CommitOutcome>;
}

export interface ShardHead {
  /** Index of the last append; 0 for an empty log. */
  readonly index: LogIndex;
  /** First index still in the log; `index + 1` when none is. */
  readonly first: LogIndex;
}

/** The log and the map of one shard (STORE §2). Drivers: sqlite, sim; later jetstream. */
export interface ShardStore extends AsyncDisposable {
  head(): ShardHead;
  /** @throws when a transaction is open already: that is a bug in the owner. */
  begin(): ShardTx;
  /** What has to be done between two transactions, if anything: `begin` waits for it. */
  rest?(): Promise<void> | undefined;
  /**
   * Committed rows, as one consistent state for the length of the call of `body`, which must not wait.
   * @returns what `body` returns.
   */
  view<T>(body: (map: MapReader) => T): T;
  /**
   * As `view`. May answer what `body` made before under that `name`, as long as no row that it looked up has changed:
   * the same object for all who ask, which nobody changes. `body` depends on the map and on the name alone; that it
   * answered `undefined` is not remembered.
   */
  recall<T extends object>(name: string, body: (map: MapReader) => T | undefined): T | undefined;
  /** Entries from `from` on, in order, at most `countMax` and about `sizeMax` bytes, at least one if there is one. */
  read(from: LogIndex, countMax: number, sizeMax: number): readonly LogEntry[];
  /** Resolves when every append acknowledged before the call is in `view`. */
  readBarrier(): Promise<void>;
  /** Consumers hold the log: `truncate` never passes the lowest. Registering twice keeps the mark. */
  registerConsumer(name: string, from: LogIndex): void;
  /** Raises the consumer's mark; durable with the next commit at the latest. */
  advanceConsumer(name: string, index: LogIndex): void;
  consumers(): ReadonlyMap<string, LogIndex>;
  /** Drops entries up to and including `upTo`, limited by the consumers. Returns the new first index. */
  truncate(upTo: LogIndex): LogIndex;
  /** Bytes the store takes on one member, log included. */
  size(): number;
  /** Which outcomes and acts the driver can show; the contract's cases follow it. */
  readonly declares: {
    readonly fenced: boolean;
    readonly unknown: boolean;
    readonly snapshots: boolean;
  };
}
