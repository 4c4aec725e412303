import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { epoch, prngFromSeed } from "@kiseki/base";
import { RowSums, rowHasher } from "./row-sums.ts";
import type { SqliteShardStore } from "./sqlite-shard-store.ts";
import { openPlainPlace, testCrypto, testSumKey } from "./place.test-helper.ts";

const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0],
);

async function commitRandom(
  store: SqliteShardStore,
  prng: ReturnType<typeof prngFromSeed>,
): Promise<void> {
  const tx = store.begin();
  for (let i = 0; i < 30; i++) {
    const key = new Uint8Array([prng.below(3), prng.below(50)]);
    if (prng.chance(1, 3)) tx.delete(key);
    else tx.put(key, prng.fill(new Uint8Array(prng.below(30))));
    if (prng.chance(1, 5)) tx.get(new Uint8Array([prng.below(3), prng.below(50)]));
    if (prng.chance(1, 10)) tx.scan({ start: key }, () => false);
  }
  await tx.commit(new Uint8Array(10), store.head().index, epoch(1n));
}

function checkAll(store: SqliteShardStore, rowsPerStep = 7): unknown {
  const check = store.startSumCheck();
  for (;;) {
    const report = check.step(rowsPerStep);
    if (report.kind !== "more") return report;
  }
}

test("RowSums gives the same in any order, and removing undoes adding", () => {
  const hash = rowHasher(testCrypto, testSumKey);
  const rows = Array.from({ length: 200 }, (_, n) => ({
    key: new Uint8Array([n % 3, n]),
    value: new Uint8Array(n),
  }));
  const forward = new RowSums();
  const backward = new RowSums();
  for (const { key, value } of rows) forward.add(key, hash(key, value));
  for (const { key, value } of rows.toReversed()) backward.add(key, hash(key, value));
  expect(backward.tables()).toEqual(forward.tables());
  expect(RowSums.from(forward.tables()).tables()).toEqual(forward.tables());
  for (const { key, value } of rows) forward.remove(key, hash(key, value));
  expect(forward.tables()).toEqual([]);
});

test("RowSums carries over 32 bits both ways", () => {
  const sums = new RowSums();
  const ones = new Uint8Array(16).fill(0xff);
  const one = new Uint8Array(16);
  one[0] = 1;
  const key = new Uint8Array([5]);
  sums.add(key, ones);
  sums.add(key, one);
  expect(sums.tables()[0]!.sum).toEqual(new Uint8Array(16)); // 2^128 - 1 + 1
  sums.remove(key, one);
  expect(sums.tables()[0]!.sum).toEqual(ones);
});

test(`startSumCheck() finds rows and sums equal, while batches commit between its steps (KISEKI_SIM_SEED=${seed})`, async () => {
  const prng = prngFromSeed(seed);
  await using place = await openPlainPlace();
  {
    await using store = await place.open();
    for (let i = 0; i < 20; i++) await commitRandom(store, prng);
    expect(checkAll(store)).toEqual({ kind: "right" });
    const check = store.startSumCheck();
    while (check.step(5).kind === "more") await commitRandom(store, prng);
    expect(() => check.step(1)).toThrow();
  }
  await using store = await place.open();
  expect(checkAll(store)).toEqual({ kind: "right" });
  const changing = store.startSumCheck();
  let report = changing.step(3);
  while (report.kind === "more") {
    await commitRandom(store, prng);
    report = changing.step(3);
  }
  expect(report).toEqual({ kind: "right" });
});

test("startSumCheck() names the table of a row that was changed, dropped or added behind the store", async () => {
  for (const damage of [
    "UPDATE map SET value = x'00' WHERE key = x'0105'",
    "DELETE FROM map WHERE key = x'0105'",
    "INSERT INTO map VALUES(x'01ff', x'')",
  ]) {
    await using place = await openPlainPlace();
    {
      await using store = await place.open();
      const tx = store.begin();
      for (let n = 0; n < 40; n++) tx.put(new Uint8Array([n % 2, n]), new Uint8Array([n]));
      await tx.commit(new Uint8Array(1), store.head().index, epoch(1n));
    }
    {
      using raw = new Database(place.path);
      raw.run(damage);
    }
    await using store = await place.open();
    expect(checkAll(store)).toEqual({ kind: "wrong", tables: [1] });
    const tx = store.begin();
    tx.put(new Uint8Array([1, 5]), new Uint8Array([9])); // later writes do not hide it
    await tx.commit(new Uint8Array(1), store.head().index, epoch(1n));
    expect(checkAll(store)).toEqual({ kind: "wrong", tables: [1] });
  }
});
