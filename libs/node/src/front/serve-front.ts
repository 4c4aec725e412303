import { millis, newBytes } from "@kiseki/base";
import type { Clock, Metrics } from "@kiseki/ports";
import { Connection, type ConnectionContext, type ConnectionSocket } from "./connection.ts";
import type { Front, FrontOptions, FrontResponse } from "./types.ts";

/** A response's head must fit; the first bytes of its body ride along. */
/** A head and a body of 64 KiB, which then leave in one send. */
const scratchSize = 160 * 1024;
/** Answers that wait for each other: they hold room, and clients wait for them. */
const answersMax = 16;
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

/** The connections of one listener, and what they share. */
class Connections implements ConnectionContext {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly options: FrontOptions;
  readonly scratch: Uint8Array = newBytes(scratchSize);
  readonly serverName: string | undefined;
  readonly date: () => string;
  isStopping = false;
  readonly #open = new Set<Connection>();
  #answers: { readonly connection: Connection; readonly response: FrontResponse }[] = [];
  #settleStop: (() => void) | undefined;

  constructor(clock: Clock, metrics: Metrics, options: FrontOptions) {
    this.clock = clock;
    this.metrics = metrics;
    this.options = options;
    this.serverName = options.serverName;
    this.date = dateSource(clock);
  }

  get count(): number {
    return this.#open.size;
  }

  /** Runs `act`; a throw ends the connection and no more. */
  guard(connection: Connection | undefined, act: (it: Connection) => void): void {
    if (connection === undefined) return;
    try {
      act(connection);
    } catch (reason) {
      this.options.onBug(reason);
      connection.cut();
    }
  }

  /**
   * Answers leave together, after every request that the kernel has handed over was looked at. One by one each would wake
   * a client on the other processor, which costs both sides more than the sending.
   */
  answerSoon(connection: Connection, response: FrontResponse): void {
    if (this.#open.size === 1) return connection.answerNow(response);
    const count = this.#answers.push({ connection, response });
    if (count === answersMax) this.#sendAnswers();
    else if (count === 1) setImmediate(this.#sendAnswers);
  }

  readonly #sendAnswers = (): void => {
    const answers = this.#answers;
    this.#answers = []; // one that is sent may let the next request of its connection be answered
    for (const { connection, response } of answers) connection.answerNow(response);
  };

  forEach(act: (it: Connection) => void): void {
    for (const connection of this.#open) this.guard(connection, act);
  }

  accept(socket: ConnectionSocket): Connection {
    const connection = new Connection(this, socket);
    this.#open.add(connection);
    this.#count();
    return connection;
  }

  forget(connection: Connection): void {
    if (!this.#open.delete(connection)) return;
    this.#count();
    if (this.#open.size === 0) this.#settleStop?.();
  }

  /** Resolves when none is left. */
  async allClosed(): Promise<void> {
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#settleStop = resolve;
    });
  }

  #count(): void {
    this.metrics.set("kiseki_gateway_connections", this.#open.size);
  }
}

function listen(connections: Connections): Bun.TCPSocketListener<Connection | undefined> {
  const { options } = connections;
  const { tls, limits } = options;
  const reuse = options.reusePort ? { reusePort: true } : {}; // works, but Bun's types lack it
  return Bun.listen<Connection | undefined>({
    hostname: options.hostname,
    port: options.port,
    ...reuse,
    allowHalfOpen: true,
    ...(tls === undefined ? {} : { tls: { cert: tls.certificate, key: tls.key } }),
    socket: {
      open(socket) {
        socket.setNoDelay(true);
        const connection = connections.accept(socket);
        socket.data = connection;
        if (connections.count <= limits.connectionCountMax && !connections.isStopping) return;
        // Before its handshake a TLS client understands no answer.
        connections.guard(connection, (it) => (tls === undefined ? it.refuse() : it.cut()));
      },
      // Its being there makes Bun tell `open` at the connect, so that who never ends a handshake is timed and counted.
      handshake() {},
      data(socket, source) {
        connections.guard(socket.data, (it) => it.arrived(source));
      },
      drain(socket) {
        connections.guard(socket.data, (it) => it.drained());
      },
      end(socket) {
        connections.guard(socket.data, (it) => it.inputEnded());
      },
      close(socket) {
        connections.guard(socket.data, (it) => {
          connections.forget(it);
          it.closed();
        });
      },
      error(socket) {
        connections.guard(socket.data, (it) => it.cut());
      },
    },
  });
}

/** Looks for what is overdue until `signal`. */
async function sweepForever(connections: Connections, signal: AbortSignal): Promise<void> {
  const { clock, options } = connections;
  const { headTimeout, idleTimeout, transferWindow, lingerTimeout } = options.limits;
  const shortest = Math.min(headTimeout, idleTimeout, transferWindow, 2 * lingerTimeout) / 4;
  const interval = millis(Math.max(sweepIntervalMin, Math.min(sweepIntervalMax, shortest)));
  try {
    while (!signal.aborted) {
      await clock.sleep(interval, signal);
      const now = clock.monotonic();
      connections.forEach((it) => it.sweep(now));
    }
  } catch (reason) {
    if (!signal.aborted) options.onBug(reason);
  }
}

/**
 * Listens and serves until `stop`. Nothing is thrown into the socket callbacks: what goes wrong in
 * them ends one connection and is told to `onBug`.
 * @throws when the address cannot be listened on, or the PEM files make no TLS context.
 */
export function serveFront(clock: Clock, metrics: Metrics, options: FrontOptions): Front {
  const connections = new Connections(clock, metrics, options);
  const listener = listen(connections);
  const sweeping = new AbortController();
  void sweepForever(connections, sweeping.signal);
  return {
    port: listener.port,
    get connectionCount() {
      return connections.count;
    },
    async stop(signal) {
      connections.isStopping = true;
      listener.stop(false);
      connections.forEach((it) => it.retire());
      const cutAll = (): void => connections.forEach((it) => it.cut());
      if (signal?.aborted === true) cutAll();
      else signal?.addEventListener("abort", cutAll, { once: true });
      await connections.allClosed();
      signal?.removeEventListener("abort", cutAll);
      sweeping.abort();
    },
  };
}
