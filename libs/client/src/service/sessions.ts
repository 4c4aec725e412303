import { millis, newBytes, type Prng, toHex } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import { type NativeClient, type OpenSessionResponse, toRpcError } from "@kiseki/rpc";
import type { BulkPool } from "../bulk/bulk-pool.ts";
import type { Cluster } from "../discovery/cluster.ts";
import type { NodeLink } from "../discovery/node-link.ts";
import { parseHostPort } from "../discovery/seeds.ts";
import { rpcVerdict, verdictOfFailure } from "../retry/fates.ts";
import type { Attempted } from "../retry/persist.ts";
import { within } from "../retry/within.ts";

/** The one protocol that is spoken. */
const protocol = 1;
export const callTimeoutMs = 10_000;

/** What a node granted this client. */
export interface Session {
  readonly id: Uint8Array;
  /** Of its life: what was begun in one is not done in another. */
  readonly number: number;
  readonly link: NodeLink;
  readonly bulk: BulkPool;
  /** Aborts when its node is left for another; a node that ends it ends what goes on in it by itself. */
  readonly leaving: AbortController;
  /** Content of up to so many bytes is small. */
  readonly smallSizeMax: number;
  readonly chunkSizeMax: number;
  /** Chunks that the node reads for one frame; 0: it knows of no such frames. */
  readonly bulkEntriesMax: number;
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

/** What the node keeps in the log for one client id: locks, open files. It outlives the node's process, not the lease. */
interface Life {
  readonly number: number;
  /** Never used again, by this process or another. */
  readonly clientId: Uint8Array;
  leaseMs: number;
  /** When the last call that the node answered was sent: the lease counts from there. */
  renewedAt: number;
}

/**
 * The session of this process: opened when it is needed, renewed by its calls and between them. A node that has forgotten it
 * (it was started anew) takes it up again under the same client id within the lease. When nothing was heard for a whole lease it is over,
 * and whoever was under way in it is told, because others may hold its locks by then; the next one has another client id.
 */
export class Sessions {
  readonly #ports: Ports;
  readonly #options: SessionOptions;
  readonly #signal: AbortSignal;
  #life: Life | undefined;
  #current: Session | undefined;
  #opening: Promise<Attempted<Session>> | undefined;
  #count = 0;
  #tenant: string | undefined;
  /** Told once for each life that ends before `close`. */
  onEnded: () => void = () => {};

  constructor(ports: Ports, options: SessionOptions, signal: AbortSignal) {
    this.#ports = ports;
    this.#options = options;
    this.#signal = signal;
  }

  /** Id in hex, as soon as a node has told it. */
  get tenant(): string | undefined {
    return this.#tenant;
  }
  /** Which life is going on, if any is. */
  get number(): number | undefined {
    return this.#life?.number;
  }

  /** The session, opened if need be; once for all who ask meanwhile. */
  async ensure(): Promise<Attempted<Session>> {
    if (this.#current) return { kind: "done", value: this.#current };
    this.#opening ??= this.#open().finally(() => (this.#opening = undefined));
    return await this.#opening;
  }

  /** A call of the session that was sent at `sentAt` has been answered. */
  renewed(session: Session, sentAt: number): void {
    if (session !== this.#current || this.#life === undefined) return;
    this.#life.renewedAt = Math.max(this.#life.renewedAt, sentAt);
  }

  /** The node does not know it any more. */
  forgotten(session: Session): void {
    if (session === this.#current) this.#current = undefined;
  }
  /** The node does not own what it was asked for: the same life goes on with the one that does. */
  moved(session: Session): void {
    if (session !== this.#current) return; // another was as quick
    this.#ports.cluster.moved(session.link);
    this.#leave(session);
  }
  #leave(session: Session): void {
    this.#current = undefined;
    session.leaving.abort();
  }

  async #open(): Promise<Attempted<Session>> {
    const { clock, cluster, prng } = this.#ports;
    const link = await cluster.owner();
    const client = await link?.client();
    if (link === undefined) return failed(cluster.verdict);
    if (client === undefined) return failed(rpcVerdict.unreachable);
    const known = this.#life;
    const clientId = known?.clientId ?? prng.fill(newBytes(16));
    const sentAt = clock.monotonic();
    try {
      const request = { clientId, ...this.#options, protocol };
      const answer = await client.files.openSession(request, { timeoutMs: callTimeoutMs });
      link.answered();
      const { leaseMs } = answer;
      if (known !== this.#life || (known && this.#isOver(known))) {
        // Too late for what was under way: nothing of it may stay with the node either.
        this.#lapse(known);
        await closeSession(client, answer.session);
        return failed(verdictOfFailure("session_expired"));
      }
      const life = known ?? { number: ++this.#count, clientId, leaseMs, renewedAt: sentAt };
      const session = readSession(answer, link, life.number);
      if (session === undefined) return failed(rpcVerdict.not_supported);
      Object.assign(life, { leaseMs, renewedAt: sentAt });
      this.#life = life;
      this.#current = session;
      this.#tenant = toHex(answer.tenantId);
      if (known === undefined) void this.#keep(life);
      return { kind: "done", value: session };
    } catch (reason) {
      return failed(cluster.failed(link, reason));
    }
  }

  #isOver({ renewedAt, leaseMs }: Life): boolean {
    return this.#ports.clock.monotonic() - renewedAt >= leaseMs;
  }
  #lapse(life: Life | undefined): void {
    if (life === undefined || life !== this.#life) return;
    this.#life = undefined;
    this.#current = undefined;
    this.onEnded();
  }

  async #keep(life: Life): Promise<void> {
    const { clock, cluster } = this.#ports;
    while (this.#life === life && !this.#signal.aborted) {
      if (this.#isOver(life)) return this.#lapse(life);
      const every = Math.max(50, life.leaseMs / 4);
      if (this.#current && cluster.isElsewhere(this.#current.link)) this.#leave(this.#current);
      const session = this.#current;
      if (session === undefined) await within(this.ensure(), every, undefined);
      else if (clock.monotonic() - life.renewedAt >= every) await this.#renew(session, every);
      const left = Math.max(25, every - (clock.monotonic() - life.renewedAt));
      await clock.sleep(millis(Math.min(every, left)), this.#signal).catch(() => undefined);
    }
  }
  async #renew(session: Session, timeoutMs: number): Promise<void> {
    const client = await session.link.client();
    if (client === undefined) return;
    const sentAt = this.#ports.clock.monotonic();
    try {
      const answer = await client.files.renewSession({ session: session.id }, { timeoutMs });
      session.link.answered();
      if (answer.failure === undefined) this.renewed(session, sentAt);
      else if (verdictOfFailure(answer.failure.code).fate === "new_session") {
        this.forgotten(session);
      }
    } catch (reason) {
      if (rpcVerdict[toRpcError(reason).code].fate === "elsewhere") session.link.failed();
    }
  }

  /** Gives it back; a node that cannot be told finds out by the lease. */
  async close(): Promise<void> {
    const session = this.#current;
    this.#current = undefined;
    this.#life = undefined;
    const client = await session?.link.client();
    if (session && client) await closeSession(client, session.id);
  }
}

async function closeSession(client: NativeClient, session: Uint8Array): Promise<void> {
  await client.files.closeSession({ session }, { timeoutMs: 2_000 }).catch(() => undefined);
}

function readSession(
  answer: OpenSessionResponse,
  link: NodeLink,
  number: number,
): Session | undefined {
  const bulkAt = parseHostPort(answer.bulkEndpoint);
  const { session: id, leaseMs, smallSizeMax, chunkSizeMax, bulkEntriesMax } = answer;
  const isRight =
    id.byteLength === 16 && answer.tenantId.byteLength === 16 && leaseMs > 0 && chunkSizeMax > 0;
  if (!isRight || answer.protocol !== protocol || bulkAt === undefined) return undefined;
  const bulk = link.bulk(bulkAt, answer.isBulkTls);
  const leaving = new AbortController();
  return { id, number, link, bulk, leaving, smallSizeMax, chunkSizeMax, bulkEntriesMax };
}
