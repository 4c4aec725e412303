import {
  type Millis,
  millis,
  newBytes,
  type Prng,
  sameBytes,
  type TenantId,
  toHex,
} from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import { NativeRefusal } from "./failure.ts";

export const sessionLeaseMs = 30_000;
const sessionIdSize = 16;
const clientIdSize = 16;
/** Open sessions of one node, and of one tenant. */
const sessionsMax = 16_384;

/** A native client at work, for as long as it renews its lease. */
export interface NativeSession {
  readonly id: Uint8Array;
  readonly tenant: TenantId;
  readonly clientId: Uint8Array;
  /** Who opened it; nobody else may use it. */
  readonly identity: string;
  /** Aborts when it is over. */
  readonly signal: AbortSignal;
}
interface Held extends NativeSession {
  readonly ending: AbortController;
  expires: Millis;
}

/**
 * The sessions of native clients. One is over when its lease is: from then on its operations are refused, and `onEnd` is
 * told, once. A client that opens another ends the one before; its id stays with the identity that came first.
 */
export class NativeSessions {
  readonly #clock: Clock;
  readonly #prng: Prng;
  readonly #onEnd: (session: NativeSession, isLogged: boolean) => void;
  readonly #byId = new Map<string, Held>();
  readonly #byClient = new Map<string, Held>();

  /** `isLogged` of `onEnd`: the client is gone, and with it what the log keeps for it. */
  constructor(
    clock: Clock,
    prng: Prng,
    onEnd: (session: NativeSession, isLogged: boolean) => void,
  ) {
    this.#clock = clock;
    this.#prng = prng;
    this.#onEnd = onEnd;
  }
  get count(): number {
    return this.#byId.size;
  }

  /** @throws {NativeRefusal} `invalid`, `forbidden` (another identity has that client id), `busy` */
  open(tenant: TenantId, clientId: Uint8Array, identity: string): NativeSession {
    if (clientId.byteLength !== clientIdSize) throw new NativeRefusal("invalid");
    const client = clientName(tenant, clientId);
    const before = this.#byClient.get(client);
    if (before !== undefined && before.identity !== identity) throw new NativeRefusal("forbidden");
    if (before !== undefined) this.#end(before, false);
    if (this.#byId.size >= sessionsMax) throw new NativeRefusal("busy");
    const ending = new AbortController();
    const session: Held = {
      id: this.#prng.fill(newBytes(sessionIdSize)),
      tenant,
      clientId: new Uint8Array(clientId),
      identity,
      ending,
      signal: ending.signal,
      expires: this.#later(),
    };
    this.#byId.set(toHex(session.id), session);
    this.#byClient.set(client, session);
    return session;
  }
  /** The session, renewed. @throws {NativeRefusal} `session_expired` also for one of somebody else. */
  use(id: Uint8Array, identity: string): NativeSession {
    const session = id.byteLength === sessionIdSize ? this.#byId.get(toHex(id)) : undefined;
    const isOver = session === undefined || session.expires <= this.#clock.monotonic();
    if (isOver || session.identity !== identity) throw new NativeRefusal("session_expired");
    session.expires = this.#later();
    return session;
  }
  close(session: NativeSession): void {
    const held = this.#byId.get(toHex(session.id));
    if (held !== undefined) this.#end(held, true);
  }
  isOpen(tenant: TenantId, clientId: Uint8Array): boolean {
    return this.#byClient.has(clientName(tenant, clientId));
  }
  sweep(now: Millis): void {
    for (const session of this.#byId.values()) if (session.expires <= now) this.#end(session, true);
  }
  /** The node stops: nothing is told to the log, whose sessions outlive it. */
  endAll(): void {
    for (const session of this.#byId.values()) this.#end(session, false);
  }

  #later(): Millis {
    return millis(this.#clock.monotonic() + sessionLeaseMs);
  }
  #end(session: Held, isLogged: boolean): void {
    this.#byId.delete(toHex(session.id));
    const client = clientName(session.tenant, session.clientId);
    const held = this.#byClient.get(client);
    if (held !== undefined && sameBytes(held.id, session.id)) this.#byClient.delete(client);
    session.ending.abort(new NativeRefusal("session_expired"));
    this.#onEnd(session, isLogged);
  }
}

const clientName = (tenant: TenantId, clientId: Uint8Array): string =>
  `${toHex(tenant)}/${toHex(clientId)}`;
