import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { epoch, logIndex, toUtf8 } from "@kiseki/base";
import type { MapReader, MapWriter, ShardStore } from "@kiseki/ports";
import { replay } from "./replay.ts";
import { ShardStoreError } from "./shard-store-error.ts";
import { openSqliteShardReader } from "./sqlite-shard-reader.ts";
import { openSqliteShardStore } from "./sqlite-shard-store.ts";
import { openPlainPlace, plainDatabase, testCrypto, testSumKey } from "./place.test-helper.ts";

async function put(store: ShardStore, n: number): Promise<void> {
  const tx = store.begin();
  tx.put(toUtf8(`key ${n % 7}`), toUtf8(`value ${n}`));
  await tx.commit(toUtf8(`entry ${n}`), store.head().index, epoch(1n));
}
const codeOf = async (act: () => Promise<unknown>): Promise<unknown> => {
  try {
    await act();
  } catch (reason) {
    return reason instanceof ShardStoreError ? reason.code : reason;
  }
  return undefined;
};

test("open refuses tables of another version, and a log that lost an end", async () => {
  for (const [damage, code] of [
    ["PRAGMA user_version = 2", "unknown_version"],
    ["DELETE FROM log WHERE idx = 3", "damaged"],
    ["DELETE FROM log WHERE idx = 1", "damaged"],
    ["DELETE FROM log", "damaged"],
    ["UPDATE meta SET value = CAST(x'0200' || substr(value, 3) AS BLOB)", "unknown_version"],
    ["UPDATE meta SET value = x'01'", "damaged"],
    ["UPDATE meta SET value = 'text'", "damaged"],
    ["DELETE FROM meta", "damaged"],
  ] as const) {
    await using place = await openPlainPlace();
    {
      await using store = await place.open();
      for (let n = 1; n <= 3; n++) await put(store, n);
    }
    {
      using raw = new Database(place.path);
      raw.run(damage);
    }
    expect([damage, await codeOf(() => place.open())]).toEqual([damage, code]);
  }
});

test("a batch that cannot be written is not committed, and the store goes on", async () => {
  await using place = await openPlainPlace();
  let writer: Database | undefined;
  await using store = openSqliteShardStore({
    openDatabase: (options) => {
      const database = plainDatabase(place.path)(options);
      if (!options.readOnly) writer = database;
      return database;
    },
    crypto: testCrypto,
    sumKey: testSumKey,
  });
  await put(store, 1);
  const pages = writer!.query("PRAGMA page_count").values()[0]![0] as number;
  writer!.run(`PRAGMA max_page_count = ${pages + 2}`);
  const tx = store.begin();
  tx.put(toUtf8("large"), new Uint8Array(100_000));
  expect(await codeOf(() => tx.commit(toUtf8("2"), logIndex(1n), epoch(1n)))).toBe("not_committed");
  expect(store.head().index).toBe(logIndex(1n));
  await put(store, 2);
  expect(store.head().index).toBe(logIndex(2n));
});

test("after a COMMIT error every call says that the process must end", async () => {
  await using place = await openPlainPlace();
  const store = openSqliteShardStore({
    openDatabase: (options) => {
      const database = plainDatabase(place.path)(options);
      if (options.readOnly) return database;
      const prepare = database.prepare.bind(database);
      let commits = 0;
      const failing = Object.assign(database, {
        prepare: ((sql: string) => {
          const statement = prepare(sql);
          if (sql !== "COMMIT") return statement;
          const run = statement.run.bind(statement);
          statement.run = () => {
            commits += 1;
            if (commits > 1) throw new Error("disk I/O error");
            return run();
          };
          return statement;
        }) as typeof database.prepare,
      });
      return failing;
    },
    crypto: testCrypto,
    sumKey: testSumKey,
  });
  await put(store, 1);
  expect(await codeOf(() => put(store, 2))).toBe("commit_failed");
  for (const act of [
    async () => store.begin(),
    async () => store.view(() => 1),
    async () => store.read(logIndex(1n), 1, 1),
    async () => store.readBarrier(),
  ]) {
    expect(await codeOf(act)).toBe("commit_failed");
  }
  await store[Symbol.asyncDispose]();
});

test("after a COMMIT error in another thread every call says that the process must end, and nobody saw the batch", async () => {
  await using place = await openPlainPlace();
  const store = openSqliteShardStore({
    openDatabase: plainDatabase(place.path),
    openCommitter: () => ({
      frames: 0,
      commit: async () => Promise.reject(new Error("disk I/O error")),
      checkpoint: async () => undefined,
      [Symbol.dispose]: () => undefined,
    }),
    crypto: testCrypto,
    sumKey: testSumKey,
  });
  const putting = codeOf(() => put(store, 1));
  expect(store.view((map) => map.get(toUtf8("key 1")))).toBeUndefined();
  expect(await putting).toBe("commit_failed");
  expect(store.head().index).toBe(logIndex(0n));
  for (const act of [async () => store.begin(), async () => store.view(() => 1)]) {
    expect(await codeOf(act)).toBe("commit_failed");
  }
  expect(store.rest()).toBeUndefined();
  await store[Symbol.asyncDispose]();
});

test("openSqliteShardReader() sees each commit at once, and never an open batch", async () => {
  await using place = await openPlainPlace();
  await using store = await place.open();
  using reader = openSqliteShardReader({ openDatabase: plainDatabase(place.path) });
  const value = (): Uint8Array | undefined => reader.view((map) => map.get(toUtf8("key 1")));
  expect(value()).toBeUndefined();
  await put(store, 1);
  expect(value()).toEqual(toUtf8("value 1"));
  const tx = store.begin();
  tx.put(toUtf8("key 1"), toUtf8("open"));
  tx.scan({ start: toUtf8("") }, () => true);
  expect(value()).toEqual(toUtf8("value 1"));
  tx.rollback();
  expect(reader.read(logIndex(1n), 9, 1000)).toHaveLength(1);
});

/** A toy state machine: each entry is `key=value`, an empty value deletes; a count lies beside. */
function applyToy(map: MapWriter, text: string): void {
  const [key, value] = text.split("=") as [string, string];
  if (value === "") map.delete(toUtf8(key));
  else map.put(toUtf8(key), toUtf8(value));
  const count = map.get(toUtf8("count"))?.[0] ?? 0;
  map.put(toUtf8("count"), new Uint8Array([(count + 1) & 0xff]));
}
const rowsOf = (map: MapReader): readonly string[] => {
  const rows: string[] = [];
  map.scan({ start: new Uint8Array(0) }, (key, value) => {
    rows.push(`${key}=${value}`);
    return true;
  });
  return rows;
};

test("replay() of a log that was never cut gives the same map, row by row", async () => {
  await using place = await openPlainPlace();
  await using other = await openPlainPlace();
  await using store = await place.open();
  for (let n = 0; n < 300; n++) {
    const text = `key ${(n * 7) % 31}=${n % 5 === 0 ? "" : n}`;
    const tx = store.begin();
    applyToy(tx, text);
    await tx.commit(toUtf8(text), store.head().index, epoch(1n));
  }
  await using target = await other.open();
  const tx = target.begin();
  const decoder = new TextDecoder();
  const next = replay(store, tx, logIndex(1n), (map, entry) =>
    applyToy(map, decoder.decode(entry.bytes)),
  );
  expect(next).toBe(logIndex(301n));
  expect(rowsOf(tx)).toEqual(store.view(rowsOf));
  tx.rollback();
});

test("a store that was disposed says that it is closed", async () => {
  await using place = await openPlainPlace();
  const store = await place.open();
  await store[Symbol.asyncDispose]();
  for (const act of [
    () => store.view(() => 1),
    () => store.begin(),
    () => store.read(logIndex(1n), 1, 1),
  ]) {
    expect(act).toThrow(new ShardStoreError("closed", "Cannot use the shard: it was closed"));
  }
});
