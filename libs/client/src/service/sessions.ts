import { millis, newBytes, type Prng } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import { type NativeClient, type OpenSessionResponse, toRpcError } from "@kiseki/rpc";
import type { BulkPool } from "../bulk/bulk-pool.ts";
import type { Cluster } from "../discovery/cluster.ts";
import type { NodeLink } from "../discovery/node-link.ts";
import { parseHostPort } from "../discovery/seeds.ts";
import { rpcVerdict, verdictOfFailure } from "../retry/fates.ts";
import type { Attempted } from "../retry/persist.ts";

/** The one protocol that is spoken. */
const protocol = 1;
export const callTimeoutMs = 10_000;

/** What a node granted this client. */
export interface Session {
  readonly id: Uint8Array;
  /** Counts the sessions of this client: what was begun under one is not done under another. */
  readonly number: number;
  readonly link: NodeLink;
  readonly bulk: BulkPool;
  readonly leaseMs: number;
  /** Content of up to so many bytes is small. */
  readonly smallSizeMax: number;
  readonly chunkSizeMax: number;
}

export interface SessionOptions {
  /** Name or id; empty: the certificate's. */
  readonly tenant: string;
  readonly hostName: string;
}
interface Ports {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly cluster: Cluster;
}

const failed = (verdict: Extract<Attempted<never>, { kind: "failed" }>["verdict"]) =>
  ({ kind: "failed", verdict }) as const;

/**
 * The session of this process: opened when it is needed, renewed by its calls and between them, and over when the node
 * says so or when nothing was heard for a whole lease. Who was under way in it is told, because others may hold its
 * locks by then.
 */
export class Sessions {
  readonly #ports: Ports;
  readonly #options: SessionOptions;
  readonly #signal: AbortSignal;
  /** Never used again by another process. */
  readonly #clientId: Uint8Array;
  #current: Session | undefined;
  #opening: Promise<Attempted<Session>> | undefined;
  #count = 0;
  /** When the last call that the node answered was sent: the lease counts from there. */
  #renewedAt = -Infinity;
  onEnded: () => void = () => {};

  constructor(ports: Ports, options: SessionOptions, signal: AbortSignal) {
    this.#ports = ports;
    this.#options = options;
    this.#signal = signal;
    this.#clientId = ports.prng.fill(newBytes(16));
  }

  get current(): Session | undefined {
    return this.#current;
  }

  /** The session, opened if need be; once for all who ask meanwhile. */
  async ensure(): Promise<Attempted<Session>> {
    if (this.#current) return { kind: "done", value: this.#current };
    this.#opening ??= this.#open().finally(() => (this.#opening = undefined));
    return await this.#opening;
  }

  /** A call of the session that was sent at `sentAt` has been answered. */
  renewed(session: Session, sentAt: number): void {
    if (session === this.#current) this.#renewedAt = Math.max(this.#renewedAt, sentAt);
  }

  /** The node does not know it any more, or may not. */
  ended(session: Session): void {
    if (session !== this.#current) return;
    this.#current = undefined;
    this.onEnded();
  }

  async #open(): Promise<Attempted<Session>> {
    const { clock, cluster } = this.#ports;
    const link = await cluster.owner();
    const client = await link?.client();
    if (link === undefined || client === undefined) return failed(rpcVerdict.unreachable);
    const sentAt = clock.monotonic();
    try {
      const request = { clientId: this.#clientId, ...this.#options, protocol };
      const answer = await client.files.openSession(request, { timeoutMs: callTimeoutMs });
      link.answered();
      const session = this.#read(answer, link);
      if (session === undefined) return failed(rpcVerdict.not_supported);
      this.#current = session;
      this.#renewedAt = sentAt;
      void this.#keep(session);
      return { kind: "done", value: session };
    } catch (reason) {
      const { code } = toRpcError(reason);
      if (rpcVerdict[code].fate === "elsewhere") link.failed();
      return failed(rpcVerdict[code]);
    }
  }

  #read(answer: OpenSessionResponse, link: NodeLink): Session | undefined {
    const bulkAt = parseHostPort(answer.bulkEndpoint);
    const { session, leaseMs, smallSizeMax, chunkSizeMax } = answer;
    const isRight = session.byteLength === 16 && leaseMs > 0 && chunkSizeMax > 0;
    if (!isRight || answer.protocol !== protocol || bulkAt === undefined) return undefined;
    this.#count += 1;
    const bulk = link.bulk(bulkAt, answer.isBulkTls);
    return { id: session, number: this.#count, link, bulk, leaseMs, smallSizeMax, chunkSizeMax };
  }

  async #keep(session: Session): Promise<void> {
    const { clock } = this.#ports;
    const every = Math.max(50, session.leaseMs / 4);
    while (this.#current === session && !this.#signal.aborted) {
      const quietMs = clock.monotonic() - this.#renewedAt;
      if (quietMs >= session.leaseMs) return this.ended(session);
      if (quietMs >= every) await this.#renew(session, every);
      const left = Math.max(20, every - (clock.monotonic() - this.#renewedAt));
      await clock.sleep(millis(Math.min(every, left)), this.#signal).catch(() => undefined);
    }
  }
  async #renew(session: Session, timeoutMs: number): Promise<void> {
    const client: NativeClient | undefined = await session.link.client();
    if (client === undefined) return;
    const sentAt = this.#ports.clock.monotonic();
    try {
      const answer = await client.files.renewSession({ session: session.id }, { timeoutMs });
      session.link.answered();
      if (answer.failure === undefined) this.renewed(session, sentAt);
      else if (verdictOfFailure(answer.failure.code).fate === "new_session") this.ended(session);
    } catch (reason) {
      if (rpcVerdict[toRpcError(reason).code].fate === "elsewhere") session.link.failed();
    }
  }

  /** Gives it back; a node that cannot be told finds out by the lease. */
  async close(): Promise<void> {
    const session = this.#current;
    this.#current = undefined;
    const client = await session?.link.client();
    if (session === undefined || client === undefined) return;
    await client.files
      .closeSession({ session: session.id }, { timeoutMs: 2_000 })
      .catch(() => undefined);
  }
}
