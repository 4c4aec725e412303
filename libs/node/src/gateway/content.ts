import { AwsChunkedDecoder, type PayloadMode } from "@kiseki/auth";
import { assert } from "@kiseki/base";
import type { HttpHeader } from "@kiseki/http";
import type { Crypto, HashAlgorithm } from "@kiseki/ports";
import type { BodyExpectation } from "@kiseki/s3";
import type { BodySource } from "../front/types.ts";
import type { ContentSource, DataPorts } from "../object/types.ts";
import { authFailure, fail } from "./failure.ts";

/** The object's bytes of a request, whatever they came wrapped in. */
export interface RequestContent extends ContentSource {
  /** Trailers, once the end was read. */
  readonly trailers: readonly HttpHeader[];
}

const sliceSizeMax = 256 * 1024;

/**
 * aws-chunked: framing and signatures are taken off and checked as the bytes pass. Nothing read is to be
 * trusted before a read has answered the end: a chunk's signature comes after its bytes.
 */
class StreamedContent implements RequestContent {
  readonly #body: BodySource;
  readonly #decoder: AwsChunkedDecoder;
  #left: number;
  #trailers: readonly HttpHeader[] = [];
  #isEnded = false;

  constructor(body: BodySource, decoder: AwsChunkedDecoder, size: number) {
    this.#body = body;
    this.#decoder = decoder;
    this.#left = size;
  }
  get trailers(): readonly HttpHeader[] {
    return this.#trailers;
  }

  /** @throws {GatewayFailure} {BodyError} */
  async readInto(target: Uint8Array): Promise<number> {
    assert(target.byteLength > 0, "a read has room for a byte");
    for (;;) {
      const filled = this.#take(target);
      if (filled > 0 || this.#isEnded) return filled;
      const slice = await this.#body.readSlice(sliceSizeMax);
      if (slice === undefined) this.#end();
      else this.#decoder.feed(slice);
    }
  }

  /** Copies what is here without waiting. */
  #take(target: Uint8Array): number {
    let filled = 0;
    while (filled < target.byteLength && !this.#isEnded) {
      const event = this.#decoder.next(target.byteLength - filled);
      if (event.kind === "need_more") break;
      if (event.kind === "fault") throw authFailure(event);
      if (event.bytes.byteLength > this.#left) throw fail("IncompleteBody");
      target.set(event.bytes, filled);
      this.#left -= event.bytes.byteLength;
      filled += event.bytes.byteLength;
    }
    return filled;
  }

  #end(): void {
    const end = this.#decoder.finish();
    if (end.kind === "fault") throw authFailure(end);
    this.#isEnded = true;
    this.#trailers = end.trailers;
  }
}

class PlainContent implements RequestContent {
  readonly trailers: readonly HttpHeader[] = [];
  readonly #body: BodySource;
  constructor(body: BodySource) {
    this.#body = body;
  }
  readInto(target: Uint8Array): Promise<number> {
    return this.#body.readInto(target);
  }
}

export function openContent(
  crypto: Crypto,
  body: BodySource,
  payload: PayloadMode,
): RequestContent {
  if (payload.kind !== "streamed") return new PlainContent(body);
  return new StreamedContent(body, new AwsChunkedDecoder(crypto, payload), payload.decodedSize);
}

/** Checks digests of a whole body against everything that the client said of it. */
export function checkDigests(
  crypto: Crypto,
  digests: ReadonlyMap<string, Uint8Array>,
  claims: {
    readonly expectation: BodyExpectation;
    readonly payload: PayloadMode;
    readonly trailers: readonly HttpHeader[];
  },
): void {
  const { expectation, payload, trailers } = claims;
  const agrees = (algorithm: string, claimed: Uint8Array): boolean => {
    const value = digests.get(algorithm);
    assert(value !== undefined, `${algorithm} was computed`);
    return crypto.equal(value, claimed);
  };
  if (payload.kind === "hashed" && !agrees("sha256", payload.sha256)) {
    throw fail("XAmzContentSHA256Mismatch");
  }
  if (expectation.md5 && !agrees("md5", expectation.md5)) throw fail("BadDigest");
  const { checksum, trailerAlgorithm } = expectation;
  if (checksum && !agrees(checksum.algorithm, checksum.value)) throw fail("BadDigest");
  if (trailerAlgorithm === undefined) return;
  const name = `x-amz-checksum-${trailerAlgorithm}`;
  const trailer = trailers.find((header) => header.name === name);
  if (trailer === undefined) throw fail("MalformedTrailerError");
  const value = digests.get(trailerAlgorithm);
  assert(value !== undefined, "the trailer's checksum was computed");
  if (trailer.value !== Buffer.from(value).toString("base64")) throw fail("BadDigest");
}

/** Digests that the claims of a request ask for. */
export function claimedAlgorithms(
  expectation: BodyExpectation,
  payload: PayloadMode,
): Set<HashAlgorithm> {
  const algorithms = new Set<HashAlgorithm>();
  if (payload.kind === "hashed") algorithms.add("sha256");
  if (expectation.md5) algorithms.add("md5");
  if (expectation.checksum) algorithms.add(expectation.checksum.algorithm);
  if (expectation.trailerAlgorithm) algorithms.add(expectation.trailerAlgorithm);
  return algorithms;
}

/** Collects a request's document, at most `sizeMax` bytes, and checks it. The bytes are the caller's. */
export async function readDocument(
  ports: Pick<DataPorts, "crypto" | "datapath" | "budget">,
  content: RequestContent,
  request: {
    readonly sizeMax: number;
    readonly expectation: BodyExpectation;
    readonly payload: PayloadMode;
    readonly signal: AbortSignal;
  },
): Promise<Uint8Array> {
  const { crypto, datapath, budget } = ports;
  const { expectation, payload, sizeMax, signal } = request;
  const { size } = expectation;
  if (size > sizeMax) throw fail("MaxMessageLengthExceeded");
  const room = size + 1; // one more, to see that no more comes
  using _share = await budget.take(room, signal, "fill");
  using lease = await datapath.arena.borrow(room, signal);
  let filled = 0;
  for (;;) {
    const count = await content.readInto(lease.bytes.subarray(filled, room));
    if (count === 0) break;
    filled += count;
    if (filled > size) throw fail("IncompleteBody");
  }
  if (filled < size) throw fail("IncompleteBody");
  const algorithms = claimedAlgorithms(expectation, payload);
  if (algorithms.size > 0) {
    using state = datapath.openHash(algorithms);
    await datapath.hash({ state, source: { lease, offset: 0, size }, own: false });
    const { trailers } = content;
    checkDigests(crypto, datapath.digest(state), { expectation, payload, trailers });
  }
  return lease.bytes.slice(0, size);
}
