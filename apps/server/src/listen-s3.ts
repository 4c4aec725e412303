import { millis } from "@kiseki/base";
import { systemClock, systemPrng } from "@kiseki/host";
import { httpLimitsDefault } from "@kiseki/http";
import {
  type Front,
  type FrontOptions,
  proxyTrust,
  readPem,
  type ServerSettings,
  serveFront,
  type StorageNode,
} from "@kiseki/node";
import type { Logger, MetricsRegistry } from "@kiseki/telemetry";
import { openListener, s3Listener } from "./open-listener.ts";

async function readTls(settings: ServerSettings): Promise<FrontOptions["tls"]> {
  const { certificate, certificateKey } = settings;
  if (certificate === "") return undefined;
  return { certificate: await readPem(certificate), key: await readPem(certificateKey) };
}

/** Ids of 16 hex digits: a random half that is this start's, and a count. */
function requestIds(): () => string {
  const start = systemPrng.fill(new Uint8Array(4)).toHex().toUpperCase();
  const byteTexts = Array.from({ length: 256 }, (_, byte) =>
    byte.toString(16).toUpperCase().padStart(2, "0"),
  );
  let count = systemPrng.below(2 ** 32);
  return () => {
    count = (count + 1) % 2 ** 32;
    const text = (shift: number): string => byteTexts[(count >>> shift) & 255]!;
    return start + text(24) + text(16) + text(8) + text(0);
  };
}

/** Opens the S3 listener; settings are checked. */
export async function listenS3(
  node: StorageNode,
  settings: ServerSettings,
  metrics: MetricsRegistry,
  log: Logger,
): Promise<Front> {
  const { host, port } = settings.s3Address;
  const tls = await readTls(settings);
  const options: FrontOptions = {
    hostname: host,
    port,
    tls,
    reusePort: false,
    proxies: proxyTrust(settings.trustedProxies, settings.proxyHeader),
    limits: {
      http: httpLimitsDefault,
      connectionCountMax: settings.connectionsMax,
      headTimeout: millis(10_000),
      idleTimeout: millis(75_000),
      transferWindow: millis(20_000),
      transferRateMin: 4096,
      receiveBufferSizeMax: 512 * 1024,
      drainSizeMax: 1024 * 1024,
      lingerTimeout: millis(2000),
    },
    serverName: "Kiseki",
    requestId: requestIds(),
    handler: (request) => node.gateway.handle(request),
    renderFault: (fault) => node.gateway.renderFault(fault),
    onBug: (reason) => log.error({ error: String(reason) }, "a bug in the front"),
  };
  return openListener(s3Listener, settings.s3Address, () =>
    serveFront(systemClock, metrics, options),
  );
}
