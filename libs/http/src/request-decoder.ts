import { assert, AssertionError, unreachable } from "@kiseki/base";
import { byteClass, isToken, toBinaryString } from "./character-classes.ts";
import { ChunkLine } from "./chunk-line.ts";
import type { HttpFaultCode } from "./fault.ts";
import type { HttpHeader, RequestHead } from "./head.ts";
import type { HttpLimits } from "./limits.ts";
import { LineSection } from "./line-section.ts";
import { parseFields } from "./parse-fields.ts";
import { parseHead } from "./parse-head.ts";

export type RequestEvent =
  /** Everything fed is used up: `feed` more. */
  | { readonly kind: "need_more" }
  | { readonly kind: "head"; readonly head: RequestHead }
  /** A view into the fed array: 1 byte or more of the body, framing taken off. */
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  /** The body is whole; the next event is the head of a following request. */
  | { readonly kind: "end"; readonly trailers: readonly HttpHeader[] }
  /** Answered for ever after. */
  | { readonly kind: "fault"; readonly code: HttpFaultCode };

type DecoderState =
  | "start" // before a head's first byte
  | "start_line_feed" // after the CR of an empty line before a head
  | "head"
  | "body_end" // nothing left but to say so
  | "sized"
  | "chunk_line"
  | "chunk_data"
  | "chunk_end" // CR after a chunk's data
  | "chunk_end_line_feed"
  | "trailers"
  | "fault";

const needMore: RequestEvent = { kind: "need_more" };
const noTrailers: readonly HttpHeader[] = [];
const carriageReturn = 13;
const lineFeed = 10;
const emptyBytes = new Uint8Array(new ArrayBuffer(0));
/** Framing and routing may not arrive after the body (RFC 9110 §6.5.1). */
const trailersRefused = new Set([
  "authorization",
  "connection",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "expect",
  "host",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/**
 * Requests out of bytes, in order. `feed` an array, call `next` until it answers `need_more`, feed
 * the next. The fed array is borrowed until then. After `head` come the `data` events of its body
 * and one `end`, then the next `head`.
 */
export class RequestDecoder {
  readonly #limits: HttpLimits;
  readonly #headSection: LineSection;
  #trailerSection: LineSection | undefined;
  #chunkLine: ChunkLine | undefined;
  #source: Uint8Array = emptyBytes;
  #offset = 0;
  #state: DecoderState = "start";
  #emptyLines = 0;
  #fault: HttpFaultCode = "bad_request_line";
  /** Bytes left of the sized body or of the chunk. */
  #left = 0;
  /** Sum of chunk sizes so far. */
  #bodySize = 0;
  #trailers: readonly HttpHeader[] = noTrailers;

  constructor(limits: HttpLimits) {
    this.#limits = limits;
    this.#headSection = new LineSection(limits.headSizeMax, "head_too_large");
  }

  /** Bytes fed and not yet used. */
  get unusedSize(): number {
    return this.#source.byteLength - this.#offset;
  }

  /** No byte of a further request has been seen: the connection may be closed without loss. */
  get isBetweenRequests(): boolean {
    return this.#state === "start" && this.unusedSize === 0;
  }

  feed(source: Uint8Array): void {
    assert(this.unusedSize === 0, "the array fed before is used up");
    this.#source = source;
    this.#offset = 0;
  }

  /** `dataSizeMax`: bytes that one `data` event may hold, 1 or more. */
  next(dataSizeMax: number = Number.POSITIVE_INFINITY): RequestEvent {
    assert(dataSizeMax >= 1, "a slice holds a byte");
    for (;;) {
      if (this.#state === "fault") return { kind: "fault", code: this.#fault };
      if (this.#state === "body_end") return this.#endBody();
      if (this.#offset === this.#source.byteLength) {
        this.#source = emptyBytes; // lets go of the caller's bytes
        this.#offset = 0;
        return needMore;
      }
      if (this.#state === "sized" || this.#state === "chunk_data")
        return this.#takeData(dataSizeMax);
      const event = this.#step();
      if (event !== undefined) return event;
    }
  }

  /** One move in a state that reads framing; at least one byte is here. */
  #step(): RequestEvent | undefined {
    switch (this.#state) {
      case "start":
        return this.#start();
      case "start_line_feed":
        return this.#expect(lineFeed, "start", "bare_line_end");
      case "head":
        return this.#head();
      case "chunk_line":
        return this.#openChunk();
      case "chunk_end":
        return this.#expect(carriageReturn, "chunk_end_line_feed", "bad_chunk_end");
      case "chunk_end_line_feed":
        return this.#expect(lineFeed, "chunk_line", "bad_chunk_end");
      case "trailers":
        return this.#readTrailers();
      case "sized":
      case "chunk_data":
      case "body_end":
      case "fault":
        throw new AssertionError(`State ${this.#state} reads no framing`);
      default:
        return unreachable(this.#state);
    }
  }

  #fail(code: HttpFaultCode): RequestEvent {
    this.#state = "fault";
    this.#fault = code;
    this.#source = emptyBytes;
    this.#offset = 0;
    return { kind: "fault", code };
  }

  #expect(byte: number, next: DecoderState, code: HttpFaultCode): RequestEvent | undefined {
    if (this.#source[this.#offset] !== byte) return this.#fail(code);
    this.#offset += 1;
    this.#state = next;
    return undefined;
  }

  /** One empty line before a request line is forgiven (RFC 9112 §2.2). */
  #start(): RequestEvent | undefined {
    const byte = this.#source[this.#offset]!;
    if (byte === carriageReturn && this.#emptyLines === 0) {
      this.#emptyLines = 1;
      this.#offset += 1;
      this.#state = "start_line_feed";
      return undefined;
    }
    if ((byteClass[byte]! & isToken) === 0) return this.#fail("bad_request_line");
    this.#state = "head";
    return undefined;
  }

  #head(): RequestEvent | undefined {
    const found = this.#headSection.find(this.#source, this.#offset);
    if (typeof found === "string") return this.#fail(found);
    if (found === undefined) {
      this.#offset = this.#source.byteLength;
      return undefined;
    }
    const head = parseHead(found.bytes, this.#limits);
    if (typeof head === "string") return this.#fail(head);
    this.#offset = found.offset;
    this.#emptyLines = 0;
    this.#bodySize = 0;
    this.#trailers = noTrailers;
    if (head.body.kind === "sized") {
      this.#left = head.body.size;
      this.#state = "sized";
    } else if (head.body.kind === "chunked") {
      this.#chunkLine = new ChunkLine(this.#limits);
      this.#state = "chunk_line";
    } else {
      this.#state = "body_end";
    }
    return { kind: "head", head };
  }

  #takeData(dataSizeMax: number): RequestEvent {
    const size = Math.min(this.#left, this.#source.byteLength - this.#offset, dataSizeMax);
    const bytes = this.#source.subarray(this.#offset, this.#offset + size);
    this.#offset += size;
    this.#left -= size;
    if (this.#left === 0) this.#state = this.#state === "sized" ? "body_end" : "chunk_end";
    return { kind: "data", bytes };
  }

  #openChunk(): RequestEvent | undefined {
    const line = this.#chunkLine;
    assert(line !== undefined, "a chunked body reads chunk lines");
    const offset = line.read(this.#source, this.#offset);
    if (typeof offset === "string") return this.#fail(offset);
    this.#offset = offset;
    if (!line.isDone) return undefined;
    if (line.size === 0) {
      this.#trailerSection = new LineSection(this.#limits.trailerSizeMax, "trailer_too_large");
      this.#state = "trailers";
      return undefined;
    }
    this.#bodySize += line.size;
    if (this.#bodySize > this.#limits.bodySizeMax) return this.#fail("body_too_large");
    this.#left = line.size;
    this.#state = "chunk_data";
    return undefined;
  }

  #readTrailers(): RequestEvent | undefined {
    assert(this.#trailerSection !== undefined, "trailers have a section");
    const found = this.#trailerSection.find(this.#source, this.#offset);
    if (typeof found === "string") return this.#fail(found);
    if (found === undefined) {
      this.#offset = this.#source.byteLength;
      return undefined;
    }
    const { bytes } = found;
    const headers: HttpHeader[] = [];
    const countMax = this.#limits.trailerCountMax;
    const text = toBinaryString(bytes);
    const fault = parseFields(bytes, text, 0, bytes.byteLength, countMax, headers);
    if (fault !== undefined) {
      return this.#fail(fault === "too_many_headers" ? "trailer_too_large" : "bad_trailer");
    }
    if (headers.some(({ name }) => trailersRefused.has(name))) return this.#fail("bad_trailer");
    this.#trailers = headers;
    this.#offset = found.offset;
    this.#state = "body_end";
    return undefined;
  }

  #endBody(): RequestEvent {
    this.#state = "start";
    this.#trailerSection = undefined;
    this.#chunkLine = undefined;
    return { kind: "end", trailers: this.#trailers };
  }
}
