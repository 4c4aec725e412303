import { millis, type OperationId, type Prng, type TenantId, toHex } from "@kiseki/base";
import type { ChunkTickets } from "@kiseki/auth";
import type { Catalog } from "@kiseki/catalog";
import type { ChunkStore } from "@kiseki/chunk-store";
import { listSessions } from "@kiseki/composition";
import { bulkEntriesMax } from "@kiseki/format";
import type { Clock } from "@kiseki/ports";
import { type NativeBackend, type NativeCall, RpcError } from "@kiseki/rpc";
import type { Logger } from "@kiseki/telemetry";
import { newOperationId } from "../gateway/scope.ts";
import type { StorageNode } from "../node/open-node.ts";
import type { DataPorts, OpenTenant } from "../object/types.ts";
import { Applier } from "./apply.ts";
import { codeOf } from "./failure.ts";
import { identityOf, tenantOfPeer } from "./identity.ts";
import { PlanLeases } from "./plan-leases.ts";
import { type NativeSession, NativeSessions, sessionLeaseMs } from "./sessions.ts";
import { WriteLedger } from "./write-ledger.ts";
import { toContentOperation } from "./content-operations.ts";

export const nativeProtocol = 1;
const sweepInterval = millis(1000);
/** A log keeps a session for longer than any lease: its end is told by whoever sweeps. */
const loggedSessionMs = 24 * 3600 * 1000;
const statusAgeMax = 1000;
const lostSessionsPage = 100;
const chunkSizeMax = 4 * 1024 * 1024;

/** Where clients find this node. */
export interface NativeEndpoints {
  /** `host:port`. */
  readonly bulk: string;
  readonly isBulkTls: boolean;
}
export interface NativeOptions {
  readonly node: StorageNode;
  readonly log: Logger;
  /** For a client that reached the node as `host`. Asked at each call: listeners may get their ports late. */
  readonly endpoints: (host: string) => NativeEndpoints;
  /** How long clients of before the start have to take their sessions up again, milliseconds. Absent: one lease. */
  readonly graceMs?: number | undefined;
}

/** What native clients work with: sessions, leases of keys and plans, operations. One per node. */
export class Native implements AsyncDisposable {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly ports: DataPorts;
  readonly tickets: ChunkTickets;
  readonly sessions: NativeSessions;
  readonly ledger: WriteLedger;
  readonly plans: PlanLeases;
  readonly applier: Applier;
  readonly node: StorageNode;
  readonly #options: NativeOptions;
  readonly #catalog: Pick<Catalog, "tenants">;
  readonly #stopping = new AbortController();
  /** Tenants whose sessions of before this start are ended, or about to be. */
  readonly #recovered = new Set<string>();
  readonly #sweeping: Promise<void>;
  #status: ReturnType<ChunkStore["status"]> | undefined;
  #statusAt = 0;

  constructor(options: NativeOptions) {
    const { node } = options;
    this.#options = options;
    this.node = node;
    this.ports = node.ports;
    this.clock = node.ports.clock;
    this.prng = node.ports.prng;
    this.tickets = node.storage.chunkTickets;
    this.#catalog = node.storage.catalog;
    this.ledger = new WriteLedger((refs) => {
      if (!this.#stopping.signal.aborted) this.ports.chunkStore.remove(refs);
    });
    this.plans = new PlanLeases(this.clock);
    this.sessions = new NativeSessions(this.clock, this.prng, (session, isLogged) =>
      this.#ended(session, isLogged),
    );
    this.applier = new Applier({
      toContentOperation: (...words) => toContentOperation(this, ...words),
      onBug: (reason) => this.onBug("apply", reason),
    });
    this.#sweeping = this.#sweep();
  }
  /** Aborts when the node stops. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** @throws what `Tenants.open` throws. */
  openTenant(
    tenant: TenantId,
    need: "read" | "write",
    signal: AbortSignal,
  ): OpenTenant | Promise<OpenTenant> {
    const { tenants } = this.node;
    return tenants.openNow(tenant, need) ?? tenants.open(tenant, need, signal);
  }

  /** @throws {RpcError} There is no session yet that could be told. */
  async openSession(
    request: Parameters<NativeBackend["files"]["openSession"]>[0],
    { peer, signal, host }: NativeCall,
  ) {
    try {
      const { defaultTenant } = this.node;
      const id = tenantOfPeer(this.#catalog, defaultTenant, peer, request.tenant);
      const tenant = await this.openTenant(id, "write", signal);
      const session = this.sessions.open(id, request.clientId, identityOf(peer));
      const expires = this.clock.realtime() + loggedSessionMs;
      const { clientId: client } = session;
      const outcome = await tenant.owner.submit(
        { kind: "open_session", client, expires },
        this.#newId(),
      );
      if (outcome.kind === "refused") {
        this.sessions.close(session);
        throw new RpcError("unavailable", "The tenant takes no sessions now: try again");
      }
      this.#recover(id);
      const { bulk, isBulkTls } = this.#options.endpoints(host);
      return {
        session: session.id,
        leaseMs: sessionLeaseMs,
        tenantId: id,
        epoch: tenant.owner.epoch,
        protocol: nativeProtocol,
        bulkEndpoint: bulk,
        isBulkTls,
        smallSizeMax: this.ports.smallSizeMax,
        chunkSizeMax,
        bulkEntriesMax,
      };
    } catch (reason) {
      throw rpcErrorOf(reason);
    }
  }
  /** The client says that it is done: what the log keeps for it goes before this resolves. */
  async closeSession(session: NativeSession): Promise<void> {
    this.sessions.close(session);
    await this.#forget(session.tenant, session.clientId);
  }

  /** At most a second old. */
  storeStatus(): ReturnType<ChunkStore["status"]> {
    const now = this.clock.monotonic();
    if (this.#status === undefined || now - this.#statusAt > statusAgeMax) {
      this.#status = this.ports.chunkStore.status();
      this.#statusAt = now;
    }
    return this.#status;
  }

  onBug(what: string, reason: unknown): void {
    const error = reason instanceof Error ? `${reason.name}: ${reason.message}` : "unknown";
    const stack = reason instanceof Error ? reason.stack : undefined;
    this.#options.log.error({ what, error, stack }, "a native client's request failed");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#sweeping;
    this.sessions.endAll();
    this.plans[Symbol.dispose]();
  }

  #newId(): OperationId {
    return newOperationId(this.prng);
  }
  #ended(session: NativeSession, isLogged: boolean): void {
    this.ledger.end(session);
    this.ports.metrics.set("kiseki_native_sessions", this.sessions.count);
    if (!isLogged) return;
    void this.#forget(session.tenant, session.clientId).catch((reason: unknown) => {
      if (!this.stopping.aborted && codeOf(reason) === undefined) this.onBug("session", reason);
    });
  }
  /** The log outlives the node: clients that died meanwhile would keep their locks and files for ever. */
  #recover(tenantId: TenantId): void {
    const name = toHex(tenantId);
    if (this.#recovered.has(name)) return;
    this.#recovered.add(name);
    void this.#endLost(tenantId).catch((reason: unknown) => {
      if (this.stopping.aborted) return;
      this.#recovered.delete(name); // the next session tries again
      if (codeOf(reason) === undefined) this.onBug("recover", reason);
    });
  }
  async #endLost(tenantId: TenantId): Promise<void> {
    await this.clock.sleep(millis(this.#options.graceMs ?? sessionLeaseMs), this.stopping);
    let clients: readonly Uint8Array[];
    let after: Uint8Array | undefined;
    do {
      const tenant = await this.openTenant(tenantId, "write", this.stopping);
      clients = tenant.store.view((map) => listSessions(map, after, lostSessionsPage));
      after = clients.at(-1);
      for (const client of clients)
        if (!tenant.keepers.isKeeping(client)) await this.#forget(tenantId, client);
    } while (clients.length === lostSessionsPage);
  }
  /** Ends what the log keeps for a client, unless it is back meanwhile. False: not all of it, for the log takes nothing now. */
  async #forget(tenantId: TenantId, client: Uint8Array): Promise<boolean> {
    const tenant = await this.openTenant(tenantId, "write", this.stopping);
    for (;;) {
      if (this.sessions.isOpen(tenantId, client)) return true;
      const outcome = await tenant.owner.submit({ kind: "close_session", client }, this.#newId());
      if (outcome.kind === "refused") return false;
      if (outcome.answer.kind !== "reclaimed" || !outcome.answer.hasMore) return true;
    }
  }
  async #sweep(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.clock.sleep(sweepInterval, signal).catch(() => undefined);
      const now = this.clock.monotonic();
      this.sessions.sweep(now);
      this.ledger.sweep(now);
      this.plans.sweep(now);
      for (const { id, keepers } of this.node.tenants.all)
        keepers.sweep(now, (keeper) => this.#forget(id, keeper));
      this.ports.metrics.set("kiseki_native_sessions", this.sessions.count);
    }
  }
}

/** For calls without a session. */
function rpcErrorOf(reason: unknown): unknown {
  switch (codeOf(reason)) {
    case undefined:
      return reason;
    case "forbidden":
      return new RpcError("forbidden", "This identity has no such tenant, or not this client id");
    case "invalid":
      return new RpcError("invalid", "A client id has 16 bytes");
    default:
      return new RpcError("unavailable", "The tenant takes no sessions now: try again");
  }
}
