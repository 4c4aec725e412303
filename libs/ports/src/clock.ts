import type { Millis, WallTime } from "@kiseki/base";

export interface Clock {
  /** Milliseconds from an arbitrary origin; never goes back. For timeouts and durations. */
  monotonic(): Millis;
  /** Milliseconds since the Unix epoch; may jump either way. For stored timestamps only. */
  realtime(): WallTime;
  /** Resolves once `duration` has passed; rejects with `signal.reason` if aborted first. */
  sleep(duration: Millis, signal: AbortSignal): Promise<void>;
  /** Resolves when all that has arrived at this thread by now was looked at. Left out where nothing arrives by itself. */
  turn?(): Promise<void>;
}

/** So many wait: a batch is large enough that what it costs by itself hardly counts. */
const enough = 16;
const turnsMax = 8;

/**
 * Waits while each turn brings more to what `count` counts, so that one batch is made of what comes together: a batch costs
 * the thread as much as some operations, and a thread that is busy with them sees them one by one. `undefined`: there are no
 * turns to wait for.
 */
export function whileMoreCome(
  { turn }: Pick<Clock, "turn">,
  count: () => number,
): Promise<void> | undefined {
  const gather = (seen: number, left: number): Promise<void> | undefined => {
    const now = count();
    if (turn === undefined || left === 0 || now <= seen || now >= enough) return undefined;
    return turn().then(() => gather(now, left - 1));
  };
  return gather(0, turnsMax);
}
