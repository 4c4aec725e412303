import { exitCode } from "@kiseki/cli";
import { formatTable, formatTime } from "./format.ts";
import type { Work } from "./session.ts";

const orNone = (unixMs: bigint): string => (unixMs === 0n ? "-" : formatTime(unixMs));

/** Exit code 1 when a bucket's rules cannot be read: nothing is done there. */
export const showLifecycle: Work = async ({ console, client, signal }) => {
  const node = await client();
  const { buckets } = await node.getLifecycleStatus({}, { signal, timeoutMs: 30_000 });
  for (const bucket of buckets) console.emit(bucket);
  const rows = buckets.map((bucket) => [
    bucket.bucket,
    bucket.state,
    String(bucket.ruleCount),
    orNone(bucket.startedUnixMs),
    orNone(bucket.nextUnixMs),
    ...[
      bucket.lookedCount,
      bucket.expiredCount,
      bucket.removedCount,
      bucket.abortedCount,
      bucket.movedCount,
      bucket.changedCount + bucket.heldCount + bucket.skippedCount,
    ].map(String),
  ]);
  const heads = ["BUCKET", "STATE", "RULES", "LAST ROUND", "NEXT"];
  const counts = ["LOOKED AT", "EXPIRED", "REMOVED", "ABORTED", "MOVED", "LEFT"];
  console.say(formatTable([...heads, ...counts], rows));
  const isUnreadable = buckets.some(({ state }) => state === "unreadable");
  return isUnreadable ? exitCode.general : exitCode.ok;
};
