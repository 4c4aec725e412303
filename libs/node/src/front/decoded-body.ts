import { assert } from "@kiseki/base";
import { type AuthFault, AwsChunkedDecoder, type StreamedPayload } from "@kiseki/auth";
import type { HttpHeader } from "@kiseki/http";
import type { Crypto } from "@kiseki/ports";
import type { BodySource } from "./types.ts";

/** The aws-chunked coding of a body is broken, or a signature in it. */
export class PayloadError extends Error {
  override readonly name = "PayloadError";
  readonly fault: AuthFault;
  constructor(fault: AuthFault) {
    super(`Cannot take the body: ${fault.code}: ${fault.message}`);
    this.fault = fault;
  }
}

/**
 * An aws-chunked body as the object's bytes, copied once like any other. Nothing read is to be
 * trusted before a read has answered the end: a chunk's signature comes after its bytes.
 */
export class DecodedBody implements BodySource {
  readonly size: number;
  trailers: readonly HttpHeader[] = [];
  readonly #source: BodySource;
  readonly #decoder: AwsChunkedDecoder;
  #isEnded = false;

  constructor(crypto: Crypto, source: BodySource, payload: StreamedPayload) {
    this.size = payload.decodedSize;
    this.#source = source;
    this.#decoder = new AwsChunkedDecoder(crypto, payload);
  }

  /** @throws {PayloadError} {BodyError} */
  async readInto(target: Uint8Array): Promise<number> {
    assert(target.byteLength > 0, "a read has room for a byte");
    const slice = await this.readSlice(target.byteLength);
    if (slice === undefined) return 0;
    target.set(slice);
    let filled = slice.byteLength;
    while (filled < target.byteLength) {
      const event = this.#decoder.next(target.byteLength - filled); // what is here without waiting
      if (event.kind === "fault") throw new PayloadError(event);
      if (event.kind === "need_more") break;
      target.set(event.bytes, filled);
      filled += event.bytes.byteLength;
    }
    return filled;
  }

  /** @throws {PayloadError} {BodyError} */
  async readSlice(sizeMax: number): Promise<Uint8Array | undefined> {
    while (!this.#isEnded) {
      const event = this.#decoder.next(sizeMax);
      if (event.kind === "fault") throw new PayloadError(event);
      if (event.kind === "data") return event.bytes;
      const source = await this.#source.readSlice(Number.POSITIVE_INFINITY);
      if (source === undefined) this.#end();
      else this.#decoder.feed(source);
    }
    return undefined;
  }

  #end(): void {
    const end = this.#decoder.finish();
    if (end.kind === "fault") throw new PayloadError(end);
    this.trailers = end.trailers;
    this.#isEnded = true;
  }
}
