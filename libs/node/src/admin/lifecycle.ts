import type { LifecycleStanding, LifecycleWorker } from "../lifecycle/lifecycle-worker.ts";
import { noCounts } from "../lifecycle/progress.ts";
import type { OpenTenant } from "../object/types.ts";

function toLifecycleBucket({ bucket, ruleCount, progress, nextAt }: LifecycleStanding) {
  const counts = progress?.counts ?? noCounts;
  const isRunning = progress !== undefined && progress.finished === undefined;
  return {
    bucket,
    state: ruleCount === undefined ? "unreadable" : isRunning ? "running" : "waiting",
    ruleCount: ruleCount ?? 0,
    startedUnixMs: BigInt(progress?.started ?? 0),
    finishedUnixMs: BigInt(progress?.finished ?? 0),
    nextUnixMs: BigInt(nextAt ?? 0),
    phase: progress?.phase ?? "",
    lookedCount: BigInt(counts.looked),
    expiredCount: BigInt(counts.expired),
    removedCount: BigInt(counts.removed),
    abortedCount: BigInt(counts.aborted),
    changedCount: BigInt(counts.changed),
    heldCount: BigInt(counts.held),
    movedCount: BigInt(counts.moved),
    skippedCount: BigInt(counts.skipped),
  };
}

/** Buckets with rules and how far their rounds are. */
export async function lifecycleStatus(
  worker: LifecycleWorker,
  tenant: OpenTenant,
  signal: AbortSignal,
) {
  return { buckets: (await worker.standings(tenant, signal)).map(toLifecycleBucket) };
}
