import { expect, test } from "bun:test";
import { epoch, keyset, MiB, newBytes, operationId, shardId, tenantId } from "@kiseki/base";
import { sealedSize } from "@kiseki/ports";
import type { Chunk } from "./store.fixture.ts";
import { crypto, seedOfRun, TestPool } from "./store.fixture.ts";

const never = new AbortController().signal;

/** What a client would send of `chunk`: its sealed bytes. */
async function seal(
  pool: TestPool,
  { plain, ...identity }: Chunk,
): Promise<Uint8Array<ArrayBuffer>> {
  const size = plain.byteLength;
  using source = await pool.datapath.arena.borrow(size, never);
  using target = await pool.datapath.arena.borrow(sealedSize(size), never);
  source.bytes.set(plain);
  const profile = { kind: "copies", copies: 1 } as const;
  const range = { lease: source, offset: 0, size };
  await pool.datapath.seal({ source: range, identity, profile, headerRoom: 0, target });
  return new Uint8Array(target.bytes.subarray(0, sealedSize(size)));
}
async function putSealed(pool: TestPool, chunk: Chunk, sealed: Uint8Array, crc?: number) {
  using lease = await pool.datapath.arena.borrow(sealed.byteLength, never);
  lease.bytes.set(sealed);
  const { chunkId, sealId, plain } = chunk;
  return await pool.store.putSealed({
    chunkId,
    sealId,
    tenant: tenantId(newBytes(16).fill(1)),
    shard: shardId(newBytes(16).fill(2)),
    epoch: epoch(1n),
    operationId: operationId(newBytes(16)),
    keyset: keyset(1),
    size: plain.byteLength,
    sealed: { lease, offset: 0, size: sealed.byteLength },
    sealedCrc: crc ?? crypto.crc32c(0, sealed),
    small: plain.byteLength <= 4096,
  });
}
async function getSealed(pool: TestPool, { chunkId, sealId, plain }: Chunk, isVerifying = false) {
  const size = plain.byteLength;
  using lease = await pool.datapath.arena.borrow(sealedSize(size), never);
  const range = { segmentFirst: 0, segmentEnd: Math.ceil(size / 65_536), isVerifying };
  const target = { lease, offset: 0, size: sealedSize(size) };
  const outcome = await pool.store.getSealed({ chunkId, sealId, size, ...range, target });
  return outcome === "read" ? new Uint8Array(lease.bytes.subarray(0, sealedSize(size))) : outcome;
}

for (const devices of [1, 2, 3, 6]) {
  test(`putSealed() keeps sealed bytes as put() would have, on ${devices} devices (KISEKI_SIM_SEED=${seedOfRun})`, async () => {
    const pool = await TestPool.make(seedOfRun, devices, { size: 8 * MiB });
    for (const size of [1, 4096, 65_537, 100_000]) {
      const chunk = pool.chunk(size);
      const sealed = await seal(pool, chunk);
      expect((await putSealed(pool, chunk, sealed)).missing).toBe(0);
      expect(await pool.get(chunk)).toEqual(chunk.plain);
      expect(await getSealed(pool, chunk)).toEqual(sealed);
      const other = pool.chunk(size);
      await pool.put(other, size <= 4096);
      expect(await getSealed(pool, other)).toEqual(await seal(pool, other));
    }
    await pool.crash("kill", "lost");
    expect(await getSealed(pool, pool.chunk(5))).toBe("not_found");
    await pool.store[Symbol.asyncDispose]();
  });
}

test("putSealed() stores nothing of what came damaged", async () => {
  const pool = await TestPool.make(seedOfRun, 3, { size: 8 * MiB, zoneSize: MiB });
  const chunk = pool.chunk(70_000);
  const sealed = await seal(pool, chunk);
  const crc = crypto.crc32c(0, sealed);
  sealed[5]! ^= 1;
  await expect(putSealed(pool, chunk, sealed, crc)).rejects.toMatchObject({ code: "bad_checksum" });
  expect(pool.store.has(chunk.chunkId, chunk.sealId)).toBe(false);
  await pool.store[Symbol.asyncDispose]();
});

test("getSealed() queues what rotted for repair when it verifies, and answers the right bytes", async () => {
  const pool = await TestPool.make(seedOfRun, 3, { size: 8 * MiB, zoneSize: MiB });
  const chunk = pool.chunk(200_000);
  const sealed = await seal(pool, chunk);
  await putSealed(pool, chunk, sealed);
  for (let i = 0; i < 40; i++) pool.disk(0).rot(65_536, 65_536 + 120_000);
  expect(await getSealed(pool, chunk, true)).toEqual(sealed);
  expect(pool.store.status().repairQueued).toBe(1);
  await pool.store[Symbol.asyncDispose]();
});
