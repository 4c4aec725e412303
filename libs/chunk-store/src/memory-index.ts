import type { FragmentIndex } from "./fragment-index.ts";

/** A `FragmentIndex` in memory, for tests and the simulator. */
export class MemoryIndex implements FragmentIndex {
  readonly #rows = new Map<string, Uint8Array>();
  get(_key: Uint8Array): Uint8Array | undefined {
    return undefined;
  }
  put(_key: Uint8Array, _value: Uint8Array): void {}
  delete(_key: Uint8Array): void {}
  scan(): void {}
  count(): number {
    return this.#rows.size;
  }
  meta(_name: string): Uint8Array | undefined {
    return undefined;
  }
  putMeta(_name: string, _value: Uint8Array): void {}
  flush(): void {}
  checkpoint(): void {}
  clear(): void {}
  /** What a crash leaves: the state of the last checkpoint, or of the last flush. */
  crash(_kept: "flushed" | "checkpointed" | "nothing"): void {}
  [Symbol.dispose](): void {}
}
