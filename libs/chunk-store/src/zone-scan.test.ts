import { expect, test } from "bun:test";
import {
  decodeRecordHeader,
  decodeZoneFooter,
  decodeZoneHeader,
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

for (const index of ["that knows it", "of before", "lost again"] as const) {
  test(`open() with an index ${index} believes what was written last in a zone, not what is left of a use without beginning ${replay}`, async () => {
    const pool = await TestPool.make(seedOfRun, 2, { zoneSize });
    const start = deviceDataOffset + zoneSize;
    const putSmall = async (): Promise<Chunk> => {
      const chunk = pool.chunk(100); // a block with its header
      await pool.put(chunk, true);
      return chunk;
    };
    while (pool.disk(1).content[start] === 0) await putSmall();
    for (let i = 0; i < 8; i++) await putSmall();
    const zone = pool.disk(1).content.slice(start, start + zoneSize);
    const view = new DataView(zone.buffer);
    zone.fill(0, 0, 2 * deviceBlockSize);
    for (let at = 0; at < zoneSize; at += deviceBlockSize) {
      const record = decodeRecordHeader(zone, at, crc);
      if (record === undefined) continue;
      encodeRecordHeader({ ...record, generation: record.generation + 1 }, zone, view, at, crc);
    }
    pool.disk(1).restore(zone, start);
    await pool.crash("kill", "lost");
    const chunks = [await putSmall(), await putSmall(), await putSmall()];
    expect(decodeZoneHeader(pool.disk(1).content.subarray(start), crc)?.generation).toBe(1);
    if (index === "that knows it") pool.store.checkpoint();
    await pool.crash("kill", index === "lost again" ? "lost" : "kept");
    for (const { chunkId, sealId } of chunks)
      expect(pool.store.inspect(chunkId, sealId)?.missing).toBe(0);
    pool.disk(0).gone = true;
    for (const chunk of chunks) expect(await pool.get(chunk)).toEqual(chunk.plain);
  });
}
