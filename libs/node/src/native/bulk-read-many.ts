import {
  bulkAnswerSize,
  bulkEntrySealedSize,
  type BulkEntry,
  type BulkStatus,
  bulkStatusesSize,
  type ChunkCapability,
  putBulkStatuses,
} from "@kiseki/format";
import type { ArenaLease } from "@kiseki/ports";
import { type BulkOutcome, bulkStatus, checkRight, statusOf } from "./bulk-work.ts";
import type { Native } from "./native.ts";

const sealedSizeOf = (entries: readonly BulkEntry[]): number =>
  entries.reduce((sum, entry) => sum + bulkEntrySealedSize(entry), 0);
/** The answer's payload, if every chunk is there. */
export const manySize = (entries: readonly BulkEntry[]): number =>
  bulkStatusesSize(entries.length) + sealedSizeOf(entries);

/** An entry whose bytes have a place in the answer, or why it has none. */
type Asked = BulkStatus | { readonly entry: BulkEntry; readonly right: ChunkCapability };

/**
 * Small chunks that plans named, in one answer; each has a status of its own. Those that the page cache holds are read in
 * this thread, the others side by side in the pool.
 */
export async function workReadMany(
  native: Native,
  entries: readonly BulkEntry[],
  certified: string | undefined,
  signal: AbortSignal,
): Promise<BulkOutcome> {
  using held = new DisposableStack();
  try {
    const asked = entries.map((entry): Asked => {
      const right = checkRight(native, { ...entry, kind: "read" }, certified);
      return typeof right === "string" ? right : { entry, right };
    });
    const { budget, datapath, metrics } = native.ports;
    const allowed = entries.filter((_, i) => typeof asked[i] !== "string");
    const room = bulkAnswerSize + bulkStatusesSize(entries.length) + sealedSizeOf(allowed);
    held.use(budget.takeNow(room, "read") ?? (await budget.take(room, signal, "read")));
    const lease = held.use(
      datapath.arena.lend(room) ?? (await datapath.arena.borrow(room, signal)),
    );
    const statuses = await readEach(native, asked, lease);
    const size = packAnswer(asked, statuses, lease.bytes.subarray(bulkAnswerSize));
    metrics.add("kiseki_chunk_read_bytes_total", size - bulkStatusesSize(entries.length));
    const owned = held.move();
    return {
      status: "ok",
      payload: lease.bytes.subarray(bulkAnswerSize, bulkAnswerSize + size),
      whole: lease.bytes.subarray(0, bulkAnswerSize + size),
      retryAfterMs: 0,
      [Symbol.dispose]: () => owned.dispose(),
    };
  } catch (reason) {
    return bulkStatus(signal.aborted ? "unavailable" : statusOf(native, reason));
  }
}

/** Each chunk into its place, one behind the other. */
async function readEach(
  native: Native,
  asked: readonly Asked[],
  lease: ArenaLease,
): Promise<BulkStatus[]> {
  const statuses: BulkStatus[] = [];
  const waits: Promise<void>[] = [];
  let offset = bulkAnswerSize + bulkStatusesSize(asked.length);
  for (let i = 0; i < asked.length; i++) {
    const one = asked[i]!;
    if (typeof one === "string") {
      statuses[i] = one;
      continue;
    }
    const size = bulkEntrySealedSize(one.entry);
    const read = readOne(native, one.entry, one.right, { lease, offset, size });
    if (typeof read === "string") statuses[i] = read;
    else waits.push(read.then((status) => void (statuses[i] = status)));
    offset += size;
  }
  await Promise.all(waits); // none rejects: the lease is theirs until they have ended
  return statuses;
}

function readOne(
  native: Native,
  { chunkId, sealId, size }: BulkEntry,
  { pool }: ChunkCapability,
  target: { readonly lease: ArenaLease; readonly offset: number; readonly size: number },
): BulkStatus | Promise<BulkStatus> {
  const { chunkStore } = native.ports;
  const segments = { segmentFirst: 0, segmentEnd: 1, isVerifying: false };
  const request = { chunkId, sealId, size, ...segments, pool, target };
  try {
    if (chunkStore.getSealedNow(request)) return "ok";
    return chunkStore.getSealed(request).then(
      (outcome) => (outcome === "read" ? "ok" : outcome),
      (reason: unknown) => statusOf(native, reason),
    );
  } catch (reason) {
    return statusOf(native, reason);
  }
}

/** Statuses, then the chunks that are there, without gaps; answers how much that is. */
function packAnswer(
  asked: readonly Asked[],
  statuses: readonly BulkStatus[],
  payload: Uint8Array,
): number {
  putBulkStatuses(statuses, payload);
  let from = bulkStatusesSize(asked.length);
  let to = from;
  for (let i = 0; i < asked.length; i++) {
    const one = asked[i]!;
    if (typeof one === "string") continue;
    const size = bulkEntrySealedSize(one.entry);
    if (statuses[i] === "ok") {
      if (from !== to) payload.copyWithin(to, from, from + size);
      to += size;
    }
    from += size;
  }
  return to;
}
