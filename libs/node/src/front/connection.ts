import { assert, type Millis, unreachable } from "@kiseki/base";
import {
  continueResponse,
  type HttpFaultCode,
  httpFaultStatus,
  type RequestEvent,
  type RequestHead,
} from "@kiseki/http";
import type { Clock, Metrics } from "@kiseki/ports";
import { type Peer, type Seen, seenThrough } from "./forwarded.ts";
import { InputBuffer } from "./input-buffer.ts";
import { type BodyPort, RequestBody } from "./request-body.ts";
import { needsClose, type ResponseContext, writeResponse } from "./response-writer.ts";
import { type OutputSocket, SocketOutput } from "./socket-output.ts";
import { TransferMeter } from "./transfer-meter.ts";
import { BodyError, type FrontFault, type FrontOptions, type FrontRequest } from "./types.ts";
import type { FrontResponse } from "./types.ts";

/** The socket as a connection sees it; Bun's, or a test's. */
export interface ConnectionSocket extends OutputSocket {
  readonly remoteAddress: string;
  pause(): void;
  resume(): void;
  /** Closes the writing half. */
  shutdown(): void;
  /** Closes once what was written is sent. */
  end(): void;
  /** Closes now. */
  terminate(): void;
}

export interface ConnectionContext extends ResponseContext {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly options: FrontOptions;
  /** No further request is taken once this is true. */
  readonly isStopping: boolean;
  /** Calls `answerNow`, at the latest when what has arrived at other connections was looked at too. */
  answerSoon(connection: Connection, response: FrontResponse): void;
  /** The connection is gone. May be told twice. */
  forget(connection: Connection): void;
}

/**
 * - `idle`: waits for a head. → `request` | `linger` (fault)
 * - `request`: the handler has it, or its answer is on the way. → `idle` | `drain` | `linger` | `closed`
 * - `drain`: answered; the rest of the body is dropped. → `idle` | `linger`
 * - `linger`: our half is closed; what comes is dropped so that the answer is not reset. → `closed`
 * - `closed`: the socket is gone or going.
 */
type Phase = "idle" | "request" | "drain" | "linger" | "closed";

const methodsKnown = new Set(["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"]);

/** One client's connection: requests in, answers out, one at a time, in order. */
export class Connection implements BodyPort {
  readonly #context: ConnectionContext;
  readonly #socket: ConnectionSocket;
  readonly #input: InputBuffer;
  readonly #output: SocketOutput;
  readonly #meter: TransferMeter;
  #phase: Phase = "idle";
  #deadline: number;
  #isHeadBegun = true; // the first head is due from accepting on
  #isPumping = false;
  #isPaused = false;
  /** The client closed its half. */
  #isInputEnded = false;
  #isAnswering = false;
  #wasContinued = false;
  #head: RequestHead | undefined;
  #body: RequestBody | undefined;
  #arrivedAt: Millis;
  /** Asking the socket costs a call of the kernel. */
  #peer: Peer | undefined;
  #abort: AbortController | undefined;

  constructor(context: ConnectionContext, socket: ConnectionSocket) {
    const { limits } = context.options;
    this.#context = context;
    this.#socket = socket;
    this.#input = new InputBuffer(limits.http);
    this.#output = new SocketOutput(socket, () => this.#meter.waitBegan(this.#now));
    this.#meter = new TransferMeter(limits.transferWindow, limits.transferRateMin);
    this.#arrivedAt = context.clock.monotonic();
    this.#deadline = this.#arrivedAt + limits.headTimeout;
  }

  get #now(): Millis {
    return this.#context.clock.monotonic();
  }

  /** Answers at once and closes: there are too many. */
  refuse(): void {
    this.#fault({ code: "overload", status: 503, id: this.#id(), head: undefined });
  }

  // What the socket tells.

  arrived(source: Uint8Array): void {
    if (this.#phase === "linger" || this.#phase === "closed") return;
    this.#input.push(source);
    if (this.#phase === "idle") this.#pump();
    else if (this.#phase === "drain") this.#drain();
    else this.#body?.arrived();
    this.#checkPressure();
  }

  drained(): void {
    this.#output.drained();
    const size = this.#output.takeSizeMoved();
    if (size > 0) this.#meter.moved(size, this.#now);
    if (this.#output.isWaiting) this.#meter.waitBegan(this.#now);
  }

  /** The client closed its half: an answer may still be wanted. */
  inputEnded(): void {
    this.#isInputEnded = true;
    if (this.#phase === "request") this.#body?.fail(new BodyError("aborted"));
    else this.#close();
  }

  closed(): void {
    this.#phase = "closed";
    this.#output.closed();
    this.#body?.fail(new BodyError("aborted"));
    this.#abort?.abort(new BodyError("aborted"));
  }

  // What the front asks.

  /** Sends what the handler answered; if the connection has gone meanwhile, closes it. */
  answerNow(response: FrontResponse): void {
    this.#guard(() => this.#answer(response));
  }

  /** Acts on what is overdue. */
  sweep(now: Millis): void {
    switch (this.#phase) {
      case "idle":
        if (now < this.#deadline) return;
        if (this.#input.isBetweenRequests) return this.#close();
        return this.#fault({ code: "timeout", status: 408, id: this.#id(), head: undefined });
      case "request":
        if (!this.#meter.isTooSlow(now)) return;
        if (this.#body?.isWaiting === true) return this.#body.fail(new BodyError("too_slow"));
        return this.cut();
      case "drain":
        if (this.#meter.isTooSlow(now)) this.cut();
        return;
      case "linger":
      case "closed":
        if (now >= this.#deadline) this.cut();
        return;
      default:
        return unreachable(this.#phase);
    }
  }

  /** Closes if no request is under way; else the answer on the way is the last. */
  retire(): void {
    if (this.#phase === "idle" && this.#input.isBetweenRequests) this.#close();
  }

  cut(): void {
    this.#socket.terminate();
    this.#context.forget(this); // the socket's own word may not come: see the decision note
    this.closed();
  }

  // What the body asks.

  nextEvent(dataSizeMax: number): RequestEvent {
    return this.#input.next(dataSizeMax);
  }

  waitBegan(): void {
    if (this.#phase !== "request") return;
    this.#continueIfAsked();
    this.#checkPressure();
    this.#meter.waitBegan(this.#now);
  }

  took(size: number): void {
    this.#meter.moved(size, this.#now);
    this.#checkPressure();
  }

  #continueIfAsked(): void {
    if (this.#head?.expectsContinue !== true || this.#wasContinued || this.#isAnswering) return;
    this.#wasContinued = true;
    // A few bytes after an answered request always fit; if not, the peer is not reading at all.
    if (this.#socket.write(continueResponse) !== continueResponse.byteLength) this.cut();
  }

  #id(): string {
    return this.#context.options.requestId();
  }

  #checkPressure(): void {
    if (this.#phase === "closed") return;
    const isFull = this.#input.unreadSize > this.#context.options.limits.receiveBufferSizeMax;
    if (isFull === this.#isPaused) return;
    this.#isPaused = isFull;
    if (isFull) this.#socket.pause();
    else this.#socket.resume();
  }

  /** Takes requests while there are whole heads and nobody is being served. */
  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (this.#phase === "idle") {
        if (this.#context.isStopping && this.#input.isBetweenRequests) return this.#close();
        const event = this.#input.next();
        if (event.kind === "head") {
          this.#begin(event.head);
        } else if (event.kind === "fault") {
          this.#refuseHead(event.code);
        } else {
          assert(event.kind === "need_more", "between requests come heads");
          return this.#awaitHead();
        }
      }
    } finally {
      this.#isPumping = false;
      this.#checkPressure();
    }
  }

  #awaitHead(): void {
    if (this.#isInputEnded) return this.#close();
    if (this.#isHeadBegun || this.#input.isBetweenRequests) return;
    this.#isHeadBegun = true;
    this.#deadline = this.#now + this.#context.options.limits.headTimeout;
  }

  #refuseHead(code: HttpFaultCode): void {
    this.#fault({ code, status: httpFaultStatus[code], id: this.#id(), head: undefined });
  }

  #begin(head: RequestHead): void {
    this.#phase = "request";
    this.#head = head;
    this.#wasContinued = false;
    this.#isAnswering = false;
    this.#arrivedAt = this.#now;
    this.#meter.reset();
    const body = new RequestBody(head.body, this);
    this.#body = body;
    if (body.isEnded) {
      assert(this.#input.next().kind === "end", "no body ends at once");
      // botocore takes the next answer for this one's when a final answer came without it.
      this.#continueIfAsked();
    }
    if (this.#isInputEnded) body.fail(new BodyError("aborted"));
    const id = this.#id();
    const request = this.#request(id, head, body);
    let answer: FrontResponse | Promise<FrontResponse>;
    try {
      answer = this.#context.options.handler(request);
    } catch (reason) {
      return this.#fail(id, reason);
    }
    // A bug while an answer is sent cuts the connection: who knows how much of it has left.
    if (!(answer instanceof Promise)) return this.#context.answerSoon(this, answer);
    answer.then(
      (response) => this.#guard(() => this.#answer(response)),
      (reason: unknown) => this.#guard(() => this.#fail(id, reason)),
    );
  }

  #request(id: string, head: RequestHead, body: RequestBody): FrontRequest {
    const { proxies, tls } = this.#context.options;
    this.#peer ??= { address: this.#socket.remoteAddress, isTls: tls !== undefined };
    const seen = seenThrough(proxies, this.#peer, head);
    return new ConnectionRequest(this, { id, body, arrivedAt: this.#arrivedAt }, seen);
  }

  /** Made when asked for: most handlers never do. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#phase === "closed") this.#abort.abort(new BodyError("aborted"));
    return this.#abort.signal;
  }

  #guard(act: () => void): void {
    try {
      act();
    } catch (reason) {
      this.#context.options.onBug(reason);
      this.cut();
    }
  }

  /** The handler rejected: a broken body is the client's, everything else is ours. */
  #fail(id: string, reason: unknown): void {
    const head = this.#head;
    if (!(reason instanceof BodyError)) {
      return this.#fault({ code: "internal", status: 500, id, head, reason });
    }
    if (reason.code === "too_slow") return this.#fault({ code: "timeout", status: 408, id, head });
    if (reason.code === "aborted" || reason.fault === undefined) return this.cut();
    this.#fault({ code: reason.fault, status: httpFaultStatus[reason.fault], id, head });
  }

  #fault(fault: FrontFault): void {
    this.#answer({ ...this.#context.options.renderFault(fault), isLast: true });
  }

  #answer(response: FrontResponse): void {
    if (this.#phase === "closed") {
      if (response.body !== undefined && !(response.body instanceof Uint8Array)) {
        response.body.close();
      }
      return;
    }
    this.#phase = "request";
    this.#isAnswering = true;
    const isLast = response.isLast === true || this.#mustClose(response);
    const sent = writeResponse(this.#context, this.#output, response, this.#head, isLast);
    if (typeof sent === "boolean") return this.#answered(response, sent, isLast);
    sent.then(
      (isSent) => this.#guard(() => this.#answered(response, isSent, isLast)),
      (reason: unknown) => {
        // What a client's going away ended is no bug, whoever waited for what.
        if (!(reason instanceof BodyError)) this.#context.options.onBug(reason);
        this.cut();
      },
    );
  }

  #mustClose(response: FrontResponse): boolean {
    const head = this.#head;
    const body = this.#body;
    if (head === undefined || body === undefined) return true;
    if (!head.keepAlive || this.#context.isStopping || this.#isInputEnded) return true;
    if (needsClose(response, head)) return true;
    if (body.isWaiting) return true;
    if (body.discard()) return false;
    if (body.hasFailed) return true;
    if (head.expectsContinue && !this.#wasContinued) return true;
    return body.size === undefined || body.size - body.sizeTaken > this.#drainSizeMax;
  }

  get #drainSizeMax(): number {
    return this.#context.options.limits.drainSizeMax;
  }

  #answered(response: FrontResponse, isSent: boolean, isLast: boolean): void {
    this.#count(response.status);
    if (this.#phase === "closed") return;
    if (!isSent) return this.cut();
    if (isLast) {
      if (this.#body?.isEnded === true && this.#input.unreadSize === 0) return this.#close();
      return this.#linger();
    }
    this.#phase = "drain";
    this.#meter.reset();
    this.#drain();
  }

  #drain(): void {
    assert(this.#body !== undefined, "a request that was answered has a body");
    if (!this.#body.discard()) {
      if (this.#body.hasFailed) return this.#linger();
      this.#checkPressure();
      return this.#meter.waitBegan(this.#now);
    }
    this.#head = undefined;
    this.#body = undefined;
    this.#abort = undefined;
    this.#phase = "idle";
    this.#isHeadBegun = false;
    this.#deadline = this.#now + this.#context.options.limits.idleTimeout;
    this.#pump();
  }

  #count(status: number): void {
    const method = this.#head?.method ?? "none";
    const labels = { method: methodsKnown.has(method) ? method : "other", status: String(status) };
    const { metrics } = this.#context;
    metrics.add("kiseki_gateway_requests_total", 1, labels);
    metrics.observe("kiseki_gateway_request_duration_seconds", this.#elapsedSeconds(), {
      method: labels.method,
    });
  }

  #elapsedSeconds(): number {
    return (this.#now - this.#arrivedAt) / 1000;
  }

  /** Ends our half; what the client still sends is dropped, so that its kernel does not drop our answer. */
  #linger(): void {
    if (this.#isInputEnded) return this.#close();
    this.#phase = "linger";
    this.#deadline = this.#now + this.#context.options.limits.lingerTimeout;
    this.#socket.shutdown();
    if (this.#isPaused) this.#socket.resume();
    this.#isPaused = false;
  }

  /** Nothing is left to say or to hear. */
  #close(): void {
    // `end` on TLS waits for the client's own close, and nothing can hurry it after that.
    if (this.#context.options.tls !== undefined && !this.#isInputEnded) return this.#linger();
    this.#phase = "closed";
    this.#deadline = this.#now + this.#context.options.limits.lingerTimeout;
    this.#socket.end();
  }
}

/** One request as its handler sees it. */
class ConnectionRequest implements FrontRequest {
  readonly id: string;
  readonly head: RequestHead;
  readonly remoteAddress: string;
  readonly isLoopback: boolean;
  readonly isTls: boolean;
  readonly body: RequestBody;
  readonly arrivedAt: Millis;
  readonly #connection: Connection;

  constructor(
    connection: Connection,
    {
      id,
      body,
      arrivedAt,
    }: { readonly id: string; readonly body: RequestBody; readonly arrivedAt: Millis },
    { head, address, isTls }: Seen,
  ) {
    this.#connection = connection;
    this.id = id;
    this.head = head;
    this.remoteAddress = address;
    this.isLoopback = isLoopback(address);
    this.isTls = isTls;
    this.body = body;
    this.arrivedAt = arrivedAt;
  }
  get signal(): AbortSignal {
    return this.#connection.signal;
  }
}

function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.");
}
