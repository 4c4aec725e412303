import { assert, type Millis, millis, type WallTime, wallTime } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";

interface Sleeper {
  readonly at: number;
  readonly order: number;
  readonly isBackground: boolean;
  readonly wake: () => void;
  /** It is not to be woken: its signal, which may outlive all nodes, does not keep it. */
  readonly forget: () => void;
}

/** Nobody can go on: work is under way that nothing will ever end. */
export class SimStuckError extends Error {
  override readonly name = "SimStuckError";
}

/** Wakes in a row of background work alone that show that nothing else goes on. */
const backgroundWakesMax = 20_000;

/** Time that passes only when everybody waits: then the next sleeper wakes. The wall clock may be set. */
export class SimClock implements Clock {
  readonly #start = 1_800_000_000_000;
  #now = 0;
  #offset = 0;
  #order = 0;
  #sleepers: Sleeper[] = [];
  #backgroundWakes = 0;
  /** For who sleeps again and again without end: that alone keeps nobody from being stuck. */
  readonly background: Clock = {
    monotonic: () => this.monotonic(),
    realtime: () => this.realtime(),
    sleep: (duration, signal) => this.#sleep(duration, signal, true),
  };

  monotonic(): Millis {
    return millis(this.#now);
  }
  realtime(): WallTime {
    return wallTime(this.#start + this.#now + this.#offset);
  }
  /** Sets the wall clock `offset` milliseconds off its true time, either way. */
  setWall(offset: number): void {
    this.#offset = offset;
  }
  sleep(duration: Millis, signal: AbortSignal): Promise<void> {
    return this.#sleep(duration, signal, false);
  }
  #sleep(duration: Millis, signal: AbortSignal, isBackground: boolean): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = (): void => {
      this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
      reject(signal.reason);
    };
    const forget = (): void => signal.removeEventListener("abort", abort);
    const place = { at: this.#now + duration, order: this.#order++, isBackground };
    const sleeper: Sleeper = { ...place, wake: resolve, forget };
    this.#sleepers.push(sleeper);
    signal.addEventListener("abort", abort, { once: true });
    return promise.finally(forget);
  }
  /** Lets time pass until the next sleeper wakes; false when nobody sleeps. */
  wakeNext(): boolean {
    let next: Sleeper | undefined;
    for (const sleeper of this.#sleepers) {
      const isSooner =
        next === undefined ||
        sleeper.at < next.at ||
        (sleeper.at === next.at && sleeper.order < next.order);
      if (isSooner) next = sleeper;
    }
    if (next === undefined) return false;
    this.#backgroundWakes = next.isBackground ? this.#backgroundWakes + 1 : 0;
    if (this.#backgroundWakes > backgroundWakesMax) return false;
    assert(next.at >= this.#now, "time does not go back");
    this.#now = next.at;
    this.#sleepers = this.#sleepers.filter((other) => other !== next);
    next.wake();
    return true;
  }
  /** The process of the sleepers ended: none wakes. */
  forgetSleepers(): void {
    for (const { forget } of this.#sleepers) forget();
    this.#sleepers = [];
  }
}

/** Resolves when every promise that can settle by itself has settled: all jobs are microtasks. */
export const drain = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Runs the simulated world until `work` ends. @throws {SimStuckError} when it cannot end any more. */
export async function runUntil<T>(clock: SimClock, work: Promise<T>): Promise<T> {
  let isDone = false;
  const mark = (): void => {
    isDone = true;
  };
  work.then(mark, mark);
  for (;;) {
    await drain();
    if (isDone) return await work;
    if (!clock.wakeNext())
      throw new SimStuckError("Cannot go on: everybody waits and nobody sleeps");
  }
}
