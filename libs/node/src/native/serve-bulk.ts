import { millis } from "@kiseki/base";
import type { PeerCertificate } from "node:tls";
import { toHex } from "@kiseki/base";
import { peerOfCertificate } from "@kiseki/rpc";
import { BulkConnection } from "./bulk-connection.ts";
import type { Native } from "./native.ts";
import { tenantOfPeer } from "./identity.ts";

export interface BulkOptions {
  readonly hostname: string;
  /** 0: the system chooses. */
  readonly port: number;
  /** PEM; without it frames go in plain TCP. */
  readonly tls?:
    | {
        readonly certificate: string;
        readonly key: string;
        /** Whoever connects shows a tenant's certificate that it has signed. */
        readonly authority?: string | undefined;
      }
    | undefined;
  readonly connectionsMax: number;
}
export interface BulkServer extends AsyncDisposable {
  readonly port: number;
}

/** A connection on which nothing happens for so long is closed, and one that stops within a frame earlier. */
const idleMs = 300_000;
const stallMs = 20_000;
const sweepInterval = millis(1000);

type Data = { connection: BulkConnection | undefined };

/** Listens for bulk frames until it is disposed of. @throws when the address cannot be listened on. */
export function serveBulk(native: Native, options: BulkOptions): BulkServer {
  const connections = new Set<BulkConnection>();
  const { tls } = options;
  const asksForCertificate = tls?.authority !== undefined;
  const note = (): void =>
    native.ports.metrics.set("kiseki_transport_connections_active", connections.size);
  const accept = (socket: Bun.Socket<Data>): void => {
    const certified = asksForCertificate ? certifiedTenant(native, socket) : undefined;
    const isFull = connections.size >= options.connectionsMax;
    if (isFull || (asksForCertificate && certified === undefined)) {
      socket.terminate();
      return;
    }
    const connection = new BulkConnection(native, socket, certified);
    socket.data = { connection };
    connections.add(connection);
    note();
  };
  const listener = Bun.listen<Data>({
    hostname: options.hostname,
    port: options.port,
    ...(tls === undefined ? {} : { tls: tlsOf(tls) }),
    socket: {
      open(socket) {
        socket.data = { connection: undefined };
        socket.setNoDelay(true);
        if (tls === undefined) accept(socket);
      },
      handshake(socket, isDone) {
        if (!isDone || (asksForCertificate && socket.authorized !== true)) socket.terminate();
        else accept(socket);
      },
      data(socket, source) {
        socket.data.connection?.arrived(source);
      },
      drain(socket) {
        socket.data.connection?.drained();
      },
      close(socket) {
        const { connection } = socket.data;
        if (connection === undefined) return;
        connections.delete(connection);
        note();
        connection.closed();
      },
      error(socket) {
        socket.terminate();
      },
    },
  });
  const stopping = new AbortController();
  const sweeping = sweep(native, connections, stopping.signal);
  return {
    port: listener.port,
    async [Symbol.asyncDispose]() {
      stopping.abort();
      listener.stop(true);
      for (const connection of connections) connection.cut();
      await sweeping;
    },
  };
}

function tlsOf({ certificate: cert, key, authority: ca }: NonNullable<BulkOptions["tls"]>) {
  const asking = ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true };
  return { cert, key, ...asking };
}

/** The tenant of the client's certificate, in hex; undefined: none of ours. */
function certifiedTenant(native: Native, socket: Bun.Socket<Data>): string | undefined {
  const { storage, defaultTenant } = native.node;
  try {
    const peer = peerOfCertificate(socket.getPeerCertificate() as PeerCertificate | undefined);
    return toHex(tenantOfPeer(storage.catalog, defaultTenant, peer, ""));
  } catch {
    return undefined;
  }
}

async function sweep(
  { clock, ports }: Native,
  connections: ReadonlySet<BulkConnection>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(sweepInterval, signal).catch(() => undefined);
    const now = clock.monotonic();
    let idleCount = 0;
    for (const one of connections) {
      if (one.isOverdue(now, idleMs, stallMs)) one.cut();
      else if (one.isIdle) idleCount += 1;
    }
    ports.metrics.set("kiseki_transport_connections_idle", idleCount);
  }
}
