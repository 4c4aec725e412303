import { createServer, type Server } from "node:http";
import { createSecureServer, type Http2SecureServer } from "node:http2";
import { timingSafeEqual } from "node:crypto";
import { chmod, lstat, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  type NativeBackend,
  nativeRoutes,
  type NodeAdminBackend,
  nodeAdminRoutes,
} from "./backend.ts";
import { type CallOutcome, countCalls } from "./count-calls.ts";
import { type Peer, peerValues } from "./peer.ts";
import { RpcError } from "./rpc-error.ts";
import { noteWorkflows } from "./note-workflows.ts";

/** A request message of administration may have so many bytes; nothing of it needs more. */
const requestSizeMax = 64 * 1024;
const headersTimeout = 10_000;
const socketMode = 0o600;
/** Open connections of one listener: administration has few callers, a cluster of mounts many. */
const connectionCountMax = 64;
const nativeConnectionCountMax = 4096;
/** A connection on which nothing happens for so long is closed; streams say something more often. */
const idleTimeout = 120_000;
/** `sun_path` of Linux without its last zero. */
const socketPathMax = 107;

/** A local socket: whoever may open the file may do everything. */
export interface LocalListener {
  readonly kind: "local";
  /** At most 107 bytes; the file gets mode 0600 and is removed at the end. */
  readonly path: string;
}

/** TCP with TLS. */
export interface TlsListener {
  readonly kind: "tls";
  readonly host: string;
  /** 0: the system chooses. */
  readonly port: number;
  /** PEM, with key. */
  readonly certificate: string;
  readonly certificateKey: string;
  /** Who may call: holders of this bearer token, or of a certificate that this authority (PEM) has signed. */
  readonly door:
    | { readonly kind: "token"; readonly token: string }
    | { readonly kind: "certificate"; readonly authority: string };
}
export type RpcListener = LocalListener | TlsListener;

export interface RpcServer extends AsyncDisposable {
  /** Of the TLS listener; undefined without one. */
  readonly port: number | undefined;
}

export interface ServeOptions {
  readonly listeners: readonly RpcListener[];
  /** Told of what was answered "Internal error": bugs, mostly. */
  readonly onInternal: (method: string, reason: unknown) => void;
  /** Told of each call when it has ended. */
  readonly onCall: (method: string, outcome: CallOutcome, service: string) => void;
  /** Serves native clients too. */
  readonly native?: NativeBackend | undefined;
  /** Told which workflow a call says that it belongs to, as it stands in the header. */
  readonly onWorkflow?: (ref: string, isBinary: boolean, peer: Peer) => void;
}

/**
 * Serves `backend` on all listeners, or on none. Disposing ends calls in flight, after telling them.
 * @throws {RpcError} `exists` when somebody listens there, `invalid` for a socket path that is too long.
 */
export async function serveNodeAdmin(
  backend: NodeAdminBackend,
  options: ServeOptions,
): Promise<RpcServer> {
  await using building = new AsyncDisposableStack();
  const stopping = new AbortController();
  let port: number | undefined;
  for (const listener of options.listeners) {
    const routing = { isAllowed: doorOf(listener), onInternal: options.onInternal };
    const { native } = options;
    const admin = nodeAdminRoutes(backend, routing);
    const files = native && nativeRoutes(native, routing);
    const handler = connectNodeAdapter({
      routes(router) {
        admin(router);
        files?.(router);
      },
      contextValues: peerValues(listener.kind === "local" ? "local" : listener.door.kind),
      interceptors: [
        countCalls(options.onCall),
        ...(options.onWorkflow ? [noteWorkflows(options.onWorkflow)] : []),
      ],
      connect: true,
      grpc: true,
      grpcWeb: false,
      readMaxBytes: requestSizeMax,
      shutdownSignal: stopping.signal,
    });
    if (listener.kind === "local") {
      const server = createServer({ headersTimeout, maxHeaderSize: 16 * 1024 }, handler);
      building.use(await listenLocal(server, listener.path));
    } else {
      const server = createSecureServer(tlsOptions(listener), handler);
      building.use(
        await listenTls(server, listener, native ? nativeConnectionCountMax : connectionCountMax),
      );
      const address = server.address();
      port = typeof address === "object" && address !== null ? address.port : listener.port;
    }
  }
  const owned = building.move();
  return {
    port,
    async [Symbol.asyncDispose]() {
      stopping.abort(new ConnectError("The node is stopping", Code.Unavailable));
      await owned.disposeAsync();
    },
  };
}

/** Whether who calls holds what opens the listener's door. */
export function doorOf(listener: RpcListener): (header: Headers) => boolean {
  // A local caller passed the file's mode; a certificate was checked by the handshake.
  if (listener.kind === "local" || listener.door.kind === "certificate") return () => true;
  const wanted = Buffer.from(`Bearer ${listener.door.token}`);
  return (header) => {
    const given = Buffer.from(header.get("authorization") ?? "");
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  };
}

export function tlsOptions({ certificate, certificateKey, door }: TlsListener) {
  return {
    cert: certificate,
    key: certificateKey,
    allowHTTP1: true,
    minVersion: "TLSv1.2" as const,
    ...(door.kind === "certificate"
      ? { ca: door.authority, requestCert: true, rejectUnauthorized: true }
      : {}),
  };
}

/** Closing also ends connections that are open, idle or not. */
function closing(server: Server | Http2SecureServer, connectionsMax: number): AsyncDisposable {
  const sockets = new Set<Socket>();
  server.maxConnections = connectionsMax;
  server.setTimeout(idleTimeout);
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return {
    async [Symbol.asyncDispose]() {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
      if ("closeAllConnections" in server) server.closeAllConnections();
      await promise;
    },
  };
}

function listening(server: Server | Http2SecureServer, begin: () => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.once("listening", () => {
    server.off("error", reject);
    // A connection's fault (a handshake that fails, say) is that connection's business.
    server.on("error", () => undefined);
    resolve();
  });
  begin();
  return promise;
}

export async function listenTls(
  server: Http2SecureServer,
  { host, port }: TlsListener,
  connectionsMax: number,
): Promise<AsyncDisposable> {
  const closer = closing(server, connectionsMax);
  await listening(server, () => server.listen(port, host));
  return closer;
}

async function listenLocal(server: Server, path: string): Promise<AsyncDisposable> {
  if (Buffer.byteLength(path) > socketPathMax) {
    throw new RpcError(
      "invalid",
      `Cannot listen on ${path}: a socket's path has at most ${socketPathMax} bytes`,
    );
  }
  await removeStale(path);
  const closer = closing(server, connectionCountMax);
  await listening(server, () => server.listen(path));
  await chmod(path, socketMode);
  return {
    async [Symbol.asyncDispose]() {
      await closer[Symbol.asyncDispose]();
      await rm(path, { force: true });
    },
  };
}

/** A killed node leaves its socket behind; one that answers belongs to a node that lives. */
async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket())
    throw new RpcError("exists", `Cannot listen on ${path}: it is not a socket`);
  if (await answers(path))
    throw new RpcError("exists", `Cannot listen on ${path}: a node listens there`);
  await rm(path, { force: true });
}

/** Whether somebody accepts connections on the socket at `path`. */
export function answers(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.once("connect", () => resolve(true));
  socket.once("error", () => resolve(false));
  return promise.finally(() => socket.destroy());
}
