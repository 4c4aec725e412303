import { MiB } from "@kiseki/base";
import { expect, test } from "bun:test";
import type { Chunk } from "./store.fixture.ts";
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

for (const devices of [1, 2, 3, 6]) {
  for (const kind of ["kill", "power"] as const) {
    for (const index of ["kept", "lost"] as const) {
      test(`open() after ${kind}, index ${index}, ${devices} devices: what was acknowledged is there (KISEKI_SIM_SEED=${seedOfRun})`, async () => {
        const pool = await TestPool.make(seedOfRun, devices, { size: 4 * MiB });
        const chunks: Chunk[] = [];
        for (let i = 0; i < 40; i++) {
          const batch = Array.from({ length: 4 }, () => pool.chunk(1 + pool.prng.below(20_000)));
          await Promise.all(batch.map((chunk) => pool.put(chunk, chunk.plain.byteLength <= 4096)));
          chunks.push(...batch);
          if (i % 13 === 12) await pool.crash(kind, index);
        }
        await pool.crash(kind, index);
        for (const chunk of chunks) expect(await pool.get(chunk)).toEqual(chunk.plain);
        for (const chunk of chunks)
          expect(pool.store.inspect(chunk.chunkId, chunk.sealId)!.missing).toBe(0);
        expect(pool.store.status().chunks).toBe(chunks.length);
        const { kept } = await pool.store.matchCandidates(() => true);
        if (index === "lost") expect(kept).toBe(chunks.length);
        expect(pool.store.status().candidates).toBe(0);
        expect(pool.store.status().damaged).toBe(0);
        const { faults } = await pool.store.scrub();
        expect(faults).toBe(0);
      });
    }
  }
}
