import { millis, type Prng } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import { type FailureMessage, type NativeClient, toRpcError } from "@kiseki/rpc";
import type { FileRefusal } from "@kiseki/vfs";
import { type Fate, rpcVerdict, verdictOfFailure } from "../retry/fates.ts";
import { type Attempted, persist } from "../retry/persist.ts";
import { within } from "../retry/within.ts";
import { callTimeoutMs, type Session, type Sessions } from "./sessions.ts";

/** One call in a session. */
export type Act<T> = (
  client: NativeClient,
  session: Session,
  options: { readonly timeoutMs: number },
) => Promise<T>;

interface Ports {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly sessions: Sessions;
  /** How long an operation is tried before its caller is told that it failed. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/** The part of a deadline that is waited for nodes that are lost. */
const lostShare = 10;

export function failureOfWire({ code, retryAfterMs }: FailureMessage): Attempted<never> {
  return { kind: "failed", verdict: verdictOfFailure(code), retryAfterMs };
}

/** Calls of the session: sent to whoever owns what they are about, and repeated as their fate says. */
export class Asking {
  readonly #ports: Ports;
  /** An operation was tried in vain until its deadline, and nobody has answered since. */
  #isLost = false;

  constructor(ports: Ports) {
    this.#ports = ports;
  }

  /** Tries until it is done, refused, or too late. */
  async persist<T>(
    attempt: (last: Fate | undefined, leftMs: number) => Promise<Attempted<T>>,
  ): Promise<{ readonly kind: "done"; readonly value: T } | FileRefusal> {
    const { clock, prng, signal } = this.#ports;
    const deadline = millis(this.deadline);
    const ended = await persist({ clock, prng, deadline, signal }, attempt);
    if (ended.kind === "done") this.#isLost = false;
    else if (ended.code !== "interrupted") this.#isLost = ended.code === "unreachable";
    return ended;
  }
  /** Where nobody has answered for a whole deadline, the next operations do not wait for as long again. */
  get patienceMs(): number {
    const { deadlineMs } = this.#ports;
    return this.#isLost ? deadlineMs / lostShare : deadlineMs;
  }
  /** Of what begins now, on the monotonic clock. */
  get deadline(): number {
    return this.#ports.clock.monotonic() + this.patienceMs;
  }

  /** The session there is, or another one that opens in time. */
  session(leftMs: number): Promise<Attempted<Session>> {
    const late = { kind: "failed", verdict: rpcVerdict.unreachable } as const;
    return within<Attempted<Session>>(this.#ports.sessions.ensure(), leftMs, late);
  }

  /** A call that changes nothing, under whatever session there is. */
  ask<T extends { readonly failure?: FailureMessage | undefined }>(
    act: Act<T>,
  ): Promise<{ readonly kind: "done"; readonly value: T } | FileRefusal> {
    return this.persist(async (_last, leftMs) => {
      const session = await this.session(leftMs);
      return session.kind === "done" ? await this.once(session.value, act, leftMs) : session;
    });
  }

  /** What the end of an attempt says of the session. */
  hear(session: Session, ended: Attempted<unknown>): void {
    if (ended.kind === "done") return;
    const { fate } = ended.verdict;
    if (fate === "new_session") this.#ports.sessions.forgotten(session);
    else if (fate === "discover") this.#ports.sessions.moved(session);
  }

  /** One attempt. A failure of the whole answer is its end; the session hears how it went. */
  async once<T extends { readonly failure?: FailureMessage | undefined }>(
    session: Session,
    act: Act<T>,
    leftMs = callTimeoutMs,
  ): Promise<Attempted<T>> {
    const { clock, sessions } = this.#ports;
    const { link } = session;
    const client = await within(link.client(), leftMs, undefined);
    if (client === undefined) return { kind: "failed", verdict: rpcVerdict.unreachable };
    const sentAt = clock.monotonic();
    try {
      const timeoutMs = Math.ceil(Math.min(callTimeoutMs, leftMs));
      const value = await act(client, session, { timeoutMs });
      link.answered();
      if (value.failure === undefined) {
        sessions.renewed(session, sentAt);
        return { kind: "done", value };
      }
      const failure = failureOfWire(value.failure);
      this.hear(session, failure);
      return failure;
    } catch (reason) {
      const { code } = toRpcError(reason);
      if (rpcVerdict[code].fate === "elsewhere") link.failed();
      return { kind: "failed", verdict: rpcVerdict[code] };
    }
  }
}
