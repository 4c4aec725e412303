import type { AwsLc } from "@kiseki/aws-lc";
import { systemClock, systemPrng } from "@kiseki/host";
import { openAdminBackend, readPem, type ServerSettings, type StorageNode } from "@kiseki/node";
import {
  type NativeBackend,
  RpcError,
  type RpcListener,
  type RpcServer,
  serveNodeAdmin,
  type TlsListener,
} from "@kiseki/rpc";
import type { Logger } from "@kiseki/telemetry";
import { adminSocketName } from "./cli/connection.ts";
import { openListener, rpcListener } from "./open-listener.ts";
import { ensureCertificate } from "./rpc-certificate.ts";
import { version } from "./version.ts";

/** The TLS listener: on loopback a token opens it, beyond it a certificate of `--ca-path`. */
export async function planTls(node: StorageNode, settings: ServerSettings): Promise<TlsListener> {
  const { host, port } = settings.dataAddress;
  const { certificate, certificateKey, clientAuthority } = settings;
  const { config } = node.storage;
  const own = certificate !== "";
  if (clientAuthority !== "") {
    const pair = own
      ? { certificate: await readPem(certificate), certificateKey: await readPem(certificateKey) }
      : await ensureCertificate(config, systemClock.realtime());
    const authority = await readPem(clientAuthority);
    return { kind: "tls", host, port, ...pair, door: { kind: "certificate", authority } };
  }
  const token = await config.ensureToken(systemPrng);
  const pair = await ensureCertificate(config, systemClock.realtime());
  return { kind: "tls", host, port, ...pair, door: { kind: "token", token } };
}

/**
 * Opens the listeners of administration and native clients: the socket in the config directory, whose path may be too long for
 * one, and TLS on `--data-addr`; settings are checked.
 */
export async function listenRpc(
  node: StorageNode,
  crypto: AwsLc,
  settings: ServerSettings,
  s3Port: number,
  log: Logger,
  native: NativeBackend,
  tls: TlsListener,
): Promise<RpcServer> {
  const s3Certificate =
    settings.certificate === "" ? undefined : await readPem(settings.certificate);
  const { host } = settings.s3Address;
  const backend = openAdminBackend({
    node,
    settings,
    crypto,
    clock: systemClock,
    prng: systemPrng,
    version,
    s3Endpoint: `${s3Certificate ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${s3Port}`,
    certificates: [
      { listener: "RPC", pem: tls.certificate },
      ...(s3Certificate === undefined ? [] : [{ listener: "S3", pem: s3Certificate }]),
    ],
  });
  const onInternal = (method: string, reason: unknown): void => {
    const { name, message, stack } =
      reason instanceof Error ? reason : { name: "unknown", message: "", stack: undefined };
    log.error({ method, error: `${name}: ${message}`, stack }, "an administration call failed");
  };
  const onCall = (rpc: string, outcome: string, service: string): void => {
    const isAdmin = service === "NodeAdminService";
    const name = isAdmin ? "kiseki_storage_admin_calls_total" : "kiseki_native_calls_total";
    node.ports.metrics.add(name, 1, { rpc, outcome });
  };
  const onWorkflow = node.workflows.noteCall.bind(node.workflows);
  const serve = (listeners: readonly RpcListener[]): Promise<RpcServer> =>
    openListener(rpcListener, settings.dataAddress, () =>
      serveNodeAdmin(backend, { listeners, onInternal, onCall, native, onWorkflow }),
    );
  const local: RpcListener = { kind: "local", path: node.storage.config.file(adminSocketName) };
  try {
    return await serve([local, tls]);
  } catch (reason) {
    if (!(reason instanceof RpcError && reason.code === "invalid")) throw reason;
    log.warn({ error: reason.message }, "no local socket: use --endpoint");
    return await serve([tls]);
  }
}
