import { compareBytes } from "@kiseki/base";
import type { MapWriter } from "@kiseki/ports";

/** An ordered map in memory, for tests: a sorted array. Counts what readers touch. */
export interface MemoryMap extends MapWriter {
  /** Rows seen by `get` and `scan` since `reset`. */
  readonly touched: { gets: number; scans: number; rows: number };
  reset(): void;
  rows(): readonly (readonly [key: Uint8Array, value: Uint8Array])[];
}

export function memoryMap(): MemoryMap {
  const rows: [Uint8Array, Uint8Array][] = [];
  const touched = { gets: 0, scans: 0, rows: 0 };
  /** First index whose key is at or above `key`. */
  const seek = (key: Uint8Array): number => {
    let low = 0;
    let high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareBytes(rows[middle]![0], key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const isAt = (index: number, key: Uint8Array): boolean =>
    index < rows.length && compareBytes(rows[index]![0], key) === 0;
  return {
    touched,
    reset: () => Object.assign(touched, { gets: 0, scans: 0, rows: 0 }),
    rows: () => rows,
    get(key) {
      touched.gets += 1;
      const index = seek(key);
      return isAt(index, key) ? rows[index]![1].slice() : undefined;
    },
    put(key, value) {
      const index = seek(key);
      if (isAt(index, key)) rows[index]![1] = value.slice();
      else rows.splice(index, 0, [key.slice(), value.slice()]);
    },
    delete(key) {
      const index = seek(key);
      if (isAt(index, key)) rows.splice(index, 1);
    },
    scan({ start, end, backward }, visit) {
      touched.scans += 1;
      const first = seek(start);
      const last = end === undefined ? rows.length : seek(end);
      for (let i = 0; i < last - first; i++) {
        const [key, value] = rows[backward === true ? last - 1 - i : first + i]!;
        touched.rows += 1;
        if (!visit(key.slice(), value.slice())) return;
      }
    },
  };
}
