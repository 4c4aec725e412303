import type { Millis, WallTime } from "@kiseki/base";

export interface Clock {
  /** Milliseconds from an arbitrary origin; never goes back. For timeouts and durations. */
  monotonic(): Millis;
  /** Milliseconds since the Unix epoch; may jump either way. For stored timestamps only. */
  realtime(): WallTime;
  /** Resolves once `duration` has passed; rejects with `signal.reason` if aborted first. */
  sleep(duration: Millis, signal: AbortSignal): Promise<void>;
}
