import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { epoch, logIndex, prngFromSeed } from "@kiseki/base";
import { copyShard } from "./copy-shard.ts";
import { openPlainPlace, testCrypto, testSumKey } from "./place.test-helper.ts";
import { openSqliteShardStore, type SqliteShardStore } from "./sqlite-shard-store.ts";

const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0],
);
const otherKey = new Uint8Array(32).fill(8);

function rowsOf(store: SqliteShardStore): readonly string[] {
  const rows: string[] = [];
  store.view((map) =>
    map.scan({ start: new Uint8Array(0) }, (key, value) => {
      rows.push(`${Buffer.from(key).toString("hex")}=${Buffer.from(value).toString("hex")}`);
      return true;
    }),
  );
  return rows;
}

async function fill(store: SqliteShardStore): Promise<void> {
  const prng = prngFromSeed(seed);
  store.registerConsumer("view", logIndex(0n));
  for (let batch = 0; batch < 40; batch++) {
    const tx = store.begin();
    for (let i = 0; i < 100; i++) {
      const key = prng.fill(new Uint8Array(1 + prng.below(20)));
      tx.put(key, prng.fill(new Uint8Array(prng.below(60))));
    }
    await tx.commit(prng.fill(new Uint8Array(50)), store.head().index, epoch(3n));
  }
  store.advanceConsumer("view", logIndex(20n));
  store.truncate(logIndex(15n));
}

const keys = { crypto: testCrypto, sourceSumKey: testSumKey, targetSumKey: otherKey };

test(`copyShard() copies map, log, marks and ends, with sums under the other key (KISEKI_SIM_SEED=${seed})`, async () => {
  await using place = await openPlainPlace();
  await using other = await openPlainPlace();
  await using store = await place.open();
  await fill(store);
  let pauses = 0;
  const pause = async (): Promise<void> => void (pauses += 1);
  {
    using source = new Database(place.path);
    using target = new Database(other.path, { create: true });
    await copyShard(source, target, { ...keys, pause });
  }
  expect(pauses).toBeGreaterThan(5);
  const openDatabase = ({ readOnly }: { readonly readOnly: boolean }) =>
    new Database(other.path, readOnly ? { readonly: true } : { readwrite: true });
  await using copy = openSqliteShardStore({ openDatabase, crypto: testCrypto, sumKey: otherKey });
  expect(rowsOf(copy)).toEqual([...rowsOf(store)]);
  expect(copy.head()).toEqual(store.head());
  expect(copy.epoch()).toBe(store.epoch());
  expect(copy.consumers()).toEqual(store.consumers());
  const { first } = store.head();
  expect(copy.read(first, 100, 1 << 20)).toEqual([...store.read(first, 100, 1 << 20)]);
  expect(copy.startSumCheck().step(1_000_000)).toEqual({ kind: "right" });
  expect(copy.sums()[0]!.sum).not.toEqual(store.sums()[0]!.sum);
});

test("copyShard() refuses rows that are not what was committed, and leaves the target empty", async () => {
  await using place = await openPlainPlace();
  await using other = await openPlainPlace();
  {
    await using store = await place.open();
    await fill(store);
  }
  using source = new Database(place.path);
  source.run("DELETE FROM map WHERE key = (SELECT max(key) FROM map)");
  using target = new Database(other.path, { create: true });
  const copying = copyShard(source, target, { ...keys, pause: async () => undefined });
  expect(copying).rejects.toMatchObject({ code: "damaged" });
  await copying.catch(() => undefined);
  expect(target.query("SELECT count(*) AS n FROM sqlite_schema").get()).toEqual({ n: 0 });
});

test("copyShard() of a file without tables makes none", async () => {
  using source = new Database(":memory:");
  using target = new Database(":memory:");
  await copyShard(source, target, { ...keys, pause: async () => undefined });
  expect(target.query("SELECT count(*) AS n FROM sqlite_schema").get()).toEqual({ n: 0 });
});
