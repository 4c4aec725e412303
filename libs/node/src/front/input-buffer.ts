import { type HttpLimits, RequestDecoder, type RequestEvent } from "@kiseki/http";

/** Arrivals from this size on are given back when used up; for smaller ones the call costs more than it frees. */
const releaseSizeMin = 32 * 1024;

/**
 * Frees the memory of an arrival at once. The collector does not hurry for memory outside its own heap, and a fast
 * upload would keep a hundred megabytes of used arrivals waiting for it.
 */
function release(source: Uint8Array): void {
  const { buffer } = source;
  if (source.byteLength >= releaseSizeMin && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/** Arrived bytes of one connection, held as they came, and the decoder that takes them apart. */
export class InputBuffer {
  readonly #decoder: RequestDecoder;
  readonly #queue: Uint8Array[] = [];
  #queuedSize = 0;
  /** Fed to the decoder last. */
  #fed: Uint8Array | undefined;

  constructor(limits: HttpLimits) {
    this.#decoder = new RequestDecoder(limits);
  }

  /** Bytes that arrived and were not taken. */
  get unreadSize(): number {
    return this.#decoder.unusedSize + this.#queuedSize;
  }

  /** No byte of a further request is here. */
  get isBetweenRequests(): boolean {
    return this.#queuedSize === 0 && this.#decoder.isBetweenRequests;
  }

  /** Takes `source` for its own (the socket gives each arrival memory of its own). */
  push(source: Uint8Array): void {
    if (this.unreadSize === 0) {
      this.#feed(source);
    } else {
      this.#queue.push(source);
      this.#queuedSize += source.byteLength;
    }
  }

  #feed(source: Uint8Array): void {
    this.#fed = source;
    this.#decoder.feed(source);
  }

  /**
   * As `RequestDecoder.next`; `need_more` only when all that arrived is used. Bytes of an event are gone with the
   * next call.
   */
  next(dataSizeMax?: number): RequestEvent {
    for (;;) {
      const event = this.#decoder.next(dataSizeMax);
      if (event.kind !== "need_more") return event;
      if (this.#fed !== undefined) release(this.#fed);
      this.#fed = undefined;
      const source = this.#queue.shift();
      if (source === undefined) return event;
      this.#queuedSize -= source.byteLength;
      this.#feed(source);
    }
  }
}
