// Goal: whatever is lost or damaged of config, data directory and mirrors, what is left opens or says
// what helps. Method: files in memory, with disks that fail, and a creation cut short at each write.
import { expect, test } from "bun:test";
import { openAwsLc } from "@kiseki/aws-lc";
import { newBytes, prngFromSeed, toHex, toUtf8 } from "@kiseki/base";
import {
  type ClusterKeyError,
  createClusterKey,
  exportClusterKey,
  hasClusterKey,
  importClusterKey,
  type KeyFiles,
  openClusterKey,
  recoverClusterKey,
  renewRecoveryCode,
} from "./index.ts";

const crypto = openAwsLc(`${import.meta.dir}/../../../build/native`);
const places = { configDirectory: "/config", directories: ["/data", "/mirror1", "/mirror2"] };
const copies = places.directories.map((directory) => `${directory}/cluster-key`);
const nodeSecret = "/config/node-secret";

function openWorld(seed = 61) {
  const disk = new Map<string, Uint8Array>();
  const away = new Set<string>();
  let writesLeft = Number.POSITIVE_INFINITY;
  const files: KeyFiles = {
    async read(path) {
      if (away.has(path)) throw new Error("no such disk");
      return disk.get(path)?.slice();
    },
    async replace(path, content) {
      if (away.has(path)) throw new Error("no such disk");
      if (writesLeft <= 0) throw new Error("cut short");
      writesLeft -= 1;
      disk.set(path, content.slice());
    },
  };
  const cutAfter = (writes: number) => {
    writesLeft = writes;
  };
  return { crypto, prng: prngFromSeed(seed), files, disk, away, cutAfter };
}
const codeOf = async (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "done",
    (reason: ClusterKeyError) => reason.code ?? reason.message,
  );

test("createClusterKey() writes all copies alike, and openClusterKey() opens them", async () => {
  const world = openWorld();
  expect(await hasClusterKey(world, places)).toBe(false);
  expect(await codeOf(openClusterKey(world, places))).toBe("missing");
  const made = await createClusterKey(world, places);
  expect(await hasClusterKey(world, places)).toBe(true);
  const opened = await openClusterKey(world, places);
  expect(opened).toEqual({
    clusterId: made.clusterId,
    clusterKey: made.clusterKey,
    generation: 1n,
    rewritten: [],
  });
  expect(new Set(copies.map((path) => toHex(world.disk.get(path)!))).size).toBe(1);
  for (const [path, content] of world.disk) {
    expect(toHex(content), path).not.toContain(toHex(made.clusterKey));
  }
  expect(await codeOf(createClusterKey(world, places))).toBe("exists");
});
test("createClusterKey() cut short at any write is begun anew", async () => {
  for (let writes = 0; writes < 5; writes++) {
    const world = openWorld();
    world.cutAfter(writes);
    const outcome = await codeOf(createClusterKey(world, places));
    world.cutAfter(Number.POSITIVE_INFINITY);
    expect(outcome, `${writes} writes`).not.toBe("done");
    expect(await hasClusterKey(world, places), `${writes} writes`).toBe(false);
    const made = await createClusterKey(world, places);
    expect((await openClusterKey(world, places)).clusterKey).toEqual(made.clusterKey);
  }
});
test("openClusterKey() makes missing, damaged and old copies good, highest generation first", async () => {
  const world = openWorld();
  const made = await createClusterKey(world, places);
  const old = world.disk.get(copies[0]!)!;
  await renewRecoveryCode(world, places);
  world.disk.set(copies[0]!, old);
  world.disk.delete(copies[1]!);
  const opened = await openClusterKey(world, places);
  expect(opened.clusterKey).toEqual(made.clusterKey);
  expect(opened.generation).toBe(2n);
  expect([...opened.rewritten].toSorted()).toEqual([copies[0]!, copies[1]!]);
  world.disk.get(copies[0]!)![100]! ^= 1;
  world.disk.set(copies[2]!, newBytes(0));
  const again = await openClusterKey(world, places);
  expect([...again.rewritten].toSorted()).toEqual([copies[0]!, copies[2]!]);
  expect((await openClusterKey(world, places)).rewritten).toEqual([]);
});
test("openClusterKey() goes on with a mirror away, and with one copy left", async () => {
  const world = openWorld();
  const made = await createClusterKey(world, places);
  world.away.add(copies[0]!).add(copies[1]!);
  const opened = await openClusterKey(world, places);
  expect(opened.clusterKey).toEqual(made.clusterKey);
  expect(opened.rewritten).toEqual([]);
  await renewRecoveryCode(world, places);
  world.away.clear();
  const later = await openClusterKey(world, places);
  expect([later.generation, later.rewritten.length]).toEqual([2n, 2]);
  for (const path of copies) world.away.add(path);
  expect(await codeOf(createClusterKey(world, places))).toBe("exists");
  expect(await codeOf(openClusterKey(world, places))).toBe("missing");
  world.disk.delete(nodeSecret);
  expect(await codeOf(createClusterKey(world, places))).toBe("no such disk");
  for (const path of copies) world.disk.set(path, newBytes(256));
  world.away.clear();
  expect(await codeOf(recoverClusterKey(world, places, made.recoveryCode))).toBe("damaged");
  for (const path of copies) world.disk.delete(path);
  expect(await codeOf(openClusterKey(world, places))).toBe("missing");
});
test("recoverClusterKey() opens after the config directory burnt down, again and again", async () => {
  const world = openWorld();
  const made = await createClusterKey(world, places);
  for (let round = 1n; round <= 3n; round++) {
    world.disk.delete(nodeSecret);
    expect(await codeOf(openClusterKey(world, places))).toBe("missing");
    const recovered = await recoverClusterKey(world, places, made.recoveryCode.toLowerCase());
    expect(recovered.clusterKey).toEqual(made.clusterKey);
    const opened = await openClusterKey(world, places);
    expect(opened.clusterKey).toEqual(made.clusterKey);
    expect(opened.generation).toBe(1n + round);
  }
});
test("recoverClusterKey() names a typo and tells it from a wrong code", async () => {
  const world = openWorld();
  const made = await createClusterKey(world, places);
  const other = await createClusterKey(openWorld(62), places);
  const groups = made.recoveryCode.split("-");
  const group = groups[3]!;
  const typo = groups.with(3, `${group[0] === "7" ? "8" : "7"}${group.slice(1)}`).join("-");
  const mistyped = recoverClusterKey(world, places, typo);
  await expect(mistyped).rejects.toMatchObject({
    code: "mistyped",
    message: expect.stringContaining("Group 4"),
  });
  expect(await codeOf(recoverClusterKey(world, places, other.recoveryCode))).toBe("wrong_secret");
  expect((await openClusterKey(world, places)).generation).toBe(1n); // nothing was written
});
test("recoverClusterKey() cut short at any write can be asked again", async () => {
  for (let writes = 0; writes < 4; writes++) {
    const world = openWorld();
    const made = await createClusterKey(world, places);
    world.disk.delete(nodeSecret);
    world.cutAfter(writes);
    await codeOf(recoverClusterKey(world, places, made.recoveryCode));
    world.cutAfter(Number.POSITIVE_INFINITY);
    await recoverClusterKey(world, places, made.recoveryCode);
    expect((await openClusterKey(world, places)).clusterKey).toEqual(made.clusterKey);
  }
});
test("renewRecoveryCode() ends the old code", async () => {
  const world = openWorld();
  const made = await createClusterKey(world, places);
  const renewed = await renewRecoveryCode(world, places);
  expect((await openClusterKey(world, places)).clusterKey).toEqual(made.clusterKey);
  expect(await codeOf(recoverClusterKey(world, places, made.recoveryCode))).toBe("wrong_secret");
  expect(await codeOf(recoverClusterKey(world, places, renewed.recoveryCode))).toBe("done");
});
test("importClusterKey() puts back what exportClusterKey() sealed, by its passphrase alone", async () => {
  const world = openWorld();
  const made = await createClusterKey(world, places);
  const passphrase = toUtf8("correct horse battery staple");
  const sealed = await exportClusterKey(world, places, passphrase);
  expect(toHex(sealed)).not.toContain(toHex(made.clusterKey));
  world.disk.clear();
  const wrong = importClusterKey(world, places, sealed, toUtf8("wrong"));
  expect(await codeOf(wrong)).toBe("wrong_secret");
  const damaged = sealed.slice();
  damaged[90]! ^= 1;
  expect(await codeOf(importClusterKey(world, places, damaged, passphrase))).toBe("damaged");
  expect(world.disk.size).toBe(0);
  const imported = await importClusterKey(world, places, sealed, passphrase);
  expect(imported.clusterKey).toEqual(made.clusterKey);
  expect((await openClusterKey(world, places)).clusterKey).toEqual(made.clusterKey);
  world.disk.delete(nodeSecret);
  const recovered = await recoverClusterKey(world, places, imported.recoveryCode);
  expect(recovered.clusterKey).toEqual(made.clusterKey);
  const foreign = openWorld(63);
  await createClusterKey(foreign, places);
  expect(await codeOf(importClusterKey(foreign, places, sealed, passphrase))).toBe("exists");
}, 20_000);

test("exportClusterKey() and importClusterKey() let others work while the passphrase becomes a key", async () => {
  const world = openWorld();
  await createClusterKey(world, places);
  const passphrase = toUtf8("correct horse battery staple");
  /** Turns of the event loop until `work` is done, or enough of them. */
  const turnsDuring = async <T>(work: Promise<T>): Promise<{ result: T; turns: number }> => {
    let turns = 0;
    let isOver = false;
    const over = work.finally(() => (isOver = true));
    for (; !isOver && turns < 100; turns++) await new Promise(setImmediate);
    return { result: await over, turns };
  };
  const reading = await turnsDuring(openClusterKey(world, places));
  expect(reading.turns).toBeLessThan(10); // files in memory
  const exported = await turnsDuring(exportClusterKey(world, places, passphrase));
  expect(exported.turns).toBe(100);
  const imported = await turnsDuring(importClusterKey(world, places, exported.result, passphrase));
  expect(imported.turns).toBe(100);
}, 20_000);
