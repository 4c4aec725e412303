import { expect, test } from "bun:test";
import { deviceDataOffset, superblockSecondOffset } from "@kiseki/format";
import { decodeRow, rowKey } from "./row.ts";
import type { Chunk } from "./store.fixture.ts";
import { seedOfRun, TestPool } from "./store.fixture.ts";

// Goal: after a scrub and a repair nothing is missing, whatever was overwritten under a running node: a recovery
// without the index finds all of it, even when another device goes.
const zoneSize = 128 * 1024;
const replay = `(KISEKI_SIM_SEED=${seedOfRun})`;

async function fill(pool: TestPool, count: number): Promise<Chunk[]> {
  const chunks = Array.from({ length: count }, () => pool.chunk(1 + pool.prng.below(20_000)));
  for (const chunk of chunks) await pool.put(chunk);
  return chunks;
}
async function heal(pool: TestPool): Promise<number> {
  const { faults } = await pool.store.scrub();
  const { lost, waiting } = await pool.store.repair();
  expect([lost.length, waiting.length]).toEqual([0, 0]);
  expect((await pool.store.scrub()).faults).toBe(0);
  return faults;
}
async function isWholeWithout(pool: TestPool, gone: number, chunks: readonly Chunk[]) {
  await pool.crash("power", "lost");
  expect(pool.store.status().devices.map(({ state }) => state)).toEqual(
    pool.paths.map(() => "healthy"),
  );
  pool.disk(gone).gone = true;
  for (const chunk of chunks) expect(await pool.get(chunk)).toEqual(chunk.plain);
}

test(`scrub() and repair() make a device whole that was zeroed under a running node ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 3);
  const before = await fill(pool, 20);
  pool.disk(1).zero();
  const after = await fill(pool, 5); // into a zone whose beginning is gone
  expect(await heal(pool)).toBeGreaterThan(before.length);
  await isWholeWithout(pool, 2, [...before, ...after]);
});

test(`scrub() writes a superblock again that another write has hit ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 3);
  const chunks = await fill(pool, 5);
  for (const offset of [0, superblockSecondOffset]) {
    pool.disk(0).restore(new Uint8Array(4096).fill(0xaa), offset);
    expect(await heal(pool)).toBe(1);
  }
  await isWholeWithout(pool, 1, chunks);
});

test(`scrub() has a zone left whose beginning is blank ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 3);
  const before = await fill(pool, 1);
  pool.disk(1).restore(new Uint8Array(8192), deviceDataOffset);
  const after = await fill(pool, 3);
  expect(await heal(pool)).toBeGreaterThan(1);
  await isWholeWithout(pool, 0, [...before, ...after]);
});

test(`scrub() has a zone left whose header is of an earlier use: the write that began it anew was lost ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 3);
  const gone = await fill(pool, 60);
  const [start, end] = [deviceDataOffset, deviceDataOffset + 8192];
  const before = pool.disk(1).content.slice(start, end);
  pool.store.remove(gone);
  await pool.store.compact();
  await pool.crash("kill"); // the next zone to be begun is the first one
  const chunks = await fill(pool, 60);
  expect(Buffer.compare(before, pool.disk(1).content.subarray(start, end))).not.toBe(0);
  pool.disk(1).restore(before, start);
  expect(await heal(pool)).toBeGreaterThan(1);
  await isWholeWithout(pool, 2, chunks);
});

for (const index of ["kept", "lost"] as const) {
  test(`a zone begun anew without its header keeps its records, index ${index}: the footer is of its earlier use ${replay}`, async () => {
    const pool = await TestPool.make(seedOfRun, 1);
    pool.store.remove(await fill(pool, 60));
    await pool.store.compact();
    await pool.crash("kill");
    const chunks: Chunk[] = [];
    const placeOf = ({ chunkId, sealId }: Chunk) =>
      decodeRow(pool.index.get(rowKey(chunkId, sealId))!).fragments[0]!;
    do chunks.push(...(await fill(pool, 1)));
    while (placeOf(chunks.at(-1)!).generation === 1);
    chunks.push(...(await fill(pool, 1)));
    const { zone } = placeOf(chunks.at(-1)!);
    const header = new Uint8Array(4096).fill(0xaa);
    pool.disk(0).restore(header, deviceDataOffset + zone * zoneSize);
    await pool.crash("power", index);
    chunks.push(...(await fill(pool, 5)));
    for (let start = 0; start < 2; start++) {
      await pool.store.matchCandidates((one) =>
        chunks.some(({ sealId }) => Buffer.compare(sealId, one.sealId) === 0),
      );
      expect((await pool.store.scrub()).faults).toBe(0);
      await pool.store.compact({ deadShareMin: 0 });
      for (const chunk of chunks) expect(await pool.get(chunk)).toEqual(chunk.plain);
      await pool.crash("power", "lost");
    }
  });
}
