import { bytes, type LogIndex, type Millis, millis, toHex, wallTime } from "@kiseki/base";
import { decodeNotice, encodeDeadNotice } from "@kiseki/format";
import { mustSpool } from "@kiseki/log";
import { matchNotification, type NotificationConfig, notificationTarget } from "@kiseki/s3";
import type { DataPorts, OpenTenant } from "../object/types.ts";
import { deliver, inLanes, type RetryPace } from "./delivery.ts";
import { eventMessage, type EventScope } from "./event-record.ts";
import { measureBehind, type NoticeMarks, type PlacedNotice, readNotices } from "./log-notices.ts";
import { configOf, countShelf, listShelf, moveNotices, type ShelvedRow } from "./shelves.ts";
import type { Message, NotificationTarget } from "./target.ts";

export interface ConsumerParts {
  readonly ports: Pick<DataPorts, "clock" | "metrics" | "crypto" | "prng">;
  readonly tenant: OpenTenant;
  readonly target: NotificationTarget;
  readonly marks: NoticeMarks;
  readonly scope: EventScope;
  readonly pace: RetryPace;
  /** Rows that may lie aside for a target; what goes beyond is lost, oldest first, and counted. */
  readonly queuedMax: number;
  readonly deadMax: number;
  /** Whether it holds the log for too long. */
  readonly isTooFar: (since: number | undefined, size: number, now: number) => boolean;
}

/** Name of a target's mark in a shard's log. */
export const consumerName = (targetId: string): string => `notify:${targetId}`;
export const isConsumerName = (name: string): boolean => name.startsWith("notify:");

const batchMax = 64;
const idleMs = millis(1000);

/** The bounds of STORE §2: a GiB, or a day. */
export const isTooFarBehind: ConsumerParts["isTooFar"] = (since, size, now) =>
  mustSpool(
    {
      name: "",
      mark: 0n as LogIndex,
      behindSize: bytes(size),
      behindSince: since === undefined ? undefined : wallTime(since),
    },
    wallTime(now),
  );

interface Wanted extends PlacedNotice {
  readonly message: Message;
}

/** What a target of one tenant does now. */
export interface ConsumerStatus {
  readonly state: "idle" | "sending" | "waiting";
  /** Entries of the log that it has not passed. */
  readonly behind: number;
  /** What the last try met; `undefined` once one went through. */
  readonly trouble: string | undefined;
}

/** Brings the events of one tenant to one target: at least once, those of a key in order (STORE §2). */
export class TargetConsumer {
  readonly #parts: ConsumerParts;
  #position: LogIndex;
  #isSending = false;
  #trouble: string | undefined;
  #wake: (() => void) | undefined;

  constructor(parts: ConsumerParts) {
    this.#parts = parts;
    const { store } = parts.tenant;
    store.registerConsumer(this.#name, store.head().index);
    this.#position = store.consumers().get(this.#name)!;
  }

  get #name(): string {
    return consumerName(this.#parts.target.id);
  }
  get targetId(): string {
    return this.#parts.target.id;
  }
  get position(): LogIndex {
    return this.#position;
  }
  get status(): ConsumerStatus {
    const state = !this.#isSending ? "idle" : this.#trouble === undefined ? "sending" : "waiting";
    const behind = Number(this.#parts.tenant.store.head().index - this.#position);
    return { state, behind, trouble: this.#trouble };
  }
  wake(): void {
    this.#wake?.();
  }

  /** Works until `signal`; rejects when the shard closes, its keys are silent, or the log cannot be read. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const isBusy = (await this.#sendQueued(signal)) || (await this.#sendLogged(signal));
      if (isBusy) await new Promise((resolve) => setImmediate(resolve));
      else await this.#sleep(idleMs, signal);
    }
  }

  /** Until time is over or somebody wakes it. */
  async #sleep(duration: Millis, signal: AbortSignal): Promise<void> {
    const waking = new AbortController();
    this.#wake = () => waking.abort();
    try {
      await this.#parts.ports.clock.sleep(duration, AbortSignal.any([signal, waking.signal]));
    } catch (reason) {
      if (!waking.signal.aborted || signal.aborted) throw reason;
    } finally {
      this.#wake = undefined;
    }
  }

  /** What was put aside for it comes before what is in the log. */
  async #sendQueued(signal: AbortSignal): Promise<boolean> {
    const { tenant, target } = this.#parts;
    const rows = listShelf(tenant, "queued", target.id, batchMax);
    if (rows.length === 0) return false;
    const notices = rows.map(({ place, value }) => ({
      place,
      bytes: value,
      notice: decodeNotice(value),
    }));
    const dead = await this.#send(this.#wanted(notices), signal);
    if (dead === "too_far") await this.#putAside(signal);
    else {
      const remove = rows.map(({ place }) => ({ shelf: "queued", place }) as const);
      await this.#bury(dead, remove);
    }
    return true;
  }

  async #sendLogged(signal: AbortSignal): Promise<boolean> {
    const { ports, tenant, marks } = this.#parts;
    const step = readNotices(ports.crypto, tenant, marks, this.#position);
    if (step === undefined) return false;
    const wanted = this.#wanted(step.notices);
    for (let at = 0; at < wanted.length; at += batchMax) {
      const dead = await this.#send(wanted.slice(at, at + batchMax), signal);
      if (dead === "too_far") {
        await this.#putAside(signal);
        return true;
      }
      await this.#bury(dead, []);
    }
    this.#pass(step.upTo);
    return true;
  }

  #pass(index: LogIndex): void {
    this.#position = index;
    this.#parts.tenant.store.advanceConsumer(this.#name, index);
    this.#parts.ports.metrics.set("kiseki_notifications_behind", this.status.behind, {
      target: this.#parts.target.id,
    });
  }

  /** Those that a rule of their bucket sends here. */
  #wanted(notices: readonly PlacedNotice[]): readonly Wanted[] {
    const { tenant, target, scope } = this.#parts;
    const configs = new Map<string, NotificationConfig | undefined>();
    return notices.flatMap((placed) => {
      const { notice, place } = placed;
      const name = toHex(notice.namespace);
      if (!configs.has(name)) configs.set(name, configOf(tenant, notice.namespace));
      const config = configs.get(name);
      if (config === undefined) return [];
      const rule = matchNotification(config, notice.event, notice.key).find(
        ({ arn }) => notificationTarget(arn)?.id === target.id,
      );
      if (rule === undefined) return [];
      return [{ ...placed, message: eventMessage(notice, place, rule.id, scope) }];
    });
  }

  /** Answers what the target would not take, as rows; `too_far` when meanwhile it held the log for too long. */
  async #send(
    wanted: readonly Wanted[],
    outer: AbortSignal,
  ): Promise<readonly ShelvedRow[] | "too_far"> {
    const { ports, target, pace } = this.#parts;
    const dead: ShelvedRow[] = [];
    if (wanted.length === 0) return dead;
    this.#isSending = true;
    const giveUp = new AbortController();
    const signal = AbortSignal.any([outer, giveUp.signal]);
    const onTrouble = (reason: string | undefined): void => {
      this.#trouble = reason;
      if (reason !== undefined && this.#isTooFar()) giveUp.abort();
    };
    const keyOf = ({ notice }: Wanted): string => `${toHex(notice.namespace)}${toHex(notice.key)}`;
    try {
      await inLanes(wanted, keyOf, async ({ message, bytes: notice, place }) => {
        const outcome = await deliver(ports, target, message, { pace, signal, onTrouble });
        if (outcome.kind === "sent") return;
        const row = { time: ports.clock.realtime(), reason: outcome.reason.slice(0, 256), notice };
        dead.push({ shelf: "dead", place, value: encodeDeadNotice(row) });
      });
    } catch (reason) {
      if (giveUp.signal.aborted && !outer.aborted) return "too_far";
      throw reason;
    } finally {
      this.#isSending = false;
    }
    return dead;
  }

  #isTooFar(): boolean {
    const { tenant, ports, isTooFar } = this.#parts;
    const { since, size } = measureBehind(tenant, this.#position);
    return isTooFar(since, size, ports.clock.realtime());
  }

  /** Copies what the log still holds for the target beside it, so that the log may be cut. */
  async #putAside(signal: AbortSignal): Promise<void> {
    const { ports, tenant, target, marks, queuedMax } = this.#parts;
    let room = queuedMax - countShelf(tenant, "queued", target.id);
    for (;;) {
      signal.throwIfAborted();
      const step = readNotices(ports.crypto, tenant, marks, this.#position);
      if (step === undefined) return;
      const rows = this.#wanted(step.notices).map(({ place, bytes: value }): ShelvedRow => ({
        shelf: "queued",
        place,
        value,
      }));
      const taken = rows.slice(0, Math.max(0, room));
      this.#lose(rows.length - taken.length);
      room -= taken.length;
      await moveNotices(ports, tenant, target.id, { put: taken, remove: [] });
      this.#pass(step.upTo);
    }
  }

  /** Dead ones are kept for a person to look at, the newest of them. */
  async #bury(
    dead: readonly ShelvedRow[],
    remove: readonly Omit<ShelvedRow, "value">[],
  ): Promise<void> {
    const { ports, tenant, target, deadMax } = this.#parts;
    if (dead.length + remove.length === 0) return;
    const all = dead.length === 0 ? 0 : countShelf(tenant, "dead", target.id) + dead.length;
    const oldest = listShelf(tenant, "dead", target.id, Math.max(0, all - deadMax));
    this.#lose(oldest.length);
    const gone = oldest.map(({ place }) => ({ shelf: "dead", place }) as const);
    await moveNotices(ports, tenant, target.id, { put: dead, remove: [...remove, ...gone] });
  }

  #lose(count: number): void {
    const { ports, target } = this.#parts;
    if (count > 0)
      ports.metrics.add("kiseki_notifications_lost_total", count, { target: target.id });
  }
}
