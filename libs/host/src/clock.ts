import { millis, wallTime } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";

/** A timer of the runtime counts in 31 bits of milliseconds; a longer one would fire at once. */
const timerMax = 2 ** 31 - 1;

/** The machine's two clocks. */
export const systemClock: Clock = {
  monotonic: () => millis(performance.now()),
  realtime: () => wallTime(Date.now()),
  turn: () => new Promise((resolve) => setImmediate(resolve)),
  sleep(duration, signal) {
    if (signal.aborted) return Promise.reject(signal.reason);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    let timer: ReturnType<typeof setTimeout>;
    const wait = (left: number): void => {
      timer = setTimeout(
        () => {
          if (left > timerMax) return wait(left - timerMax);
          signal.removeEventListener("abort", abort);
          resolve();
        },
        Math.min(left, timerMax),
      );
    };
    wait(duration);
    signal.addEventListener("abort", abort, { once: true });
    return promise;
  },
};
