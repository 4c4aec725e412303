import { assert } from "@kiseki/base";
import type { BodyFraming, HttpHeader, RequestEvent } from "@kiseki/http";
import { BodyError, type BodySource } from "./types.ts";

/** What a body needs of its connection. */
export interface BodyPort {
  /** The next event of the arrived bytes. */
  nextEvent(dataSizeMax: number): RequestEvent;
  /** The reader found nothing and waits for the client. */
  waitBegan(): void;
  /** The reader got `size` bytes (0: an end or an error). */
  took(size: number): void;
}

/** A read that waits; what arrives goes to `target`, or is handed out as a slice. */
interface PendingRead {
  readonly target: Uint8Array | undefined;
  readonly sizeMax: number;
  readonly resolve: (taken: Taken) => void;
  readonly reject: (reason: BodyError) => void;
}
/** Size copied or slice; `undefined` is the end. */
type Taken = number | Uint8Array | undefined;

const noTrailers: readonly HttpHeader[] = [];

/** One request's body over the connection's input. */
export class RequestBody implements BodySource {
  readonly size: number | undefined;
  trailers: readonly HttpHeader[] = noTrailers;
  readonly #port: BodyPort;
  #isEnded: boolean;
  #error: BodyError | undefined;
  #pending: PendingRead | undefined;
  /** Bytes handed out. */
  sizeTaken = 0;

  constructor(framing: BodyFraming, port: BodyPort) {
    this.#port = port;
    this.#isEnded = framing.kind === "none";
    this.size = framing.kind === "none" ? 0 : framing.kind === "sized" ? framing.size : undefined;
  }

  /** The last byte was taken. */
  get isEnded(): boolean {
    return this.#isEnded;
  }
  /** No more of it can be had. */
  get hasFailed(): boolean {
    return this.#error !== undefined;
  }
  get isWaiting(): boolean {
    return this.#pending !== undefined;
  }

  async readInto(target: Uint8Array): Promise<number> {
    assert(target.byteLength > 0, "a read has room for a byte");
    const taken = await this.#read(target, target.byteLength);
    assert(typeof taken === "number", "a read into a target answers a size");
    return taken;
  }

  async readSlice(sizeMax: number): Promise<Uint8Array | undefined> {
    assert(sizeMax >= 1, "a read has room for a byte");
    const taken = await this.#read(undefined, sizeMax);
    assert(typeof taken !== "number", "a read of a slice answers one");
    return taken;
  }

  #read(target: Uint8Array | undefined, sizeMax: number): Taken | Promise<Taken> {
    assert(this.#pending === undefined, "one read at a time");
    const taken = this.#take(target, sizeMax);
    if (taken !== "wait") return taken;
    this.#port.waitBegan();
    return new Promise<Taken>((resolve, reject) => {
      this.#pending = { target, sizeMax, resolve, reject };
    });
  }

  /** Gives what arrived to a read that waits. */
  arrived(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    try {
      const taken = this.#take(pending.target, pending.sizeMax);
      if (taken === "wait") return;
      this.#pending = undefined;
      pending.resolve(taken);
    } catch (reason) {
      if (!(reason instanceof BodyError)) throw reason;
      this.#pending = undefined;
      pending.reject(reason);
    }
  }

  /** Nothing more will come. Bytes that are here can still be read; then `error` is thrown. */
  fail(error: BodyError): void {
    if (this.#isEnded || this.#error !== undefined) return;
    this.#error = error;
    this.arrived();
  }

  /** Drops what is here; true once the body has ended. */
  discard(): boolean {
    while (!this.#isEnded) {
      const event = this.#port.nextEvent(Number.POSITIVE_INFINITY);
      if (event.kind === "end") this.#isEnded = true;
      else if (event.kind === "data") this.sizeTaken += event.bytes.byteLength;
      else {
        if (event.kind === "fault") this.#error ??= new BodyError("malformed", event.code);
        return false;
      }
    }
    return true;
  }

  /** @throws {BodyError} */
  #take(target: Uint8Array | undefined, sizeMax: number): Taken | "wait" {
    let filled = 0;
    while (!this.#isEnded && filled < sizeMax) {
      const event = this.#port.nextEvent(sizeMax - filled);
      if (event.kind === "data") {
        const size = event.bytes.byteLength;
        this.sizeTaken += size;
        if (target === undefined) {
          this.#port.took(size);
          return event.bytes;
        }
        target.set(event.bytes, filled);
        filled += size;
      } else if (event.kind === "end") {
        this.#isEnded = true;
        this.trailers = event.trailers;
      } else if (event.kind === "fault") {
        this.#error ??= new BodyError("malformed", event.code);
        break;
      } else {
        assert(event.kind === "need_more", "no head comes within a body");
        break;
      }
    }
    if (filled === 0 && !this.#isEnded) {
      if (this.#error === undefined) return "wait";
      this.#port.took(0);
      throw this.#error;
    }
    this.#port.took(filled);
    if (target !== undefined) return filled;
    return undefined;
  }
}
