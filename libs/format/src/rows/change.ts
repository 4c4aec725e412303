import { RowError, RowReader, RowWriter } from "./codec.ts";

/** Longest key of a row: table, dirKey, a key of 1 KiB with each byte escaped, upload, part. */
const rowKeySizeMax = 4096;
const rowValueSizeMax = 1024 * 1024;

/** A row to write, or to delete when `value` is undefined. */
export interface RowWrite {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/** Payload of a delta: what it does to the map, row by row. Drawn in `docs/formats/map.md`. */
export function encodeRowWrites(rows: readonly RowWrite[]): Uint8Array {
  const to = new RowWriter().u8(1).number(rows.length);
  for (const { key, value } of rows) {
    to.bytes(key);
    if (value === undefined) to.number(0);
    else to.number(value.byteLength + 1).raw(value);
  }
  return to.done();
}

/** Keys and values are copies. `unknown_version` halts the view; the rest is damage. */
export function decodeRowWrites(source: Uint8Array): readonly RowWrite[] | RowError {
  try {
    const from = new RowReader(source, "a change");
    const rows = Array.from({ length: from.count(2) }, (): RowWrite => {
      const key = from.bytes(rowKeySizeMax);
      const size = from.number(rowValueSizeMax + 1);
      return { key, value: size === 0 ? undefined : from.raw(size - 1) };
    });
    from.end();
    return rows;
  } catch (reason) {
    if (reason instanceof RowError) return reason;
    throw reason;
  }
}
