import { Health } from "../discovery/health.ts";
import {
  BulkConnection,
  type BulkExchange,
  type BulkPorts,
  type BulkReply,
} from "./bulk-connection.ts";
import { within } from "../retry/within.ts";
import type { BulkAddress } from "./connect.ts";

/** Spec §7.3. */
const connectionsMax = 8;
const idleConnectionsMax = 4;
const idleTimeoutMs = 30_000;
/** Fewer than a node takes at once, so that none waits there unread. */
const requestsPerConnectionMax = 16;
/** A connection as busy as this gets another one beside it. */
const requestsBeforeHelp = 2;

/**
 * The connections to one node's bulk port. `find` names its addresses in the order in which they are tried. Requests
 * beyond what the connections take wait their turn.
 */
export class BulkPool implements Disposable {
  readonly #ports: BulkPorts;
  readonly #find: () => Promise<readonly BulkAddress[]>;
  readonly #connections = new Map<BulkConnection, Health>();
  readonly #health = new Map<string, Health>();
  readonly #waiting: (() => void)[] = [];
  #openings = 0;
  #addressNext = 0;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor(ports: BulkPorts, find: () => Promise<readonly BulkAddress[]>) {
    this.#ports = ports;
    this.#find = find;
  }

  /** Never rejects. */
  async exchange(exchange: BulkExchange): Promise<BulkReply> {
    const { deadline } = exchange;
    const left = deadline - this.#ports.clock.monotonic();
    const connection = await within(this.#take(deadline), left, undefined);
    if (connection === undefined) return "connection_lost";
    const health = this.#connections.get(connection);
    const reply = await connection.exchange(exchange);
    if (reply === "connection_lost") health?.failed(this.#ports.clock.monotonic());
    else health?.succeeded();
    this.#waiting.shift()?.();
    this.#restLater();
    return reply;
  }

  /** The least busy connection; `undefined`: there is none to be had, or none before the deadline. */
  async #take(deadline: number): Promise<BulkConnection | undefined> {
    for (;;) {
      if (this.#isClosed || this.#ports.clock.monotonic() >= deadline) return undefined;
      const least = [...this.#connections.keys()].reduce<BulkConnection | undefined>(
        (best, one) => (best && best.pendingCount <= one.pendingCount ? best : one),
        undefined,
      );
      const canOpen = this.#connections.size + this.#openings < connectionsMax;
      if (least !== undefined && least.pendingCount < requestsPerConnectionMax) {
        const isBusy = least.pendingCount >= requestsBeforeHelp;
        if (isBusy && canOpen && this.#openings === 0) void this.#open();
        return least;
      }
      if (canOpen && this.#openings === 0) {
        if (!(await this.#open()) && this.#connections.size === 0) return undefined;
      } else await this.#turn(deadline);
    }
  }

  #turn(deadline: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    const wait = Math.max(0, deadline - this.#ports.clock.monotonic());
    const timer = setTimeout(() => {
      const at = this.#waiting.indexOf(resolve);
      if (at >= 0) this.#waiting.splice(at, 1);
      resolve();
    }, wait);
    return promise.finally(() => clearTimeout(timer));
  }

  /** One at a time. False: nobody is there. */
  async #open(): Promise<boolean> {
    this.#openings += 1;
    try {
      const addresses = await this.#find().catch(() => []);
      for (const target of this.#inTurn(addresses)) {
        if (this.#isClosed) return false;
        const forget = (closed: BulkConnection) => this.#forget(closed);
        const opened = await BulkConnection.open(this.#ports, target, forget);
        if (opened !== undefined) return this.#keep(opened, this.#healthOf(target));
        this.#healthOf(target).failed(this.#ports.clock.monotonic());
        this.#addressNext += 1;
      }
      return false;
    } finally {
      this.#openings -= 1;
      this.#wakeAll();
    }
  }
  /** From the one whose turn it is; those that fare ill only when there are no others. */
  #inTurn(addresses: readonly BulkAddress[]): readonly BulkAddress[] {
    const now = this.#ports.clock.monotonic();
    const at = this.#addressNext % Math.max(1, addresses.length);
    const all = [...addresses.slice(at), ...addresses.slice(0, at)];
    const well = all.filter((target) => this.#healthOf(target).mayTry(now));
    return well.length > 0 ? well : all;
  }
  #healthOf({ address, port }: BulkAddress): Health {
    const key = `${address} ${port}`;
    const known = this.#health.get(key) ?? new Health();
    this.#health.set(key, known);
    return known;
  }
  #keep(opened: BulkConnection, health: Health): boolean {
    if (this.#isClosed) opened.close();
    if (opened.isClosed) return false;
    this.#connections.set(opened, health);
    this.#restLater();
    return true;
  }
  #forget(closed: BulkConnection): void {
    if (this.#connections.delete(closed)) this.#addressNext += 1;
    this.#wakeAll();
  }
  #wakeAll(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #restLater(): void {
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => {
      const idle = [...this.#connections.keys()].filter(({ pendingCount }) => pendingCount === 0);
      const isQuiet = idle.length === this.#connections.size;
      for (const connection of isQuiet ? idle : idle.slice(idleConnectionsMax)) connection.close();
    }, idleTimeoutMs);
    this.#idleTimer.unref();
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    clearTimeout(this.#idleTimer);
    for (const connection of [...this.#connections.keys()]) connection.close();
    this.#wakeAll();
  }
}
