import { timingSafeEqual } from "node:crypto";
import { assert } from "@kiseki/base";
import { type Failure, isFailure } from "@kiseki/vfs";
import { type CallAnswer, ClientHandles } from "./file-calls.ts";
import {
  answerKinds,
  bodySizeMax,
  dataSizeMax,
  type Frame,
  FrameReader,
  FieldReader,
  FieldWriter,
  ProtocolError,
  protocolVersion,
  verbs,
} from "./frame.ts";

export const tokenSize = 32;
const helloSizeMax = 128;
/** Requests of one connection at which somebody is at work. */
const callsMax = 64;
/** Answers that the other end has not taken yet. */
const outputSizeMax = 16 * 1024 * 1024;
const errnos = { EINVAL: 22, EIO: 5, ENOSYS: 38 } as const;

/** An error of a call with words for whoever made it. */
export class CallError extends Error {
  override readonly name = "CallError";
  readonly errno: number;
  constructor(errno: number, message: string) {
    super(message);
    this.errno = errno;
  }
}

export interface CallContext {
  readonly handles: ClientHandles;
  /** Sends how far a long call has come. */
  readonly report: (progress: FieldWriter) => void;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}
export type Call = (
  fields: FieldReader,
  context: CallContext,
) => CallAnswer | undefined | Promise<CallAnswer | undefined>;
/** Calls by verb. */
export type CallTable = ReadonlyMap<number, Call>;

/** Bytes of requests and answers that are in memory, of all connections. */
export class ByteBudget {
  #left: number;
  readonly #waiting: { readonly size: number; readonly go: () => void }[] = [];
  constructor(size: number) {
    this.#left = size;
  }
  /** Room for `size`; a promise where it has to be waited for. */
  take(size: number): Promise<void> | undefined {
    if (this.#waiting.length === 0 && this.#left >= size) {
      this.#left -= size;
      return undefined;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ size, go: resolve });
    return promise;
  }
  give(size: number): void {
    this.#left += size;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (next.size > this.#left) return;
      this.#waiting.shift();
      this.#left -= next.size;
      next.go();
    }
  }
}

/** What a connection needs of its socket. */
export interface Wire {
  /** Bytes taken; fewer than given: `drained` is called when there is room again. */
  write(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
  end(): void;
}

/** What a request may hold in memory at most while it is answered. */
const costOf = ({ kind, body }: Frame): number => {
  const isReading = kind === verbs.read || kind === verbs.readFile;
  return body.byteLength + (isReading ? dataSizeMax : 64 * 1024);
};

/** One connection of a program: takes requests, answers each when it is done, in any order. */
export class ClientConnection {
  readonly #wire: Wire;
  readonly #calls: CallTable;
  readonly #budget: ByteBudget;
  readonly #token: Uint8Array;
  readonly #reader = new FrameReader(helloSizeMax);
  readonly #handles = new ClientHandles();
  readonly #ended = new AbortController();
  readonly #input: Uint8Array[] = [];
  readonly #output: Uint8Array[] = [];
  #outputAt = 0;
  #outputSize = 0;
  readonly #working = new Set<Promise<void>>();
  #isTaking = false;
  #isPaused = false;
  #isKnown = false;
  #room: (() => void) | undefined;

  constructor(wire: Wire, calls: CallTable, budget: ByteBudget, token: Uint8Array) {
    assert(token.byteLength === tokenSize, "a token has its size");
    this.#wire = wire;
    this.#calls = calls;
    this.#budget = budget;
    this.#token = token;
  }

  get handles(): ClientHandles {
    return this.#handles;
  }

  /** Bytes that came, borrowed for the call. */
  received(bytes: Uint8Array): void {
    if (this.#ended.signal.aborted) return;
    if (this.#isTaking) {
      this.#input.push(bytes.slice());
      if (!this.#isPaused) this.#wire.pause();
      this.#isPaused = true;
    } else void this.#take(bytes);
  }
  drained(): void {
    this.#flush();
  }
  /** Nobody is at the other end any more. Resolves when no call is at work. */
  async closed(): Promise<void> {
    this.#ended.abort();
    this.#room?.();
    this.#output.length = 0;
    while (this.#working.size > 0) await Promise.all(this.#working);
  }

  async #take(bytes: Uint8Array): Promise<void> {
    this.#isTaking = true;
    try {
      for (let piece: Uint8Array | undefined = bytes; piece; piece = this.#input.shift()) {
        let at = 0;
        for (let taken; (taken = this.#reader.next(piece, at)); at = taken.end) {
          const waiting = this.#begin(taken.frame);
          if (waiting === undefined) continue;
          piece = piece.slice(taken.end);
          taken.end = 0;
          await waiting;
          if (this.#ended.signal.aborted) return;
        }
      }
      if (this.#isPaused) this.#wire.resume();
      this.#isPaused = false;
    } catch (reason) {
      if (!(reason instanceof ProtocolError)) throw reason;
      // The other end may go on to send: nothing of it counts any more.
      this.#ended.abort();
      this.#wire.end();
    } finally {
      this.#isTaking = false;
    }
  }

  /** Starts to answer `frame`; a promise where the next has to wait. */
  #begin(frame: Frame): Promise<void> | undefined {
    if (!this.#isKnown) {
      this.#greet(frame);
      return undefined;
    }
    const cost = costOf(frame);
    if (this.#isFull) return this.#beginLater(frame, cost, undefined);
    const budget = this.#budget.take(cost);
    if (budget !== undefined) return this.#beginLater(frame, cost, budget);
    this.#work(frame, cost);
    return undefined;
  }
  get #isFull(): boolean {
    return this.#working.size >= callsMax || this.#outputSize > outputSizeMax;
  }
  async #beginLater(frame: Frame, cost: number, budget: Promise<void> | undefined): Promise<void> {
    while (this.#isFull && !this.#ended.signal.aborted)
      await new Promise<void>((resolve) => (this.#room = resolve));
    await (budget ?? this.#budget.take(cost));
    if (this.#ended.signal.aborted) this.#budget.give(cost);
    else this.#work(frame, cost);
  }

  #greet({ id, kind, body }: Frame): void {
    const fields = new FieldReader(body);
    const isHello = kind === verbs.hello && body.byteLength === 2 + tokenSize;
    if (!isHello || fields.u16() !== protocolVersion)
      throw new ProtocolError("The first request is hello of this version");
    if (!timingSafeEqual(fields.bytes(tokenSize), this.#token))
      throw new ProtocolError("The token is another");
    this.#isKnown = true;
    this.#reader.bodySizeMax = bodySizeMax;
    const answer = new FieldWriter().u16(protocolVersion).u32(dataSizeMax);
    this.#send(answer.frame(id, answerKinds.done, 0));
  }

  #work(frame: Frame, cost: number): void {
    const answer = this.#call(frame);
    if (!(answer instanceof Promise)) {
      this.#send(answer);
      this.#budget.give(cost);
      return;
    }
    const work = answer.then((bytes) => {
      this.#send(bytes);
      this.#budget.give(cost);
      this.#working.delete(work);
      this.#room?.();
    });
    this.#working.add(work);
  }

  /** The frame of the answer, whatever becomes of the call. */
  #call(frame: Frame): Uint8Array | Promise<Uint8Array> {
    const done = (answer: CallAnswer | undefined): Uint8Array => this.#show(frame.id, answer);
    const failed = (reason: unknown): Uint8Array => this.#fail(frame.id, reason);
    try {
      const call = this.#calls.get(frame.kind);
      if (call === undefined) throw new CallError(errnos.ENOSYS, "There is no such call");
      const answer = call(new FieldReader(frame.body), {
        handles: this.#handles,
        signal: this.#ended.signal,
        report: (progress) => this.#send(progress.frame(frame.id, answerKinds.progress, 0)),
      });
      return answer instanceof Promise ? answer.then(done, failed) : done(answer);
    } catch (reason) {
      return failed(reason);
    }
  }
  #show(id: number, answer: CallAnswer | undefined): Uint8Array {
    if (answer === undefined) return new FieldWriter(0).frame(id, answerKinds.done, 0);
    if (isFailure(answer)) return this.#refuse(id, answer);
    return answer.frame(id, answerKinds.done, 0);
  }
  #refuse(id: number, { errno, name }: Failure): Uint8Array {
    return new FieldWriter(64).text(name).frame(id, answerKinds.done, errno);
  }
  #fail(id: number, reason: unknown): Uint8Array {
    const answer = new FieldWriter();
    if (reason instanceof CallError)
      return answer.text(reason.message).frame(id, answerKinds.done, reason.errno);
    if (reason instanceof ProtocolError)
      return answer.text(reason.message).frame(id, answerKinds.done, errnos.EINVAL);
    throw reason;
  }

  #send(bytes: Uint8Array): void {
    if (this.#ended.signal.aborted) return;
    this.#output.push(bytes);
    this.#outputSize += bytes.byteLength;
    if (this.#output.length === 1) this.#flush();
  }
  #flush(): void {
    for (let first = this.#output[0]; first !== undefined; first = this.#output[0]) {
      const rest = this.#outputAt === 0 ? first : first.subarray(this.#outputAt);
      const count = this.#wire.write(rest);
      if (count < rest.byteLength) {
        this.#outputAt += Math.max(0, count);
        return;
      }
      this.#outputAt = 0;
      this.#outputSize -= first.byteLength;
      this.#output.shift();
      this.#room?.();
    }
  }
}
