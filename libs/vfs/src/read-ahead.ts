import { assert } from "@kiseki/base";

export const readAheadMin = 256 * 1024;
export const readAheadMax = 16 * 1024 * 1024;
/** The kernel sends several reads of one stream at once, in any order: so far apart they still follow each other. */
const disorderMax = 2 * 1024 * 1024;
assert(disorderMax <= readAheadMax, "what is ahead covers what comes in disorder");

/**
 * How far to fetch ahead of one handle. A stream that goes on doubles its window each time half of it is used up;
 * a jump closes it, and two reads in a row open it again.
 */
export class ReadAhead {
  /** Behind the furthest byte that was read of the stream. */
  #next = 0;
  #window = 0;
  /** What was told to be fetched ends here. */
  #fetched = 0;
  readonly #windowMax: number;

  constructor(windowMax: number = readAheadMax) {
    this.#windowMax = windowMax;
  }

  get window(): number {
    return this.#window;
  }

  /** A read of `[offset, offset + length)`: what to fetch behind it, `undefined` when nothing is. */
  read(offset: number, length: number): { start: number; end: number } | undefined {
    const end = offset + length;
    const slack = this.#window === 0 ? 0 : disorderMax;
    const isStream = offset <= this.#next + slack && end + slack >= this.#next;
    if (!isStream) {
      this.#window = 0;
      this.#next = end;
      this.#fetched = end;
      return undefined;
    }
    if (end <= this.#next && this.#window > 0) return undefined;
    this.#next = Math.max(this.#next, end);
    if (this.#window > 0 && this.#fetched - this.#next > this.#window / 2) return undefined;
    this.#window = Math.min(this.#windowMax, Math.max(readAheadMin, this.#window * 2));
    const start = Math.max(this.#fetched, this.#next);
    const target = this.#next + this.#window;
    if (target <= start) return undefined;
    this.#fetched = target;
    return { start, end: target };
  }
}
