import type { Health } from "../discovery/health.ts";
import {
  BulkConnection,
  type BulkExchange,
  type BulkPorts,
  type BulkReply,
} from "./bulk-connection.ts";
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
  readonly #health: Health;
  readonly #connections = new Set<BulkConnection>();
  readonly #waiting: (() => void)[] = [];
  #openings = 0;
  #addressNext = 0;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor(ports: BulkPorts, health: Health, find: () => Promise<readonly BulkAddress[]>) {
    this.#ports = ports;
    this.#health = health;
    this.#find = find;
  }

  /** Never rejects. */
  async exchange(exchange: BulkExchange): Promise<BulkReply> {
    const connection = await this.#take(exchange.deadline);
    if (connection === undefined) return "connection_lost";
    const reply = await connection.exchange(exchange);
    if (reply === "connection_lost") this.#health.failed(this.#ports.clock.monotonic());
    else this.#health.succeeded();
    this.#waiting.shift()?.();
    this.#restLater();
    return reply;
  }

  /** The least busy connection; `undefined`: there is none to be had, or none before the deadline. */
  async #take(deadline: number): Promise<BulkConnection | undefined> {
    for (;;) {
      if (this.#isClosed || this.#ports.clock.monotonic() >= deadline) return undefined;
      const least = [...this.#connections].reduce<BulkConnection | undefined>(
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
    if (!this.#health.mayTry(this.#ports.clock.monotonic())) return false;
    this.#openings += 1;
    try {
      const addresses = await this.#find().catch(() => []);
      for (let left = addresses.length; left > 0 && !this.#isClosed; left--) {
        const target = addresses[this.#addressNext % addresses.length]!;
        const forget = (closed: BulkConnection) => this.#forget(closed);
        const opened = await BulkConnection.open(this.#ports, target, forget);
        if (opened !== undefined) return this.#keep(opened);
        this.#addressNext += 1;
      }
      this.#health.failed(this.#ports.clock.monotonic());
      return false;
    } finally {
      this.#openings -= 1;
      this.#wakeAll();
    }
  }
  #keep(opened: BulkConnection): boolean {
    if (this.#isClosed) opened.close();
    if (opened.isClosed) return false;
    this.#connections.add(opened);
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
      const idle = [...this.#connections].filter(({ pendingCount }) => pendingCount === 0);
      const isQuiet = idle.length === this.#connections.size;
      for (const connection of isQuiet ? idle : idle.slice(idleConnectionsMax)) connection.close();
    }, idleTimeoutMs);
    this.#idleTimer.unref();
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    clearTimeout(this.#idleTimer);
    for (const connection of [...this.#connections]) connection.close();
    this.#wakeAll();
  }
}
