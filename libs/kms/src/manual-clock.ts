import { type Millis, millis, wallTime } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";

interface Sleeper {
  readonly until: number;
  readonly wake: () => void;
}

/** A clock that stands still until `advance`. */
export class ManualClock implements Clock {
  #now = 0;
  readonly #sleepers = new Set<Sleeper>();

  monotonic(): Millis {
    return millis(this.#now);
  }
  realtime(): ReturnType<Clock["realtime"]> {
    return wallTime(1_700_000_000_000 + Math.floor(this.#now));
  }
  /** Sleeps in progress. */
  get sleepers(): number {
    return this.#sleepers.size;
  }
  sleep(duration: Millis, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const sleeper = { until: this.#now + duration, wake: resolve };
    this.#sleepers.add(sleeper);
    const abort = () => {
      this.#sleepers.delete(sleeper);
      reject(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
    return promise.finally(() => signal.removeEventListener("abort", abort));
  }
  /** Moves time, wakes who is due, and lets what they started run until it waits. */
  async advance(duration: number): Promise<void> {
    this.#now += duration;
    for (const sleeper of [...this.#sleepers].toSorted((a, b) => a.until - b.until)) {
      if (sleeper.until > this.#now) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
    for (let i = 0; i < 50; i++) await Promise.resolve();
  }
}
