import { assert } from "@kiseki/base";
import type { MapReader } from "@kiseki/ports";

export interface CursorRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}
const batchFirst = 8;
const batchMax = 256;

/** Rows of `[start, end)` one after another, fetched in batches that grow: a short look costs little. */
export class RowCursor {
  readonly #map: MapReader;
  readonly #end: Uint8Array | undefined;
  #from: Uint8Array;
  #rows: CursorRow[] = [];
  #index = 0;
  #batch = batchFirst;
  #isLast = false;

  constructor(map: MapReader, start: Uint8Array, end: Uint8Array | undefined) {
    this.#map = map;
    this.#from = start;
    this.#end = end;
  }
  /** The row the cursor stands on. */
  peek(): CursorRow | undefined {
    if (this.#index === this.#rows.length && !this.#isLast) this.#fetch();
    return this.#rows[this.#index];
  }
  advance(): void {
    assert(this.#index < this.#rows.length, "a cursor moves off a row it showed");
    this.#index += 1;
  }
  /** Goes to the first row at or above `key`, which lies above the row it stands on. */
  seek(key: Uint8Array): void {
    this.#rows = [];
    this.#index = 0;
    this.#isLast = false;
    this.#batch = batchFirst;
    this.#from = key;
  }
  #fetch(): void {
    const rows: CursorRow[] = [];
    const expected = this.#batch;
    this.#map.scan({ start: this.#from, end: this.#end, expected }, (key, value) => {
      rows.push({ key, value });
      return rows.length < expected;
    });
    this.#isLast = rows.length < this.#batch;
    this.#batch = Math.min(batchMax, 2 * this.#batch);
    this.#rows = rows;
    this.#index = 0;
    const last = rows.at(-1);
    if (last !== undefined) this.#from = afterKey(last.key);
  }
}

/** The least key above `key`. */
export function afterKey(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.byteLength + 1);
  next.set(key);
  return next;
}
