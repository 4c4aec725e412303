import type { NativeBackend } from "@kiseki/rpc";
import { fileService } from "./file-service.ts";
import { dataService } from "./key-leases.ts";
import { Native, type NativeOptions, nativeProtocol } from "./native.ts";
import { type BulkOptions, type BulkServer, serveBulk } from "./serve-bulk.ts";

/** How long discovery's answer may be used. */
const discoveryTtlMs = 60_000;

/** What discovery tells of this node. */
export interface DiscoverySettings {
  /** `https://host:port` of this node's RPC, as clients reach it. */
  readonly endpoint: string;
  readonly s3Endpoint: string;
  /** Empty: there is none. */
  readonly advisoryEndpoint: string;
  readonly needsCertificate: boolean;
}
export interface OpenNativeOptions extends NativeOptions {
  readonly discovery: (host: string) => DiscoverySettings;
}
/** A node's side of the native client protocol. */
export interface NativeService extends AsyncDisposable {
  readonly backend: NativeBackend;
  /** @throws when the address cannot be listened on. */
  serveBulk(options: BulkOptions): BulkServer;
}

/** Opens what native clients are served with; the listeners are the caller's to open and to close before this. */
export function openNative(options: OpenNativeOptions): NativeService {
  const native = new Native(options);
  const { discovery, endpoints, node } = options;
  return {
    backend: {
      discovery: {
        discover: async (_request, { host }) => {
          const { endpoint, s3Endpoint, advisoryEndpoint, needsCertificate } = discovery(host);
          const { bulk, isBulkTls } = endpoints(host);
          return {
            shards: [{ endpoint, bulkEndpoint: bulk, isBulkTls }],
            views: [{ protocol: "native", endpoint }],
            gateways: [
              {
                protocol: "s3",
                transport: s3Endpoint.startsWith("https:") ? "tls" : "tcp",
                endpoint: s3Endpoint,
              },
            ],
            authentication: { needsCertificate, takesToken: !needsCertificate },
            ttlMs: discoveryTtlMs,
            clusterId: node.storage.clusterId,
            protocol: nativeProtocol,
            advisoryEndpoint,
          };
        },
      },
      files: fileService(native),
      data: dataService(native),
    },
    serveBulk: (bulk) => serveBulk(native, bulk),
    [Symbol.asyncDispose]: () => native[Symbol.asyncDispose](),
  };
}
