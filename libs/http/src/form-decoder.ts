import { assert, fromUtf8, newBytes, sameBytes, toUtf8 } from "@kiseki/base";
import { toBinaryString } from "./character-classes.ts";
import { type FormLimits, formLimitsDefault } from "./limits.ts";
import { type PartHead, readPartHead } from "./part-head.ts";

/** Every way a form can be wrong. After any of them its bytes mean nothing. */
export type FormFaultCode =
  /** Framing, a part's head or a field's UTF-8 is broken, or a field came twice. */
  | "malformed"
  /** More fields, or more bytes before the file, than allowed. */
  | "too_large"
  /** The form ended and had no part `file`. */
  | "no_file";

export type FormEvent =
  | { readonly kind: "need_more" }
  /** Comes before the file. `name` in lower case, seen once. */
  | { readonly kind: "field"; readonly name: string; readonly value: string }
  /** The file's bytes follow. `filename` as sent, empty if it was not. */
  | { readonly kind: "file"; readonly filename: string }
  /** A view of what was fed, or of bytes that look like a delimiter and are none. */
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  | { readonly kind: "file_end" }
  | { readonly kind: "fault"; readonly code: FormFaultCode };

/**
 * - `fields`: collects parts until the head of `file` is whole. → `data`
 * - `data`: hands out bytes until `CRLF--boundary`. → `delimiter`
 * - `delimiter`: reads the two bytes behind it. → `rest`
 * - `rest`: counts what is ignored.
 * - `fault`: answered for ever after.
 */
type State = "fields" | "data" | "delimiter" | "rest" | "fault";

const emptyBytes = newBytes(0);
const carriageReturn = 13;
const lineFeed = 10;
const hyphen = 45;
const nameSizeMax = 256;
/** Most forms have less before their file. */
const headSizeFirst = 4096;

/**
 * Takes a `multipart/form-data` body (RFC 7578) with one file apart, as S3's browser upload has it: fields first, then the
 * part `file`, then whatever, which is ignored. `feed` an array, call `next` until `need_more`; when the body has ended,
 * `isWhole` says whether the file was. The fed array is borrowed until `need_more`.
 */
export class FormDecoder {
  readonly #limits: FormLimits;
  /** `CRLF--boundary`. */
  readonly #delimiter: Uint8Array;
  readonly #names = new Set<string>();
  /** What came before the file, a line end in front so that the first delimiter is like the others. */
  #head: Uint8Array;
  #headSize = 2;
  /** Where the part that is read begins, behind its delimiter. */
  #partStart = 0;
  /** The part's head once it is whole, and where its content begins. */
  #part: { readonly head: PartHead; readonly start: number } | undefined;
  /** What ends the part's head, or its value, does not begin before this. */
  #searchFrom = 0;
  #fieldSize = 0;
  #source: Uint8Array = emptyBytes;
  #offset = 0;
  #state: State = "fields";
  #fault: FormFaultCode = "malformed";
  /** Bytes of the delimiter that the last array ended with. */
  #matched = 0;
  /** Bytes of the delimiter that turned out to be data. */
  #held: Uint8Array = emptyBytes;
  #delimiterEnd = 0;
  #restSize = 0;

  constructor(boundary: string, limits: FormLimits = formLimitsDefault) {
    this.#limits = limits;
    this.#delimiter = toUtf8(`\r\n--${boundary}`);
    this.#head = newBytes(Math.min(headSizeFirst, limits.headSizeMax));
    this.#head.set([carriageReturn, lineFeed]);
  }

  /** The file and the delimiter behind it have come. */
  get isWhole(): boolean {
    return this.#state === "rest";
  }

  /** Bytes of the array fed last that are still to come out. */
  get unread(): number {
    return this.#source.byteLength - this.#offset;
  }

  feed(source: Uint8Array): void {
    assert(this.#offset === this.#source.byteLength, "the array fed before is used up");
    this.#source = source;
    this.#offset = 0;
  }

  /** `dataSizeMax`: bytes that one `data` event may hold, 1 or more. */
  next(dataSizeMax: number = Number.POSITIVE_INFINITY): FormEvent {
    assert(dataSizeMax >= 1, "a slice holds a byte");
    for (;;) {
      if (this.#held.byteLength > 0) return this.#takeHeld(dataSizeMax);
      const event = this.#step(dataSizeMax);
      if (event !== undefined) return event;
    }
  }

  /** One move; `undefined` to go on. */
  #step(dataSizeMax: number): FormEvent | undefined {
    switch (this.#state) {
      case "fields":
        return this.#readPart();
      case "data":
        return this.#offset < this.#source.byteLength
          ? this.#takeData(dataSizeMax)
          : this.#drained();
      case "delimiter":
        return this.#offset < this.#source.byteLength ? this.#endFile() : this.#drained();
      case "rest":
        this.#restSize += this.#source.byteLength - this.#offset;
        return this.#restSize > this.#limits.restSizeMax
          ? this.#fail("too_large")
          : this.#drained();
      case "fault":
        this.#drained();
        return { kind: "fault", code: this.#fault };
    }
  }

  #drained(): FormEvent {
    this.#source = emptyBytes;
    this.#offset = 0;
    return { kind: "need_more" };
  }

  #fail(code: FormFaultCode): FormEvent {
    this.#state = "fault";
    this.#fault = code;
    this.#drained();
    return { kind: "fault", code };
  }

  /** The next field, or the file's head, of what is collected; collects more when neither is whole. */
  #readPart(): FormEvent | undefined {
    if (this.#part === undefined) {
      const fault = this.#readHead();
      if (fault !== undefined) return this.#fail(fault);
    }
    if (this.#part === undefined) return this.#collect();
    const { head, start } = this.#part;
    if (head.name === "file") return this.#openFile(head.filename, start);
    const end = this.#search(this.#delimiter);
    return end < 0 ? this.#collect() : this.#takeField(head.name, start, end);
  }

  /** Sets the part when its head is whole. */
  #readHead(): FormFaultCode | undefined {
    const size = this.#delimiter.byteLength;
    if (this.#partStart === 0) {
      const first = this.#head.subarray(0, Math.min(size, this.#headSize));
      if (!sameBytes(first, this.#delimiter.subarray(0, first.byteLength))) return "malformed";
      if (this.#headSize < size) return undefined;
      this.#startPart(size);
    }
    const headStart = this.#partStart + 2;
    if (this.#headSize < headStart) return undefined;
    const [a, b] = this.#head.subarray(this.#partStart, headStart);
    if (a === hyphen && b === hyphen) return "no_file";
    if (a !== carriageReturn || b !== lineFeed) return "malformed";
    const end = this.#search(headEnd);
    if (end < 0) return undefined;
    const head = readPartHead(toBinaryString(this.#head.subarray(headStart, end)));
    if (head === undefined || head.name === "" || head.name.length > nameSizeMax) {
      return "malformed";
    }
    const start = end + headEnd.byteLength;
    this.#part = { head, start };
    this.#searchFrom = start;
    return undefined;
  }

  #startPart(at: number): void {
    this.#partStart = at;
    this.#searchFrom = at + 2;
    this.#part = undefined;
  }

  /** Where `wanted` begins in what is collected and was not searched, or -1. */
  #search(wanted: Uint8Array): number {
    const at = indexOfBytes(this.#head, wanted, this.#searchFrom, this.#headSize);
    if (at < 0) {
      this.#searchFrom = Math.max(this.#searchFrom, this.#headSize - wanted.byteLength + 1);
    }
    return at;
  }

  #takeField(name: string, start: number, end: number): FormEvent {
    const value = fromUtf8(this.#head.subarray(start, end));
    if (value === undefined || this.#names.has(name)) return this.#fail("malformed");
    this.#names.add(name);
    this.#fieldSize += name.length + (end - start);
    const { fieldCountMax, fieldSizeMax } = this.#limits;
    if (this.#names.size > fieldCountMax || this.#fieldSize > fieldSizeMax) {
      return this.#fail("too_large");
    }
    this.#startPart(end + this.#delimiter.byteLength);
    return { kind: "field", name, value };
  }

  #openFile(filename: string | undefined, bodyStart: number): FormEvent {
    // What was collected beyond the head is still at the end of what was fed.
    this.#offset -= this.#headSize - bodyStart;
    assert(this.#offset >= 0, "the file's content came with the array that ended its head");
    this.#state = "data";
    return { kind: "file", filename: filename ?? "" };
  }

  #collect(): FormEvent | undefined {
    const left = this.#source.byteLength - this.#offset;
    if (left === 0) return this.#drained();
    if (this.#headSize === this.#limits.headSizeMax) return this.#fail("too_large");
    const size = Math.min(left, this.#limits.headSizeMax - this.#headSize);
    this.#makeRoom(this.#headSize + size);
    this.#head.set(this.#source.subarray(this.#offset, this.#offset + size), this.#headSize);
    this.#headSize += size;
    this.#offset += size;
    return undefined;
  }

  #makeRoom(size: number): void {
    if (size <= this.#head.byteLength) return;
    const doubled = Math.max(size, 2 * this.#head.byteLength);
    const head = newBytes(Math.min(doubled, this.#limits.headSizeMax));
    head.set(this.#head.subarray(0, this.#headSize));
    this.#head = head;
  }

  #takeHeld(sizeMax: number): FormEvent {
    const bytes = this.#held.subarray(0, Math.min(sizeMax, this.#held.byteLength));
    this.#held = this.#held.subarray(bytes.byteLength);
    return { kind: "data", bytes };
  }

  /** At least one byte is here. */
  #takeData(sizeMax: number): FormEvent | undefined {
    if (this.#matched > 0) return this.#goOnMatching();
    const source = this.#source;
    const start = this.#offset;
    const limit = Math.min(source.byteLength, start + sizeMax);
    let at = source.indexOf(carriageReturn, start);
    while (at >= 0 && at < limit) {
      const count = this.#countMatching(at);
      if (count === this.#delimiter.byteLength || at + count === source.byteLength) {
        if (at === start) {
          this.#matched = count;
          this.#offset = at + count;
          return this.#endMatching();
        }
        break;
      }
      at = source.indexOf(carriageReturn, at + 1); // the delimiter has one carriage return, its first byte
    }
    const end = at < 0 ? limit : Math.min(at, limit);
    this.#offset = end;
    return { kind: "data", bytes: source.subarray(start, end) };
  }

  /** Bytes of the delimiter that the source has from `at`. */
  #countMatching(at: number): number {
    const source = this.#source;
    const countMax = Math.min(this.#delimiter.byteLength, source.byteLength - at);
    let count = 1;
    while (count < countMax && source[at + count] === this.#delimiter[count]) count += 1;
    return count;
  }

  #goOnMatching(): undefined {
    while (
      this.#matched < this.#delimiter.byteLength &&
      this.#offset < this.#source.byteLength &&
      this.#source[this.#offset] === this.#delimiter[this.#matched]
    ) {
      this.#matched += 1;
      this.#offset += 1;
    }
    if (this.#matched < this.#delimiter.byteLength && this.#offset < this.#source.byteLength) {
      this.#held = this.#delimiter.subarray(0, this.#matched);
      this.#matched = 0;
    }
    return this.#endMatching();
  }

  #endMatching(): undefined {
    if (this.#matched === this.#delimiter.byteLength) this.#state = "delimiter";
    return undefined;
  }

  /** The two bytes behind the file's delimiter: another part, or the end. */
  #endFile(): FormEvent | undefined {
    const byte = this.#source[this.#offset++]!;
    if (this.#delimiterEnd === 0) {
      if (byte !== carriageReturn && byte !== hyphen) return this.#fail("malformed");
      this.#delimiterEnd = byte;
      return undefined;
    }
    const wanted = this.#delimiterEnd === hyphen ? hyphen : lineFeed;
    if (byte !== wanted) return this.#fail("malformed");
    this.#state = "rest";
    return { kind: "file_end" };
  }
}

/** What ends a part's head. */
const headEnd = toUtf8("\r\n\r\n");

/** Where `wanted` begins in `[start, end)` of `source`, or -1. */
function indexOfBytes(source: Uint8Array, wanted: Uint8Array, start: number, end: number): number {
  const last = end - wanted.byteLength;
  for (let at = source.indexOf(wanted[0]!, start); at >= 0 && at <= last;) {
    if (sameBytes(source.subarray(at, at + wanted.byteLength), wanted)) return at;
    at = source.indexOf(wanted[0]!, at + 1);
  }
  return -1;
}
