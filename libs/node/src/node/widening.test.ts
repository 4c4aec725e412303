import { expect, test } from "bun:test";
import { rename } from "node:fs/promises";
import { newBytes, prngFromSeed, toHex } from "@kiseki/base";
import { listReferences } from "@kiseki/composition";
import {
  get,
  makeBucket,
  makeDevices,
  never,
  openAt,
  put,
  temporaryFolder,
} from "../keys/bed.test-helper.ts";
import { collectGarbage } from "./collector.ts";
import type { StorageNode } from "./open-node.ts";

const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? globalThis.crypto.getRandomValues(new Uint32Array(1))[0],
);
const sizes = [1, 4096, 4097, 70_000, 300_000, 5_000_000];

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const begun = performance.now(); !(await holds()); await Bun.sleep(20))
    if (performance.now() - begun > 15_000) throw new Error(`Not within 15 s: ${what}`);
}

/** Fragments that lack, as the shard has noted it for its chunks, and profiles, as the devices have them. */
async function standing(
  node: StorageNode,
): Promise<{ readonly missing: number; readonly profiles: readonly string[] }> {
  const tenant = await node.openDefaultTenant(never);
  while ((await collectGarbage(node.ports, tenant)) > 0);
  const { references } = tenant.store.view((map) => listReferences(map, undefined, 10_000));
  const chunks = references.filter(({ from }) => from === "chunk");
  const profiles = references.map(({ chunkId, sealId }) => {
    const { profile } = node.ports.chunkStore.inspect(chunkId, sealId)!;
    return profile.kind === "ec" ? `${profile.data}+${profile.parity}` : `${profile.copies}`;
  });
  const missing = chunks.reduce((sum, each) => sum + each.missing, 0);
  return { missing, profiles: [...new Set(profiles)].toSorted() };
}

const allHealthy = (node: StorageNode): boolean =>
  node.ports.chunkStore.status().devices.every(({ state }) => state === "healthy");

// Goal: content written with devices out gets the pool's protection when they are back, and the shard learns of it.
// Method: device files are moved away between starts of one node of six devices; then housekeeping does its work.
test(`devices that come back are compared, thin chunks repaired, narrow ones sealed again (KISEKI_SIM_SEED=${seed})`, async () => {
  await using folder = await temporaryFolder();
  const prng = prngFromSeed(seed);
  const paths = await makeDevices(folder.path, 6);
  const open = (): Promise<StorageNode> => openAt(folder.path, undefined, paths);
  const contents = new Map<string, Uint8Array>();
  const putAll = async (node: StorageNode, name: string): Promise<void> => {
    for (const size of sizes) {
      const bytes = prng.fill(newBytes(size));
      contents.set(`${name}-${size}`, bytes);
      await put(node, `${name}-${size}`, bytes);
    }
  };
  const takeAway = async (count: number): Promise<void> => {
    for (const path of paths.slice(0, count)) await rename(path, `${path}.away`);
  };
  const bringBack = async (count: number): Promise<void> => {
    for (const path of paths.slice(0, count)) await rename(`${path}.away`, path);
  };
  {
    await using node = await open();
    await makeBucket(node);
  }
  await takeAway(1);
  {
    await using node = await open();
    await putAll(node, "thin");
    const { missing, profiles } = await standing(node);
    expect(missing).toBeGreaterThan(0);
    expect(profiles).toEqual(["3", "4+2"]);
  }
  await bringBack(1);
  await takeAway(3);
  {
    await using node = await open();
    await putAll(node, "narrow");
    expect(node.ports.chunkStore.takesWhole(0)).toBe(false);
    expect(node.ports.chunkStore.status().narrow).toBeGreaterThan(0);
    expect((await standing(node)).profiles).toEqual(["2+1", "3", "4+2"]);
  }
  await bringBack(3);
  {
    await using node = await open();
    await until("the devices are compared", () => allHealthy(node));
    await until("all is wide and whole", async () => {
      const { missing, profiles } = await standing(node);
      return missing === 0 && profiles.join() === "3,4+2";
    });
    await until("the count is taken again", () => node.ports.chunkStore.status().narrow === 0);
    const { chunks } = node.ports.chunkStore.status();
    await put(node, "again", contents.get("thin-300000")!);
    expect(node.ports.chunkStore.status().chunks).toBe(chunks); // a hit: the shard knows that it is whole
  }
  await takeAway(2);
  await using node = await open();
  for (const [key, bytes] of contents) {
    expect(toHex(await get(node, key))).toBe(toHex(bytes));
  }
}, 20_000);
