import type { Millis } from "@kiseki/base";
import { bytes } from "@kiseki/base";
import { recordSize } from "@kiseki/format";
import { checkHeads, type HeadFindings } from "./check-heads.ts";
import { hold, noteFaults, sourcesOf } from "./get.ts";
import type { Pool } from "./pool.ts";
import { decodeRow, keyChunkId, keySealId, payloadSizeOf } from "./row.ts";
import { scanRows } from "./scan-rows.ts";
import type { ScrubOutcome } from "./types.ts";

const never = new AbortController().signal;
const verifiesAtOnce = 8;

/**
 * Reads superblocks, beginnings of zones, and every record that the index names; checks header and checksum. What is wrong is counted,
 * marked and queued for repair.
 */
export async function scrubRecords(
  pool: Pool,
  options: {
    readonly bytesPerSecond?: number;
    readonly progress?: (done: number, total: number) => void;
    readonly signal?: AbortSignal;
  },
): Promise<ScrubOutcome> {
  const signal = options.signal ?? never;
  const rate = options.bytesPerSecond ?? 0;
  const keys: Uint8Array[] = [];
  await scanRows(pool, (key) => void keys.push(key), signal);
  const heads = await checkHeads(pool, signal);
  const started = pool.ports.clock.monotonic();
  let records = 0;
  let read = 0;
  let faults = heads.faults;
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < keys.length) {
      signal.throwIfAborted();
      pool.checkOpen();
      const done = await scrubRow(pool, heads, keys[next++]!);
      records += done.records;
      read += done.bytes;
      faults += done.faults;
      options.progress?.(next, keys.length);
      const due = rate === 0 ? 0 : (read / rate) * 1000 - (pool.ports.clock.monotonic() - started);
      if (due > 0) await pool.ports.clock.sleep(due as Millis, signal);
    }
  };
  await Promise.all(Array.from({ length: verifiesAtOnce }, work));
  pool.ports.metrics.add("kiseki_scrub_records_total", records);
  pool.damaged += faults;
  return { records, bytes: bytes(read), faults };
}

async function scrubRow(
  pool: Pool,
  heads: HeadFindings,
  key: Uint8Array,
): Promise<{ readonly records: number; readonly bytes: number; readonly faults: number }> {
  const value = pool.ports.index.get(key);
  if (value === undefined) return { records: 0, bytes: 0, faults: 0 };
  const row = decodeRow(value);
  const ref = { chunkId: keyChunkId(key), sealId: keySealId(key) };
  const fragments = row.fragments.filter(pool.usable);
  const sources = sourcesOf(pool, ref, row, fragments);
  let size = 0;
  let faults = 0;
  hold(pool, fragments, 1);
  try {
    for (const [i, source] of sources.entries()) {
      const { device, zone } = fragments[i]!;
      const fault = heads.isHeadless(device, zone)
        ? "header"
        : await pool.ports.datapath.verify(source);
      size += recordSize(payloadSizeOf(fragments[i]!, row.plainSize));
      if (fault === undefined) continue;
      faults += 1;
      noteFaults(pool, ref, [fragments[i]!], [{ index: fragments[i]!.index, fault }]);
    }
  } finally {
    hold(pool, fragments, -1);
  }
  return { records: sources.length, bytes: size, faults };
}
