import { assert } from "./assert.ts";

/** First in, first out, with a bound that refuses instead of growing. */
export class BoundedQueue<T> {
  readonly #items: (T | undefined)[];
  #head = 0;
  #count = 0;

  constructor(countMax: number) {
    assert(Number.isInteger(countMax) && countMax >= 1, "a queue has room for one");
    this.#items = Array.from({ length: countMax });
  }
  get count(): number {
    return this.#count;
  }
  /** False when full; the caller decides what that means. */
  push(item: T): boolean {
    if (this.#count === this.#items.length) return false;
    this.#items[(this.#head + this.#count) % this.#items.length] = item;
    this.#count += 1;
    return true;
  }
  shift(): T | undefined {
    if (this.#count === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head = (this.#head + 1) % this.#items.length;
    this.#count -= 1;
    return item;
  }
}
