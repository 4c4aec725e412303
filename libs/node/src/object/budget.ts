import { assert } from "@kiseki/base";

/**
 * Shares a number of bytes among those who ask, first come first served. Whoever fills a buffer of the
 * arena and later needs a second one for the sealed bytes takes room for both before it begins: else
 * many half-fed requests could hold the whole arena and wait for each other for ever.
 */
export class Budget {
  readonly #total: number;
  #free: number;
  readonly #waiting: { readonly size: number; readonly grant: () => void }[] = [];

  constructor(total: number) {
    assert(total > 0, "a budget has something to share");
    this.#total = total;
    this.#free = total;
  }
  /** Disposing gives back. Rejects with `signal.reason` when aborted while waiting. `size` ≤ the total. */
  take(size: number, signal: AbortSignal): Promise<Disposable> {
    assert(size <= this.#total, "one share fits the whole");
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#waiting.length === 0 && this.#free >= size) return Promise.resolve(this.#grant(size));
    const { promise, resolve, reject } = Promise.withResolvers<Disposable>();
    const entry = {
      size,
      grant: () => {
        signal.removeEventListener("abort", abort);
        resolve(this.#grant(size));
      },
    };
    const abort = () => {
      this.#waiting.splice(this.#waiting.indexOf(entry), 1);
      reject(signal.reason);
      this.#serve(); // a large share that was in the way may have gone
    };
    signal.addEventListener("abort", abort, { once: true });
    this.#waiting.push(entry);
    return promise;
  }
  #grant(size: number): Disposable {
    this.#free -= size;
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#free += size;
        this.#serve();
      },
    };
  }
  #serve(): void {
    while (this.#waiting.length > 0 && this.#waiting[0]!.size <= this.#free) {
      this.#waiting.shift()!.grant();
    }
  }
}

/**
 * Room that one chunk of `size` bytes asks for from its first byte to its sync: itself, and its sealed
 * fragments (at most 5/3 of it, for 3+2) with their headers and padding.
 */
export function chunkShare(size: number): number {
  return Math.ceil(size * 2.75) + 64 * 1024;
}
