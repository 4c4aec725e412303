import { expect, test } from "bun:test";
import { keyset, newBytes, prngFromSeed } from "@kiseki/base";
import { listReferences } from "@kiseki/composition";
import { collectGarbage } from "../node/collector.ts";
import type { StorageNode } from "../node/open-node.ts";
import {
  get,
  makeBucket,
  never,
  newId,
  openAt,
  namespace,
  openReader,
  put,
  readAll,
  temporaryFolder,
} from "./bed.test-helper.ts";
import { rekeyTenant } from "./rekey.ts";

const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? globalThis.crypto.getRandomValues(new Uint32Array(1))[0],
);

const rekey = (node: StorageNode) =>
  rekeyTenant(
    { tenantKeys: node.storage.tenantKeys, tenants: node.tenants },
    node.defaultTenant,
    never,
  );

const collect = async (node: StorageNode): Promise<void> => {
  while ((await collectGarbage(node.ports, await node.openDefaultTenant(never))) > 0);
};

/** Keysets of everything that the shard names. */
async function keysetsNamed(node: StorageNode): Promise<readonly number[]> {
  const tenant = await node.openDefaultTenant(never);
  const page = tenant.store.view((map) => listReferences(map, undefined, 10_000));
  return [...new Set(page.references.map(({ keyset }): number => keyset))].toSorted();
}

async function keysetsLive(node: StorageNode): Promise<readonly number[]> {
  const tenant = await node.openDefaultTenant(never);
  return [...tenant.keys("read").keysets].map(Number).toSorted();
}

test(`KeysetFollower reseals chunks and small content, and drops the keyset that nothing is under (KISEKI_SIM_SEED=${seed})`, async () => {
  await using folder = await temporaryFolder();
  const prng = prngFromSeed(seed);
  const sizes = [0, 1, 900, 4096, 4097, 70_000, 4_194_304, 9_000_001];
  const contents = sizes.map((size) => prng.fill(newBytes(size)));
  const expectAll = async (node: StorageNode): Promise<void> => {
    for (const [i, content] of contents.entries()) {
      expect(await get(node, `${i}`)).toEqual(Buffer.from(content));
    }
  };
  {
    await using node = await openAt(folder.path);
    await makeBucket(node);
    for (const [i, content] of contents.entries()) await put(node, `${i}`, content);
    await put(node, "copy", contents[6]!); // a second reference of one chunk
    await rekey(node);
    expect(await keysetsNamed(node)).toEqual([1]);
    expect(await keysetsLive(node)).toEqual([1, 2]);
    await node.keysets.runRound(never);
    // Resealed, and the old seals wait for the collector: nothing may be dropped yet.
    expect(await keysetsNamed(node)).toEqual([1, 2]);
    expect(node.keysets.standing(node.defaultTenant)?.unreadable).toBe(0);
    expect(await keysetsLive(node)).toEqual([1, 2]);
    await expectAll(node);
    await collect(node);
    const { chunks } = node.ports.chunkStore.status();
    await node.keysets.runRound(never);
    expect(await keysetsLive(node)).toEqual([2]);
    expect(await keysetsNamed(node)).toEqual([2]);
    await expectAll(node);
    await put(node, "again", contents[6]!); // a dedup hit on what was resealed
    expect(node.ports.chunkStore.status().chunks).toBe(chunks);
    const { shard } = await node.openDefaultTenant(never);
    const chainKey = () => node.storage.tenantKeys.chainKey(node.defaultTenant, keyset(1), shard);
    expect(chainKey).toThrow("Cannot find keyset 1"); // neither share is there any more
  }
  await using node = await openAt(folder.path);
  await expectAll(node);
  expect(await keysetsLive(node)).toEqual([2]);
}, 20_000);

test("KeysetFollower leaves what a reader holds until it has left; the reader gets every byte over a rekey", async () => {
  await using folder = await temporaryFolder();
  await using node = await openAt(folder.path);
  await makeBucket(node);
  const bytes = prngFromSeed(7).fill(newBytes(12_000_000));
  await put(node, "large", bytes);
  const reader = await openReader(node, "large");
  const first = (await reader.next())!.slice();
  await rekey(node);
  await node.keysets.runRound(never);
  const collecting = collect(node);
  await node.keysets.runRound(never);
  expect(await keysetsLive(node)).toEqual([1, 2]);
  expect(Buffer.concat([first, await readAll(reader)])).toEqual(Buffer.from(bytes));
  reader[Symbol.dispose]();
  await collecting;
  await node.keysets.runRound(never);
  expect(await keysetsLive(node)).toEqual([2]);
}, 20_000);

test("KeysetFollower goes on over further keysets, deletions and restarts", async () => {
  await using folder = await temporaryFolder();
  const prng = prngFromSeed(8);
  const kept = new Map<string, Uint8Array>();
  for (let round = 0; round < 3; round++) {
    await using node = await openAt(folder.path);
    if (round === 0) await makeBucket(node);
    for (let i = 0; i < 12; i++) {
      const bytes = prng.fill(newBytes(1 + prng.below(i < 8 ? 5000 : 600_000)));
      await put(node, `${round}-${i}`, bytes);
      kept.set(`${round}-${i}`, bytes);
    }
    await rekey(node);
    const following = node.keysets.runRound(never);
    const tenant = await node.openDefaultTenant(never);
    const gone = [...kept.keys()].slice(0, 4); // deleted while they are sealed again
    for (const key of gone) {
      await tenant.owner.submit(
        { kind: "delete_object", namespace, key: Buffer.from(key) },
        newId(),
      );
      kept.delete(key);
    }
    await following;
    if (round < 2) continue; // the next start finds two keysets more
    await collect(node);
    await node.keysets.runRound(never);
    await collect(node);
    await node.keysets.runRound(never);
    expect(await keysetsLive(node)).toEqual([4]);
    for (const [key, bytes] of kept) expect(await get(node, key)).toEqual(Buffer.from(bytes));
  }
}, 20_000);
