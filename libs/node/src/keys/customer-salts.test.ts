// Goal: content under a customer's key is opened by that key alone, shared with nothing, and left as it is sealed by
// new keysets and by widening, which move its salt. Method: a node on files, objects of all kinds, a raw look at them.
import { readFile } from "node:fs/promises";
import { expect, test } from "bun:test";
import { customerKeyset, newBytes, prngFromSeed, toHex } from "@kiseki/base";
import { listEncryptions, listReferences } from "@kiseki/composition";
import { collectGarbage } from "../node/collector.ts";
import type { StorageNode } from "../node/open-node.ts";
import { DamagedContentError } from "../object/read-content.ts";
import { writeContent } from "../object/write-content.ts";
import {
  get,
  makeBucket,
  makeDevices,
  namespace,
  never,
  newId,
  openAt,
  openReader,
  put,
  sourceOf,
  temporaryFolder,
} from "./bed.test-helper.ts";
import { cipherOf, getSealed, newTarget, putSealed, storedOf } from "./customer.test-helper.ts";
import { resealWhere } from "./reseal.ts";
import { rekeyTenant } from "./rekey.ts";

const prng = prngFromSeed(21);
const rekey = (node: StorageNode) =>
  rekeyTenant(
    { tenantKeys: node.storage.tenantKeys, tenants: node.tenants },
    node.defaultTenant,
    never,
  );
const collect = async (node: StorageNode): Promise<void> => {
  while ((await collectGarbage(node.ports, await node.openDefaultTenant(never))) > 0);
};
async function referencesOf(node: StorageNode) {
  const tenant = await node.openDefaultTenant(never);
  return tenant.store.view((map) => listReferences(map, undefined, 10_000)).references;
}
async function sealsOf(node: StorageNode): Promise<readonly string[]> {
  const all = await referencesOf(node);
  return all
    .filter(({ keyset }) => keyset === customerKeyset)
    .map(({ chunkId, sealId, from }) => `${from} ${toHex(chunkId)} ${toHex(sealId)}`)
    .toSorted();
}
async function keysetsOfSalts(node: StorageNode): Promise<readonly number[]> {
  const tenant = await node.openDefaultTenant(never);
  const { rows } = tenant.store.view((map) => listEncryptions(map, undefined, 10_000));
  return rows.map(({ facts }) => (facts.kind === "customer" ? Number(facts.keyset) : 0));
}
async function keysetsLive(node: StorageNode): Promise<readonly number[]> {
  const tenant = await node.openDefaultTenant(never);
  return [...tenant.keys("read").keysets].map(Number).toSorted();
}

test("a new keyset moves the salts of customers' objects and uploads and leaves their content; the old one goes", async () => {
  await using folder = await temporaryFolder();
  const sizes = [0, 1, 4096, 4097, 70_000, 9_000_001];
  const contents = sizes.map((size) => prng.fill(newBytes(size)));
  const expectAll = async (node: StorageNode): Promise<void> => {
    for (const [i, content] of contents.entries()) {
      expect(await getSealed(node, `${i}`, 7)).toEqual(Buffer.from(content));
      expect(await cipherOf(node, await storedOf(node, `${i}`), 8)).toBeUndefined();
    }
    expect(await get(node, "plain")).toEqual(Buffer.from(contents[4]!));
  };
  const upload = newBytes(16).fill(4);
  {
    await using node = await openAt(folder.path);
    await makeBucket(node);
    for (const [i, content] of contents.entries()) await putSealed(node, `${i}`, content, 7);
    await put(node, "plain", contents[4]!);
    const tenant = await node.openDefaultTenant(never);
    const target = await newTarget(node, 7);
    const made = await tenant.owner.submit(
      {
        ...{ kind: "create_upload", namespace, key: Buffer.from("parts"), random: upload },
        attributes: { headers: [], userMetadata: [], checksums: [], encryption: target.stored },
      },
      newId(),
    );
    expect(made.kind).toBe("done");
    const before = await sealsOf(node);
    expect(before.length).toBe(2 + 1 + 1 + 3); // 1 and 4096 bytes are small; 9 MB are three chunks
    await rekey(node);
    expect(await keysetsOfSalts(node)).toEqual([1, 1, 1, 1, 1, 1, 1]);
    await node.keysets.runRound(never);
    expect(await keysetsOfSalts(node)).toEqual([2, 2, 2, 2, 2, 2, 2]);
    expect(await sealsOf(node)).toEqual(before);
    await collect(node);
    await node.keysets.runRound(never);
    expect(await keysetsLive(node)).toEqual([2]);
    expect(await sealsOf(node)).toEqual(before);
    await expectAll(node);
  }
  await using node = await openAt(folder.path);
  await expectAll(node);
  expect(await keysetsLive(node)).toEqual([2]);
}, 20_000);

test("a keyset stays while a salt is under it", async () => {
  await using folder = await temporaryFolder();
  await using node = await openAt(folder.path);
  await makeBucket(node);
  await putSealed(node, "one", newBytes(10), 7);
  await rekey(node);
  const tenant = await node.openDefaultTenant(never);
  const { submit } = tenant.owner;
  // As if the salt could not be moved: everything else follows.
  tenant.owner.submit = async (operation, id) =>
    operation.kind === "encryption_resealed"
      ? { kind: "done", answer: { kind: "none" } }
      : await submit.call(tenant.owner, operation, id);
  await node.keysets.runRound(never);
  await collect(node);
  await node.keysets.runRound(never);
  expect(await keysetsLive(node)).toEqual([1, 2]);
  expect(node.keysets.standing(node.defaultTenant)?.old.get(1 as never)?.customerSalts).toBe(1);
  expect(await getSealed(node, "one", 7)).toEqual(Buffer.alloc(10));
}, 20_000);

test("content under a customer's key is collected when its object goes, and sealed anew by nobody", async () => {
  await using folder = await temporaryFolder();
  await using node = await openAt(folder.path);
  await makeBucket(node);
  const bytes = prng.fill(newBytes(5_000_000));
  const { chunks } = node.ports.chunkStore.status();
  await putSealed(node, "one", bytes, 7);
  await putSealed(node, "two", bytes, 7); // no dedup, not even under one key
  const tenant = await node.openDefaultTenant(never);
  expect(node.ports.chunkStore.status().chunks - chunks).toBe(4);
  const options = {
    isDue: () => true,
    counter: "kiseki_chunks_widened_total",
    signal: never,
    bytesPerSecond: 1e9,
  } as const;
  const { resealed } = await resealWhere(node.ports, tenant, options);
  expect(resealed).toBe(0);
  for (const name of ["one", "two"]) {
    const gone = { kind: "delete_object", namespace, key: Buffer.from(name) } as const;
    await tenant.owner.submit(gone, newId());
  }
  await collect(node);
  expect(node.ports.chunkStore.status().chunks).toBe(chunks);
}, 20_000);

test("a wrong key opens nothing, even where nobody checks it: no byte, small or large", async () => {
  await using folder = await temporaryFolder();
  await using node = await openAt(folder.path);
  await makeBucket(node);
  for (const size of [10, 100_000]) {
    await putSealed(node, `${size}`, newBytes(size).fill(1), 7);
    const foreign = await newTarget(node, 8);
    using cipher = foreign.cipher;
    using reader = await openReader(node, `${size}`, undefined, "read", node.ports, cipher);
    expect(reader.next()).rejects.toThrow(DamagedContentError);
    using plain = await openReader(node, `${size}`);
    expect(plain.next()).rejects.toThrow("the customer's key is here");
  }
}, 20_000);

test("equal content is stored under other bytes for each key and each object", async () => {
  await using folder = await temporaryFolder();
  const [device = ""] = await makeDevices(folder.path, 1);
  const content = prng.fill(newBytes(2_000_000));
  const blocksTwice = async (): Promise<number> => {
    const bytes = await readFile(device);
    const seen = new Map<string, number>();
    for (let at = 0; at < bytes.byteLength; at += 4096) {
      const block = bytes.toString("latin1", at, at + 4096);
      if (!/^\0*$/.test(block)) seen.set(block, (seen.get(block) ?? 0) + 1);
    }
    return [...seen.values()].filter((count) => count > 1).length;
  };
  {
    await using node = await openAt(folder.path, undefined, [device]);
    await makeBucket(node);
    const { chunks } = node.ports.chunkStore.status();
    await put(node, "plain", content);
    await put(node, "plain again", content);
    expect(node.ports.chunkStore.status().chunks - chunks).toBe(1);
    await putSealed(node, "a", content, 7);
    await putSealed(node, "b", content, 7);
    await putSealed(node, "c", content, 8);
    expect(node.ports.chunkStore.status().chunks - chunks).toBe(4);
    const tenant = await node.openDefaultTenant(never);
    const request = {
      operationId: newId(),
      size: 2_000_000,
      algorithms: new Set<never>(),
      signal: never,
      pool: 0,
    };
    using again = await writeContent(node.ports, tenant, sourceOf(content), request);
    expect(again.content).toMatchObject({ extents: [{ pinned: expect.anything() }] });
  }
  expect(await blocksTwice()).toBeLessThan(16); // summaries and superblocks are there twice
  expect((await readFile(device)).includes(content.subarray(0, 64))).toBe(false);
}, 20_000);
