import { jetstream } from "@nats-io/jetstream";
import {
  connect,
  type ConnectionOptions,
  credsAuthenticator,
  type NatsConnection,
} from "@nats-io/transport-node";
import { DeliveryError, type Message, type NotificationTarget } from "./target.ts";

export interface NatsSpec {
  readonly type: "nats";
  readonly id: string;
  /** `host:port`, without scheme. */
  readonly servers: readonly string[];
  readonly subject: string;
  /** Waits until a stream has it; without, until the server has. */
  readonly isJetStream: boolean;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly token: string | undefined;
  /** Text of a credentials file. */
  readonly credentials: string | undefined;
  /** PEM; any of them makes TLS a must. */
  readonly authority: string | undefined;
  readonly certificate: string | undefined;
  readonly certificateKey: string | undefined;
  readonly timeoutMs: number;
}

function optionsOf(spec: NatsSpec): ConnectionOptions {
  const { authority: ca, certificate: cert, certificateKey: key } = spec;
  const tls = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  const { user, password, token, credentials } = spec;
  return {
    servers: [...spec.servers],
    name: "kiseki",
    timeout: spec.timeoutMs,
    reconnect: false, // whoever sends next connects anew
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
    ...(user === undefined ? {} : { user, pass: password ?? "" }),
    ...(token === undefined ? {} : { token }),
    ...(credentials === undefined
      ? {}
      : { authenticator: credsAuthenticator(new TextEncoder().encode(credentials)) }),
  };
}

/** Publishes to one subject; the event's id is the message's, so that a stream drops repetitions. */
class NatsTarget implements NotificationTarget {
  readonly id: string;
  readonly type = "nats";
  readonly place: string;
  readonly #spec: NatsSpec;
  #connecting: Promise<NatsConnection> | undefined;

  constructor(spec: NatsSpec) {
    this.#spec = spec;
    this.id = spec.id;
    this.place = `${spec.servers.join(",")} ${spec.subject}`;
  }

  async send({ id, body }: Message, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    try {
      const connection = await this.#connection();
      const sizeMax = connection.info?.max_payload ?? Infinity;
      if (body.byteLength > sizeMax) {
        throw new DeliveryError(
          "refused",
          `The event is larger than the server takes (${sizeMax})`,
        );
      }
      await this.#publish(connection, id, body);
    } catch (reason) {
      if (reason instanceof DeliveryError) throw reason;
      signal.throwIfAborted();
      const why = reason instanceof Error ? `${reason.name}: ${reason.message}` : "unknown";
      throw new DeliveryError("unreachable", why, { cause: reason });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const connection = await this.#connecting?.catch(() => undefined);
    await connection?.close();
  }

  async #publish(connection: NatsConnection, id: string, body: Uint8Array): Promise<void> {
    const { subject, isJetStream, timeoutMs } = this.#spec;
    if (isJetStream) {
      await jetstream(connection).publish(subject, body, { msgID: id, timeout: timeoutMs });
      return;
    }
    connection.publish(subject, body);
    await connection.flush();
  }

  #connection(): Promise<NatsConnection> {
    this.#connecting ??= this.#connect();
    return this.#connecting;
  }

  async #connect(): Promise<NatsConnection> {
    try {
      const connection = await connect(optionsOf(this.#spec));
      void connection.closed().finally(() => (this.#connecting = undefined));
      return connection;
    } catch (reason) {
      this.#connecting = undefined;
      throw reason;
    }
  }
}

export const openNats = (spec: NatsSpec): NotificationTarget => new NatsTarget(spec);
