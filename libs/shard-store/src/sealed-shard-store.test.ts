import { expect, test } from "bun:test";
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { epoch, logIndex, toUtf8 } from "@kiseki/base";
import type { ShardTx } from "@kiseki/ports";
import { shardStoreContract } from "@kiseki/ports/contract";
import { openCommitter } from "@kiseki/sealed-sqlite";
import { testCrypto, testSumKey } from "./place.test-helper.ts";
import {
  makeSealedFolder,
  openSealedMembers,
  openSealedPlace,
} from "./sealed-place.test-helper.ts";
import type { SqliteShardStore } from "./sqlite-shard-store.ts";
import { openSqliteShardStore } from "./sqlite-shard-store.ts";

shardStoreContract("SqliteShardStore on a sealed, mirrored file", openSealedPlace, {
  fenced: false,
  unknown: false,
  snapshots: false,
});

const at = epoch(1n);
const commit = (tx: ShardTx, store: SqliteShardStore) =>
  tx.commit(toUtf8("entry"), store.head().index, at);

test("a consumer that is registered while a commit is under way is durable after it", async () => {
  await using place = await openSealedPlace();
  {
    await using store = await place.open();
    const tx = store.begin();
    tx.put(toUtf8("a"), toUtf8("1"));
    const committed = commit(tx, store);
    store.registerConsumer("late", logIndex(1n));
    expect(store.view((map) => map.get(toUtf8("a")))).toBeUndefined(); // it is not known to be synced yet
    await committed;
  }
  await using store = await place.open();
  expect(store.consumers()).toEqual(new Map([["late", logIndex(1n)]]));
});

test("dispose() waits for the commit that is under way", async () => {
  await using place = await openSealedPlace();
  const store = await place.open();
  const tx = store.begin();
  tx.put(toUtf8("a"), toUtf8("1"));
  const committed = commit(tx, store);
  await store[Symbol.asyncDispose]();
  expect(await committed).toEqual({ kind: "committed", index: logIndex(1n) });
  await using again = await place.open();
  expect(again.head().index).toBe(logIndex(1n));
});

test("rest() moves what the write-ahead log holds to the file, so that it stays as large as it was", async () => {
  const folder = await makeSealedFolder();
  const members = openSealedMembers(folder);
  try {
    await using store = openSqliteShardStore({
      ...{ openDatabase: members.openDatabase, openCommitter },
      ...{ crypto: testCrypto, sumKey: testSumKey },
    });
    const value = new Uint8Array(3500);
    let rests = 0;
    for (let batch = 0; batch < 30; batch++) {
      const resting = store.rest();
      if (resting !== undefined) rests += 1;
      await resting;
      const tx = store.begin();
      for (let row = 0; row < 512; row++) tx.put(toUtf8(`${row}`), value.fill(batch));
      await commit(tx, store);
    }
    const name = readdirSync(join(folder, "data")).find((file) => file.endsWith("-wal"))!;
    const frames = statSync(join(folder, "data", name)).size / 4120;
    expect(rests).toBeGreaterThanOrEqual(2);
    expect(frames).toBeGreaterThan(4096);
    expect(frames).toBeLessThan(4096 + 2 * 700); // what one batch adds past the limit, and one more
    expect(store.view((map) => map.get(toUtf8("511")))).toEqual(value);
    expect(store.startSumCheck().step(1_000_000)).toEqual({ kind: "right" });
  } finally {
    members.close();
    rmSync(folder, { recursive: true });
  }
});
