import { assert } from "@kiseki/base";
import type { FragmentFault, FragmentSource, OpenOutcome } from "@kiseki/ports";

/** Sizes and offsets of `struct record` in `native/datapath.h`; both change under one ABI number. */
export const recordCount = 512;
export const recordSize = 12288;
export const fragmentsMax = 16;
export const headerSizeMax = 512;
export const rangesMax = 128;
export const pathSizeMax = 4095;
const madeOffset = 304;
const fragmentsOffset = 1024;
const rangesOffset = 2048;
const headersOffset = 4096;

export const jobKind = {
  hash: 1,
  seal: 2,
  open: 3,
  rebuild: 4,
  verify: 5,
  append: 6,
  read: 7,
  deviceOpen: 8,
  deviceClose: 9,
  unseal: 10,
  code: 11,
  fetch: 12,
  discard: 13,
} as const;
export type JobKind = keyof typeof jobKind;
export const flag = {
  sync: 1,
  own: 2,
  direct: 4,
  readOnly: 8,
  state: 16,
  cached: 32,
  verify: 64,
  outside: 128,
  block: 256,
} as const;
export const statuses = ["ok", "io", "no_space", "closed", "bad_argument", "busy"] as const;
export const outcomes = ["opened", "lost", "tampered"] as const satisfies OpenOutcome["kind"][];
const faults: readonly (FragmentFault | undefined)[] = [undefined, "io", "header", "crc", "tag"];

const word = {
  kind: 0,
  status: 1,
  error: 2,
  outcome: 3,
  sourceOffset: 4,
  sourceSize: 6,
  targetOffset: 8,
  targetSize: 10,
  chunkSize: 12,
  data: 13,
  parity: 14,
  copies: 15,
  headerRoom: 16,
  segmentFirst: 17,
  segmentEnd: 18,
  fragmentCount: 19,
  device: 20,
  flags: 21,
  state: 22,
  rangeCount: 23,
  deviceOffset: 24,
  deviceSize: 26,
  wanted: 28,
  codingMicros: 29,
  writeMicros: 30,
  syncMicros: 31,
} as const;
type Word = keyof typeof word;
type WideWord =
  "sourceOffset" | "sourceSize" | "targetOffset" | "targetSize" | "deviceOffset" | "deviceSize";
const byteOffset = { dek: 128, chunkId: 160, sealId: 192, digest: 208 } as const;

/** One job record: a window on shared memory that TypeScript writes before `submit` and reads after completion. */
export class JobRecord {
  readonly number: number;
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;

  constructor(memory: ArrayBuffer, number: number) {
    this.number = number;
    this.#words = new Uint32Array(memory, number * recordSize, recordSize / 4);
    this.#bytes = new Uint8Array(memory, number * recordSize, recordSize);
  }
  /** Zeroes the numbers; what a job does not set is 0. */
  begin(kind: JobKind): void {
    this.#words.fill(0, 0, 32);
    this.#words[word.kind] = jobKind[kind];
  }
  get(name: Word): number {
    return this.#words[word[name]]!;
  }
  set(name: Exclude<Word, WideWord>, n: number): void {
    assert(Number.isInteger(n) && n >= 0 && n < 2 ** 32, "a field is a u32");
    this.#words[word[name]] = n;
  }
  seconds(name: "codingMicros" | "writeMicros" | "syncMicros"): number {
    return this.#words[word[name]]! / 1e6;
  }
  setWide(name: WideWord, n: number): void {
    this.#putWide(word[name], n);
  }
  getWide(name: WideWord): number {
    return this.#words[word[name]]! + this.#words[word[name] + 1]! * 2 ** 32;
  }
  #putWide(at: number, n: number): void {
    assert(Number.isSafeInteger(n) && n >= 0, "an offset is a safe integer from 0");
    this.#words[at] = n % 2 ** 32;
    this.#words[at + 1] = Math.floor(n / 2 ** 32);
  }
  setBytes(name: keyof typeof byteOffset, source: Uint8Array, size: number): void {
    assert(source.byteLength === size, "an id or key has its size");
    this.#bytes.set(source, byteOffset[name]);
  }
  wipeKey(): void {
    this.#bytes.fill(0, byteOffset.dek, byteOffset.dek + 32);
  }
  /** A copy of `size` bytes of the digest area. */
  digest(offset: number, size: number): Uint8Array {
    const start = byteOffset.digest + offset;
    return this.#bytes.slice(start, start + size);
  }
  setPath(path: Uint8Array): void {
    assert(path.byteLength <= pathSizeMax && !path.includes(0), "a path fits and holds no NUL");
    this.#bytes.set(path, headersOffset);
    this.#bytes[headersOffset + path.byteLength] = 0;
  }
  setRange(i: number, offset: number, size: number): void {
    assert(i < rangesMax, "the range fits the record");
    const at = (rangesOffset + i * 16) / 4;
    this.#putWide(at, offset);
    this.#putWide(at + 2, size);
  }
  setFragment(i: number, source: FragmentSource): void {
    assert(i < fragmentsMax, "the fragment fits the record");
    assert(source.header.byteLength <= headerSizeMax, "a header fits its place");
    const at = (fragmentsOffset + i * 64) / 4;
    this.#words[at] = source.index;
    this.#words[at + 1] = source.device;
    this.#putWide(at + 2, source.offset);
    this.#words[at + 4] = source.size;
    this.#words[at + 5] = source.crc32c;
    this.#words[at + 6] = source.header.byteLength;
    this.#words[at + 7] = 0;
    this.#bytes.set(source.header, headersOffset + i * headerSizeMax);
  }
  fault(i: number): FragmentFault | undefined {
    return faults[this.#words[(fragmentsOffset + i * 64) / 4 + 7]!];
  }
  /** Fragment `index` in the target of a seal or rebuild. */
  made(index: number): { readonly offset: number; readonly size: number; readonly crc32c: number } {
    const at = (madeOffset + index * 16) / 4;
    return {
      offset: this.#words[at]!,
      size: this.#words[at + 1]!,
      crc32c: this.#words[at + 2]!,
    };
  }
}
