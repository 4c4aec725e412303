import { systemClock, systemPrng } from "@kiseki/host";
import { advisoryBackend, type ServerSettings, type StorageNode } from "@kiseki/node";
import { type RpcServer, serveAdvisory, type TlsListener } from "@kiseki/rpc";
import type { Logger } from "@kiseki/telemetry";
import { advisoryListener, openListener } from "./open-listener.ts";

/**
 * Opens the listener of the advisory service, behind the door of the RPC listener. Where it cannot be, the node serves without it:
 * nothing of the data path needs it.
 */
export async function listenAdvisory(
  node: StorageNode,
  settings: ServerSettings,
  door: Omit<TlsListener, "host" | "port">,
  log: Logger,
): Promise<RpcServer | undefined> {
  const { host, port } = settings.advisoryAddress;
  const backend = advisoryBackend({
    clock: systemClock,
    prng: systemPrng,
    catalog: node.storage.catalog,
    defaultTenant: node.defaultTenant,
    workflows: node.workflows,
    poolLabels: node.storage.chunkStore.pools().map(({ name }) => name),
  });
  const options = {
    onInternal: (method: string, reason: unknown): void => {
      const error = reason instanceof Error ? `${reason.name}: ${reason.message}` : "unknown";
      log.error({ method, error }, "an advisory call failed");
    },
    onCall: (rpc: string, outcome: string): void => {
      node.ports.metrics.add("kiseki_advisory_calls_total", 1, { rpc, outcome });
    },
  };
  try {
    return await openListener(advisoryListener, settings.advisoryAddress, () =>
      serveAdvisory(backend, { ...door, host, port }, options),
    );
  } catch (reason) {
    const error = reason instanceof Error ? reason.message : "unknown";
    log.warn({ error }, "no advisory service");
    return undefined;
  }
}
