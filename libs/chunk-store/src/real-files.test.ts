import { expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MiB, newBytes } from "@kiseki/base";
import { openDatapath } from "@kiseki/datapath";
import { nativeDirectory } from "@kiseki/host";
import { segmentSize } from "@kiseki/ports";
import { createDeviceFile, formatDevices, openSqliteIndex, roomFor } from "./index.ts";
import { decodeRow, rowKey } from "./row.ts";
import type { Chunk } from "./store.fixture.ts";
import { seedOfRun, TestPool } from "./store.fixture.ts";

/** The same store on files, native threads and the SQLite index. */
class RealPool extends TestPool {
  folder = "";
  override get paths(): string[] {
    return Array.from({ length: this.count }, (_, i) => join(this.folder, `device${i}`));
  }
  count = 0;
  override connect(): void {
    this.datapath = openDatapath({
      directory: nativeDirectory,
      arenaSize: 64 * MiB,
      computeThreads: 1,
      deviceThreads: 4,
    });
    this.index = openSqliteIndex(join(this.folder, "index.sqlite"));
  }
  static async create(seed: number, count: number): Promise<RealPool> {
    const pool = new RealPool(seed);
    pool.folder = await mkdtemp(join(tmpdir(), "kiseki-store-"));
    pool.count = count;
    for (const path of pool.paths) await createDeviceFile(path, 16 * MiB);
    pool.connect();
    await formatDevices(pool.ports, {
      devices: pool.paths.map((path) => ({ path })),
      clusterId: pool.cluster,
      nodeId: newBytes(16),
      zoneSize: 2 * MiB,
    });
    await pool.datapath[Symbol.asyncDispose]();
    pool.index[Symbol.dispose]();
    await pool.open();
    return pool;
  }
  /** As if killed: nothing is flushed, nothing closed in order. */
  async drop(): Promise<void> {
    await this.datapath[Symbol.asyncDispose]();
    this.index[Symbol.dispose]();
  }
}

/** What is read of a chunk without waiting. */
function getNow(pool: RealPool, chunk: Chunk): Uint8Array | undefined {
  const { byteLength: size } = chunk.plain;
  const room = roomFor({ start: 0, end: size }, size);
  using lease = pool.datapath.arena.lend(room)!;
  const outcome = pool.store.getNow({ ...chunk, size, target: { lease, offset: 0, size: room } });
  if (outcome?.kind !== "read") return undefined;
  return lease.bytes.slice(outcome.offset, outcome.offset + outcome.size);
}
/** One segment is, of what was read a moment ago. */
const nowOf = ({ plain }: Chunk): Uint8Array | undefined =>
  plain.byteLength <= segmentSize ? plain : undefined;

test("getNow() leaves a damaged fragment to get(), which reads around it and queues its repair", async () => {
  const pool = await RealPool.create(seedOfRun, 6);
  const chunk = pool.chunk(50_000);
  const other = pool.chunk(50_000);
  await pool.put(chunk);
  await pool.put(other);
  expect(await pool.get(chunk)).toEqual(chunk.plain);
  expect(getNow(pool, chunk)).toEqual(chunk.plain);
  expect(pool.store.repairQueue()).toEqual([]);
  const { fragments } = decodeRow(pool.index.get(rowKey(chunk.chunkId, chunk.sealId))!);
  for (const { index, device } of fragments) {
    if (index < 2) await damage(pool.paths[device]!, 64 * 1024); // data, which is read; not parity
  }
  expect(getNow(pool, chunk)).toBeUndefined();
  expect(pool.store.repairQueue()).toEqual([]);
  expect(await pool.get(chunk)).toEqual(chunk.plain);
  expect(pool.store.repairQueue().length).toBe(1);
  await pool.store.repair();
  expect(pool.store.inspect(chunk.chunkId, chunk.sealId)!.missing).toBe(0);
  expect(await pool.get(chunk)).toEqual(chunk.plain);
  expect(getNow(pool, chunk)).toEqual(chunk.plain);
  expect(getNow(pool, { ...chunk, chunkId: pool.chunk(1).chunkId })).toBeUndefined();
  await pool.store[Symbol.asyncDispose]();
  await pool.datapath[Symbol.asyncDispose]();
  await rm(pool.folder, { recursive: true });
});

/** Flips a byte in every 4 KiB from `start` on that has been written. */
async function damage(path: string, start: number): Promise<void> {
  const bytes = await readFile(path);
  for (let at = start; at < bytes.byteLength; at += 4096) {
    const spot = at + 1000;
    if (bytes[spot] !== 0) bytes[spot]! ^= 0xff;
  }
  await writeFile(path, bytes, { flag: "r+" });
}

for (const devices of [1, 2, 6]) {
  test(`on ${devices} real files: puts survive a drop of the process and the loss of the index`, async () => {
    const pool = await RealPool.create(seedOfRun, devices);
    const chunks: Chunk[] = [];
    for (let i = 0; i < 12; i++) {
      const batch = Array.from({ length: 4 }, () => pool.chunk(1 + pool.prng.below(100_000)));
      await Promise.all(batch.map((chunk) => pool.put(chunk, chunk.plain.byteLength <= 4096)));
      chunks.push(...batch);
      if (i === 4) {
        await pool.drop();
        await pool.open();
      }
    }
    for (const chunk of chunks) expect(await pool.get(chunk)).toEqual(chunk.plain);
    await pool.store[Symbol.asyncDispose]();
    await pool.datapath[Symbol.asyncDispose]();
    for (const suffix of ["", "-wal", "-shm"])
      await rm(join(pool.folder, `index.sqlite${suffix}`), { force: true });
    await pool.open();
    for (const chunk of chunks) expect(await pool.get(chunk)).toEqual(chunk.plain);
    for (const chunk of chunks) expect(getNow(pool, chunk)).toEqual(nowOf(chunk));
    expect((await pool.store.scrub()).faults).toBe(0);
    await pool.store[Symbol.asyncDispose]();
    await pool.datapath[Symbol.asyncDispose]();
    await rm(pool.folder, { recursive: true });
  });
}
