import { assert } from "@kiseki/base";

/**
 * Whose pace decides when a share comes back: `fill` is filled by a client that sends, `read` is emptied by one
 * that receives, `own` by nobody but us.
 */
export type ShareKind = "fill" | "read" | "own";
/** Shares up to this size belong to small requests and are never held back for the slowness of large ones. */
const smallShareMax = 1024 * 1024;

interface Waiting {
  readonly size: number;
  readonly kind: ShareKind;
  readonly grant: () => void;
}

class Share implements Disposable {
  readonly #size: number;
  readonly #kind: ShareKind;
  #giveBack: ((size: number, kind: ShareKind) => void) | undefined;

  constructor(size: number, kind: ShareKind, giveBack: (size: number, kind: ShareKind) => void) {
    this.#size = size;
    this.#kind = kind;
    this.#giveBack = giveBack;
  }
  [Symbol.dispose](): void {
    const giveBack = this.#giveBack;
    this.#giveBack = undefined;
    giveBack?.(this.#size, this.#kind);
  }
}

/**
 * Shares a number of bytes among those who ask, first come first served. Whoever fills a buffer of the
 * arena and later needs a second one for the sealed bytes takes room for both before it begins: else
 * many half-fed requests could hold the whole arena and wait for each other for ever.
 *
 * Slow clients may hold what they have for minutes. So large uploads together get 7/8 at most, large
 * downloads likewise, both together 15/16: neither stops the other, nor small requests. Who waits for the room
 * of its kind is passed by other kinds; who waits for room at all is passed by nobody.
 */
export class Budget {
  readonly #total: number;
  #free: number;
  readonly #used = { fill: 0, read: 0, own: 0 };
  readonly #waiting: Waiting[] = [];

  constructor(total: number) {
    assert(total > 0, "a budget has something to share");
    this.#total = total;
    this.#free = total;
  }
  /** A share if it is there at once and nobody waits. */
  takeNow(size: number, pace: ShareKind = "own"): Disposable | undefined {
    const kind = size <= smallShareMax ? "own" : pace;
    const isFree = this.#waiting.length === 0 && this.#free >= size && this.#isWithin(size, kind);
    return isFree ? this.#grant(size, kind) : undefined;
  }
  /** Disposing gives back. Rejects with `signal.reason` when aborted while waiting. `size` ≤ the total. */
  take(size: number, signal: AbortSignal, pace: ShareKind = "own"): Promise<Disposable> {
    const kind = size <= smallShareMax ? "own" : pace;
    assert(size <= (kind === "own" ? this.#total : this.#kindMax), "one share fits the whole");
    if (signal.aborted) return Promise.reject(signal.reason);
    const share = this.takeNow(size, pace);
    if (share !== undefined) return Promise.resolve(share);
    const { promise, resolve, reject } = Promise.withResolvers<Disposable>();
    const entry: Waiting = {
      size,
      kind,
      grant: () => {
        signal.removeEventListener("abort", abort);
        resolve(this.#grant(size, kind));
      },
    };
    const abort = () => {
      this.#waiting.splice(this.#waiting.indexOf(entry), 1);
      reject(signal.reason);
      this.#serve(); // a large share that was in the way may have gone
    };
    signal.addEventListener("abort", abort, { once: true });
    this.#waiting.push(entry);
    this.#serve(); // those before it may wait for the room of another kind
    return promise;
  }
  get #kindMax(): number {
    return Math.floor((this.#total * 7) / 8);
  }
  /** Whether `kind` may have that much more. */
  #isWithin(size: number, kind: ShareKind): boolean {
    if (kind === "own") return true;
    const both = this.#used.fill + this.#used.read + size;
    return this.#used[kind] + size <= this.#kindMax && both <= (this.#total * 15) / 16;
  }
  #grant(size: number, kind: ShareKind): Disposable {
    this.#free -= size;
    this.#used[kind] += size;
    return new Share(size, kind, this.#giveBack);
  }
  readonly #giveBack = (size: number, kind: ShareKind): void => {
    this.#free += size;
    this.#used[kind] -= size;
    this.#serve();
  };
  #serve(): void {
    if (this.#waiting.length === 0) return;
    const held = new Set<ShareKind>();
    for (let at = 0; at < this.#waiting.length && held.size < 3;) {
      const { size, kind, grant } = this.#waiting[at]!;
      if (held.has(kind) || !this.#isWithin(size, kind)) {
        held.add(kind);
        at += 1;
        continue;
      }
      if (size > this.#free) return;
      this.#waiting.splice(at, 1);
      grant();
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
