import { expect, spyOn, test } from "bun:test";
import {
  decodeZoneFooter,
  decodeZoneHeader,
  deviceBlockSize,
  deviceDataOffset,
  recordHeaderSize,
} from "@kiseki/format";
import { decodeRow, rowKey } from "./row.ts";
import type { Chunk } from "./store.fixture.ts";
import { crypto, seedOfRun, TestPool } from "./store.fixture.ts";
import { decodeTail, encodeTail } from "./zone-tail.ts";

const replay = `(KISEKI_SIM_SEED=${seedOfRun})`;
const zoneSize = 1 << 20;
const crc = (piece: Uint8Array): number => crypto.crc32c(0, piece);

const makePool = () => TestPool.make(seedOfRun, 2, { size: 8 << 20, zoneSize });

async function fill(pool: TestPool, count: number): Promise<Chunk[]> {
  const chunks = Array.from({ length: count }, () => pool.chunk(100));
  for (let at = 0; at < count; at += 20) {
    await Promise.all(chunks.slice(at, at + 20).map((chunk) => pool.put(chunk, true)));
  }
  return chunks;
}
async function allRead(pool: TestPool, chunks: readonly Chunk[]): Promise<void> {
  for (const chunk of chunks) expect(await pool.get(chunk)).toEqual(chunk.plain);
}
/** Checksums that a start after a crash computes: one or two per record that it looks at. */
async function countChecksums(
  pool: TestPool,
  ...[kind, index]: Parameters<TestPool["crash"]>
): Promise<number> {
  const sums = spyOn(crypto, "crc32c");
  try {
    await pool.crash(kind, index);
    return sums.mock.calls.length;
  } finally {
    sums.mockRestore();
  }
}
/** Headers in the summary of the first zone of a disk, by its footer; `undefined` without a footer of its generation. */
function summaryCount(pool: TestPool, disk: number): number | undefined {
  const zone = pool.disk(disk).content.subarray(deviceDataOffset, deviceDataOffset + zoneSize);
  const header = decodeZoneHeader(zone.subarray(0, deviceBlockSize), crc);
  const footer = decodeZoneFooter(zone.subarray(zoneSize - deviceBlockSize), zoneSize, crc);
  return footer?.generation === header?.generation ? footer?.count : undefined;
}

test("decodeTail() reads what encodeTail() wrote, and nothing of another size", () => {
  const tail = { zone: 3, generation: 2, group: 2 ** 40, start: 8192, headersBefore: 77 };
  expect(decodeTail(encodeTail(tail))).toEqual(tail);
  for (const source of [undefined, encodeTail(undefined), encodeTail(tail).subarray(8)]) {
    expect(decodeTail(source)).toBeUndefined();
  }
});

for (const kind of ["kill", "power"] as const) {
  test(`open() after a ${kind} reads an open zone from its last known group on ${replay}`, async () => {
    const pool = await makePool();
    const before = await fill(pool, 600);
    pool.store.checkpoint();
    const few = await countChecksums(pool, kind);
    expect(few).toBeLessThan(300);
    await allRead(pool, before);
    const after = await fill(pool, 40); // behind the index: found by the scan
    expect(await countChecksums(pool, kind)).toBeLessThan(600);
    expect(pool.store.status().chunks).toBe(before.length + after.length);
    await allRead(pool, [...before, ...after]);
    expect(await countChecksums(pool, kind, "lost")).toBeGreaterThan(2 * before.length);
    await allRead(pool, [...before, ...after]);
  });
}

test(`a zone that was gone on with gets a summary of all its records ${replay}`, async () => {
  const pool = await makePool();
  const chunks = await fill(pool, 300);
  for (let round = 0; round < 3; round++) {
    pool.store.checkpoint();
    await pool.crash("kill");
    chunks.push(...(await fill(pool, 60)));
  }
  expect(summaryCount(pool, 0)).toBeUndefined();
  while (pool.disk(0).content[deviceDataOffset + zoneSize] === 0) {
    chunks.push(...(await fill(pool, 100))); // until the second zone begins
  }
  const resumes = 3;
  const inFirst = chunks.filter((chunk) => {
    const { fragments } = decodeRow(pool.index.get(rowKey(chunk.chunkId, chunk.sealId))!);
    return fragments.some(({ zone, device }) => zone === 0 && device === 0);
  });
  expect(summaryCount(pool, 0)).toBe(inFirst.length + resumes);
  await pool.crash("power", "lost");
  await allRead(pool, chunks);
});

test(`a zone whose beginning was damaged ends without a summary, and what is whole in it is found ${replay}`, async () => {
  const pool = await makePool();
  const chunks = await fill(pool, 300);
  pool.store.checkpoint();
  const hurt = deviceDataOffset + 8 * deviceBlockSize;
  const content = pool.disk(0).content.slice(hurt, hurt + 2 * deviceBlockSize); // headers among them
  pool.disk(0).restore(
    content.map((byte) => byte ^ 1),
    hurt,
  );
  await pool.crash("kill");
  while (pool.disk(0).content[deviceDataOffset + zoneSize] === 0) {
    chunks.push(...(await fill(pool, 100)));
  }
  expect([summaryCount(pool, 0), summaryCount(pool, 1)]).toEqual([undefined, expect.any(Number)]);
  await pool.crash("power", "lost");
  await allRead(pool, chunks);
});

test(`a torn record in a zone that was gone on with is in no summary, and what follows it is found ${replay}`, async () => {
  const pool = await makePool();
  const chunks = await fill(pool, 40);
  pool.store.checkpoint();
  const torn = pool.chunk(100);
  await pool.put(torn, true);
  const { fragments } = decodeRow(pool.index.get(rowKey(torn.chunkId, torn.sealId))!);
  const { zone, offset } = fragments.find(({ device }) => device === 0)!;
  const at = deviceDataOffset + zone * zoneSize + offset + recordHeaderSize;
  pool.disk(0).restore(Uint8Array.of(pool.disk(0).content[at]! ^ 1), at);
  await pool.crash("kill"); // as if it had not come to the disk in time
  for (let puts = 0; puts < 2; puts += 1) {
    const next = pool.chunk(100);
    await pool.put(next, true); // the first in one block with the mark of the resumption
    chunks.push(next);
  }
  pool.store.checkpoint();
  await pool.crash("kill");
  while (pool.disk(0).content[deviceDataOffset + zoneSize] === 0) {
    chunks.push(...(await fill(pool, 100)));
  }
  await pool.crash("power", "lost");
  expect((await pool.store.scrub()).faults).toBe(0);
  for (const { chunkId, sealId } of chunks) {
    expect(pool.store.inspect(chunkId, sealId)!.missing).toBe(0);
  }
});

test(`a device that lacks the last known group is resynced, tail or not ${replay}`, async () => {
  const pool = await makePool();
  const before = await fill(pool, 100);
  const old = pool.disk(1).copy();
  const after = await fill(pool, 100);
  pool.store.checkpoint();
  pool.disk(1).restore(old);
  await pool.crash("kill");
  const isThin = ({ chunkId, sealId }: Chunk) => pool.store.inspect(chunkId, sealId)!.missing > 0;
  expect([before.filter(isThin).length, after.filter(isThin).length]).toEqual([0, after.length]);
  await allRead(pool, [...before, ...after]);
  await pool.store.repair();
  expect([...before, ...after].filter(isThin)).toEqual([]);
});
