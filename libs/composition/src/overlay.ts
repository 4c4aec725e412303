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

/** Where `text` is or would be in a sorted list. */
function placeOf(order: readonly string[], text: string): number {
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (order[middle]! < text) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function overlayOf(base: MapReader): Overlay {
  const rows = new Map<string, RowWrite>();
  /** What the base answered: asked once per key. */
  const known = new Map<string, Uint8Array | undefined>();
  /** Keys of `rows` in order, which is that of their hex, once somebody asks for it. */
  let order: string[] | undefined;
  const inOrder = (): string[] => (order ??= [...rows.keys()].sort());
  const write = (key: Uint8Array, value: Uint8Array | undefined): void => {
    const text = keyText(key);
    if (order !== undefined && !rows.has(text)) order.splice(placeOf(order, text), 0, text);
    rows.set(text, { key, value });
  };

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
    put: write,
    delete: (key) => write(key, undefined),
    scan(range, visit) {
      const all = inOrder();
      const end = range.end === undefined ? all.length : placeOf(all, keyText(range.end));
      const pending = all
        .slice(placeOf(all, keyText(range.start)), end)
        .map((text) => rows.get(text)!);
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
      inOrder().flatMap((text) => {
        const row = rows.get(text)!;
        if (!known.has(text)) return [row];
        const before = known.get(text);
        const { value } = row;
        const isSame =
          before === undefined || value === undefined ? before === value : sameBytes(before, value);
        return isSame ? [] : [row];
      }),
  };
}
