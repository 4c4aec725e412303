import { createSecureServer } from "node:http2";
import { ConnectError, Code } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { type AdvisoryBackend, advisoryRoutes } from "./backend.ts";
import { type CallOutcome, countCalls } from "./count-calls.ts";
import { peerValues } from "./peer.ts";
import {
  doorOf,
  listenTls,
  type RpcServer,
  type TlsListener,
  tlsOptions,
} from "./serve-node-admin.ts";

/** Nothing of it needs more. */
const requestSizeMax = 8 * 1024;
const connectionCountMax = 1024;

export interface AdvisoryOptions {
  readonly onInternal: (method: string, reason: unknown) => void;
  readonly onCall: (method: string, outcome: CallOutcome) => void;
}

/** Serves the advisory service on a listener of its own. Disposing ends calls in flight. */
export async function serveAdvisory(
  backend: AdvisoryBackend,
  listener: TlsListener,
  options: AdvisoryOptions,
): Promise<RpcServer> {
  const stopping = new AbortController();
  const handler = connectNodeAdapter({
    routes: advisoryRoutes(backend, {
      isAllowed: doorOf(listener),
      onInternal: options.onInternal,
    }),
    contextValues: peerValues(listener.door.kind),
    interceptors: [countCalls(options.onCall)],
    connect: true,
    grpc: true,
    grpcWeb: false,
    readMaxBytes: requestSizeMax,
    shutdownSignal: stopping.signal,
  });
  const server = createSecureServer(tlsOptions(listener), handler);
  const listening = await listenTls(server, listener, connectionCountMax);
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : listener.port,
    async [Symbol.asyncDispose]() {
      stopping.abort(new ConnectError("The node is stopping", Code.Unavailable));
      await listening[Symbol.asyncDispose]();
    },
  };
}
