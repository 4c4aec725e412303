import { millis } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";

const tick = millis(250);

/**
 * Yields `snapshot()` while `work` goes on, a few times a second, and once more when it has ended. When the
 * taker goes or `signal` aborts, the work's signal aborts, and its end is waited for. Rejects as the work does.
 */
export async function* following<T>(
  clock: Clock,
  work: (signal: AbortSignal) => Promise<void>,
  snapshot: (isDone: boolean) => T,
  signal: AbortSignal,
): AsyncGenerator<T> {
  const ending = new AbortController();
  const linked = AbortSignal.any([signal, ending.signal]);
  let isDone = false;
  const working = work(linked).finally(() => {
    isDone = true;
  });
  working.catch(() => undefined); // seen below, or nobody listens any more
  try {
    while (!isDone) {
      const waiting = new AbortController();
      const pause = clock.sleep(tick, AbortSignal.any([linked, waiting.signal]));
      pause.catch(() => undefined); // ended by the work's end
      await Promise.race([working, pause]).catch(() => undefined);
      waiting.abort();
      if (!isDone && !linked.aborted) yield snapshot(false);
      if (linked.aborted) break;
    }
    await working;
    yield snapshot(true);
  } finally {
    ending.abort();
    await working.catch(() => undefined);
  }
}
