import { errnos } from "./errno.ts";

/** Why a request cannot be read. */
export class Malformed extends Error {
  override readonly name = "Malformed";
  readonly errno: number;
  constructor(message: string, errno: number = errnos.EINVAL) {
    super(message);
    this.errno = errno;
  }
}

/** Reads little-endian fields of one request, never past its end. */
export class Cursor {
  readonly #source: Uint8Array;
  readonly #view: DataView;
  #at: number;
  readonly #end: number;

  constructor(source: Uint8Array, start: number, end: number) {
    this.#source = source;
    this.#view = new DataView(source.buffer, source.byteOffset, source.byteLength);
    this.#at = start;
    this.#end = end;
  }
  #take(size: number): number {
    const at = this.#at;
    if (size > this.#end - at) throw new Malformed(`needs ${size} bytes, has ${this.#end - at}`);
    this.#at = at + size;
    return at;
  }
  get left(): number {
    return this.#end - this.#at;
  }
  skip(size: number): void {
    this.#take(size);
  }
  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }
  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }
  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }
  /** An id of our own making, which is a safe integer. */
  id(): number {
    const at = this.#take(8);
    const high = this.#view.getUint32(at + 4, true);
    if (high >= 1 << 21) throw new Malformed("an id that nobody gave out");
    return high * 2 ** 32 + this.#view.getUint32(at, true);
  }
  /** An offset or a size, which ends where safe integers do: no file reaches there. */
  size(): number {
    const at = this.#take(8);
    const high = this.#view.getUint32(at + 4, true);
    if (high >= 1 << 21) return Number.MAX_SAFE_INTEGER;
    return high * 2 ** 32 + this.#view.getUint32(at, true);
  }
  /** Nanoseconds since 1970, of seconds (signed) here and nanoseconds in a field further on. */
  seconds(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }
  bytes(size: number): Uint8Array {
    const at = this.#take(size);
    return this.#source.subarray(at, at + size);
  }
  /** Bytes up to a NUL, which is taken along; from 1 to `sizeMax` of them. */
  name(sizeMax: number): Uint8Array {
    const end = this.#source.indexOf(0, this.#at);
    if (end === -1 || end >= this.#end) throw new Malformed("a name without its end");
    const size = end - this.#at;
    if (size === 0) throw new Malformed("a name without a byte");
    if (size > sizeMax) throw new Malformed(`a name of ${size} bytes`, errnos.ENAMETOOLONG);
    const name = this.bytes(size);
    this.skip(1);
    return name;
  }
}
