import { assert } from "@kiseki/base";

/** Writes little-endian fields one after another into memory of a fixed size. */
export class Writer {
  readonly #target: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(target: Uint8Array) {
    this.#target = target;
    this.#view = new DataView(target.buffer, target.byteOffset, target.byteLength);
  }
  get size(): number {
    return this.#at;
  }
  restart(): this {
    this.#at = 0;
    return this;
  }
  hasRoom(size: number): boolean {
    return size <= this.#target.byteLength - this.#at;
  }
  u16(value: number): this {
    this.#view.setUint16(this.#at, value, true);
    this.#at += 2;
    return this;
  }
  u32(value: number): this {
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
    return this;
  }
  u64(value: bigint): this {
    this.#view.setBigUint64(this.#at, value, true);
    this.#at += 8;
    return this;
  }
  /** A safe integer in 64 bits. */
  number(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, "an id or a size is a safe integer");
    return this.u32(value % 2 ** 32).u32(Math.floor(value / 2 ** 32));
  }
  bytes(source: Uint8Array): this {
    this.#target.set(source, this.#at);
    this.#at += source.byteLength;
    return this;
  }
  /** `count` zeros. */
  zeros(count: number): this {
    this.#target.fill(0, this.#at, this.#at + count);
    this.#at += count;
    return this;
  }
  /** Overwrites the field at `offset`. */
  patchU32(offset: number, value: number): void {
    assert(offset + 4 <= this.#at, "what is patched was written");
    this.#view.setUint32(offset, value, true);
  }
  done(): Uint8Array {
    return this.#target.subarray(0, this.#at);
  }
}
