import { Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { RpcError } from "./rpc-error.ts";

/** An answer may have so many bytes: a page of a listing, a batch of damaged objects. */
export const answerSizeMax = 16 * 1024 * 1024;

/** A node over TCP, and what opens its door. */
export interface TlsTarget {
  /** `https://host:port`. */
  readonly endpoint: string;
  /** Whom the node's certificate must name, where that is not the endpoint's host. */
  readonly serverName?: string | undefined;
  /** PEM of the authority, or of the certificate itself; the system's authorities when left out. */
  readonly authority?: string | undefined;
  readonly token?: string | undefined;
  /** PEM, for a listener that asks for a certificate. */
  readonly certificate?: string | undefined;
  readonly certificateKey?: string | undefined;
  /** To which workflow unary calls belong, in hex. */
  readonly workflow?: (() => string | undefined) | undefined;
}

/**
 * The manager arms its timers once more when streams end after an abort, and then pings or closes what is destroyed: an
 * error that nobody can catch. So there are none: a timeout beyond what a timer can count is never set.
 */
const kept = { idleConnectionTimeoutMs: 2 ** 31 };

function authorize({ token, certificate }: TlsTarget): Interceptor {
  let isTaken = certificate === undefined;
  return (next) => async (request) => {
    if (token !== undefined) request.header.set("authorization", `Bearer ${token}`);
    try {
      const answer = await next(request);
      isTaken = true;
      return answer;
    } catch (reason) {
      // A node that does not take a certificate ends the connection without a word on HTTP/2.
      const isCut = ConnectError.from(reason).code === Code.Canceled && !request.signal.aborted;
      if (!isCut) throw reason;
      throw isTaken
        ? new RpcError("unreachable", "The node closed the connection", { cause: reason })
        : new RpcError("unauthenticated", "The node does not take this certificate", {
            cause: reason,
          });
    }
  };
}

/**
 * One HTTP/2 connection over TLS, made at the first call. `isKept`: until it is aborted; whether it lives is for its
 * callers to find out.
 * @throws {RpcError} `invalid` for an endpoint that is not https.
 */
export function tlsTransport(
  target: TlsTarget,
  isKept: boolean,
): { readonly transport: Transport; readonly connection: Http2SessionManager } {
  const { endpoint, serverName, authority, certificate, certificateKey } = target;
  if (!URL.canParse(endpoint) || new URL(endpoint).protocol !== "https:") {
    throw new RpcError("invalid", `Cannot use ${endpoint} as an endpoint: it is https://host:port`);
  }
  const baseUrl = endpoint.replace(/\/+$/, "");
  const connection = new Http2SessionManager(baseUrl, isKept ? kept : undefined, {
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(authority === undefined ? {} : { ca: authority }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(certificateKey === undefined ? {} : { key: certificateKey }),
  });
  const transport = createConnectTransport({
    baseUrl,
    httpVersion: "2",
    interceptors: [authorize(target)],
    readMaxBytes: answerSizeMax,
    acceptCompression: [],
    sessionManager: connection,
  });
  return { transport, connection };
}
