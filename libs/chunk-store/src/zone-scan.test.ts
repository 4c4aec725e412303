import { expect, test } from "bun:test";
import {
  decodeRecordHeader,
  decodeZoneFooter,
  deviceBlockSize,
  deviceDataOffset,
  encodeRecordHeader,
  recordHeaderSize,
} from "@kiseki/format";
import type { Chunk } from "./store.fixture.ts";
import { crypto, seedOfRun, TestPool } from "./store.fixture.ts";

const replay = `(KISEKI_SIM_SEED=${seedOfRun})`;
const zoneSize = 128 * 1024;
const crc = (piece: Uint8Array): number => crypto.crc32c(0, piece) >>> 0;

test(`open() without an index does not believe the summary of an older generation ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 2, { zoneSize });
  const chunks: Chunk[] = [];
  while (pool.disk(0).content[deviceDataOffset + zoneSize] === 0) {
    const chunk = pool.chunk(1 + pool.prng.below(4096));
    await pool.put(chunk, true);
    chunks.push(chunk);
  }
  const zone = pool.disk(0).content.subarray(deviceDataOffset, deviceDataOffset + zoneSize);
  const footer = decodeZoneFooter(zone.subarray(zoneSize - deviceBlockSize), zoneSize, crc)!;
  const end = footer.summaryOffset + footer.count * recordHeaderSize;
  const summary = zone.slice(footer.summaryOffset, end);
  const view = new DataView(summary.buffer);
  for (let at = 0; at < summary.byteLength; at += recordHeaderSize) {
    const record = decodeRecordHeader(summary, at, crc)!;
    const older = { ...record, ...pool.chunk(1), generation: record.generation - 1 };
    encodeRecordHeader(older, summary, view, at, crc);
  }
  expect(crc(summary)).toBe(footer.summaryCrc); // it cannot tell: each header ends with its own
  pool.disk(0).restore(summary, deviceDataOffset + footer.summaryOffset);
  await pool.crash("power", "lost");
  expect(pool.store.status().chunks).toBe(chunks.length);
  pool.disk(1).gone = true;
  for (const chunk of chunks) expect(await pool.get(chunk)).toEqual(chunk.plain);
});
