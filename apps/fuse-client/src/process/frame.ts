/**
 * Frames between a client process and the programs that it serves, version 1 (docs/formats/client-process.md): a header of
 * 12 bytes and a body of fields. Little-endian throughout.
 */
import { assert, newBytes } from "@kiseki/base";

export const protocolVersion = 1;
export const headerSize = 12;
/** Content of one read or write. */
export const dataSizeMax = 4 * 1024 * 1024;
export const pathSizeMax = 4096;
/** A body: content, a path and what else is said of it. */
export const bodySizeMax = dataSizeMax + 64 * 1024;

export const verbs = {
  hello: 1,
  close: 2,
  open: 10,
  closeHandle: 11,
  read: 12,
  write: 13,
  fsync: 14,
  truncate: 15,
  attributes: 16,
  openDirectory: 17,
  readDirectory: 18,
  stat: 20,
  makeDirectory: 21,
  unlink: 22,
  removeDirectory: 23,
  rename: 24,
  readLink: 25,
  makeSymlink: 26,
  change: 27,
  fileSystem: 28,
  readFile: 30,
  writeFile: 31,
  cacheStats: 40,
  cacheMode: 41,
  wipe: 42,
  cacheLatencies: 43,
  stage: 50,
  stageStatus: 51,
  release: 52,
  releaseAll: 53,
  declareWorkflow: 60,
  endWorkflow: 61,
  advancePhase: 62,
  workflowStatus: 63,
} as const;
export type VerbName = keyof typeof verbs;

/** What an answer's header says it is. */
export const answerKinds = { done: 1, progress: 2 } as const;

export interface Frame {
  readonly id: number;
  /** A verb of a request, a kind of an answer. */
  readonly kind: number;
  /** Of an answer: 0 or what went wrong. Of a request: 0. */
  readonly status: number;
  readonly body: Uint8Array;
}

/** Writes the header of the frame `bytes`, whose body is there from byte 12 on. */
export function fillHeader(bytes: Uint8Array, id: number, kind: number, status: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerSize);
  view.setUint32(0, bytes.byteLength - 4, true);
  view.setUint32(4, id, true);
  view.setUint16(8, kind, true);
  view.setUint16(10, status, true);
}

export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/** Takes frames out of the pieces in which they come. Memory for a body is taken when its size is known to be allowed. */
export class FrameReader {
  readonly #header = newBytes(headerSize);
  #headerSize = 0;
  #body: Uint8Array | undefined;
  #bodySize = 0;
  /** Of the next bodies; larger ones are refused. */
  bodySizeMax: number;

  constructor(sizeMax: number) {
    this.bodySizeMax = sizeMax;
  }

  /** The next frame of `source` from `at` on and where it ends, or `undefined` when all was taken in. @throws {ProtocolError} */
  next(source: Uint8Array, at: number): { readonly frame: Frame; end: number } | undefined {
    let from = at;
    if (this.#body === undefined) {
      const count = Math.min(headerSize - this.#headerSize, source.byteLength - from);
      this.#header.set(source.subarray(from, from + count), this.#headerSize);
      this.#headerSize += count;
      from += count;
      if (this.#headerSize < headerSize) return undefined;
      this.#body = newBytes(this.#checkSize());
      this.#bodySize = 0;
    }
    const count = Math.min(this.#body.byteLength - this.#bodySize, source.byteLength - from);
    this.#body.set(source.subarray(from, from + count), this.#bodySize);
    this.#bodySize += count;
    from += count;
    if (this.#bodySize < this.#body.byteLength) return undefined;
    const view = new DataView(this.#header.buffer, this.#header.byteOffset, headerSize);
    const frame = {
      id: view.getUint32(4, true),
      kind: view.getUint16(8, true),
      status: view.getUint16(10, true),
      body: this.#body,
    };
    this.#body = undefined;
    this.#headerSize = 0;
    return { frame, end: from };
  }

  #checkSize(): number {
    const view = new DataView(this.#header.buffer, this.#header.byteOffset, headerSize);
    const size = view.getUint32(0, true) - (headerSize - 4);
    if (size < 0 || size > this.bodySizeMax)
      throw new ProtocolError(`Cannot take a body of ${size} bytes: up to ${this.bodySizeMax}`);
    return size;
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();

/** Reads the fields of a body in order. @throws {ProtocolError} when they are not there. */
export class FieldReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  #take(size: number): number {
    const at = this.#at;
    if (at + size > this.#bytes.byteLength) throw new ProtocolError("Fields are missing");
    this.#at = at + size;
    return at;
  }
  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }
  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }
  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }
  /** A size, an offset, a number of a handle. */
  u64(): number {
    const value = Number(this.#view.getBigUint64(this.#take(8), true));
    if (!Number.isSafeInteger(value)) throw new ProtocolError("A number is too large");
    return value;
  }
  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }
  /** A view of the frame. */
  bytes(size: number): Uint8Array {
    const at = this.#take(size);
    return this.#bytes.subarray(at, at + size);
  }
  /** A view of the frame. */
  blob(sizeMax: number): Uint8Array {
    const size = this.u32();
    if (size > sizeMax) throw new ProtocolError(`A field has up to ${sizeMax} bytes`);
    return this.bytes(size);
  }
  /** Of a path or a name: bytes, as the file system has them. */
  path(): Uint8Array {
    const size = this.u16();
    if (size > pathSizeMax) throw new ProtocolError(`A path has up to ${pathSizeMax} bytes`);
    return this.bytes(size);
  }
  text(): string {
    try {
      return decoder.decode(this.path());
    } catch {
      throw new ProtocolError("A text is not UTF-8");
    }
  }
  /** Nothing may follow. */
  end(): void {
    if (this.#at !== this.#bytes.byteLength) throw new ProtocolError("Bytes follow the last field");
  }
}

/** Puts fields one after another, with room for the frame's header before them. */
export class FieldWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #at = headerSize;

  constructor(sizeExpected = 256) {
    this.#bytes = newBytes(headerSize + sizeExpected);
    this.#view = new DataView(this.#bytes.buffer);
  }
  #make(size: number): number {
    const at = this.#at;
    const end = at + size;
    if (end > this.#bytes.byteLength) {
      const larger = newBytes(Math.max(end, this.#bytes.byteLength * 2));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#at = end;
    return at;
  }
  get bodySize(): number {
    return this.#at - headerSize;
  }
  u16(value: number): this {
    const at = this.#make(2);
    this.#view.setUint16(at, value, true);
    return this;
  }
  u32(value: number): this {
    const at = this.#make(4);
    this.#view.setUint32(at, value, true);
    return this;
  }
  u64(value: number): this {
    const at = this.#make(8);
    this.#view.setBigUint64(at, BigInt(value), true);
    return this;
  }
  i64(value: bigint): this {
    const at = this.#make(8);
    this.#view.setBigInt64(at, value, true);
    return this;
  }
  /** A view of what was put so far. */
  body(): Uint8Array {
    return this.#bytes.subarray(headerSize, this.#at);
  }
  bytes(value: Uint8Array): this {
    const at = this.#make(value.byteLength);
    this.#bytes.set(value, at);
    return this;
  }
  /** Room that the caller fills before the next field. */
  room(size: number): Uint8Array {
    const at = this.#make(size);
    return this.#bytes.subarray(at, at + size);
  }
  /** Takes back the last `size` bytes. */
  shorten(size: number): void {
    this.#at -= size;
  }
  path(value: Uint8Array): this {
    assert(value.byteLength <= 0xffff, "a text's size fits its field");
    return this.u16(value.byteLength).bytes(value);
  }
  text(value: string): this {
    return this.path(encoder.encode(value));
  }
  /** The whole frame; the writer is used up. */
  frame(id: number, kind: number, status: number): Uint8Array {
    const bytes = this.#bytes.subarray(0, this.#at);
    fillHeader(bytes, id, kind, status);
    return bytes;
  }
}
