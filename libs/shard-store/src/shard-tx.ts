import type { Epoch, LogIndex } from "@kiseki/base";
import { assert, compareBytes } from "@kiseki/base";
import type { CommitOutcome, ShardTx } from "@kiseki/ports";
import { rowText } from "./row-cache.ts";

/** Clean rows that a transaction remembers; past it they are read again. Changed rows are always kept. */
const cleanRowsMax = 8192;
const cleanValueSizeMax = 4096;

/** One row as the transaction sees it. */
export interface OverlayRow {
  readonly key: Uint8Array;
  /** `rowText` of the key. */
  readonly text: string;
  /** The committed value; `undefined` when there is none. Meaningless while `isOldKnown` is false. */
  old: Uint8Array | undefined;
  isOldKnown: boolean;
  /** What the transaction made of it; `undefined` when deleted. */
  now: Uint8Array | undefined;
  /** True when `now` was written by the transaction. */
  isChanged: boolean;
  /** True when the table does not hold `now` yet. */
  isDirty: boolean;
}

/** What a transaction asks of its store. All run inside one open write transaction of SQLite. */
export interface ShardTxHost {
  /** `text`: `rowText` of the key. */
  get(key: Uint8Array, text: string): Uint8Array | undefined;
  scan: ShardTx["scan"];
  put(key: Uint8Array, value: Uint8Array): void;
  /** Puts the row if the key is free; false, and nothing done, if it is not. */
  insert(key: Uint8Array, value: Uint8Array): boolean;
  delete(key: Uint8Array): void;
  commit(
    rows: Iterable<OverlayRow>,
    entry: Uint8Array,
    expectIndex: LogIndex,
    epoch: Epoch,
  ): CommitOutcome | Promise<CommitOutcome>;
  rollback(): void;
}

/**
 * A batch over an open SQLite transaction. Changed rows wait in a small cache, so that a row written
 * by many operations of the batch reaches the table once and its hashes are made once; a scan writes
 * those of its range out first. What was read is kept too, for the operations of a batch meet the same rows.
 */
export class SqliteShardTx implements ShardTx {
  readonly #host: ShardTxHost;
  readonly #rows = new Map<string, OverlayRow>();
  /** Rows that the table does not hold yet, by the first byte of their keys. */
  readonly #dirty = new Map<number, OverlayRow[]>();
  #isOpen = true;

  constructor(host: ShardTxHost) {
    this.#host = host;
  }
  get(key: Uint8Array): Uint8Array | undefined {
    assert(this.#isOpen, "the transaction is open");
    const text = rowText(key);
    const row = this.#rows.get(text);
    if (row !== undefined) return row.now?.slice();
    const value = this.#host.get(key, text);
    const isSmall = value === undefined || value.byteLength <= cleanValueSizeMax;
    if (isSmall && this.#rows.size < cleanRowsMax) {
      const clean = { key: key.slice(), text, old: value, isOldKnown: true, now: value };
      this.#rows.set(text, { ...clean, isChanged: false, isDirty: false });
      return value?.slice();
    }
    return value;
  }
  scan(range: Parameters<ShardTx["scan"]>[0], visit: Parameters<ShardTx["scan"]>[1]): void {
    assert(this.#isOpen, "the transaction is open");
    this.#writeOut(range);
    this.#host.scan(range, visit);
  }
  put(key: Uint8Array, value: Uint8Array): void {
    this.#change(key, value.slice());
  }
  delete(key: Uint8Array): void {
    this.#change(key, undefined);
  }
  rollback(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#host.rollback();
  }
  async commit(entry: Uint8Array, expectIndex: LogIndex, epoch: Epoch): Promise<CommitOutcome> {
    assert(this.#isOpen, "the transaction is open");
    this.#isOpen = false;
    const changed: OverlayRow[] = [];
    for (const row of this.#rows.values()) if (row.isChanged) changed.push(row);
    return this.#host.commit(changed, entry, expectIndex, epoch);
  }
  #change(key: Uint8Array, value: Uint8Array | undefined): void {
    assert(this.#isOpen, "the transaction is open");
    const text = rowText(key);
    let row = this.#rows.get(text);
    if (row === undefined) {
      const blank = { old: undefined, isOldKnown: false, now: undefined };
      row = { key: key.slice(), text, ...blank, isChanged: false, isDirty: false };
      this.#rows.set(text, row);
    }
    row.now = value;
    row.isChanged = true;
    if (row.isDirty) return;
    row.isDirty = true;
    const waiting = this.#dirty.get(key[0] ?? 0);
    if (waiting === undefined) this.#dirty.set(key[0] ?? 0, [row]);
    else waiting.push(row);
  }
  /** Rows outside of `range` wait: the operations of a batch look into many tables and change the same few rows. */
  #writeOut({ start, end }: Parameters<ShardTx["scan"]>[0]): void {
    const first = start[0] ?? 0;
    const last = end === undefined ? 255 : (end[0] ?? 0);
    for (const [table, rows] of this.#dirty) {
      if (table < first || table > last) continue;
      const kept: OverlayRow[] = [];
      for (const row of rows) {
        const isBefore = compareBytes(row.key, start) < 0;
        const isBehind = end !== undefined && compareBytes(row.key, end) >= 0;
        if (isBefore || isBehind) kept.push(row);
        else writeRow(this.#host, row);
      }
      this.#dirty.set(table, kept);
    }
  }
}

/** Brings one changed row into the table, learning the committed value on the way where it is not known. */
export function writeRow(
  host: Pick<ShardTxHost, "get" | "put" | "insert" | "delete">,
  row: OverlayRow,
): void {
  row.isDirty = false;
  if (!row.isOldKnown) {
    row.isOldKnown = true;
    if (row.now !== undefined && host.insert(row.key, row.now)) return;
    row.old = host.get(row.key, row.text);
  }
  if (row.now !== undefined) host.put(row.key, row.now);
  else host.delete(row.key);
}
