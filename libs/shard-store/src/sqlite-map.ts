import type { Database, Statement } from "bun:sqlite";
import { newBytes } from "@kiseki/base";
import type { MapReader } from "@kiseki/ports";

/** Rows of the first step of a scan, and of each step after a while: most scans end early. */
const stepRowsMin = 8;
const stepRowsMax = 256;
/** A step holds about this many bytes, judged by the rows of the step before. */
const stepSizeWanted = 1 << 20;

type Row = [Uint8Array, Uint8Array];
type Values = Statement<Row, (Uint8Array | number)[]>;

/** The key right after `key` in the order of bytes. */
function keyAfter(key: Uint8Array): Uint8Array {
  const next = newBytes(key.byteLength + 1);
  next.set(key);
  return next;
}

const firstStep = (expected = stepRowsMin): number => Math.max(1, Math.min(expected, stepRowsMax));

/** Reads table `map` on one connection by cached statements, never more than a step of rows at once. */
export class SqliteMap implements MapReader, Disposable {
  readonly #get: Statement<[Uint8Array], [Uint8Array]>;
  readonly #forward: Values;
  readonly #forwardToEnd: Values;
  readonly #backward: Values;
  readonly #backwardFromEnd: Values;

  constructor(database: Database) {
    const select = "SELECT key, value FROM map WHERE key >= ?1";
    this.#get = database.prepare("SELECT value FROM map WHERE key = ?1");
    this.#forward = database.prepare(`${select} AND key < ?2 ORDER BY key LIMIT ?3`);
    this.#forwardToEnd = database.prepare(`${select} ORDER BY key LIMIT ?2`);
    this.#backward = database.prepare(`${select} AND key < ?2 ORDER BY key DESC LIMIT ?3`);
    this.#backwardFromEnd = database.prepare(`${select} ORDER BY key DESC LIMIT ?2`);
  }
  get(key: Uint8Array): Uint8Array | undefined {
    return (this.#get.values(key) as unknown as [Uint8Array][])[0]?.[0];
  }
  scan(range: Parameters<MapReader["scan"]>[0], visit: Parameters<MapReader["scan"]>[1]): void {
    let { start, end } = range;
    const backward = range.backward === true;
    for (let count = firstStep(range.expected); ;) {
      const rows = this.#step(start, end, backward, count);
      const final = rows.at(-1)?.[0]; // copied before the visitor owns it
      const last = final && (backward ? final.slice() : keyAfter(final));
      let size = 0;
      for (let i = 0; i < rows.length; i++) {
        const row = rows[i]!;
        size += row[0].byteLength + row[1].byteLength;
        if (!visit(row[0], row[1])) return;
      }
      if (rows.length < count || last === undefined) return;
      if (backward) end = last;
      else start = last;
      const fitting = Math.floor((stepSizeWanted * count) / (size + 1));
      count = Math.max(1, Math.min(4 * count, stepRowsMax, fitting));
    }
  }
  [Symbol.dispose](): void {
    this.#get.finalize();
    this.#forward.finalize();
    this.#forwardToEnd.finalize();
    this.#backward.finalize();
    this.#backwardFromEnd.finalize();
  }
  #step(
    start: Uint8Array,
    end: Uint8Array | undefined,
    backward: boolean,
    count: number,
  ): readonly Row[] {
    const values =
      end === undefined
        ? (backward ? this.#backwardFromEnd : this.#forwardToEnd).values(start, count)
        : (backward ? this.#backward : this.#forward).values(start, end, count);
    return values as unknown as Row[];
  }
}
