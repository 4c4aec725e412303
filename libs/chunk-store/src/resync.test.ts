import { expect, test } from "bun:test";
import type { Chunk } from "./store.fixture.ts";
import { seedOfRun, TestPool } from "./store.fixture.ts";

const replay = `(KISEKI_SIM_SEED=${seedOfRun})`;

/** A pool that has begun each of its zones, most of which have come free again; what lives in it. */
async function makeUsed(): Promise<{ readonly pool: TestPool; readonly chunks: readonly Chunk[] }> {
  const pool = await TestPool.make(seedOfRun, 3);
  const chunks: Chunk[] = [];
  const { zonesTotal } = pool.store.status().devices[0]!;
  for (let round = 0; round < 16 * zonesTotal; round++) {
    const chunk = pool.chunk(1 + pool.prng.below(20_000));
    await pool.put(chunk);
    if (round % 20 === 0) chunks.push(chunk);
    else pool.store.remove([chunk]);
  }
  await pool.store.compact({ deadShareMin: 0.05 });
  return { pool, chunks };
}
const zonesFree = (pool: TestPool): number => pool.store.status().devices[1]!.zonesFree;

for (const when of ["under a running node", "over a start"] as const) {
  test(`resyncDevice() keeps zones free that were, on a device that was away ${when} ${replay}`, async () => {
    const { pool, chunks } = await makeUsed();
    const free = zonesFree(pool);
    expect(free).toBeGreaterThan(8);
    pool.disk(1).gone = true;
    if (when === "over a start") await pool.crash("kill");
    else for (let i = 0; i < 3; i++) for (const chunk of chunks) await pool.get(chunk);
    expect(pool.store.status().devices[1]!.state).toBe(
      when === "over a start" ? "missing" : "failed",
    );
    pool.disk(1).gone = false;
    await pool.store.resyncDevice({ path: "disk1" });
    expect(zonesFree(pool)).toBe(free);
    expect((await pool.store.repair()).waiting).toEqual([]);
    pool.disk(0).gone = true;
    for (const chunk of chunks) expect(await pool.get(chunk)).toEqual(chunk.plain);
  });
}
