import type { Bytes, LogIndex, WallTime } from "@kiseki/base";
import { assert, bytes, GiB, logIndex, millis } from "@kiseki/base";

/** A consumer behind by more than this gets its rest copied into a spool object (STORE §2). */
export const consumerBehindSizeMax = bytes(GiB);
export const consumerBehindAgeMax = millis(24 * 60 * 60 * 1000);

/** How far one consumer has come, measured by the owner. */
export interface ConsumerLag {
  readonly name: string;
  /** Its mark: it needs nothing up to and including this index. */
  readonly mark: LogIndex;
  /** Bytes of the log's entries above the mark. */
  readonly behindSize: Bytes;
  /** When the first entry above the mark was appended; `undefined` when there is none. */
  readonly behindSince: WallTime | undefined;
}

export interface TruncationPlan {
  /** Consumers whose rest is copied into a spool object; once it is durable they are advanced to the head. */
  readonly spool: readonly string[];
  /** What `ShardStore.truncate` may be asked for now, before any spooling; `undefined` when nothing can go. */
  readonly truncateTo: LogIndex | undefined;
}

/** Whether `lag` is too far behind to hold the log any longer. A wall clock that went back counts as no delay. */
export function mustSpool(lag: ConsumerLag, now: WallTime): boolean {
  if (lag.behindSize > consumerBehindSizeMax) return true;
  return lag.behindSince !== undefined && now - lag.behindSince > consumerBehindAgeMax;
}

/**
 * The highest index that may be dropped: what every consumer has passed, but never the head, which the
 * chain is resumed from. `undefined` when that is below `head.first`.
 */
export function truncationTarget(
  head: { readonly index: LogIndex; readonly first: LogIndex },
  marks: Iterable<LogIndex>,
): LogIndex | undefined {
  assert(head.first >= 1n && head.first <= head.index + 1n, "the first entry is within the log");
  let target = head.index - 1n;
  for (const mark of marks) if (mark < target) target = mark;
  return target >= head.first ? logIndex(target) : undefined;
}

/** What to do about the log's length: pure, the owner acts and asks again. */
export function planTruncation(
  head: { readonly index: LogIndex; readonly first: LogIndex },
  lags: readonly ConsumerLag[],
  now: WallTime,
): TruncationPlan {
  const spool = lags.filter((lag) => mustSpool(lag, now)).map((lag) => lag.name);
  const truncateTo = truncationTarget(
    head,
    lags.map((lag) => lag.mark),
  );
  return { spool, truncateTo };
}
