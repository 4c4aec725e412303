import { newBytes } from "@kiseki/base";
import type { HttpFaultCode } from "./fault.ts";

const carriageReturn = 13;
const lineFeed = 10;

/** A whole section: bytes up to and with the empty line, and how much of the source they took. */
export interface FoundSection {
  /** A view of the source if all of it was there, else of the section's own buffer. */
  readonly bytes: Uint8Array;
  /** Offset in the source after the section. */
  readonly offset: number;
}

/**
 * Collects lines up to an empty one (a head, a trailer section) out of bytes that come in pieces.
 * Looks at each byte once; copies only what came in pieces.
 */
export class LineSection {
  readonly #sizeMax: number;
  readonly #tooLarge: HttpFaultCode;
  #kept: Uint8Array = newBytes(0);
  #size = 0; // bytes in #kept
  #scanned = 0; // bytes of the section looked at
  #lineStart = 0;

  constructor(sizeMax: number, tooLarge: HttpFaultCode) {
    this.#sizeMax = sizeMax;
    this.#tooLarge = tooLarge;
  }

  /** True while no byte of a section has been kept. */
  get isEmpty(): boolean {
    return this.#size === 0;
  }

  /** `undefined`: all of `source` from `offset` was kept, and more is needed. */
  find(source: Uint8Array, offset: number): FoundSection | HttpFaultCode | undefined {
    const isWhole = this.#size === 0;
    let kept = 0;
    if (!isWhole) {
      kept = this.#size;
      this.#keep(source, offset);
    }
    const bytes = isWhole ? source : this.#kept.subarray(0, this.#size);
    const start = isWhole ? offset : 0;
    const end = this.#scan(bytes, start);
    if (typeof end === "string") return end;
    if (end === undefined) {
      if (bytes.byteLength - start > this.#sizeMax) return this.#tooLarge;
      if (isWhole) this.#keep(source, offset);
      return undefined;
    }
    this.#size = 0;
    this.#scanned = 0;
    this.#lineStart = 0;
    if (isWhole) {
      // Most requests arrive alone, and the first view of an array costs it a buffer of its own.
      const isAll = offset === 0 && end === source.byteLength;
      return { bytes: isAll ? source : source.subarray(offset, end), offset: end };
    }
    return { bytes: this.#kept.subarray(0, end), offset: offset + end - kept };
  }

  /** The end of the section, if it is here. Positions kept between calls are relative to `start`. */
  #scan(bytes: Uint8Array, start: number): number | HttpFaultCode | undefined {
    for (;;) {
      const at = bytes.indexOf(lineFeed, start + this.#scanned);
      if (at < 0) {
        this.#scanned = bytes.byteLength - start;
        return undefined;
      }
      const position = at - start;
      if (position + 1 > this.#sizeMax) return this.#tooLarge;
      if (position === this.#lineStart || bytes[at - 1] !== carriageReturn) return "bare_line_end";
      this.#scanned = position + 1;
      if (position === this.#lineStart + 1) return at + 1;
      this.#lineStart = position + 1;
    }
  }

  /** Copies what fits, one byte over the limit included, so that the limit is seen broken. */
  #keep(source: Uint8Array, offset: number): void {
    const size = Math.min(source.byteLength - offset, this.#sizeMax + 1 - this.#size);
    const needed = this.#size + size;
    if (needed > this.#kept.byteLength) {
      const grown = newBytes(Math.max(needed, Math.min(2 * needed, this.#sizeMax + 1)));
      grown.set(this.#kept.subarray(0, this.#size));
      this.#kept = grown;
    }
    this.#kept.set(source.subarray(offset, offset + size), this.#size);
    this.#size = needed;
  }
}
