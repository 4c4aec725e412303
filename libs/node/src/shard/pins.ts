import { assert, type ChunkId, toHex } from "@kiseki/base";

/**
 * Chunks that an operation under way counts on though nothing names them for it yet: a dedup hit between
 * the look-up and the commit. The collector leaves pinned chunks alone. Pins die with the process, and
 * the operations with them (STORE §4).
 */
export class Pins {
  readonly #counts = new Map<string, number>();

  /** Disposing unpins; twice does nothing. */
  pin(chunkId: ChunkId): Disposable {
    const name = toHex(chunkId);
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        const count = this.#counts.get(name);
        assert(count !== undefined && count >= 1, "a held pin is counted");
        if (count === 1) this.#counts.delete(name);
        else this.#counts.set(name, count - 1);
      },
    };
  }
  has(chunkId: ChunkId): boolean {
    return this.#counts.has(toHex(chunkId));
  }
  get count(): number {
    return this.#counts.size;
  }
}
