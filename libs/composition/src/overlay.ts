import { compareBytes, sameBytes } from "@kiseki/base";
import type { RowWrite } from "@kiseki/format";
import type { MapReader, MapWriter } from "@kiseki/ports";

/** What one operation would write, over the batch's map: dropped when the operation is refused. */
export interface Overlay extends MapWriter {
  /** In key order. Rows that were read and end as they were are left out. */
  writes(): readonly RowWrite[];
}

/** A key for `Map`; the engine's own hex is several times as fast as a character per byte. */
const keyText = (key: Uint8Array): string => key.toHex();

export function overlayOf(base: MapReader): Overlay {
  const rows = new Map<string, RowWrite>();
  /** What the base answered: asked once per key. */
  const known = new Map<string, Uint8Array | undefined>();
  const sorted = (list: RowWrite[]): RowWrite[] => list.sort((a, b) => compareBytes(a.key, b.key));

  return {
    get(key) {
      const text = keyText(key);
      const row = rows.get(text);
      if (row !== undefined) return row.value;
      if (known.has(text)) return known.get(text);
      const value = base.get(key);
      known.set(text, value);
      return value;
    },
    put(key, value) {
      rows.set(keyText(key), { key, value });
    },
    delete(key) {
      rows.set(keyText(key), { key, value: undefined });
    },
    scan(range, visit) {
      const within = ({ key }: RowWrite): boolean =>
        compareBytes(key, range.start) >= 0 &&
        (range.end === undefined || compareBytes(key, range.end) < 0);
      const pending = sorted([...rows.values()].filter(within));
      if (range.backward === true) pending.reverse();
      const sign = range.backward === true ? -1 : 1;
      let next = 0;
      let isStopped = false;
      /** Visits what the overlay holds before `key`; true when it holds `key` itself. */
      const visitPending = (key: Uint8Array | undefined): boolean => {
        while (!isStopped && next < pending.length) {
          const row = pending[next]!;
          const order = key === undefined ? -1 : sign * compareBytes(row.key, key);
          if (order > 0) return false;
          next += 1;
          if (row.value !== undefined && !visit(row.key, row.value)) isStopped = true;
          if (order === 0) return true;
        }
        return false;
      };
      base.scan(range, (key, value) => {
        const isReplaced = visitPending(key);
        if (isStopped || isReplaced) return !isStopped;
        if (!visit(key, value)) isStopped = true;
        return !isStopped;
      });
      if (!isStopped) visitPending(undefined);
    },
    writes: () =>
      sorted([...rows.values()]).filter(({ key, value }) => {
        const text = keyText(key);
        if (!known.has(text)) return true;
        const before = known.get(text);
        if (before === undefined || value === undefined) return before !== value;
        return !sameBytes(before, value);
      }),
  };
}
