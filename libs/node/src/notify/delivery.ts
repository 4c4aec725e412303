import { type Millis, millis } from "@kiseki/base";
import type { Clock, Metrics } from "@kiseki/ports";
import { DeliveryError, type Message, type NotificationTarget } from "./target.ts";

export interface RetryPace {
  readonly firstMs: number;
  readonly longestMs: number;
}
/** A target that answers, and will not take an event, gets it this often. */
const failuresMax = 10;
const refusalsMax = 3;

export type Delivered =
  { readonly kind: "sent" } | { readonly kind: "dead"; readonly reason: string };

const waitBefore = (pace: RetryPace, attempt: number): Millis =>
  millis(Math.min(pace.longestMs, pace.firstMs * 2 ** Math.min(attempt, 20)));

/** Sends until the target has it, or will not have it; only a signal ends it while the target is not reached. */
export async function deliver(
  { clock, metrics }: { readonly clock: Clock; readonly metrics: Metrics },
  target: NotificationTarget,
  message: Message,
  {
    pace,
    signal,
    onTrouble,
  }: {
    readonly pace: RetryPace;
    readonly signal: AbortSignal;
    readonly onTrouble: (reason: string | undefined) => void;
  },
): Promise<Delivered> {
  const labels = { target: target.id };
  for (let attempt = 0, failures = 0, refusals = 0; ; attempt++) {
    signal.throwIfAborted();
    try {
      await target.send(message, signal);
      onTrouble(undefined);
      metrics.add("kiseki_notifications_sent_total", 1, labels);
      return { kind: "sent" };
    } catch (reason) {
      if (!(reason instanceof DeliveryError)) throw reason;
      metrics.add("kiseki_notifications_failed_total", 1, labels);
      onTrouble(reason.message);
      if (reason.kind === "failed") failures += 1;
      if (reason.kind === "refused") refusals += 1;
      if (failures >= failuresMax || refusals >= refusalsMax) {
        metrics.add("kiseki_notifications_dead_total", 1, labels);
        return { kind: "dead", reason: reason.message };
      }
    }
    await clock.sleep(waitBefore(pace, attempt), signal);
  }
}

const lanesMax = 8;

/** Runs `work` on every item: those of one key one after another in their order, different keys side by side. */
export async function inLanes<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const lanes = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const lane = lanes.get(key);
    if (lane === undefined) lanes.set(key, [item]);
    else lane.push(item);
  }
  const waiting = [...lanes.values()];
  const run = async (): Promise<void> => {
    for (let lane = waiting.shift(); lane !== undefined; lane = waiting.shift()) {
      for (const item of lane) await work(item);
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: lanesMax }, run));
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}
