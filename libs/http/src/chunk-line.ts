import { byteClass, hexValue, isValue } from "./character-classes.ts";
import type { HttpFaultCode } from "./fault.ts";
import { chunkSizeDigitsMax, type HttpLimits } from "./limits.ts";

const carriageReturn = 13;
const lineFeed = 10;
const semicolon = 59;
/** Extensions of a whole body, in multiples of one chunk's: more of them is an attack on the parser. */
const chunkExtensionsPerBody = 16;

type ChunkLineState = "size" | "extension" | "line_feed" | "done";

/** The line that opens a chunk of RFC 9112 §7.1, byte by byte. One per body. */
export class ChunkLine {
  readonly #limits: HttpLimits;
  #state: ChunkLineState = "size";
  #digits = 0;
  #extensionSize = 0;
  #extensionSizeBody = 0;
  /** The chunk's size, once `read` finished a line. */
  size = 0;

  constructor(limits: HttpLimits) {
    this.#limits = limits;
  }

  /** True once a whole line was read; `read` then begins a new one. */
  get isDone(): boolean {
    return this.#state === "done";
  }

  /** Reads from `offset`; answers the offset after the last byte used, or a fault. */
  read(source: Uint8Array, offset: number): number | HttpFaultCode {
    if (this.#state === "done") this.#restart();
    let at = offset;
    while (at < source.byteLength && !this.isDone) {
      const fault = this.#step(source[at]!);
      if (fault !== undefined) return fault;
      at += 1;
    }
    return at;
  }

  #restart(): void {
    this.#state = "size";
    this.#digits = 0;
    this.#extensionSize = 0;
    this.size = 0;
  }

  #step(byte: number): HttpFaultCode | undefined {
    if (this.#state === "line_feed") {
      if (byte !== lineFeed) return "bare_line_end";
      this.#state = "done";
      return undefined;
    }
    if (byte === carriageReturn) {
      if (this.#digits === 0) return "bad_chunk_size";
      this.#state = "line_feed";
      return undefined;
    }
    if (byte === lineFeed) return "bare_line_end";
    if (this.#state === "extension") return this.#extend(byte);
    if (byte === semicolon && this.#digits > 0) {
      this.#state = "extension";
      return this.#extend(byte);
    }
    const digit = hexValue[byte]!;
    if (digit < 0 || this.#digits === chunkSizeDigitsMax) return "bad_chunk_size";
    this.#digits += 1;
    this.size = this.size * 16 + digit;
    return undefined;
  }

  #extend(byte: number): HttpFaultCode | undefined {
    if ((byteClass[byte]! & isValue) === 0) return "bad_chunk_size";
    this.#extensionSize += 1;
    this.#extensionSizeBody += 1;
    const limit = this.#limits.chunkExtensionSizeMax;
    const isOver =
      this.#extensionSize > limit || this.#extensionSizeBody > limit * chunkExtensionsPerBody;
    return isOver ? "chunk_extension_too_large" : undefined;
  }
}
