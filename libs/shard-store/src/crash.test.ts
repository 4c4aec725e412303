import { expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { fromUtf8, logIndex, prngFromSeed, toUtf8 } from "@kiseki/base";
import { openPlainPlace, testCrypto, testSumKey } from "./place.test-helper.ts";
import { makeSealedFolder, openSealedMembers } from "./sealed-place.test-helper.ts";
import type { SqliteShardStore } from "./sqlite-shard-store.ts";
import { openSqliteShardStore } from "./sqlite-shard-store.ts";

// Goal: every acknowledged batch survives SIGKILL, and log, map and sums agree afterwards.
// Method: a child commits numbered rows and writes each acknowledged number; it is killed at random.
const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0],
);
const kills = 5;

/** Runs the victim until it has acknowledged `wanted` more rows, kills it, and returns the last number seen. */
async function runAndKill(kind: string, path: string, wanted: number): Promise<number> {
  const victim = `${import.meta.dir}/crash-child.test-helper.ts`;
  const child = Bun.spawn([process.execPath, victim, kind, path], {
    stdout: "pipe",
    stderr: "inherit",
  });
  let text = "";
  let isKilled = false;
  const decoder = new TextDecoder();
  for await (const part of child.stdout) {
    text += decoder.decode(part);
    if (isKilled || text.split("\n").length <= wanted) continue;
    child.kill("SIGKILL");
    isKilled = true;
  }
  await child.exited;
  expect(isKilled).toBe(true); // it did not end by itself
  return Number(text.slice(0, text.lastIndexOf("\n")).split("\n").at(-1));
}

function expectWhole(store: SqliteShardStore, acknowledged: number): void {
  const { index, first } = store.head();
  expect(Number(index)).toBeGreaterThanOrEqual(acknowledged);
  expect(Number(index)).toBeLessThanOrEqual(acknowledged + 1);
  store.view((map) => {
    for (let n = 1; n <= Number(index); n++) {
      expect(fromUtf8(map.get(toUtf8(`row ${n}`))!)).toBe(`value ${n}`);
    }
    expect(map.get(toUtf8(`row ${Number(index) + 1}`))).toBeUndefined();
    expect(fromUtf8(map.get(toUtf8("last"))!)).toBe(`${index}`);
  });
  const entries = store.read(first, 4096, 1 << 24);
  expect(entries.map((entry) => Number(entry.index))).toEqual(
    Array.from({ length: Number(index - first) + 1 }, (_, i) => Number(first) + i),
  );
  if (entries.length > 0) {
    expect(entries.at(-1)!.index).toBe(logIndex(index));
    expect(fromUtf8(entries.at(-1)!.bytes)).toBe(`entry ${index}`);
  }
  expect(store.startSumCheck().step(1_000_000)).toEqual({ kind: "right" });
}

test(`a plain file keeps every acknowledged row over SIGKILL (KISEKI_SIM_SEED=${seed})`, async () => {
  const prng = prngFromSeed(seed);
  await using place = await openPlainPlace();
  for (let kill = 0; kill < kills; kill++) {
    const acknowledged = await runAndKill("plain", place.path, 1 + prng.below(400));
    await using store = await place.open();
    expectWhole(store, acknowledged);
  }
}, 20_000);

test(`a sealed, mirrored file keeps every acknowledged row over SIGKILL (KISEKI_SIM_SEED=${seed})`, async () => {
  const prng = prngFromSeed(seed);
  const folder = await makeSealedFolder();
  try {
    for (let kill = 0; kill < kills; kill++) {
      const acknowledged = await runAndKill("sealed", folder, 1 + prng.below(400));
      const members = openSealedMembers(folder);
      {
        const { openDatabase } = members;
        await using store = openSqliteShardStore({
          openDatabase,
          crypto: testCrypto,
          sumKey: testSumKey,
        });
        expectWhole(store, acknowledged);
      }
      members.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 20_000);
