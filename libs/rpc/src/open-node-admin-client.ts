import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { WorkflowAdvisoryService } from "./gen/kiseki/v1/advisory_pb.ts";
import { DataService } from "./gen/kiseki/v1/data_pb.ts";
import { DiscoveryService } from "./gen/kiseki/v1/discovery_pb.ts";
import { FileService } from "./gen/kiseki/v1/file_pb.ts";
import { NodeAdminService } from "./gen/kiseki/v1/node_admin_pb.ts";
import { fetchTransport } from "./fetch-transport.ts";
import { answerSizeMax, type TlsTarget, tlsTransport } from "./tls-transport.ts";

/** Where a node listens, and what opens its door. */
export type NodeAdminTarget =
  { readonly kind: "local"; readonly path: string } | ({ readonly kind: "tls" } & TlsTarget);

/** Calls of the service, typed by the messages; what they throw goes through `toRpcError`. */
export type NodeAdminClient = Client<typeof NodeAdminService>;

/** Opens nothing yet: the first call connects. @throws {RpcError} `invalid` for an endpoint that is not https. */
export function openNodeAdminClient(target: NodeAdminTarget): NodeAdminClient {
  return createClient(NodeAdminService, transportTo(target));
}

/** What a native client calls. What the calls throw goes through `toRpcError`. */
export interface NativeClient {
  readonly discovery: Client<typeof DiscoveryService>;
  readonly files: Client<typeof FileService>;
  readonly data: Client<typeof DataService>;
  /** Ends the streams; the next one connects anew. */
  reset(): void;
}
/** As `openNodeAdminClient`; connections are kept. */
export function openNativeClient(target: TlsTarget): NativeClient {
  const { transport: streams, connection } = tlsTransport(target, true);
  const transport = fetchTransport(target, streams);
  return {
    discovery: createClient(DiscoveryService, transport),
    files: createClient(FileService, transport),
    data: createClient(DataService, transport),
    reset: () => connection.abort(),
  };
}

/** Calls of the advisory service; what they throw goes through `advisoryCodeOf`. */
export type AdvisoryClient = Client<typeof WorkflowAdvisoryService> & Disposable;
/** Disposing closes its connection. */
export function openAdvisoryClient(target: TlsTarget): AdvisoryClient {
  const { transport, connection } = tlsTransport(target, true);
  const client = createClient(WorkflowAdvisoryService, transport);
  return { ...client, [Symbol.dispose]: () => connection.abort() };
}

function transportTo(target: NodeAdminTarget): Transport {
  if (target.kind === "tls") return tlsTransport(target, false).transport;
  return createConnectTransport({
    baseUrl: "http://localhost",
    httpVersion: "1.1",
    nodeOptions: { socketPath: target.path },
    readMaxBytes: answerSizeMax,
  });
}
