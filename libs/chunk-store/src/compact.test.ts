import { expect, test } from "bun:test";
import { deviceDataOffset, recordHeaderSize } from "@kiseki/format";
import { compactPool } from "./compact.ts";
import { openPool } from "./open-pool.ts";
import { decodeRow, type Fragment, rowKey } from "./row.ts";
import type { Chunk } from "./store.fixture.ts";
import { seedOfRun, TestPool } from "./store.fixture.ts";

const replay = `(KISEKI_SIM_SEED=${seedOfRun})`;
const zoneSize = 128 * 1024;

/** Where the first device has it. */
function placeOf(pool: TestPool, { chunkId, sealId }: Chunk): Fragment {
  const row = decodeRow(pool.index.get(rowKey(chunkId, sealId))!);
  return row.fragments.find(({ device }) => device === 0)!;
}
function damage(pool: TestPool, chunk: Chunk): void {
  const { zone, offset } = placeOf(pool, chunk);
  const at = deviceDataOffset + zone * zoneSize + offset + recordHeaderSize;
  const byte = pool.disk(0).content[at]!;
  pool.disk(0).restore(new Uint8Array([byte ^ 1]), at);
}
/** Two devices with zones 0 to 3 full; of zone `n` only `kept[n]` chunks are left, the first of them first. */
async function fillZones(pool: TestPool, kept: readonly number[]): Promise<Chunk[][]> {
  const left = kept.map((): Chunk[] => []);
  for (;;) {
    const chunk = pool.chunk(9000);
    await pool.put(chunk);
    const { zone } = placeOf(pool, chunk);
    if (zone >= kept.length) return left;
    if (left[zone]!.length < kept[zone]!) left[zone]!.push(chunk);
    else pool.store.remove([chunk]);
  }
}

test(`compact() goes on behind a zone that cannot be emptied ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 2, { zoneSize });
  const zones = await fillZones(pool, [1, 2, 2, 2]);
  const [bad] = zones[0]!;
  damage(pool, bad!);
  const before = placeOf(pool, bad!);
  const outcome = await pool.store.compact();
  expect(outcome.zones).toBe(3 + 4); // one stays on the first device
  expect(placeOf(pool, bad!)).toEqual({ ...before, bad: true });
  for (const chunk of zones.flat()) expect(await pool.get(chunk)).toEqual(chunk.plain);
});

test(`compact() moves nothing out of a zone that would not come free ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 2, { zoneSize });
  const zones = await fillZones(pool, [3, 0, 0, 0]);
  const [, bad] = zones[0]!;
  damage(pool, bad!);
  expect((await pool.store.scrub()).faults).toBe(1);
  const before = zones[0]!.map((chunk) => placeOf(pool, chunk));
  await pool.store.compact();
  expect(zones[0]!.map((chunk) => placeOf(pool, chunk))).toEqual(before);
  await pool.store.repair();
  const { zones: emptied } = await pool.store.compact();
  expect(emptied).toBe(1);
  for (const chunk of zones.flat()) expect(await pool.get(chunk)).toEqual(chunk.plain);
});

test(`compact() beside another frees each zone once ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 2, { zoneSize });
  const kept = (await fillZones(pool, [1, 1, 1, 1])).flat();
  const countFree = () =>
    pool.store.status().devices.reduce((sum, { zonesFree }) => sum + zonesFree, 0);
  const before = countFree();
  const both = await Promise.all([pool.store.compact(), pool.store.compact()]);
  // A zone that is freed twice may have been begun anew in between: what is written to it then is lost.
  expect(both.reduce((sum, { zones }) => sum + zones, 0)).toBe(countFree() - before);
  for (const chunk of kept) expect(await pool.get(chunk)).toEqual(chunk.plain);
});

test(`compactPool() hands records to other devices where no zone is left to move them to ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 4, { zoneSize });
  const chunks: Chunk[] = [];
  while (chunks.length < 200) {
    const chunk = pool.chunk(3000);
    await pool.put(chunk, true); // two copies on four devices
    chunks.push(chunk);
  }
  pool.store.remove(chunks.filter((_, at) => at % 4 === 0));
  const kept = chunks.filter((_, at) => at % 4 > 0);
  await pool.store[Symbol.asyncDispose]();
  pool.connect();
  const devices = pool.paths.map((path) => ({ path }));
  const opened = await openPool(pool.ports, {
    devices,
    clusterId: pool.cluster,
    allowSingleCopy: false,
  });
  const { zones } = opened.devices[0]!;
  for (let zone = 0; zone < zones.count; zone += 1) {
    if (zones.state(zone) === "free") zones.set(zone, "draining"); // as kills in compactions leave it
  }
  expect(zones.freeCount).toBe(0);
  await compactPool(opened, 0.02, 2);
  expect(zones.freeCount).toBeGreaterThan(0);
  for (const chunk of kept) {
    const { fragments } = opened.row(rowKey(chunk.chunkId, chunk.sealId))!;
    expect(new Set(fragments.map(({ device }) => device)).size).toBe(2);
  }
  opened.flush();
  await pool.crash("kill");
  for (const chunk of kept) expect(await pool.get(chunk)).toEqual(chunk.plain);
});

for (const index of ["kept", "lost"] as const) {
  test(`compact() discards what it gives back, and no more; index ${index} ${replay}`, async () => {
    const pool = await TestPool.make(seedOfRun, 2, { zoneSize });
    for (const disk of pool.disks.values()) disk.takesDiscard = true;
    const kept = (await fillZones(pool, [1, 0, 2, 1])).flat();
    const written = (): number => {
      const { content } = pool.disk(0);
      let blocks = 0;
      for (let at = deviceDataOffset; at < content.byteLength; at += 4096)
        if (content.subarray(at, at + 4096).some((byte) => byte !== 0)) blocks += 1;
      return blocks;
    };
    const before = written();
    await pool.store.compact();
    expect(written()).toBeLessThan(before - (3 * zoneSize) / 4096 / 2);
    for (const chunk of kept) expect(await pool.get(chunk)).toEqual(chunk.plain);
    for (const crash of ["kill", "power"] as const) {
      await pool.crash(crash, index);
      for (const chunk of kept) expect(await pool.get(chunk)).toEqual(chunk.plain);
      const more = pool.chunk(9000);
      await pool.put(more);
      kept.push(more);
    }
    const { faults } = await pool.store.scrub();
    if (index === "kept") expect(faults).toBe(0); // else of the dead, which a summary that stayed still names
    for (const chunk of kept) {
      expect(await pool.get(chunk)).toEqual(chunk.plain);
      expect(pool.store.inspect(chunk.chunkId, chunk.sealId)!.missing).toBe(0);
    }
  });
}
