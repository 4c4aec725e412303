import { assert } from "@kiseki/base";
import { sealedSize, segmentSize } from "@kiseki/ports";
import { hasOthers, hold, noteFaults, planRead } from "./get.ts";
import type { Pool } from "./pool.ts";
import { rowKey } from "./row.ts";
import type { GetSealedRequest } from "./types.ts";

/** As of `getChunk`. */
const triesMax = 4;
type Outcome = "read" | "not_found" | "lost";

/** Sealed segments of a chunk, as `getChunk` opens them. Without a key no tag is seen: who has one asks again, verifying. */
export async function getSealedChunk(pool: Pool, request: GetSealedRequest): Promise<Outcome> {
  const { segmentFirst, segmentEnd, size, target } = request;
  assert(segmentFirst >= 0 && segmentFirst < segmentEnd, "a range is not empty");
  const plainSize = Math.min(size, segmentEnd * segmentSize) - segmentFirst * segmentSize;
  assert(target.size >= sealedSize(plainSize), "the target has room");
  for (let left = triesMax - 1; ; left--) {
    const { outcome, isOver } = await tryGet(pool, request);
    if (outcome === "lost" && !isOver && left > 0) continue;
    if (outcome === "lost") pool.ports.metrics.add("kiseki_chunk_reads_lost_total", 1);
    return outcome;
  }
}

/** As `getSealedChunk`, of one segment, at once; false when that takes waiting or anything is wrong: that finds out. */
export function getSealedNow(pool: Pool, request: GetSealedRequest): boolean {
  pool.checkOpen();
  const row = pool.row(rowKey(request.chunkId, request.sealId));
  if (row?.plainSize !== request.size) return false;
  const { profile, sources } = planRead(pool, request, row);
  if (sources === undefined) return false;
  const { size, segmentFirst, segmentEnd, isVerifying, target } = request;
  const range = { size, segmentFirst, segmentEnd, isVerifying, target };
  return pool.ports.datapath.readSealedNow({ profile, fragments: sources, ...range });
}

/** `isOver`: there are no other fragments that another try could read. */
async function tryGet(
  pool: Pool,
  request: GetSealedRequest,
): Promise<{ readonly outcome: Outcome; readonly isOver: boolean }> {
  pool.checkOpen();
  const row = pool.row(rowKey(request.chunkId, request.sealId));
  if (row?.plainSize !== request.size) {
    pool.ports.index.condemn(); // a shard names it: the devices may know better than the index
    return { outcome: "not_found", isOver: true };
  }
  const { profile, readable, sources } = planRead(pool, request, row);
  if (sources === undefined)
    return { outcome: "lost", isOver: !hasOthers(pool, request, readable) };
  hold(pool, readable, 1);
  let fetched;
  try {
    const { size, segmentFirst, segmentEnd, isVerifying, target } = request;
    const range = { size, segmentFirst, segmentEnd, isVerifying, target };
    fetched = await pool.ports.datapath.readSealed({ profile, fragments: sources, ...range });
  } finally {
    hold(pool, readable, -1);
  }
  if (fetched.faults.length > 0) noteFaults(pool, request, readable, fetched.faults);
  if (fetched.kind === "fetched") return { outcome: "read", isOver: true };
  return { outcome: "lost", isOver: !hasOthers(pool, request, readable) };
}
