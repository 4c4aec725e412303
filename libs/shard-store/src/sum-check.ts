import { assert, compareBytes, newBytes, sameBytes } from "@kiseki/base";
import type { MapReader } from "@kiseki/ports";
import type { HashedChange, RowHash, TableSum } from "./row-sums.ts";
import { RowSums } from "./row-sums.ts";

/** `wrong`: the rows of these tables are not what was committed: a stale page with a good tag, or a bug. */
export type SumReport =
  | { readonly kind: "more" }
  | { readonly kind: "right" }
  | { readonly kind: "wrong"; readonly tables: readonly number[] };

export interface SumCheckHost {
  readonly view: <T>(body: (map: MapReader) => T) => T;
  readonly rowHash: RowHash;
  readonly recorded: () => readonly TableSum[];
  readonly ended: () => void;
}

/**
 * Recomputes the sums of all rows in key order, some rows per call. Batches may commit between
 * steps: a change behind the cursor is brought into the recomputed sum by its hashes, one before
 * the cursor will be met as it is then.
 */
export class SumCheck implements Disposable {
  readonly #host: SumCheckHost;
  readonly #sums = new RowSums();
  /** First key not summed yet; `undefined` once all are. */
  #cursor: Uint8Array | undefined = newBytes(0);
  #isEnded = false;

  constructor(host: SumCheckHost) {
    this.#host = host;
  }
  /** Sums up to `countMax` more rows; after `right` or `wrong` the check is over. */
  step(countMax: number): SumReport {
    assert(!this.#isEnded, "the check goes on");
    assert(countMax >= 1, "a step sums a row");
    const start = this.#cursor;
    assert(start !== undefined, "rows may be left");
    let count = 0;
    let next: Uint8Array | undefined;
    this.#host.view((map) =>
      map.scan({ start }, (key, value) => {
        if (count === countMax) {
          next = key.slice();
          return false;
        }
        this.#sums.add(key, this.#host.rowHash(key, value));
        count += 1;
        return true;
      }),
    );
    this.#cursor = next;
    if (next !== undefined) return { kind: "more" };
    this[Symbol.dispose]();
    const tables = differingTables(this.#sums.tables(), this.#host.recorded());
    return tables.length === 0 ? { kind: "right" } : { kind: "wrong", tables };
  }
  /** Called by the store after each commit. */
  committed(changes: readonly HashedChange[]): void {
    const cursor = this.#cursor;
    assert(cursor !== undefined, "an ended check is told nothing");
    for (const { key, old, now } of changes) {
      if (compareBytes(key, cursor) >= 0) continue;
      if (old !== undefined) this.#sums.remove(key, old);
      if (now !== undefined) this.#sums.add(key, now);
    }
  }
  /** Gives the check up; does nothing when it is over. */
  [Symbol.dispose](): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#host.ended();
  }
}

/** Tables whose rows or sums are not the same in both. */
export function differingTables(a: readonly TableSum[], b: readonly TableSum[]): readonly number[] {
  const left = new Map(a.map((each) => [each.table, each]));
  const right = new Map(b.map((each) => [each.table, each]));
  const all = new Set([...left.keys(), ...right.keys()]);
  return [...all]
    .filter((table) => {
      const one = left.get(table);
      const other = right.get(table);
      if (one === undefined || other === undefined) return true;
      return one.rowCount !== other.rowCount || !sameBytes(one.sum, other.sum);
    })
    .sort((x, y) => x - y);
}
