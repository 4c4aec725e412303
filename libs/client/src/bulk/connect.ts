import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";

const connectTimeoutMs = 5_000;
const handshakeTimeoutMs = 10_000;
const keepAliveMs = 10_000;

/** One address of a node's bulk port. */
export interface BulkAddress {
  readonly address: string;
  readonly port: number;
  /** Absent: plain TCP, which nodes offer on loopback alone; what goes over it is sealed all the same. */
  readonly tls?: {
    readonly serverName: string;
    readonly authority?: string | undefined;
    readonly certificate?: string | undefined;
    readonly certificateKey?: string | undefined;
  };
}

export type BulkSocket = Bun.Socket<undefined>;
/** Who is told what comes over the socket. */
export interface BulkReceiver {
  received(bytes: Uint8Array): void;
  /** There is room for more. */
  flush(): void;
  close(): void;
}

/** `undefined`: nobody answered in time, or TLS did not show the node that was asked for. */
export async function connectBulk(
  target: BulkAddress,
  makeReceiver: (socket: BulkSocket) => BulkReceiver,
): Promise<BulkReceiver | undefined> {
  const opened = Promise.withResolvers<BulkSocket | undefined>();
  const failed = () => opened.resolve(undefined);
  let receiver: BulkReceiver | undefined;
  let timer = setTimeout(failed, connectTimeoutMs);
  const ended = () => {
    failed();
    receiver?.close();
  };
  const { tls } = target;
  const connecting = Bun.connect({
    hostname: target.address,
    port: target.port,
    ...(tls === undefined ? {} : { tls: tlsOptions(tls) }),
    socket: {
      open(socket) {
        clearTimeout(timer);
        if (tls === undefined) opened.resolve(socket);
        else timer = setTimeout(failed, handshakeTimeoutMs);
      },
      handshake(socket, isDone) {
        const isRight = isDone && tls !== undefined && isNamed(socket, tls.serverName);
        opened.resolve(isRight ? socket : undefined);
      },
      data: (_socket, bytes) => receiver?.received(bytes),
      drain: () => receiver?.flush(),
      close: ended,
      error: ended,
      end: ended,
      connectError: failed,
    },
  });
  connecting.catch(failed);
  const socket = await opened.promise;
  clearTimeout(timer);
  if (socket === undefined) {
    void connecting.then((late) => late.terminate()).catch(() => undefined);
    return undefined;
  }
  socket.setNoDelay(true);
  socket.setKeepAlive(true, keepAliveMs);
  receiver = makeReceiver(socket);
  return receiver;
}

function tlsOptions(tls: NonNullable<BulkAddress["tls"]>) {
  const { serverName, authority, certificate, certificateKey } = tls;
  return {
    ...(isIP(serverName) === 0 ? { serverName } : {}),
    rejectUnauthorized: true,
    ...(authority === undefined ? {} : { ca: authority }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(certificateKey === undefined ? {} : { key: certificateKey }),
  };
}

/** The certificate is one of the authority's, and names the node. */
function isNamed(socket: BulkSocket, serverName: string): boolean {
  const tls = socket as BulkSocket & { readonly authorized?: boolean };
  if (tls.authorized !== true) return false;
  const certificate = socket.getPeerCertificate() as Parameters<typeof checkServerIdentity>[1];
  return checkServerIdentity(serverName, certificate) === undefined;
}
