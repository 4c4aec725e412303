import { deviceId, newBytes } from "@kiseki/base";
import { decodeSuperblock, encodeSuperblock, superblockSize } from "@kiseki/format";
import { SimDisk } from "@kiseki/sim";
import { expect, test } from "bun:test";
import { ChunkStoreError } from "./index.ts";
import type { Chunk } from "./store.fixture.ts";
import { crypto, seedOfRun, TestPool } from "./store.fixture.ts";

const replay = `(KISEKI_SIM_SEED=${seedOfRun})`;

const idOf = (pool: TestPool, number: number) =>
  pool.store.status().devices.find(({ path }) => path === `disk${number}`)!.id;
const deviceOf = (pool: TestPool, number: number) =>
  pool.store.status().devices.find(({ path }) => path === `disk${number}`);
async function fill(pool: TestPool, count: number, small: boolean): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  while (chunks.length < count) {
    const chunk = pool.chunk(3000);
    await pool.put(chunk, small);
    chunks.push(chunk);
  }
  return chunks;
}
async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "done";
  } catch (reason) {
    if (!(reason instanceof ChunkStoreError)) throw reason;
    return reason.code;
  }
}
async function expectAll(pool: TestPool, chunks: readonly Chunk[]): Promise<void> {
  for (const chunk of chunks) {
    expect(await pool.get(chunk)).toEqual(chunk.plain);
    const { missing, fragments } = pool.store.inspect(chunk.chunkId, chunk.sealId)!;
    expect(missing).toBe(0);
    expect(new Set(fragments.map(({ device }) => Buffer.from(device).toString("hex"))).size).toBe(
      fragments.length,
    );
  }
}
function addDisk(pool: TestPool, number: number): void {
  pool.disks.set(`disk${number}`, new SimDisk(pool.prng, 2 * 1024 * 1024));
}

test(`addDevice() makes one more member that new chunks count on, over restarts ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 3);
  const before = await fill(pool, 10, false);
  expect(pool.store.profile).toEqual({ kind: "ec", data: 2, parity: 1 });
  addDisk(pool, 3);
  await pool.store.addDevice({ path: "disk3" });
  expect(pool.store.profile).toEqual({ kind: "ec", data: 3, parity: 1 });
  const after = await fill(pool, 10, false);
  expect(deviceOf(pool, 3)!.living).toBeGreaterThan(0);
  await expectAll(pool, [...before, ...after]);
  await pool.crash("power");
  expect(pool.store.status().devices.length).toBe(4);
  await expectAll(pool, [...before, ...after]);
  expect(await codeOf(pool.store.addDevice({ path: "disk3" }))).toBe("already_formatted");
});

test(`addDevice() takes what was formatted for the pool and never became a member ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 2);
  const before = pool.store.status().devices.map(({ id }) => id);
  addDisk(pool, 2);
  await pool.store.addDevice({ path: "disk2" });
  await pool.store.removeDevice(await left(pool, 2));
  // As if the process had died before the list was written.
  const sum = (source: Uint8Array) => crypto.sha256(source);
  const block = decodeSuperblock(pool.disk(0).content.subarray(0, superblockSize), sum);
  if (typeof block === "string") throw new Error(block);
  const size = pool.disk(2).size;
  const own = { ...block, device: deviceId(newBytes(16).fill(9)), membersVersion: 0, size };
  const bytes = newBytes(superblockSize);
  encodeSuperblock(own, bytes, sum);
  pool.disk(2).restore(bytes);
  await pool.crash("kill");
  expect(pool.store.status().devices.map(({ id }) => id)).toEqual(before);
  await pool.store.addDevice({ path: "disk2" });
  expect(pool.store.status().devices.length).toBe(3);
});
/** Empties a device, and answers its id. */
async function left(pool: TestPool, number: number) {
  const id = idOf(pool, number);
  await pool.store.evacuateDevice(id, { mayLoseRedundancy: true });
  return id;
}

test(`evacuateDevice() and removeDevice() take a device out, through crashes, and lose nothing ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 5);
  const chunks = await fill(pool, 60, true); // copies on three of five
  const id = idOf(pool, 1);
  expect(await codeOf(pool.store.removeDevice(id))).toBe("not_empty");
  expect(await codeOf(pool.store.evacuateDevice(id))).toBe("less_redundancy"); // 3+2 to 3+1
  await pool.store.evacuateDevice(id, { mayLoseRedundancy: true });
  expect(deviceOf(pool, 1)!.isLeaving).toBe(true);
  expect(await codeOf(pool.store.removeDevice(id))).toBe("not_empty");
  const stop = new AbortController();
  const moving = pool.store.moveLeaving(({ moved }) => moved > 5 && stop.abort(), stop.signal);
  await moving.catch(() => undefined);
  await pool.crash("power");
  expect(deviceOf(pool, 1)!.isLeaving).toBe(true);
  chunks.push(...(await fill(pool, 10, true)));
  expect((await pool.store.moveLeaving()).left).toBe(0);
  expect(deviceOf(pool, 1)!.living).toBe(0 as never);
  await expectAll(pool, chunks);
  await pool.store.removeDevice(id);
  expect(deviceOf(pool, 1)).toBeUndefined();
  await expectAll(pool, chunks);
  await pool.crash("power");
  expect(pool.store.status().devices.length).toBe(4);
  await expectAll(pool, chunks);
  await pool.store.addDevice({ path: "disk1" }); // it carries no superblock any more
  expect(pool.store.status().devices.length).toBe(5);
});

test(`moveLeaving() leaves what has too many fragments for those that stay, and calls it narrow ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 4);
  const chunks = await fill(pool, 10, false); // 3+1
  const id = idOf(pool, 0);
  await pool.store.evacuateDevice(id); // 3+1 to 2+1 survive one loss each
  expect(await pool.store.moveLeaving()).toEqual({ moved: 0, left: 10, waiting: 10 });
  expect(pool.store.status().narrow).toBe(10);
  expect(pool.store.takesWhole).toBe(true);
  expect(pool.store.profile).toEqual({ kind: "ec", data: 2, parity: 1 });
  await expectAll(pool, chunks);
  pool.store.remove(chunks.slice(5)); // sealed anew elsewhere
  expect((await pool.store.moveLeaving()).left).toBe(5);
  await pool.store.keepDevice(id);
  expect(pool.store.status().narrow).toBe(0);
  expect(pool.store.profile).toEqual({ kind: "ec", data: 3, parity: 1 });
});

test(`moveLeaving() moves nothing of a chunk that has yet to be repaired ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 5);
  const chunks = await fill(pool, 40, true); // copies on three of five
  await pool.store.evacuateDevice(idOf(pool, 1), { mayLoseRedundancy: true });
  pool.disk(3).gone = true;
  await pool.crash("kill");
  const missing = pool.store.status().devices.find(({ state }) => state === "missing")!;
  pool.disk(3).gone = false;
  pool.disk(3).zero();
  await pool.store.replaceDevice(missing.id, { path: "disk3" });
  const thin = () =>
    chunks.filter(({ chunkId, sealId }) => pool.store.inspect(chunkId, sealId)!.missing > 0);
  const waiting = thin();
  const holds = ({ chunkId, sealId }: Chunk, device: Uint8Array): boolean =>
    pool.store
      .inspect(chunkId, sealId)!
      .fragments.some((one) => Buffer.compare(one.device, device) === 0);
  const leaving = idOf(pool, 1);
  const staying = waiting.filter((chunk) => holds(chunk, leaving));
  expect(staying.length).toBeGreaterThan(0);
  expect(await pool.store.moveLeaving()).toMatchObject({
    left: staying.length,
    waiting: staying.length,
  });
  expect(staying.every((chunk) => holds(chunk, leaving))).toBe(true);
  await pool.store.repair();
  expect(thin()).toEqual([]);
  expect((await pool.store.moveLeaving()).left).toBe(0);
  await expectAll(pool, chunks);
});

test(`evacuateDevice() refuses what the rest of the pool cannot take ${replay}`, async () => {
  const alone = await TestPool.make(seedOfRun, 1);
  expect(
    await codeOf(alone.store.evacuateDevice(idOf(alone, 0), { mayLoseRedundancy: true })),
  ).toBe("less_redundancy");
  const pool = await TestPool.make(seedOfRun, 4);
  while ((deviceOf(pool, 0)?.capacity ?? "healthy") === "healthy") {
    if ((await codeOf(pool.put(pool.chunk(20_000)))) !== "done") break;
  }
  expect(await codeOf(pool.store.evacuateDevice(idOf(pool, 0)))).toBe("no_space");
  const few = await TestPool.make(seedOfRun, 4);
  few.disk(3).gone = true;
  await few.crash("kill");
  expect(await codeOf(few.store.evacuateDevice(idOf(few, 0)))).toBe("unavailable");
});

test(`removeDevice() takes a lost device off the list once all is complete without it ${replay}`, async () => {
  const pool = await TestPool.make(seedOfRun, 4);
  const chunks = await fill(pool, 20, true);
  pool.disk(2).gone = true;
  await pool.crash("kill");
  const { id } = pool.store.status().devices.find(({ state }) => state === "missing")!;
  expect(await codeOf(pool.store.removeDevice(id))).toBe("not_empty"); // not all is complete without it
  await pool.store.repair();
  await pool.store.removeDevice(id);
  expect(pool.store.status().devices.length).toBe(3);
  await expectAll(pool, chunks);
});
