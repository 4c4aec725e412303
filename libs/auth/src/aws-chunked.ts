import { assert, fromHex, newBytes, toHex, toUtf8, unreachable } from "@kiseki/base";
import type { HttpHeader } from "@kiseki/http";
import type { Crypto, RunningSha256 } from "@kiseki/ports";
import { binaryBytes } from "./canonical-request.ts";
import { type AuthFault, authFault } from "./fault.ts";
import type { StreamedPayload } from "./payload-mode.ts";

export type ChunkedEvent =
  | { readonly kind: "need_more" }
  /** A view of what was fed. Not to be trusted before `finish`: its chunk's signature comes after it. */
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  | AuthFault;

/** Everything was as signed. Trailers have lower-case names, each announced in `x-amz-trailer`. */
export interface ChunkedEnd {
  readonly kind: "end";
  readonly trailers: readonly HttpHeader[];
}

/** The line `SIZE[;chunk-signature=HEX]` without its CRLF. */
const chunkLineSizeMax = 128;
/** Everything after the last chunk's line. */
const tailSizeMax = 8 * 1024;
/** Signed chunks but the last hold at least this, as at S3. */
const chunkSizeMin = 8 * 1024;
const carriageReturn = 13;
const lineFeed = 10;
const emptySha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const emptyBytes = newBytes(0);
const trailerSignatureName = "x-amz-trailer-signature";

/**
 * - `line`: reads a chunk's line. → `data` | `tail` (size 0)
 * - `data`: hands out the chunk's bytes. → `data_end`
 * - `data_end`: reads CR, then LF. → `line`
 * - `tail`: collects trailers until `finish`.
 * - `fault`: answered for ever after.
 */
type State = "line" | "data" | "data_end" | "tail" | "fault";

/**
 * Takes the aws-chunked coding off a body and checks chunk and trailer signatures. `feed` an array,
 * call `next` until `need_more`; when the body has ended, `finish`. The fed array is borrowed until
 * `need_more`. At most `decodedSize` bytes come out.
 */
export class AwsChunkedDecoder {
  readonly #crypto: Crypto;
  readonly #payload: StreamedPayload;
  readonly #line = newBytes(chunkLineSizeMax);
  #lineSize = 0;
  #source: Uint8Array = emptyBytes;
  #offset = 0;
  #state: State = "line";
  #fault: AuthFault | undefined;
  /** Bytes left of the chunk. */
  #left = 0;
  #chunkSize = 0;
  #decodedSize = 0;
  #hash: RunningSha256 | undefined;
  /** What the chunk's line claimed. */
  #chunkSignature = "";
  /** Signature that the next one continues. */
  #previous: string;
  #isDataEndBegun = false;
  #tail = emptyBytes;
  #tailSize = 0;

  constructor(crypto: Crypto, payload: StreamedPayload) {
    this.#crypto = crypto;
    this.#payload = payload;
    this.#previous = payload.signing?.seedSignature ?? "";
  }

  feed(source: Uint8Array): void {
    assert(this.#offset === this.#source.byteLength, "the array fed before is used up");
    this.#source = source;
    this.#offset = 0;
  }

  /** `dataSizeMax`: bytes that one `data` event may hold, 1 or more. */
  next(dataSizeMax: number = Number.POSITIVE_INFINITY): ChunkedEvent {
    assert(dataSizeMax >= 1, "a slice holds a byte");
    while (this.#offset < this.#source.byteLength) {
      if (this.#state === "data") return this.#takeData(dataSizeMax);
      const fault = this.#step();
      if (fault !== undefined) return this.#fail(fault);
    }
    if (this.#fault !== undefined) return this.#fault;
    this.#source = emptyBytes;
    this.#offset = 0;
    return { kind: "need_more" };
  }

  /** The body has ended: was it whole, and are the trailers as announced and signed? */
  finish(): ChunkedEnd | AuthFault {
    assert(this.#offset === this.#source.byteLength, "all that was fed is used up");
    if (this.#fault !== undefined) return this.#fault;
    const isWhole = this.#state === "tail" && this.#decodedSize === this.#payload.decodedSize;
    const end = isWhole ? this.#readTail() : incompleteFault();
    return end.kind === "fault" ? this.#fail(end) : end;
  }

  #fail(fault: AuthFault): AuthFault {
    this.#state = "fault";
    this.#fault = fault;
    this.#source = emptyBytes;
    this.#offset = 0;
    return fault;
  }

  /** One move in a state that reads framing; at least one byte is here. */
  #step(): AuthFault | undefined {
    switch (this.#state) {
      case "line":
        return this.#readLine();
      case "data_end":
        return this.#endData(this.#source[this.#offset++]!);
      case "tail":
        return this.#keepTail();
      case "fault":
        this.#offset = this.#source.byteLength; // whatever follows a fault
        return this.#fault;
      case "data":
        return undefined;
      default:
        return unreachable(this.#state);
    }
  }

  #readLine(): AuthFault | undefined {
    while (this.#offset < this.#source.byteLength) {
      const byte = this.#source[this.#offset++]!;
      if (byte === lineFeed) {
        const isEnded = this.#lineSize > 0 && this.#line[this.#lineSize - 1] === carriageReturn;
        return isEnded ? this.#openChunk() : malformedFault();
      }
      if (this.#lineSize === chunkLineSizeMax) return malformedFault();
      this.#line[this.#lineSize++] = byte;
    }
    return undefined;
  }

  #openChunk(): AuthFault | undefined {
    const line = String.fromCharCode(...this.#line.subarray(0, this.#lineSize - 1));
    this.#lineSize = 0;
    const isSigned = this.#payload.signing !== undefined;
    const pattern = isSigned
      ? /^([0-9a-fA-F]{1,13});chunk-signature=([0-9a-f]{64})$/
      : /^([0-9a-fA-F]{1,13})$/;
    const parts = pattern.exec(line);
    if (parts === null) return malformedFault();
    const size = Number.parseInt(parts[1]!, 16);
    this.#chunkSignature = parts[2] ?? "";
    if (size > 0 && isSigned && this.#decodedSize > 0 && this.#chunkSize < chunkSizeMin) {
      return authFault(
        "InvalidChunkSizeError",
        `Only the last chunk is allowed to have a size less than ${chunkSizeMin} bytes`,
        { BadChunkSize: String(this.#chunkSize) },
      );
    }
    if (size > this.#payload.decodedSize - this.#decodedSize) return incompleteFault();
    this.#chunkSize = size;
    this.#left = size;
    this.#hash = isSigned ? this.#crypto.startSha256() : undefined;
    if (size > 0) {
      this.#state = "data";
      return undefined;
    }
    this.#state = "tail";
    return this.#checkChunk();
  }

  #takeData(dataSizeMax: number): ChunkedEvent {
    const size = Math.min(this.#left, this.#source.byteLength - this.#offset, dataSizeMax);
    const bytes = this.#source.subarray(this.#offset, this.#offset + size);
    this.#offset += size;
    this.#left -= size;
    this.#decodedSize += size;
    this.#hash?.update(bytes);
    if (this.#left === 0) this.#state = "data_end";
    return { kind: "data", bytes };
  }

  #endData(byte: number): AuthFault | undefined {
    if (byte !== (this.#isDataEndBegun ? lineFeed : carriageReturn)) return malformedFault();
    this.#isDataEndBegun = !this.#isDataEndBegun;
    if (this.#isDataEndBegun) return undefined;
    this.#state = "line";
    return this.#checkChunk();
  }

  #checkChunk(): AuthFault | undefined {
    if (this.#hash === undefined) return undefined;
    const digest = toHex(this.#hash.digest());
    this.#hash = undefined;
    return this.#checkSignature("-PAYLOAD", `${emptySha256}\n${digest}`, this.#chunkSignature);
  }

  /** Compares a link of the chain of signatures, and goes on from it. */
  #checkSignature(kind: string, content: string, given: string): AuthFault | undefined {
    const { signing } = this.#payload;
    assert(signing !== undefined, "only signed streams have signatures");
    const { date, scope } = signing;
    const text = `AWS4-HMAC-SHA256${kind}\n${date}\n${scope}\n${this.#previous}\n${content}`;
    const expected = this.#crypto.hmacSha256(signing.key, toUtf8(text));
    if (!this.#crypto.equal(expected, fromHex(given))) {
      return authFault(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
      );
    }
    this.#previous = given;
    return undefined;
  }

  #keepTail(): AuthFault | undefined {
    const size = this.#source.byteLength - this.#offset;
    if (this.#tailSize + size > tailSizeMax) return trailerFault();
    if (this.#tail.byteLength === 0) this.#tail = newBytes(tailSizeMax);
    this.#tail.set(this.#source.subarray(this.#offset), this.#tailSize);
    this.#tailSize += size;
    this.#offset = this.#source.byteLength;
    return undefined;
  }

  #readTail(): ChunkedEnd | AuthFault {
    const read = readTrailers(this.#tail.subarray(0, this.#tailSize));
    if (read === undefined) return trailerFault();
    const trailers = read.filter(({ name }) => name !== trailerSignatureName);
    const signatures = read.filter(({ name }) => name === trailerSignatureName);
    const names = new Set(trailers.map(({ name }) => name));
    const { trailerNames, hasTrailer, signing } = this.#payload;
    const isAsAnnounced =
      names.size === trailers.length &&
      trailers.every(({ name }) => trailerNames.includes(name)) &&
      trailerNames.every((name) => names.has(name));
    const isSigned = signing !== undefined && hasTrailer && trailers.length > 0;
    const signature = signatures[0]?.value ?? "";
    if (!isAsAnnounced || signatures.length > (signing !== undefined && hasTrailer ? 1 : 0)) {
      return trailerFault();
    }
    if (isSigned || signatures.length === 1) {
      if (!/^[0-9a-f]{64}$/.test(signature)) return trailerFault();
      const text = trailers.map(({ name, value }) => `${name}:${value}\n`).join("");
      const digest = toHex(this.#crypto.sha256(binaryBytes(text)));
      const fault = this.#checkSignature("-TRAILER", digest, signature);
      if (fault !== undefined) return fault;
    }
    return { kind: "end", trailers };
  }
}

/**
 * The lines of a tail. Clients end them with CRLF, LF, or both one after the other, and the tail
 * with one empty line or two; the body's own end is what counts, so empty lines are skipped.
 */
function readTrailers(source: Uint8Array): readonly HttpHeader[] | undefined {
  const trailers: HttpHeader[] = [];
  const text = String.fromCharCode(...source);
  if (text !== "" && !text.endsWith("\n")) return undefined;
  for (const ended of text.split("\n")) {
    const line = ended.endsWith("\r") ? ended.slice(0, -1) : ended;
    if (line === "") continue;
    const parts = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e]*)$/.exec(line);
    if (parts === null) return undefined;
    trailers.push({ name: parts[1]!.toLowerCase(), value: parts[2]!.trimEnd() });
  }
  return trailers;
}

function malformedFault(): AuthFault {
  return authFault("InvalidRequest", "The aws-chunked body is malformed.");
}
function incompleteFault(): AuthFault {
  return authFault(
    "IncompleteBody",
    "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header.",
  );
}
function trailerFault(): AuthFault {
  return authFault(
    "MalformedTrailerError",
    "The request contained trailing data that was not well-formed or did not conform to our published schema.",
  );
}
