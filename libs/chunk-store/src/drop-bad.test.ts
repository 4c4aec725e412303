import { expect, test } from "bun:test";
import { deviceDataOffset } from "@kiseki/format";
import type { Chunk } from "./store.fixture.ts";
import { seedOfRun, TestPool } from "./store.fixture.ts";

test(`repair() finds room on a device more than half full whose content is all gone (KISEKI_SIM_SEED=${seedOfRun})`, async () => {
  const pool = await TestPool.make(seedOfRun, 3);
  const chunks: Chunk[] = [];
  const isRoomy = (): boolean =>
    pool.store.status().devices.every(({ zonesFree, zonesTotal }) => zonesFree > zonesTotal * 0.35);
  while (isRoomy()) {
    const chunk = pool.chunk(1 + pool.prng.below(20_000));
    await pool.put(chunk);
    chunks.push(chunk);
  }
  const disk = pool.disk(1);
  disk.restore(new Uint8Array(disk.size - deviceDataOffset).fill(0xaa), deviceDataOffset);
  expect((await pool.store.scrub()).faults).toBeGreaterThan(0);
  // A round makes room for some and housekeeping goes on with the rest; while any is made.
  let outcome = await pool.store.repair();
  while (outcome.waiting.length > 0 && outcome.repaired > 0) outcome = await pool.store.repair();
  expect([outcome.lost.length, outcome.waiting.length]).toEqual([0, 0]);
  expect((await pool.store.scrub()).faults).toBe(0);
  pool.disk(0).gone = true;
  for (const chunk of chunks) expect(await pool.get(chunk)).toEqual(chunk.plain);
});
