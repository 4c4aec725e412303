import { assert, concatBytes, newBytes } from "@kiseki/base";
import {
  type BulkAnswer,
  type BulkRequest,
  bulkAnswerSize,
  decodeBulkAnswer,
  encodeBulkRequest,
} from "@kiseki/format";
import type { Clock, Crypto } from "@kiseki/ports";
import { type BulkAddress, type BulkReceiver, type BulkSocket, connectBulk } from "./connect.ts";

/** A connection on which requests are under way and no byte moves for so long is given up. */
const silenceMaxMs = 15_000;
const watchEveryMs = 250;

export interface BulkPorts {
  readonly clock: Clock;
  readonly crypto: Crypto;
}

/** What a request comes to: an answer of the node, or none. */
export type BulkReply = BulkAnswer | "connection_lost";

export interface BulkExchange {
  readonly request: BulkRequest;
  /** Borrowed until the reply. */
  readonly payload: Uint8Array | undefined;
  /** The answer's payload is put here, and the answer says how much; a larger one ends the connection. Borrowed until the reply. */
  readonly sink: Uint8Array;
  /** On the monotonic clock. */
  readonly deadline: number;
}

interface Pending extends BulkExchange {
  readonly settle: (reply: BulkReply) => void;
}
/** The answer whose payload is coming; `pending` absent: nobody waits for it any more. */
interface Coming {
  readonly answer: BulkAnswer;
  readonly pending: Pending | undefined;
  size: number;
}

/** One connection to a node's bulk port; requests go out in order and come back in any. */
export class BulkConnection implements BulkReceiver {
  readonly #ports: BulkPorts;
  readonly #socket: BulkSocket;
  readonly #onClosed: (closed: BulkConnection) => void;
  readonly #pending = new Map<number, Pending>();
  /** Requests that were given up; their answers are on the way. */
  readonly #abandoned = new Set<number>();
  readonly #output: { readonly requestIds: readonly number[]; rest: Uint8Array }[] = [];
  /** Requests of this turn that are headers alone: they go out together. */
  readonly #gathered: { readonly requestId: number; readonly header: Uint8Array }[] = [];
  readonly #header = newBytes(bulkAnswerSize);
  #headerSize = 0;
  #coming: Coming | undefined;
  #movedAt: number;
  #isClosed = false;
  #watch: ReturnType<typeof setInterval> | undefined;

  private constructor(
    ports: BulkPorts,
    socket: BulkSocket,
    onClosed: (closed: BulkConnection) => void,
  ) {
    this.#ports = ports;
    this.#socket = socket;
    this.#onClosed = onClosed;
    this.#movedAt = ports.clock.monotonic();
  }

  /** `undefined`: as `connectBulk`. */
  static async open(
    ports: BulkPorts,
    target: BulkAddress,
    onClosed: (closed: BulkConnection) => void,
  ): Promise<BulkConnection | undefined> {
    let connection: BulkConnection | undefined;
    await connectBulk(target, (socket) => {
      connection = new BulkConnection(ports, socket, onClosed);
      return connection;
    });
    return connection;
  }

  get pendingCount(): number {
    return this.#pending.size + this.#abandoned.size;
  }
  get isClosed(): boolean {
    return this.#isClosed;
  }

  exchange(exchange: BulkExchange): Promise<BulkReply> {
    if (this.#isClosed) return Promise.resolve("connection_lost");
    const { request, payload } = exchange;
    const { requestId } = request;
    assert(!this.#pending.has(requestId), "an id is not under way twice");
    const { promise, resolve } = Promise.withResolvers<BulkReply>();
    const { crypto, clock } = this.#ports;
    if (this.#pending.size === 0) this.#movedAt = clock.monotonic();
    this.#pending.set(requestId, { ...exchange, settle: resolve });
    this.#watch ??= setInterval(() => this.#check(), watchEveryMs);
    const header = encodeBulkRequest(request, (source) => crypto.crc32c(0, source));
    if (payload === undefined) {
      if (this.#gathered.length === 0) queueMicrotask(() => this.#flushGathered());
      this.#gathered.push({ requestId, header });
      return promise;
    }
    this.#queueGathered();
    const requestIds = [requestId];
    this.#output.push({ requestIds, rest: header }, { requestIds, rest: payload });
    this.flush();
    return promise;
  }

  #flushGathered(): void {
    this.#queueGathered();
    this.flush();
  }
  #queueGathered(): void {
    const gathered = this.#gathered.splice(0);
    if (gathered.length === 0 || this.#isClosed) return;
    const rest = concatBytes(...gathered.map(({ header }) => header));
    this.#output.push({ requestIds: gathered.map(({ requestId }) => requestId), rest });
  }

  flush(): void {
    for (;;) {
      const [part] = this.#output;
      if (part === undefined || this.#isClosed) return;
      const size = this.#socket.write(part.rest);
      if (size < 0) return this.close();
      if (size > 0) this.#movedAt = this.#ports.clock.monotonic();
      part.rest = part.rest.subarray(size);
      if (part.rest.byteLength > 0) return;
      void this.#output.shift();
    }
  }

  received(bytes: Uint8Array): void {
    this.#movedAt = this.#ports.clock.monotonic();
    let rest = bytes;
    while (rest.byteLength > 0 && !this.#isClosed) {
      const coming = this.#coming;
      const taken = coming === undefined ? this.#takeHeader(rest) : this.#takePayload(coming, rest);
      if (taken === undefined) return this.close();
      rest = rest.subarray(taken);
    }
  }

  /** How many bytes of `source` belong to a header; `undefined`: what comes cannot be understood. */
  #takeHeader(source: Uint8Array): number | undefined {
    const part = source.subarray(0, bulkAnswerSize - this.#headerSize);
    this.#header.set(part, this.#headerSize);
    this.#headerSize += part.byteLength;
    if (this.#headerSize < bulkAnswerSize) return part.byteLength;
    this.#headerSize = 0;
    const { crypto } = this.#ports;
    const answer = decodeBulkAnswer(this.#header, (bytes) => crypto.crc32c(0, bytes));
    if (answer === undefined) return undefined;
    const pending = this.#pending.get(answer.requestId);
    const isExpected = pending
      ? answer.kind === pending.request.kind && answer.payloadSize <= pending.sink.byteLength
      : this.#abandoned.has(answer.requestId);
    if (!isExpected || (answer.status !== "ok" && answer.payloadSize > 0)) return undefined;
    const coming = { answer, pending, size: 0 };
    if (answer.payloadSize === 0) this.#finish(coming);
    else this.#coming = coming;
    return part.byteLength;
  }

  #takePayload(coming: Coming, source: Uint8Array): number {
    const { answer, pending } = coming;
    const part = source.subarray(0, answer.payloadSize - coming.size);
    // Who was told that the connection is lost has its memory back.
    if (pending && this.#pending.get(answer.requestId) === pending)
      pending.sink.set(part, coming.size);
    coming.size += part.byteLength;
    if (coming.size === answer.payloadSize) this.#finish(coming);
    return part.byteLength;
  }

  #finish({ answer, pending }: Coming): void {
    this.#coming = undefined;
    this.#abandoned.delete(answer.requestId);
    if (pending && this.#pending.get(answer.requestId) === pending) this.#settle(pending, answer);
    this.#restWatch();
  }
  #settle(pending: Pending, reply: BulkReply): void {
    this.#pending.delete(pending.request.requestId);
    pending.settle(reply);
  }
  #restWatch(): void {
    if (this.pendingCount > 0) return;
    clearInterval(this.#watch);
    this.#watch = undefined;
  }

  #check(): void {
    const now = this.#ports.clock.monotonic();
    if (now - this.#movedAt >= silenceMaxMs) return this.close();
    for (const pending of this.#pending.values()) {
      if (now < pending.deadline) continue;
      const { requestId } = pending.request;
      // Bytes that the kernel has in part cannot be taken back.
      if (this.#output.some(({ requestIds }) => requestIds.includes(requestId)))
        return this.close();
      this.#abandoned.add(requestId);
      this.#settle(pending, "connection_lost");
    }
  }

  /** All that is under way is lost. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#output.length = 0;
    this.#gathered.length = 0;
    this.#abandoned.clear();
    const lost = [...this.#pending.values()];
    this.#pending.clear();
    this.#restWatch();
    this.#socket.terminate();
    for (const { settle } of lost) settle("connection_lost");
    this.#onClosed(this);
  }
}
