import { millis, wallTime } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";

/** The machine's two clocks. */
export const systemClock: Clock = {
  monotonic: () => millis(performance.now()),
  realtime: () => wallTime(Date.now()),
  sleep(duration, signal) {
    if (signal.aborted) return Promise.reject(signal.reason);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    }, duration);
    signal.addEventListener("abort", abort, { once: true });
    return promise;
  },
};
