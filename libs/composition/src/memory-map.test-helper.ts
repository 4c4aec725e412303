import { compareBytes } from "@kiseki/base";
import type { MapWriter } from "@kiseki/ports";

type Row = [key: Uint8Array, value: Uint8Array];
const blockRowsMax = 256;

/** An ordered map in memory, for tests: sorted blocks of rows. Counts what readers touch. */
export interface MemoryMap extends MapWriter {
  /** Calls of `get` and `scan`, and rows that scans showed, since `reset`. */
  readonly touched: { gets: number; scans: number; rows: number };
  reset(): void;
  /** All rows in order, not copied. */
  rows(): readonly (readonly [key: Uint8Array, value: Uint8Array])[];
}

/** First index in `[0, count)` at which `isAbove` holds; `count` when it holds nowhere. */
function firstAbove(count: number, isAbove: (index: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isAbove(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** A place in the blocks: of a row, or where one would be put. */
interface Place {
  readonly block: number;
  readonly index: number;
}
const isBefore = (a: Place, b: Place): boolean =>
  a.block < b.block || (a.block === b.block && a.index < b.index);

/** Where `key` is or would be put. */
function seekIn(blocks: readonly Row[][], key: Uint8Array): Place & { readonly isThere: boolean } {
  const above = firstAbove(blocks.length, (i) => {
    const first = blocks[i]![0];
    return first !== undefined && compareBytes(first[0], key) > 0;
  });
  const block = Math.max(0, above - 1);
  const rows = blocks[block]!;
  const index = firstAbove(rows.length, (i) => compareBytes(rows[i]![0], key) >= 0);
  const row = rows[index];
  return { block, index, isThere: row !== undefined && compareBytes(row[0], key) === 0 };
}

export function memoryMap(): MemoryMap {
  /** Never empty but for the first one. */
  const blocks: Row[][] = [[]];
  const touched = { gets: 0, scans: 0, rows: 0 };
  const seek = (key: Uint8Array) => seekIn(blocks, key);
  return {
    touched,
    reset: () => Object.assign(touched, { gets: 0, scans: 0, rows: 0 }),
    rows: () => blocks.flat(),
    get(key) {
      touched.gets += 1;
      const { block, index, isThere } = seek(key);
      return isThere ? blocks[block]![index]![1].slice() : undefined;
    },
    put(key, value) {
      const { block, index, isThere } = seek(key);
      const rows = blocks[block]!;
      rows.splice(index, isThere ? 1 : 0, [key.slice(), value.slice()]);
      if (rows.length > blockRowsMax) blocks.splice(block + 1, 0, rows.splice(blockRowsMax >> 1));
    },
    delete(key) {
      const { block, index, isThere } = seek(key);
      if (!isThere) return;
      const rows = blocks[block]!;
      rows.splice(index, 1);
      if (rows.length === 0 && blocks.length > 1) blocks.splice(block, 1);
    },
    scan({ start, end, backward }, visit) {
      touched.scans += 1;
      const first = seek(start);
      const last =
        end === undefined ? { block: blocks.length - 1, index: blocks.at(-1)!.length } : seek(end);
      const at = backward === true ? { ...last } : { ...first };
      const show = (): boolean => {
        const [key, value] = blocks[at.block]![at.index]!;
        touched.rows += 1;
        return visit(key.slice(), value.slice());
      };
      if (backward === true) {
        while (isBefore(first, at)) {
          if (at.index === 0) at.index = blocks[--at.block]!.length;
          else {
            at.index -= 1;
            if (!show()) return;
          }
        }
        return;
      }
      while (isBefore(at, last)) {
        if (at.index < blocks[at.block]!.length) {
          if (!show()) return;
          at.index += 1;
        } else {
          at.block += 1;
          at.index = 0;
        }
      }
    },
  };
}
