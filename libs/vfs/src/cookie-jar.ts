import { assert, newBytes } from "@kiseki/base";

/** The service's cookies of one open directory under numbers 0, 1, 2 …, packed: a million take what their bytes take. */
export class CookieJar {
  #bytes = newBytes(256);
  #ends = new Float64Array(16);
  #count = 0;

  get count(): number {
    return this.#count;
  }
  clear(): void {
    this.#count = 0;
  }
  /** The number under which `cookie` is kept. */
  add(cookie: Uint8Array): number {
    const start = this.#count === 0 ? 0 : this.#ends[this.#count - 1]!;
    const end = start + cookie.byteLength;
    if (end > this.#bytes.byteLength) {
      const grown = newBytes(Math.max(end, this.#bytes.byteLength * 2));
      grown.set(this.#bytes.subarray(0, start));
      this.#bytes = grown;
    }
    if (this.#count === this.#ends.length) {
      const grown = new Float64Array(this.#ends.length * 2);
      grown.set(this.#ends);
      this.#ends = grown;
    }
    this.#bytes.set(cookie, start);
    this.#ends[this.#count] = end;
    return this.#count++;
  }
  /** A copy. */
  get(index: number): Uint8Array {
    assert(index >= 0 && index < this.#count, "the cookie was given out");
    return this.#bytes.slice(index === 0 ? 0 : this.#ends[index - 1]!, this.#ends[index]!);
  }
}
