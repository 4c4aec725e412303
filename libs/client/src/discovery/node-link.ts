import { isIP } from "node:net";
import type { Prng } from "@kiseki/base";
import type { Clock, Crypto } from "@kiseki/ports";
import { type NativeClient, openNativeClient } from "@kiseki/rpc";
import { BulkPool } from "../bulk/bulk-pool.ts";
import type { BulkAddress } from "../bulk/connect.ts";
import { Health } from "./health.ts";
import { type HostPort, hostPortText } from "./seeds.ts";

/** How a client shows who it is, and knows a node. All PEM but the token. */
export interface Identity {
  /** Of the authority, or the node's own certificate; absent: the system's authorities. */
  readonly authority?: string | undefined;
  readonly certificate?: string | undefined;
  readonly certificateKey?: string | undefined;
  /** Of the node's config directory; taken on loopback alone. */
  readonly token?: string | undefined;
}

export interface NetworkPorts {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly crypto: Crypto;
  /** Where something that listens at `at` is reached: each address of the name. Rejects when it has none. */
  readonly resolve: (at: HostPort) => Promise<readonly HostPort[]>;
  /** To which workflow calls belong, in hex. */
  readonly workflow: () => string | undefined;
}

/** A node that says nothing for so long is asked over another connection. */
const silentMs = 5_000;

/** One node as a client sees it: its RPC connection, its bulk connections, and how they fare. */
export class NodeLink implements Disposable {
  readonly at: HostPort;
  readonly #ports: NetworkPorts;
  readonly #identity: Identity;
  readonly #health = new Health();
  readonly #pools = new Map<string, BulkPool>();
  #client: NativeClient | undefined;
  #addressNext = 0;
  #answeredAt = -Infinity;

  constructor(ports: NetworkPorts, identity: Identity, at: HostPort) {
    this.#ports = ports;
    this.#identity = identity;
    this.at = at;
  }

  get mayTry(): boolean {
    return this.#health.mayTry(this.#ports.clock.monotonic());
  }

  /** The connection for calls; made anew, to the next address, after it failed. `undefined`: the name has no address. */
  async client(): Promise<NativeClient | undefined> {
    if (this.#client) return this.#client;
    const addresses = await this.#ports.resolve(this.at).catch(() => []);
    const address = addresses[this.#addressNext % Math.max(1, addresses.length)];
    if (address === undefined) return undefined;
    this.#client ??= openNativeClient({
      ...this.#identity,
      endpoint: `https://${hostPortText(address)}`,
      workflow: this.#ports.workflow,
      // An address is no name that TLS would carry: the certificate has to show the address itself.
      ...(isIP(this.at.host) === 0 ? { serverName: this.at.host } : {}),
    });
    return this.#client;
  }

  answered(): void {
    this.#answeredAt = this.#ports.clock.monotonic();
    this.#health.succeeded();
  }
  /** A call came to nothing. A connection on which others are answered meanwhile is kept. */
  failed(): void {
    const now = this.#ports.clock.monotonic();
    if (now - this.#answeredAt < silentMs) return;
    this.#health.failed(now);
    this.reset();
  }
  reset(): void {
    this.#addressNext += 1;
    const client = this.#client;
    this.#client = undefined;
    client?.reset();
  }

  /** The connections to a bulk port that this node named. */
  bulk(at: HostPort, isTls: boolean): BulkPool {
    const key = `${isTls ? "tls" : "tcp"} ${hostPortText(at)}`;
    const known = this.#pools.get(key);
    if (known) return known;
    const { authority, certificate, certificateKey } = this.#identity;
    const tls = isTls && { serverName: at.host, authority, certificate, certificateKey };
    const find = async (): Promise<readonly BulkAddress[]> => {
      const found = await this.#ports.resolve(at);
      return found.map(({ host, port }) => ({ address: host, port, ...(tls ? { tls } : {}) }));
    };
    const pool = new BulkPool(this.#ports, find);
    this.#pools.set(key, pool);
    return pool;
  }

  [Symbol.dispose](): void {
    this.#client?.reset();
    this.#client = undefined;
    for (const pool of this.#pools.values()) pool[Symbol.dispose]();
  }
}
