import {
  type Client,
  Code,
  ConnectError,
  createClient,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { DataService } from "./gen/kiseki/v1/data_pb.ts";
import { DiscoveryService } from "./gen/kiseki/v1/discovery_pb.ts";
import { FileService } from "./gen/kiseki/v1/file_pb.ts";
import { NodeAdminService } from "./gen/kiseki/v1/node_admin_pb.ts";
import { RpcError } from "./rpc-error.ts";

/** An answer may have so many bytes: a page of buckets, a batch of damaged objects. */
const answerSizeMax = 16 * 1024 * 1024;

/** Where a node listens, and what opens its door. */
export type NodeAdminTarget =
  | { readonly kind: "local"; readonly path: string }
  | {
      readonly kind: "tls";
      /** `https://host:port`. */
      readonly endpoint: string;
      /** PEM of the authority, or of the certificate itself; the system's authorities when left out. */
      readonly authority?: string | undefined;
      readonly token?: string | undefined;
      /** PEM, for a listener that asks for a certificate. */
      readonly certificate?: string | undefined;
      readonly certificateKey?: string | undefined;
    };

/** Calls of the service, typed by the messages; what they throw goes through `toRpcError`. */
export type NodeAdminClient = Client<typeof NodeAdminService>;

/** Opens nothing yet: the first call connects. @throws {RpcError} `invalid` for an endpoint that is not https. */
export function openNodeAdminClient(target: NodeAdminTarget): NodeAdminClient {
  return createClient(NodeAdminService, transportTo(target));
}

/** What a native client calls, on one connection. What the calls throw goes through `toRpcError`. */
export interface NativeClient {
  readonly discovery: Client<typeof DiscoveryService>;
  readonly files: Client<typeof FileService>;
  readonly data: Client<typeof DataService>;
}
/** As `openNodeAdminClient`. */
export function openNativeClient(target: NodeAdminTarget): NativeClient {
  const transport = transportTo(target);
  return {
    discovery: createClient(DiscoveryService, transport),
    files: createClient(FileService, transport),
    data: createClient(DataService, transport),
  };
}

function transportTo(target: NodeAdminTarget): Transport {
  if (target.kind === "local") {
    return createConnectTransport({
      baseUrl: "http://localhost",
      httpVersion: "1.1",
      nodeOptions: { socketPath: target.path },
      readMaxBytes: answerSizeMax,
    });
  }
  const { endpoint, authority, token, certificate, certificateKey } = target;
  if (!URL.canParse(endpoint) || new URL(endpoint).protocol !== "https:") {
    throw new RpcError("invalid", `Cannot use ${endpoint} as an endpoint: it is https://host:port`);
  }
  const authorize: Interceptor = (next) => (request) => {
    if (token !== undefined) request.header.set("authorization", `Bearer ${token}`);
    return next(request).catch((reason: unknown) => {
      // A node that does not take a certificate ends the connection without a word on HTTP/2.
      const isCut = ConnectError.from(reason).code === Code.Canceled && !request.signal.aborted;
      if (!isCut) throw reason;
      throw certificate === undefined
        ? new RpcError("unreachable", "The node closed the connection", { cause: reason })
        : new RpcError("unauthenticated", "The node does not take this certificate", {
            cause: reason,
          });
    });
  };
  return createConnectTransport({
    baseUrl: endpoint.replace(/\/+$/, ""),
    httpVersion: "2",
    interceptors: [authorize],
    readMaxBytes: answerSizeMax,
    nodeOptions: {
      ...(authority === undefined ? {} : { ca: authority }),
      ...(certificate === undefined ? {} : { cert: certificate }),
      ...(certificateKey === undefined ? {} : { key: certificateKey }),
    },
  });
}
