import { writeSync } from "node:fs";
import { epoch, toUtf8 } from "@kiseki/base";
import { openCommitter } from "@kiseki/sealed-sqlite";
import { plainDatabase, testCrypto, testSumKey } from "./place.test-helper.ts";
import { openSealedMembers } from "./sealed-place.test-helper.ts";
import { openSqliteShardStore } from "./sqlite-shard-store.ts";

// The victim of crash.test.ts: commits numbered rows for ever and writes each number once acknowledged.
const [kind, path] = process.argv.slice(2);
if (path === undefined) throw new Error("Cannot run: no kind and path are given");
const store = openSqliteShardStore({
  ...(kind === "sealed"
    ? { openDatabase: openSealedMembers(path).openDatabase, openCommitter }
    : { openDatabase: plainDatabase(path) }),
  crypto: testCrypto,
  sumKey: testSumKey,
});
for (;;) {
  const head = store.head().index;
  const n = Number(head) + 1;
  const tx = store.begin();
  tx.put(toUtf8(`row ${n}`), toUtf8(`value ${n}`));
  tx.put(toUtf8("last"), toUtf8(`${n}`));
  await tx.commit(toUtf8(`entry ${n}`), head, epoch(1n));
  writeSync(1, `${n}\n`);
  await store.rest();
  if (n % 500 === 0) store.truncate(store.head().index);
}
