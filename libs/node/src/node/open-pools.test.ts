import { expect, test } from "bun:test";
import { rename, rm } from "node:fs/promises";
import { newBytes, prngFromSeed } from "@kiseki/base";
import { ChunkStoreError } from "@kiseki/chunk-store";
import {
  get,
  makeBucket,
  makeDevices,
  never,
  openAt,
  put,
  temporaryFolder,
} from "../keys/bed.test-helper.ts";
import { verify } from "../admin/verify.ts";
import type { StorageNode } from "./open-node.ts";

const codeOf = (opening: Promise<StorageNode>): Promise<unknown> =>
  opening.then(
    async (node) => {
      await node[Symbol.asyncDispose]();
      return "opened";
    },
    (reason: unknown) => (reason instanceof ChunkStoreError ? reason.code : reason),
  );
const poolsOf = (node: StorageNode) =>
  node.ports.chunkStore.pools().map(({ number, name, status }) => {
    return `${number} ${name} ${status?.devices.filter(({ state }) => state === "healthy").length ?? "absent"}`;
  });

// Goal: pools keep number, devices and content whatever happens to settings, notes and devices; nothing moves silently.
test("openPools() opens each pool with its own devices, and the same ones at each start", async () => {
  await using folder = await temporaryFolder();
  const [main = "", first = "", second = "", third = ""] = await makeDevices(folder.path, 4);
  const open = (pools: string, devices = [main]): Promise<StorageNode> =>
    openAt(folder.path, undefined, devices, undefined, ["--pools", pools]);
  const bytes = [1, 100_000, 5_000_000].map((size) => prngFromSeed(size).fill(newBytes(size)));
  const both = `archive=${first};cold=${second},${third}`;
  {
    await using node = await open(both);
    expect(poolsOf(node)).toEqual(["0 default 1", "1 archive 1", "2 cold 2"]);
    await makeBucket(node);
    for (const [i, content] of bytes.entries()) {
      await put(node, `${i}`, content);
      await put(node, `${i}-cold`, content, undefined, undefined, 2);
    }
    const [standard, archive, cold] = node.ports.chunkStore.pools();
    expect(archive!.status!.chunks).toBe(0);
    expect(cold!.status!.chunks).toBe(standard!.status!.chunks);
    expect(cold!.status!.profile).toEqual({ kind: "copies", copies: 2 });
  }
  const readAll = async (node: StorageNode, suffixes: readonly string[]): Promise<void> => {
    for (const [i, content] of bytes.entries())
      for (const suffix of suffixes)
        expect(await get(node, `${i}${suffix}`)).toEqual(Buffer.from(content));
  };
  {
    // In another order, and with the note lost: the devices say who they are.
    await rm(`${folder.path}/config/pools.json`);
    await using node = await open(`cold=${third},${second};archive=${first}`);
    expect(poolsOf(node)).toEqual(["0 default 1", "1 archive 1", "2 cold 2"]);
    await readAll(node, ["", "-cold"]);
  }
  // A pool that is left out, and devices under another pool's name.
  expect(await codeOf(open(`cold=${second},${third}`))).toBe("unavailable");
  expect(await codeOf(open(`archive=${first};cold=${second};new=${third}`))).toBe("other_pool");
  {
    await using node = await open(`archive=${first},${third};cold=${second}`);
    expect(poolsOf(node)).toEqual(["0 default 1", "1 archive 1", "2 cold 1"]);
    await readAll(node, ["", "-cold"]);
  }
  // None of a pool's devices is there: the others go on, and it is itself again afterwards.
  for (const path of [second, third]) await rename(path, `${path}.away`);
  {
    await using node = await open(both);
    expect(poolsOf(node)).toEqual(["0 default 1", "1 archive 1", "2 cold absent"]);
    await readAll(node, [""]);
    await put(node, "standard", bytes[1]!);
    for (const quick of [true, false]) {
      const parts = { node, clock: node.ports.clock } as never;
      const states: string[] = [];
      for await (const step of verify(parts, { bucket: "", quick }, never))
        for (const { key, state } of step.damaged) states.push(`${Buffer.from(key)} ${state}`);
      expect(states.toSorted()).toEqual(["0-cold lost", "1-cold lost", "2-cold lost"]);
    }
    expect(await codeOf(put(node, "x", bytes[2]!, undefined, undefined, 2) as never)).toBe(
      "unavailable",
    );
  }
  for (const path of [second, third]) await rename(`${path}.away`, path);
  await using node = await open(both);
  await readAll(node, ["", "-cold"]);
}, 20_000);
