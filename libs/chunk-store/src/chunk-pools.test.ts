import { expect, test } from "bun:test";
import { epoch, shardId, newBytes } from "@kiseki/base";
import { SimDisk } from "@kiseki/sim";
import type { NodePool } from "./chunk-pools.ts";
import { ChunkPools } from "./chunk-pools.ts";
import type { Chunk } from "./store.fixture.ts";
import { seedOfRun, TestPool } from "./store.fixture.ts";

// Goal: what names a pool or a seal reaches the pool that it means, and no other; faults of one stay in it.
// Method: two pools on simulated disks of their own, one of three devices, one of two.
const replay = `(KISEKI_SIM_SEED=${seedOfRun})`;
const names = ["default", "archive"];

interface Bed {
  readonly beds: readonly TestPool[];
  readonly pools: ChunkPools;
}
const nodePool = ({ number, store }: TestPool): NodePool => ({
  number,
  name: names[number]!,
  store,
});
async function make(): Promise<Bed> {
  const beds = [
    await TestPool.make(seedOfRun, 3),
    await TestPool.make(seedOfRun + 1, 2, { number: 1 }),
  ];
  return { beds, pools: new ChunkPools(beds.map(nodePool)) };
}
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (reason: { code?: string }) => reason.code ?? String(reason),
  );
async function fill(bed: TestPool, count: number): Promise<Chunk[]> {
  const chunks = Array.from({ length: count }, () => bed.chunk(1 + bed.prng.below(20_000)));
  for (const chunk of chunks) await bed.put(chunk);
  return chunks;
}

test(`each pool has its own chunks, profile and placement ${replay}`, async () => {
  const { beds, pools } = await make();
  const [standard, archive] = await Promise.all(beds.map((bed) => fill(bed, 5)));
  expect(pools.profileOf(0)).toEqual({ kind: "ec", data: 2, parity: 1 });
  expect(pools.profileOf(1)).toEqual({ kind: "copies", copies: 2 });
  expect(pools.profileOf(2)).toBeUndefined();
  for (const { chunkId, sealId } of [...standard!, ...archive!])
    expect(pools.has(chunkId, sealId)).toBe(true);
  expect(pools.status()).toMatchObject({ chunks: 10 });
  expect(pools.status().devices.length).toBe(5);
  expect(pools.pools().map(({ name, status }) => [name, status?.chunks])).toEqual([
    ["default", 5],
    ["archive", 5],
  ]);
  pools.remove([standard![0]!, archive![0]!]);
  expect(pools.pools().map(({ status }) => status?.chunks)).toEqual([4, 4]);
  expect(await pools.matchCandidates(() => false, { all: true })).toEqual({
    ...{ kept: 0, removed: 8, left: 0 },
  });
});

test(`a lost device is repaired in its pool, with what others lack counted along ${replay}`, async () => {
  const { beds, pools } = await make();
  const chunks = await Promise.all(beds.map((bed) => fill(bed, 6)));
  for (const [i, bed] of beds.entries()) {
    const [device] = bed.store.status().devices;
    bed.disks.set("disk-new", new SimDisk(bed.prng, 2 * 1024 * 1024));
    const made = await pools.replaceDevice(device!.id, { path: "disk-new" });
    expect(bed.store.status().devices.map(({ id }) => id)).toContainEqual(made);
    expect(
      chunks[i]!.some((chunk) => bed.store.inspect(chunk.chunkId, chunk.sealId)!.missing > 0),
    ).toBe(true);
  }
  let last: unknown;
  const refs = chunks.flat();
  const outcome = await pools.repair(refs, (step) => (last = step));
  expect(outcome).toMatchObject({ repaired: 12, skipped: 0, lost: [], waiting: [] });
  expect(last).toMatchObject({ done: 12, total: 12, repaired: 12 });
  for (const { chunkId, sealId } of refs) expect(pools.inspect(chunkId, sealId)!.missing).toBe(0);
  expect(
    await codeOf((async () => pools.replaceDevice(newBytes(16) as never, { path: "x" }))()),
  ).toBe("unknown_device");
  const scrubbed = await pools.scrub();
  expect(scrubbed).toMatchObject({ records: 6 * 3 + 6 * 2, faults: 0 });
});

test(`a device of another pool is not used, and says so ${replay}`, async () => {
  const { beds } = await make();
  const [standard, archive] = beds;
  await standard!.store[Symbol.asyncDispose]();
  standard!.disks.set("disk9", archive!.disk(0));
  await standard!.open();
  expect(standard!.store.status().devices.length).toBe(3);
  expect(await codeOf(standard!.store.resyncDevice({ path: "disk9" }))).toBe("other_pool");
  expect(await codeOf(standard!.open({ pool: 1, devices: [{ path: "disk0" }] }))).toBe(
    "other_pool",
  );
});

test(`an absent pool refuses what is its own alone ${replay}`, async () => {
  const { beds, pools } = await make();
  const [kept] = await fill(beds[0]!, 1);
  const alone = new ChunkPools([
    nodePool(beds[0]!),
    { number: 1, name: "archive", store: undefined, reason: "gone" },
  ]);
  const asked = { pool: 1 } as never;
  expect(await codeOf((async () => alone.put(asked))())).toBe("unavailable");
  expect(await codeOf((async () => alone.get(asked))())).toBe("unavailable");
  expect(alone.getNow(asked)).toBeUndefined();
  expect(alone.pools()[1]).toMatchObject({ name: "archive", status: undefined, reason: "gone" });
  expect(alone.has(kept!.chunkId, kept!.sealId)).toBe(true);
  expect(() => new ChunkPools([])).toThrow("default");
  await pools[Symbol.asyncDispose]();
});

test(`epochs are noted in all pools, and the highest counts ${replay}`, async () => {
  const { beds, pools } = await make();
  await pools.noteEpoch(epoch(7n));
  expect(beds.map(({ store }) => store.notedEpoch)).toEqual([epoch(7n), epoch(7n)]);
  await beds[1]!.store.noteEpoch(epoch(9n));
  expect(pools.notedEpoch).toBe(epoch(9n));
  const shard = shardId(newBytes(16).fill(2));
  expect(pools.shardEpoch(shard)).toBeUndefined();
  await beds[0]!.put(beds[0]!.chunk(10), false, 4n);
  await beds[1]!.put(beds[1]!.chunk(10), false, 6n);
  expect(pools.shardEpoch(shard)).toBe(epoch(6n));
});
