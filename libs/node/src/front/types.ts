import type {
  HeaderBlock,
  HttpFaultCode,
  HttpHeader,
  HttpLimits,
  RequestHead,
  ResponseHeader,
} from "@kiseki/http";
import type { Millis } from "@kiseki/base";
import type { ProxyTrust } from "./forwarded.ts";

export type BodyErrorCode =
  /** The client went away, or the front was stopped by force. */
  | "aborted"
  /** Slower than `bodyRateMin` for `bodyStallMax`. */
  | "too_slow"
  /** Framing is broken; `fault` says how. */
  | "malformed";

/** What reading a body can end in. The connection closes after the handler's answer. */
export class BodyError extends Error {
  override readonly name = "BodyError";
  readonly code: BodyErrorCode;
  /** Only with `malformed`. */
  readonly fault: HttpFaultCode | undefined;
  constructor(code: BodyErrorCode, fault?: HttpFaultCode) {
    super(`Cannot read the body: ${code}${fault === undefined ? "" : ` (${fault})`}`);
    this.code = code;
    this.fault = fault;
  }
}

/** A request's body, framing taken off. One read at a time; the first read asks for `100 Continue`. */
export interface BodySource {
  /** Bytes to come in all, if the head said so (0 for none); `undefined` for chunked. */
  readonly size: number | undefined;
  /**
   * Copies what is here, at least 1 byte, from the socket's buffer to the start of `target`; waits
   * if nothing is. `target` is borrowed until it settles and is not empty. 0 at the end.
   * @throws {BodyError}
   */
  readInto(target: Uint8Array): Promise<number>;
  /**
   * A view of the socket's buffer, 1 to `sizeMax` bytes, good until the next read; `undefined` at
   * the end. For decoders; `readInto` for everyone else.
   * @throws {BodyError}
   */
  readSlice(sizeMax: number): Promise<Uint8Array | undefined>;
  /** Trailers of a chunked body, once its end was read. */
  readonly trailers: readonly HttpHeader[];
}

export interface FrontRequest {
  /** From `requestId`; belongs into the answer and the log. */
  readonly id: string;
  /** Its Host is the one that the client wrote, where a trusted proxy says so. */
  readonly head: RequestHead;
  /** The client's, as far as trusted proxies can be believed; IPv4 is never written as IPv6. */
  readonly remoteAddress: string;
  /** The client is on this machine. */
  readonly isLoopback: boolean;
  /** Between the client and the first trusted proxy, or this node. */
  readonly isTls: boolean;
  readonly body: BodySource;
  /** When the head was whole, by `Clock.monotonic`. */
  readonly arrivedAt: Millis;
  /** Fires when the client is gone: what is done for it may stop. */
  readonly signal: AbortSignal;
}

/** A body that is pulled. `close` is called exactly once, whatever happens. */
export interface BodyStream {
  /** Bytes in all: sent as Content-Length, and kept to. `undefined`: chunked. */
  readonly size: number | undefined;
  /**
   * The next bytes (1 or more), or `undefined` at the end. The view must stay as it is until the
   * following call of `next` or `close`. A rejection cuts the connection: the client sees a short body.
   */
  next(): Promise<Uint8Array | undefined> | Uint8Array | undefined;
  /** As `next`, of what is here already; `undefined`: ask `next`. */
  nextNow?(): Uint8Array | undefined;
  close(): void;
}

export interface FrontResponse {
  readonly status: number;
  /** Without Content-Length, Transfer-Encoding, Connection and Date, which the front adds. */
  readonly headers: readonly ResponseHeader[];
  /** Further ones, which other answers have too; without those that the front adds. */
  readonly shared?: HeaderBlock | undefined;
  /** `undefined`: empty. For HEAD, 204 and 304 only its size is used. Bytes are borrowed until sent. */
  readonly body?: Uint8Array | BodyStream | undefined;
  /** Content-Length of an answer to HEAD that carries no `body`. */
  readonly size?: number | undefined;
  /** Close the connection after this answer. */
  readonly isLast?: boolean;
}

/** What the front answers by itself, for `renderFault` to dress. */
export interface FrontFault {
  /** `timeout`: head or body too slow; `overload`: too many connections; `internal`: the handler threw. */
  readonly code: HttpFaultCode | "timeout" | "overload" | "internal";
  readonly status: number;
  readonly id: string;
  /** If it got that far. */
  readonly head: RequestHead | undefined;
  /** For the log only, never for the client. */
  readonly reason?: unknown;
}

export interface FrontLimits {
  readonly http: HttpLimits;
  readonly connectionCountMax: number;
  /** From the first byte of a request, or from accepting, to its whole head. */
  readonly headTimeout: Millis;
  /** Between requests on one connection. */
  readonly idleTimeout: Millis;
  /** A body, in either direction, that moves fewer bytes than `transferRateMin` × this in a window of this length is cut. */
  readonly transferWindow: Millis;
  /** Bytes per second. */
  readonly transferRateMin: number;
  /** Bytes kept per connection, unread, before the socket is paused; one arrival (≤ 512 KiB) may come on top. */
  readonly receiveBufferSizeMax: number;
  /** What is left of a refused body is read and dropped up to this size, to keep the connection. */
  readonly drainSizeMax: number;
  /** How long, after the last answer, a client may go on sending before it is cut off. */
  readonly lingerTimeout: Millis;
}

export interface FrontTls {
  /** PEM, whole chain. */
  readonly certificate: string;
  /** PEM. */
  readonly key: string;
}

export interface FrontOptions {
  readonly hostname: string;
  /** 0: any free one. */
  readonly port: number;
  readonly tls: FrontTls | undefined;
  /** Several Workers or processes on one port. */
  readonly reusePort: boolean;
  /** Peers whose word on the client is taken; absent: nobody's is. */
  readonly proxies?: ProxyTrust | undefined;
  readonly limits: FrontLimits;
  /** Value of the `Server` header, or none. */
  readonly serverName: string | undefined;
  /** A fresh id per request. */
  readonly requestId: () => string;
  /** Never rejects by intent: a rejection becomes `internal`. */
  readonly handler: (request: FrontRequest) => Promise<FrontResponse> | FrontResponse;
  /** Must not throw. Its answer is sent with `isLast`. */
  readonly renderFault: (fault: FrontFault) => FrontResponse;
  /** A bug of the front or of a callback; the connection is gone already. */
  readonly onBug: (reason: unknown) => void;
}

export interface Front {
  readonly port: number;
  /** Open now. */
  readonly connectionCount: number;
  /**
   * Accepts no more, closes idle connections, lets requests in flight finish, and resolves when all
   * are closed. `signal` aborting cuts what is left.
   */
  stop(signal?: AbortSignal): Promise<void>;
}
