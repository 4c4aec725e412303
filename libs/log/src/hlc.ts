import type { Millis, WallTime } from "@kiseki/base";
import { assert } from "@kiseki/base";
import type { Hlc } from "@kiseki/format";

const logicalMax = 0xffff_ffff;

/** Negative, zero or positive, as `a` comes before, is, or comes after `b`. */
export function compareHlc(a: Hlc, b: Hlc): number {
  if (a.physical !== b.physical) return a.physical - b.physical;
  if (a.logical !== b.logical) return a.logical - b.logical;
  return a.node < b.node ? -1 : a.node > b.node ? 1 : 0;
}

/** The clock before anything happened on `node`. */
export function firstHlc(node: bigint): Hlc {
  return { physical: 0, logical: 0, node };
}

/** The time of the next local event: after `local`, and not before the wall clock. */
export function advanceHlc(local: Hlc, now: WallTime): Hlc {
  if (now > local.physical) return { physical: now, logical: 0, node: local.node };
  if (local.logical < logicalMax) return { ...local, logical: local.logical + 1 };
  assert(local.physical < Number.MAX_SAFE_INTEGER, "the clock has room");
  return { physical: local.physical + 1, logical: 0, node: local.node };
}

/**
 * The time of having seen `remote`: max(local, remote) + 1, not before the wall clock.
 * `undefined` when `remote` runs more than `aheadMax` before `now`: such a peer is not believed,
 * or one broken clock would drag every other along.
 */
export function mergeHlc(
  local: Hlc,
  remote: Hlc,
  now: WallTime,
  aheadMax: Millis,
): Hlc | undefined {
  if (remote.physical > now + aheadMax) return undefined;
  const later = compareHlc(local, remote) >= 0 ? local : remote;
  return advanceHlc({ ...later, node: local.node }, now);
}
