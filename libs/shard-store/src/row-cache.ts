import type { MapReader } from "@kiseki/ports";

/** What an entry takes besides its bytes: the key's text, the objects around. */
const entryOverhead = 256;
/** Rows beyond this are read anew each time: one of them would push out hundreds. */
const valueSizeMax = 4096;

type Found = Uint8Array | "none";

/** Told what a cache takes. */
interface Account {
  readonly grew: (size: number) => void;
  /** The cache is gone; so many of its bytes were young. */
  readonly left: (size: number) => void;
}

/**
 * Bytes that the row caches of any number of stores hold together, at most about `sizeMax`: what is read most often
 * gets the room, whosever it is. Two generations: what is asked for moves to the young one, and when the young ones
 * of all are half the size, the old ones go, of stores that nobody reads too.
 */
export class RowBudget {
  readonly #generationSizeMax: number;
  readonly #caches = new Set<RowCache>();
  #youngSize = 0;

  constructor(sizeMax: number) {
    this.#generationSizeMax = sizeMax / 2;
  }
  /** A cache that counts until it is disposed. */
  open(): RowCache {
    const cache = new RowCache({
      grew: (size) => this.#grew(size),
      left: (size) => {
        this.#caches.delete(cache);
        this.#youngSize -= size;
      },
    });
    this.#caches.add(cache);
    return cache;
  }
  #grew(size: number): void {
    this.#youngSize += size;
    if (this.#youngSize < this.#generationSizeMax) return;
    for (const cache of this.#caches) cache.age();
    this.#youngSize = 0;
  }
}

/**
 * Committed rows of one store by key, and keys known to have none. Whoever commits tells which keys changed: until
 * then all that is here is true.
 */
export class RowCache implements Disposable {
  readonly #account: Account;
  #young = new Map<string, Found>();
  #old = new Map<string, Found>();
  #youngSize = 0;
  #isClosed = false;

  constructor(account: Account) {
    this.#account = account;
  }
  /** The row of `key`, out of `source` when it is not here; the bytes are the caller's. */
  get(key: Uint8Array, source: Pick<MapReader, "get">): Uint8Array | undefined {
    const text = key.toHex();
    let found = this.#young.get(text);
    if (found === undefined) {
      found = this.#old.get(text) ?? source.get(key) ?? "none";
      this.#keep(text, found);
    }
    return found === "none" ? undefined : found.slice();
  }
  /** The committed row of `key` is another one now, or may be. */
  forget(key: Uint8Array): void {
    const text = key.toHex();
    this.#young.delete(text);
    this.#old.delete(text);
  }
  /** What is young is old from now on; what was old goes. */
  age(): void {
    this.#old = this.#young;
    this.#young = new Map();
    this.#youngSize = 0;
  }
  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#young.clear();
    this.#old.clear();
    this.#account.left(this.#youngSize);
  }
  #keep(text: string, found: Found): void {
    const size = found === "none" ? 0 : found.byteLength;
    if (size > valueSizeMax || this.#isClosed) return;
    this.#young.set(text, found);
    const whole = size + text.length + entryOverhead; // forgotten ones stay counted: it only turns sooner
    this.#youngSize += whole;
    this.#account.grew(whole);
  }
}
