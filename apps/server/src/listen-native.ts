import {
  type NativeService,
  openNative,
  readPem,
  type ServerSettings,
  type StorageNode,
} from "@kiseki/node";
import type { Logger } from "@kiseki/telemetry";
import { bulkListener, openListener } from "./open-listener.ts";

/** Ports that the listeners of this start have. */
export interface NativePorts {
  rpc: number;
  s3: number;
  bulk: number;
  /** `undefined`: there is no advisory service. */
  advisory: number | undefined;
}
export interface NativeListener extends AsyncDisposable {
  readonly backend: NativeService["backend"];
}

type Address = ServerSettings["dataAddress"];
const wildcards = new Set(["0.0.0.0", "::"]);
/** How a client that reached us as `asked` reaches a listener: where the configuration says, if it does. */
function hostPort(told: Address | "", listener: Address, openPort: number, asked: string): string {
  const { host, port } = told === "" ? { ...listener, port: openPort } : told;
  const name = told === "" && wildcards.has(host) && asked !== "" ? asked : host;
  return `${name.includes(":") && !name.startsWith("[") ? `[${name}]` : name}:${port}`;
}

/**
 * Opens the node's side of native clients: the listener for bulk frames, in TLS where clients show certificates, and the
 * services that the RPC listener is to serve. `ports` is filled as listeners open.
 */
export async function listenNative(
  node: StorageNode,
  settings: ServerSettings,
  ports: NativePorts,
  log: Logger,
): Promise<NativeListener> {
  const { certificate, certificateKey, clientAuthority, bulkAddress } = settings;
  const needsCertificate = clientAuthority !== "";
  const isBulkTls = needsCertificate && certificate !== "";
  const s3Scheme = certificate === "" ? "http" : "https";
  await using building = new AsyncDisposableStack();
  const service = building.use(
    openNative({
      node,
      log,
      endpoints: (host) => ({
        bulk: hostPort(settings.advertiseBulk, bulkAddress, ports.bulk, host),
        isBulkTls,
      }),
      discovery: (host) => ({
        endpoint: `https://${hostPort(settings.advertiseData, settings.dataAddress, ports.rpc, host)}`,
        s3Endpoint: `${s3Scheme}://${hostPort(settings.advertiseS3, settings.s3Address, ports.s3, host)}`,
        advisoryEndpoint:
          ports.advisory === undefined
            ? ""
            : `https://${hostPort("", settings.advisoryAddress, ports.advisory, host)}`,
        needsCertificate,
      }),
    }),
  );
  const tls = isBulkTls
    ? {
        certificate: await readPem(certificate),
        key: await readPem(certificateKey),
        authority: await readPem(clientAuthority),
      }
    : undefined;
  const { host: hostname, port } = bulkAddress;
  const bulk = building.use(
    await openListener(bulkListener, bulkAddress, () =>
      service.serveBulk({ hostname, port, tls, connectionsMax: settings.bulkConnectionsMax }),
    ),
  );
  ports.bulk = bulk.port;
  const owned = building.move();
  return { backend: service.backend, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
