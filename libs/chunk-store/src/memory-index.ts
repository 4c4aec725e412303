import { fromHex, toHex } from "@kiseki/base";
import type { FragmentIndex } from "./fragment-index.ts";

interface State {
  readonly rows: Map<string, Uint8Array>;
  readonly metas: Map<string, Uint8Array>;
}
const copyOf = ({ rows, metas }: State): State => ({
  rows: new Map(rows),
  metas: new Map(metas),
});
const empty = (): State => ({ rows: new Map(), metas: new Map() });

/** A `FragmentIndex` in memory, for tests and the simulator. Flush and checkpoint copy all of it. */
export class MemoryIndex implements FragmentIndex {
  #now = empty();
  #flushed = empty();
  #checkpointed = empty();

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#now.rows.get(toHex(key))?.slice();
  }
  put(key: Uint8Array, value: Uint8Array): void {
    this.#now.rows.set(toHex(key), value.slice());
  }
  delete(key: Uint8Array): void {
    this.#now.rows.delete(toHex(key));
  }
  scan(
    after: Uint8Array | undefined,
    countMax: number,
    visit: (key: Uint8Array, value: Uint8Array) => void,
  ): void {
    const names = [...this.#now.rows.keys()].toSorted(); // hex has the order of its bytes
    const last = after === undefined ? "" : toHex(after);
    const first = names.findIndex((name) => name > last);
    if (first < 0) return;
    for (const name of names.slice(first, first + countMax)) {
      visit(fromHex(name), this.#now.rows.get(name)!.slice());
    }
  }
  count(): number {
    return this.#now.rows.size;
  }
  meta(name: string): Uint8Array | undefined {
    return this.#now.metas.get(name)?.slice();
  }
  putMeta(name: string, value: Uint8Array): void {
    this.#now.metas.set(name, value.slice());
  }
  flush(): void {
    this.#flushed = copyOf(this.#now);
  }
  checkpoint(): void {
    this.flush();
    this.#checkpointed = this.#flushed;
  }
  /** Memory does not rot: who says so has found a bug of the store, which must show. */
  condemn(): void {}
  clear(): void {
    this.#now = empty();
    this.checkpoint();
  }
  /**
   * What a crash leaves, as a new index: the state of the last flush (process killed), of the last
   * checkpoint (power cut), or nothing. This one is dead then: what its process still does reaches nobody.
   */
  crash(kept: "flushed" | "checkpointed" | "nothing"): MemoryIndex {
    const next = new MemoryIndex();
    const states = { flushed: this.#flushed, checkpointed: this.#checkpointed, nothing: empty() };
    next.#now = copyOf(states[kept]);
    next.#flushed = copyOf(next.#now);
    next.#checkpointed = copyOf(kept === "flushed" ? this.#checkpointed : next.#now);
    return next;
  }
  [Symbol.dispose](): void {}
}
