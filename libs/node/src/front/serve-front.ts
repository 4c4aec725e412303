import { millis, newBytes } from "@kiseki/base";
import type { Clock, Metrics } from "@kiseki/ports";
import { Connection, type ConnectionContext } from "./connection.ts";
import type { Front, FrontOptions } from "./types.ts";

/** A response's head must fit; the first bytes of its body ride along. */
const scratchSize = 64 * 1024;
const sweepIntervalMax = 1000;
const sweepIntervalMin = 5;

/** Date header values change once a second. */
function dateSource(clock: Clock): () => string {
  let second = Number.NaN;
  let text = "";
  return () => {
    const now = Math.floor(clock.realtime() / 1000);
    if (now !== second) {
      second = now;
      text = new Date(now * 1000).toUTCString();
    }
    return text;
  };
}

/**
 * Listens and serves until `stop`. Nothing is thrown into the socket callbacks: what goes wrong in
 * them ends one connection and is told to `onBug`.
 * @throws when the address cannot be listened on, or the PEM files make no TLS context.
 */
export function serveFront(clock: Clock, metrics: Metrics, options: FrontOptions): Front {
  const { limits } = options;
  const connections = new Set<Connection>();
  const sweeping = new AbortController();
  let isStopping = false;
  let settleStop: (() => void) | undefined;
  const forget = (connection: Connection): void => {
    if (!connections.delete(connection)) return;
    metrics.set("kiseki_gateway_connections", connections.size);
    if (connections.size === 0) settleStop?.();
  };
  const context: ConnectionContext = {
    clock,
    metrics,
    options,
    scratch: newBytes(scratchSize),
    serverName: options.serverName,
    date: dateSource(clock),
    forget,
    get isStopping() {
      return isStopping;
    },
  };
  const guard = (connection: Connection | undefined, act: (it: Connection) => void): void => {
    if (connection === undefined) return;
    try {
      act(connection);
    } catch (reason) {
      options.onBug(reason);
      connection.cut();
    }
  };
  const reuse = options.reusePort ? { reusePort: true } : {}; // works, but Bun's types lack it
  const listener = Bun.listen<Connection | undefined>({
    hostname: options.hostname,
    port: options.port,
    ...reuse,
    allowHalfOpen: true,
    ...(options.tls === undefined
      ? {}
      : { tls: { cert: options.tls.certificate, key: options.tls.key } }),
    socket: {
      open(socket) {
        socket.setNoDelay(true);
        const connection = new Connection(context, socket);
        socket.data = connection;
        connections.add(connection);
        metrics.set("kiseki_gateway_connections", connections.size);
        if (connections.size <= limits.connectionCountMax && !isStopping) return;
        // Before its handshake a TLS client understands no answer.
        guard(connection, (it) => (options.tls === undefined ? it.refuse() : it.cut()));
      },
      data(socket, source) {
        guard(socket.data, (it) => it.arrived(source));
      },
      drain(socket) {
        guard(socket.data, (it) => it.drained());
      },
      end(socket) {
        guard(socket.data, (it) => it.inputEnded());
      },
      close(socket) {
        guard(socket.data, (it) => {
          forget(it);
          it.closed();
        });
      },
      error(socket) {
        guard(socket.data, (it) => it.cut());
      },
    },
  });
  const shortest = Math.min(limits.headTimeout, limits.idleTimeout, limits.transferWindow);
  const interval = millis(
    Math.max(sweepIntervalMin, Math.min(sweepIntervalMax, shortest / 4, limits.lingerTimeout / 2)),
  );
  const sweep = async (): Promise<void> => {
    while (!sweeping.signal.aborted) {
      await clock.sleep(interval, sweeping.signal);
      const now = clock.monotonic();
      for (const connection of connections) guard(connection, (it) => it.sweep(now));
    }
  };
  sweep().catch((reason: unknown) => {
    if (!sweeping.signal.aborted) options.onBug(reason);
  });
  return {
    port: listener.port,
    get connectionCount() {
      return connections.size;
    },
    async stop(signal) {
      isStopping = true;
      listener.stop(false);
      for (const connection of connections) guard(connection, (it) => it.retire());
      const cutAll = (): void => {
        for (const connection of connections) guard(connection, (it) => it.cut());
      };
      if (signal?.aborted === true) cutAll();
      else signal?.addEventListener("abort", cutAll, { once: true });
      if (connections.size > 0) {
        await new Promise<void>((resolve) => {
          settleStop = resolve;
        });
      }
      signal?.removeEventListener("abort", cutAll);
      sweeping.abort();
    },
  };
}
