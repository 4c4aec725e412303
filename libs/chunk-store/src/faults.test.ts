import { expect, test } from "bun:test";
import {
  decodeRecordHeader,
  decodeZoneHeader,
  deviceBlockSize,
  deviceDataOffset,
  encodeRecordHeader,
  encodeZoneHeader,
  recordSize,
} from "@kiseki/format";
import { ChunkStoreError } from "./index.ts";
import type { Chunk } from "./store.fixture.ts";
import { crypto, seedOfRun, TestPool } from "./store.fixture.ts";

// Goal: each row of STORE §6 that devices can show. Method: simulated disks, one fault per test.
const replay = `(KISEKI_SIM_SEED=${seedOfRun})`;

async function fill(pool: TestPool, count: number, sizeMax = 20_000): Promise<Chunk[]> {
  const chunks = Array.from({ length: count }, () => pool.chunk(1 + pool.prng.below(sizeMax)));
  for (const chunk of chunks) await pool.put(chunk, chunk.plain.byteLength <= 4096);
  return chunks;
}
async function allRead(pool: TestPool, chunks: readonly Chunk[]): Promise<void> {
  for (const chunk of chunks) expect(await pool.get(chunk)).toEqual(chunk.plain);
}
function allWhole(pool: TestPool, chunks: readonly Chunk[]): void {
  for (const chunk of chunks)
    expect(pool.store.inspect(chunk.chunkId, chunk.sealId)!.missing).toBe(0);
}

test(`bit rot on one device: detected, the object reported lost, never a wrong byte ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 1);
  const chunks = await fill(pool, 20);
  for (let i = 0; i < 60; i++) pool.disk(0).rot(65_536, 65_536 + 300_000);
  let lost = 0;
  for (const chunk of chunks) {
    const got = await pool.get(chunk);
    if (typeof got === "string") {
      expect(got).toBe("lost");
      lost += 1;
    } else expect(got).toEqual(chunk.plain);
  }
  expect(lost).toBeGreaterThan(0);
  expect(pool.store.repairQueue().length).toBe(lost);
});

test(`bit rot with parity: read through, found by scrub, repaired ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 6);
  const chunks = await fill(pool, 30);
  for (let i = 0; i < 40; i++) pool.disk(2).rot(65_536, 65_536 + 120_000);
  await allRead(pool, chunks);
  expect((await pool.store.scrub()).faults + pool.store.repairQueue().length).toBeGreaterThan(0);
  const outcome = await pool.store.repair();
  expect(outcome.lost.length + outcome.waiting.length).toBe(0);
  allWhole(pool, chunks);
  expect((await pool.store.scrub()).faults).toBe(0);
});

test(`a device gone at run time: puts go on thin, reads too; a new device is filled ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 6);
  const before = await fill(pool, 20);
  pool.disk(3).gone = true;
  const after = await fill(pool, 20);
  await allRead(pool, [...before, ...after]);
  const failed = pool.store.status().devices.find((device) => device.path === "disk3")!;
  expect(failed.state).toBe("failed");
  const thin = after.filter(
    (chunk) => pool.store.inspect(chunk.chunkId, chunk.sealId)!.missing > 0,
  );
  expect(thin.length).toBeGreaterThan(0);
  pool.disks.set("spare", pool.disk(3));
  pool.disk(3).gone = false;
  pool.disk(3).zero();
  const progress: number[] = [];
  await pool.store.replaceDevice(failed.id, { path: "disk3" });
  const outcome = await pool.store.repair(undefined, ({ done }) => progress.push(done));
  expect(outcome.lost.length + outcome.waiting.length).toBe(0);
  expect(progress.length).toBeGreaterThan(0);
  allWhole(pool, [...before, ...after]);
  await pool.crash("power");
  allWhole(pool, [...before, ...after]);
  await allRead(pool, [...before, ...after]);
});

test(`devices going one after another: profiles shrink, single copies only when allowed ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 3);
  const chunks: Chunk[] = [];
  const putOne = async () => {
    const chunk = pool.chunk(9000);
    const placement = await pool.put(chunk);
    chunks.push(chunk);
    return placement;
  };
  expect((await putOne()).profile).toEqual({ kind: "ec", data: 2, parity: 1 });
  pool.disk(0).gone = true;
  expect((await putOne()).profile).toEqual({ kind: "copies", copies: 2 });
  pool.disk(1).gone = true;
  await expect(putOne()).rejects.toThrow(ChunkStoreError);
  pool.disk(1).gone = false;
  const { id } = pool.store.status().devices.find(({ path }) => path === "disk1")!;
  await pool.store.replaceDevice(id, { path: "disk1", force: true });
  expect((await putOne()).profile).toEqual({ kind: "copies", copies: 2 });
  await allRead(pool, chunks.slice(1)); // of the first two of three are gone
});

test(`what is put while devices are out is counted as narrow, with an index and without one ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 6);
  const before = await fill(pool, 5);
  for (const number of [0, 1, 2]) pool.disk(number).gone = true;
  await pool.crash("kill");
  const narrow = Array.from({ length: 5 }, () => pool.chunk(9000));
  for (const chunk of narrow) await pool.put(chunk);
  const small = pool.chunk(100);
  await pool.put(small, true); // as many copies as ever fit on the three devices that are left
  expect(pool.store.status().narrow).toBe(narrow.length);
  expect(pool.store.takesWhole).toBe(false);
  for (const number of [0, 1, 2]) {
    pool.disk(number).gone = false; // missing, not failed: nothing was written to it
    await pool.store.resyncDevice({ path: `disk${number}` });
  }
  expect(pool.store.takesWhole).toBe(true);
  for (const kept of ["kept", "lost"] as const) {
    await pool.crash("power", kept);
    expect(await pool.store.countNarrow()).toBe(narrow.length);
    const isNarrow = ({ chunkId, sealId }: Chunk) => pool.store.isNarrow(chunkId, sealId);
    expect(narrow.filter(isNarrow)).toEqual(narrow);
    expect([...before, small].filter(isNarrow)).toEqual([]);
  }
});

test(`a device zeroed while the node was down: missing, read through, replaced ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 3);
  const chunks = await fill(pool, 20);
  pool.disk(1).zero();
  await pool.crash("power", "lost");
  expect(pool.store.status().devices.filter((device) => device.state === "missing").length).toBe(1);
  await allRead(pool, chunks);
  const missing = pool.store.status().devices.find((device) => device.state === "missing")!;
  await pool.store.replaceDevice(missing.id, { path: "disk1" });
  expect((await pool.store.repair()).lost.length).toBe(0);
  allWhole(pool, chunks);
});

test(`an old state of a device put back is not believed ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 3);
  const before = await fill(pool, 10);
  const old = pool.disk(1).copy();
  const after = await fill(pool, 20);
  pool.store.checkpoint();
  pool.disk(1).restore(old);
  await pool.crash("power");
  await allRead(pool, [...before, ...after]);
  await pool.store.repair();
  allWhole(pool, [...before, ...after]);
  expect((await pool.store.scrub()).faults).toBe(0);
});

test(`a zone in use that shows a later generation is not written over: a late write of an earlier use ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 3);
  const before = await fill(pool, 10, 5000);
  pool.store.checkpoint();
  const disk = pool.disk(1);
  const used = disk.content.subarray(deviceDataOffset).findLastIndex((byte) => byte !== 0) + 1;
  const zone = disk.content.slice(deviceDataOffset, deviceDataOffset + used);
  const crc32c = (bytes: Uint8Array): number => crypto.crc32c(0, bytes);
  const header = decodeZoneHeader(zone, crc32c)!;
  const first = decodeRecordHeader(zone, deviceBlockSize, crc32c)!;
  const generation = header.generation + 2;
  encodeZoneHeader({ ...header, generation }, zone.subarray(0, deviceBlockSize), crc32c);
  const view = new DataView(zone.buffer);
  encodeRecordHeader({ ...first, generation }, zone, view, deviceBlockSize, crc32c);
  zone.fill(0, deviceBlockSize + recordSize(first.payloadSize));
  disk.restore(zone, deviceDataOffset);
  await pool.crash("kill");
  expect(pool.store.status().repairQueued).toBeGreaterThan(0);
  await pool.store.repair();
  const after = await fill(pool, 30);
  expect((await pool.store.scrub()).faults).toBe(0);
  allWhole(pool, [...before, ...after]);
  await allRead(pool, [...before, ...after]);
});

test(`a device away for a while and back is resynced before it counts ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 2);
  const before = await fill(pool, 10);
  pool.disk(1).gone = true;
  pool.allowSingleCopy = true;
  await pool.crash("kill");
  const removed = before.splice(0, 5);
  pool.store.remove(removed);
  const after = await fill(pool, 10);
  pool.disk(1).gone = false;
  await pool.crash("kill");
  expect(pool.store.status().devices.map((device) => device.state)).toContain("missing");
  await pool.store.resyncDevice({ path: "disk1" });
  await pool.store.matchCandidates(
    ({ chunkId }) => !removed.some((chunk) => Buffer.compare(chunk.chunkId, chunkId) === 0),
  );
  for (const chunk of removed)
    expect(pool.store.inspect(chunk.chunkId, chunk.sealId)).toBeUndefined();
  await allRead(pool, [...before, ...after]);
});

test(`a full device: no_space early, deletes and compaction still work ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 2);
  const chunks: Chunk[] = [];
  let refused: unknown;
  for (let i = 0; i < 1000 && refused === undefined; i++) {
    const chunk = pool.chunk(9000);
    try {
      await pool.put(chunk);
      chunks.push(chunk);
    } catch (reason) {
      refused = reason;
    }
  }
  expect((refused as ChunkStoreError).code).toBe("no_space");
  await allRead(pool, chunks);
  const gone = chunks.filter((_, i) => i % 2 === 0);
  const kept = chunks.filter((_, i) => i % 2 === 1);
  pool.store.remove(gone);
  const more = await fill(pool, Math.floor(gone.length / 2), 9000);
  await allRead(pool, [...kept, ...more]);
  await pool.crash("power");
  await allRead(pool, [...kept, ...more]);
  await pool.crash("power", "lost");
  await allRead(pool, [...kept, ...more]);
});

test(`a disk that lies about sync: others carry it, repair completes ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 3);
  const before = await fill(pool, 5);
  pool.disk(0).rates = { lyingSync: 10_000 };
  const after = await fill(pool, 20);
  pool.store.checkpoint();
  pool.disk(0).rates = {};
  await pool.crash("power");
  await allRead(pool, [...before, ...after]);
  await pool.store.scrub();
  await pool.store.repair();
  allWhole(pool, [...before, ...after]);
  expect((await pool.store.scrub()).faults).toBe(0);
});

test(`get() reads what a repair wrote when a lost index brings the torn record back ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 3);
  pool.disk(2).gone = true;
  await pool.crash("kill"); // now it is known to be out: what follows is two copies on disk0 and disk1
  await fill(pool, 5, 9000);
  const chunks = await fill(pool, 100, 4096); // their first zone is full: it is scanned by its summary
  pool.disk(2).gone = false;
  await pool.store.resyncDevice({ path: "disk2" });
  for (let i = 0; i < 1000; i++) pool.disk(0).rot(73_728, 73_728 + 90_000);
  await pool.store.scrub();
  await pool.store.repair();
  const { devices } = pool.store.status();
  const [first, , third] = devices.map(({ id }) => Buffer.from(id));
  const moved = chunks.filter((chunk) => {
    const { fragments } = pool.store.inspect(chunk.chunkId, chunk.sealId)!;
    const on = (id: Uint8Array) => fragments.some(({ device }) => Buffer.compare(device, id) === 0);
    return on(third!) && !on(first!);
  });
  expect(moved.length).toBeGreaterThan(0);
  await pool.crash("power", "lost");
  for (let i = 0; i < 1000; i++) pool.disk(1).rot(73_728, 73_728 + 90_000);
  await allRead(pool, moved);
});
