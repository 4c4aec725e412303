import { expect, test } from "bun:test";
import { readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { newBytes } from "@kiseki/base";
import { createFilledDatabase, openDatabase, parseFileName } from "./database.ts";
import {
  canary,
  createTable,
  databaseOptions,
  fileOf,
  insertRows,
  openBench,
  openSet,
  readKeys,
} from "./fixture.test-helper.ts";

test("createFilledDatabase() makes a whole file or none; what it leaves unfinished and whole files can be deleted", async () => {
  using bench = openBench(2);
  const set = openSet(bench);
  createTable(set).close(true);
  const next = databaseOptions({ keyset: 2, fileId: newBytes(16).fill(0xf2) });
  const failing = createFilledDatabase(set, next, async (database) => {
    database.run("CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT NOT NULL)");
    insertRows(database, 0, 5000);
    throw new Error("interrupted");
  });
  expect(failing).rejects.toThrow("interrupted");
  await failing.catch(() => undefined);
  expect(set.listFiles().length).toBe(1);
  for (const directory of bench.directories) {
    expect(readdirSync(directory).filter((file) => file.endsWith(".new")).length).toBe(1);
  }
  set.deleteUnfinished("other");
  set.deleteUnfinished("shard");
  for (const directory of bench.directories) {
    expect(readdirSync(directory).filter((file) => file.includes(".new"))).toEqual([]);
  }
  await createFilledDatabase(set, next, async (database) => {
    database.run("CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT NOT NULL)");
    insertRows(database, 0, 5000);
  });
  const [old, made] = set.listFiles().toSorted();
  expect(parseFileName(made!)?.keyset).toBe(2);
  set.deleteFile(old!);
  const database = openDatabase(set, next);
  expect(readKeys(database).length).toBe(5000);
  database.close(true);
  for (const directory of bench.directories) {
    const files = readdirSync(directory).filter((file) => file.startsWith("shard-"));
    expect(files).toEqual([made!]);
    expect(readFileSync(join(directory, made!)).includes(canary)).toBe(false);
  }
  set.close();
});

test("MemberSet.listFiles() names a file that a crash left on one member, and opening it heals the other", async () => {
  using bench = openBench(2);
  const first = openSet(bench);
  const database = createTable(first);
  insertRows(database, 0, 100);
  database.close(true);
  first.close();
  const file = fileOf(bench, 0, ".db");
  renameSync(file, `${file}.new`);
  const set = openSet(bench);
  expect(set.listFiles().length).toBe(1);
  const again = openDatabase(set, databaseOptions());
  expect(readKeys(again).length).toBe(100);
  again.close(true);
  set.deleteUnfinished("shard");
  set.close();
  expect(readFileSync(file)).toEqual(readFileSync(fileOf(bench, 1, ".db")));
});
