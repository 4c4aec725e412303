import { assert, fromUtf8, toUtf8, type WallTime, wallTime } from "@kiseki/base";

/** A stored row that cannot be read: damage, or `unknown_version` of a newer program. Never a user's fault. */
export class RowError extends Error {
  override readonly name = "RowError";
  readonly code: "truncated" | "trailing" | "bad_field" | "unknown_version";
  constructor(code: RowError["code"], what: string) {
    super(`Cannot read ${what}: ${code}`);
    this.code = code;
  }
}

/** Appends fields to bytes that grow. Numbers are unsigned LEB128 unless they say otherwise. */
export class RowWriter {
  #target = new Uint8Array(96);
  #size = 0;

  #room(count: number): number {
    const at = this.#size;
    if (at + count > this.#target.byteLength) {
      const larger = new Uint8Array(Math.max(2 * this.#target.byteLength, at + count));
      larger.set(this.#target); // whole: a view would give it a buffer of its own
      this.#target = larger;
    }
    this.#size = at + count;
    return at;
  }
  u8(value: number): this {
    assert(Number.isInteger(value) && value >= 0 && value <= 0xff, "a byte holds the value");
    const at = this.#room(1);
    this.#target[at] = value;
    return this;
  }
  /** A safe integer ≥ 0. */
  number(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, "a row's number is a safe integer");
    let rest = value;
    while (rest >= 0x80) {
      this.u8((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    return this.u8(rest);
  }
  /** Any safe integer, zigzag: small magnitudes are short. */
  signed(value: number): this {
    assert(Number.isSafeInteger(value) && Math.abs(value) < 2 ** 52, "a row's time is in range");
    return this.number(value < 0 ? -2 * value - 1 : 2 * value);
  }
  /** `[0, 2^64)`. */
  big(value: bigint): this {
    assert(value >= 0n && value < 1n << 64n, "a row's id fits 64 bits");
    if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return this.number(Number(value));
    let rest = value;
    while (rest >= 0x80n) {
      this.u8(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    return this.u8(Number(rest));
  }
  /** As they are: the reader knows the size. */
  raw(source: Uint8Array): this {
    const at = this.#room(source.byteLength); // may replace the target: before it is named
    this.#target.set(source, at);
    return this;
  }
  /** Size, then bytes. */
  bytes(source: Uint8Array): this {
    return this.number(source.byteLength).raw(source);
  }
  text(source: string): this {
    return this.bytes(toUtf8(source));
  }
  /** A copy of what was written, owned by the caller. */
  done(): Uint8Array {
    return this.#target.slice(0, this.#size);
  }
}

/** Takes fields off the front of a row; every size is checked against what is left. */
export class RowReader {
  readonly #source: Uint8Array;
  readonly #what: string;
  readonly version: number;
  #offset = 0;

  /** Reads the version byte first. @throws {RowError} */
  constructor(source: Uint8Array, what: string, versionMax = 1) {
    this.#source = source;
    this.#what = what;
    this.version = this.u8();
    if (this.version < 1 || this.version > versionMax) this.fail("unknown_version");
  }
  fail(code: RowError["code"]): never {
    throw new RowError(code, this.#what);
  }
  get left(): number {
    return this.#source.byteLength - this.#offset;
  }
  u8(): number {
    if (this.left < 1) this.fail("truncated");
    return this.#source[this.#offset++]!;
  }
  /** At most `max`. */
  number(max = Number.MAX_SAFE_INTEGER): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const digit = this.u8();
      value += (digit & 0x7f) * scale;
      if (digit < 0x80) {
        if (value > max || (digit === 0 && i > 0)) this.fail("bad_field");
        return value;
      }
      scale *= 0x80;
    }
    return this.fail("bad_field");
  }
  signed(): number {
    const value = this.number();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
  time(): WallTime {
    const value = this.signed();
    return Math.abs(value) < 2 ** 52 ? wallTime(value) : this.fail("bad_field");
  }
  big(): bigint {
    const start = this.#offset;
    let low = 0;
    for (let scale = 1; scale < 2 ** 49; scale *= 0x80) {
      const digit = this.u8();
      low += (digit & 0x7f) * scale;
      if (digit < 0x80) return BigInt(low);
    }
    this.#offset = start;
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const digit = this.u8();
      value |= BigInt(digit & 0x7f) << shift;
      if (digit < 0x80) {
        if (value >= 1n << 64n) this.fail("bad_field");
        return value;
      }
    }
    return this.fail("bad_field");
  }
  /** A copy, owned by the caller. */
  raw(size: number): Uint8Array {
    if (this.left < size) this.fail("truncated");
    const start = this.#offset;
    this.#offset += size;
    return this.#source.slice(start, start + size);
  }
  bytes(max: number): Uint8Array {
    return this.raw(this.number(max));
  }
  text(max: number): string {
    const text = fromUtf8(this.bytes(max));
    return text === undefined ? this.fail("bad_field") : text;
  }
  /** How many items follow, each of at least `itemSizeMin` bytes: an absurd count fails before memory is taken. */
  count(itemSizeMin: number): number {
    const count = this.number();
    if (count * itemSizeMin > this.left) this.fail("truncated");
    return count;
  }
  /** Bits of a flag byte that are known. */
  flags(known: number): number {
    const flags = this.u8();
    if ((flags & ~known) !== 0) this.fail("bad_field");
    return flags;
  }
  /** Nothing may be left. */
  end(): void {
    if (this.left !== 0) this.fail("trailing");
  }
}
