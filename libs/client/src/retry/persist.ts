import { type Millis, millis, type Prng } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import type { FileRefusal, FileRefusalCode } from "@kiseki/vfs";
import { backoffMs } from "./backoff.ts";
import type { Fate, Verdict } from "./fates.ts";

/** How one attempt ended. */
export type Attempted<T> =
  | { readonly kind: "done"; readonly value: T }
  | { readonly kind: "failed"; readonly verdict: Verdict; readonly retryAfterMs?: number };

export interface Persistence {
  readonly clock: Clock;
  readonly prng: Prng;
  /** On the monotonic clock: no attempt begins after it. */
  readonly deadline: Millis;
  /** The client is closing, or whoever asked has gone. */
  readonly signal: AbortSignal;
}

export const refused = (code: FileRefusalCode): FileRefusal => ({ kind: "refused", code });

/**
 * Tries until it is done, or one says to give up, or the deadline is over. `last`: why it is tried once more; `leftMs`: how
 * long the attempt may take.
 */
export async function persist<T>(
  { clock, prng, deadline, signal }: Persistence,
  attempt: (last: Fate | undefined, leftMs: number) => Promise<Attempted<T>>,
): Promise<{ readonly kind: "done"; readonly value: T } | FileRefusal> {
  const counts = new Map<Verdict, number>();
  let last: Fate | undefined;
  for (let number = 1; ; number++) {
    if (signal.aborted) return refused("interrupted");
    const ended = await attempt(last, deadline - clock.monotonic());
    if (ended.kind === "done") return ended;
    const { verdict, retryAfterMs } = ended;
    const count = (counts.get(verdict) ?? 0) + 1;
    counts.set(verdict, count);
    const isOver = verdict.fate === "give_up" || count >= (verdict.attemptsMax ?? Infinity);
    const wait = Math.max(retryAfterMs ?? 0, backoffMs(number, prng));
    if (isOver || clock.monotonic() + wait >= deadline) return refused(verdict.code);
    try {
      await clock.sleep(millis(wait), signal);
    } catch {
      return refused("interrupted");
    }
    last = verdict.fate;
  }
}
