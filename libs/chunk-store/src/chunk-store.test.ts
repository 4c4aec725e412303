import { MiB } from "@kiseki/base";
import { expect, test } from "bun:test";
import { seedOfRun, TestPool } from "./store.fixture.ts";

for (const devices of [1, 2, 3, 4, 5, 6]) {
  test(`put() and get() give the bytes back on ${devices} devices (KISEKI_SIM_SEED=${seedOfRun})`, async () => {
    const pool = await TestPool.make(seedOfRun, devices, {
      size: 8 * MiB,
      zoneSize: MiB,
    });
    for (const size of [1, 4096, 65_536, 65_537, 200_000]) {
      const chunk = pool.chunk(size);
      const small = size <= 4096;
      const placement = await pool.put(chunk, small);
      expect(placement.missing).toBe(0);
      expect(await pool.get(chunk)).toEqual(chunk.plain);
      const start = pool.prng.below(size);
      const end = start + 1 + pool.prng.below(size - start);
      expect(await pool.get(chunk, { start, end })).toEqual(chunk.plain.slice(start, end));
      expect(pool.store.inspect(chunk.chunkId, chunk.sealId)!.missing).toBe(0);
    }
    await pool.store[Symbol.asyncDispose]();
  });
}
