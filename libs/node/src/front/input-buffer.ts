import { type HttpLimits, RequestDecoder, type RequestEvent } from "@kiseki/http";

/** Arrived bytes of one connection, held as they came, and the decoder that takes them apart. */
export class InputBuffer {
  readonly #decoder: RequestDecoder;
  readonly #queue: Uint8Array[] = [];
  #queuedSize = 0;

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

  /** Keeps `source` (the socket gives each arrival memory of its own). */
  push(source: Uint8Array): void {
    if (this.unreadSize === 0) {
      this.#decoder.feed(source);
    } else {
      this.#queue.push(source);
      this.#queuedSize += source.byteLength;
    }
  }

  /** As `RequestDecoder.next`; `need_more` only when all that arrived is used. */
  next(dataSizeMax?: number): RequestEvent {
    for (;;) {
      const event = this.#decoder.next(dataSizeMax);
      if (event.kind !== "need_more") return event;
      const source = this.#queue.shift();
      if (source === undefined) return event;
      this.#queuedSize -= source.byteLength;
      this.#decoder.feed(source);
    }
  }
}
