import { type CachePolicy, CacheWatchdog, type KeyAnswer } from "@kiseki/cache";
import { millis } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import { within } from "../retry/within.ts";

export interface GuardOptions {
  readonly policy: Pick<CachePolicy, "disconnectSecondsMax" | "keyHealthIntervalMs">;
  /** Asks once after the tenant's key. */
  readonly ask: (timeoutMs: number) => Promise<KeyAnswer>;
  /** Erases everything; `why` for the log. */
  readonly wipe: (why: "key_destroyed" | "disconnected") => Promise<void>;
  /** Whether content may be kept from now on. */
  readonly trust: (isTrusting: boolean) => void;
}

const timeoutMsMax = 10_000;
/** A refusal counts when it is repeated: a tenant whose key is gone is one that no node knows. */
const afterRefusalMs = 1000;

/** Asks after the tenant's key until `signal` aborts, and wipes the cache when it has to be (spec §7.9). */
export async function guardCache(
  clock: Clock,
  { policy, ask, wipe, trust }: GuardOptions,
  signal: AbortSignal,
): Promise<void> {
  const { disconnectSecondsMax, keyHealthIntervalMs } = policy;
  const watchdog = new CacheWatchdog(disconnectSecondsMax * 1000, clock.monotonic());
  const note = (heard: KeyAnswer): void => {
    const isLost = watchdog.note(heard, clock.monotonic());
    trust(watchdog.isTrusting);
    // A wipe that takes long holds nothing up: what is there is not served any more.
    if (isLost) void wipe(heard === "destroyed" ? "key_destroyed" : "disconnected");
  };
  while (!signal.aborted) {
    const askedAt = clock.monotonic();
    const patience = Math.min(keyHealthIntervalMs, timeoutMsMax, watchdog.dueAt - askedAt);
    const heard = await within<KeyAnswer>(ask(patience), patience, "unanswered");
    note(heard);
    const isDoubted = heard === "refused" && watchdog.isTrusting;
    const pause = isDoubted ? Math.min(keyHealthIntervalMs, afterRefusalMs) : keyHealthIntervalMs;
    const nextAt = Math.min(askedAt + pause, watchdog.dueAt);
    const left = Math.max(1, nextAt - clock.monotonic());
    await clock.sleep(millis(left), signal).catch(() => undefined);
    if (!signal.aborted && clock.monotonic() >= watchdog.dueAt) note("unanswered");
  }
}
