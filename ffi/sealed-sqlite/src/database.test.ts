import { expect, test } from "bun:test";
import { newBytes } from "@kiseki/base";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  canary,
  createTable,
  databaseOptions,
  fileOf,
  insertRows,
  openBench,
  openSet,
  readKeys,
  value,
} from "./fixture.test-helper.ts";
import { fileName, openDatabase, parseFileName } from "./database.ts";
import { closeSlot, openSlot } from "./slots.ts";
import { fileId, keys } from "./fixture.test-helper.ts";
import { SealedSqliteError } from "./types.ts";

const codeOf = (act: () => unknown): string => {
  try {
    act();
  } catch (reason) {
    return reason instanceof SealedSqliteError ? reason.code : String(reason);
  }
  return "nothing thrown";
};

test("openDatabase() keeps rows over closing, with nothing readable on disk", () => {
  using bench = openBench(1);
  const set = openSet(bench);
  const database = createTable(set);
  insertRows(database, 0, 500);
  const directory = bench.directories[0]!;
  const look = (needle: string) =>
    readdirSync(directory).filter((name) => readFileSync(join(directory, name)).includes(needle));
  expect(readFileSync(fileOf(bench, 0, ".db-wal")).byteLength).toBeGreaterThan(100_000);
  expect([look(canary), look("CREATE TABLE"), look("SQLite format")]).toEqual([[], [], []]);
  expect(readdirSync(directory).some((name) => name.endsWith("-shm"))).toBe(false);
  database.close(true);
  expect([look(canary), look("CREATE TABLE"), look("SQLite format")]).toEqual([[], [], []]);
  const again = openDatabase(set, databaseOptions());
  expect(readKeys(again).length).toBe(500);
  expect(again.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
  expect(again.query("PRAGMA page_size").get()).toEqual({ page_size: 4096 });
  expect(again.query("PRAGMA synchronous").get()).toEqual({ synchronous: 2 });
  expect(again.query("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
  again.close(true);
  set.close();
});

test("a database larger than its cache survives spills, rollbacks, updates and checkpoints", () => {
  using bench = openBench(2);
  const set = openSet(bench);
  const database = createTable(set, { cacheKib: 64 });
  insertRows(database, 0, 4000);
  const update = database.prepare("UPDATE t SET v = ? WHERE k = ?");
  database.run("BEGIN IMMEDIATE");
  for (let n = 0; n < 4000; n += 3) update.run("rolled back", n);
  database.run("ROLLBACK");
  database.run("BEGIN IMMEDIATE"); // many pages twice: frames are rewritten in their place
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 4000; i += 5) {
      const n = (i * 7919) % 4000; // far apart: pages leave the cache and come back out of the WAL
      update.run(round ? value(n) : "first", n);
    }
  }
  database.run("COMMIT");
  database.run("BEGIN IMMEDIATE");
  for (let i = 0; i < 120; i++) update.run(value((i % 30) * 90), (i % 30) * 90); // spilled, and read at once
  database.run("COMMIT");
  update.finalize();
  database.run("PRAGMA wal_checkpoint(TRUNCATE)");
  database.run("DELETE FROM t WHERE k % 2 = 1");
  expect(readKeys(database).length).toBe(2000);
  expect(database.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
  database.close(true);
  expect(readFileSync(fileOf(bench, 0, ".db")).equals(readFileSync(fileOf(bench, 1, ".db")))).toBe(
    true,
  );
  set.close();
});

test("VACUUM goes through the VFS, a copy to a path that is not ours does not", () => {
  using bench = openBench(1);
  const set = openSet(bench);
  const database = createTable(set);
  insertRows(database, 0, 2000);
  database.run("DELETE FROM t WHERE k >= 100");
  database.run("VACUUM"); // SQLite's backup code underneath
  database.run("PRAGMA wal_checkpoint(TRUNCATE)");
  expect(readFileSync(fileOf(bench, 0, ".db")).byteLength).toBeLessThan(100_000);
  expect(readKeys(database).length).toBe(100);
  expect(() => database.run("VACUUM INTO 'file:/tmp/plain.db?vfs=kiseki'")).toThrow();
  database.close(true);
  for (const name of readdirSync(bench.directories[0]!)) {
    expect(readFileSync(join(bench.directories[0]!, name)).includes(canary)).toBe(false);
  }
  set.close();
});

test("closeSlot() fails every later call on its files, cached pages included", () => {
  using bench = openBench(1);
  const set = openSet(bench);
  const options = databaseOptions();
  const database = createTable(set, { slot: options.slot });
  insertRows(database, 0, 10);
  expect(readKeys(database).length).toBe(10);
  expect(closeSlot(options.slot)).toBe(true);
  expect(closeSlot(options.slot)).toBe(false);
  expect(() => readKeys(database)).toThrow();
  expect(() => database.run("INSERT INTO t VALUES (99, 'x')")).toThrow();
  expect(() => database.run("PRAGMA wal_checkpoint")).toThrow();
  database.close();
  expect(codeOf(() => openDatabase(set, options))).toBe("slot_closed");
  const again = openDatabase(set, databaseOptions()); // nothing acknowledged went with the slot
  expect(readKeys(again).length).toBe(10);
  again.close(true);
  set.close();
});

test("openDatabase() names what is missing, there already, or under other keys", () => {
  using bench = openBench(2);
  const set = openSet(bench);
  expect(codeOf(() => openDatabase(set, databaseOptions()))).toBe("missing");
  createTable(set).close(true);
  expect(codeOf(() => openDatabase(set, databaseOptions({ create: true })))).toBe("exists");
  const slot = openSlot({ ...keys, pageKey: newBytes(32).fill(0x99) });
  expect(codeOf(() => openDatabase(set, databaseOptions({ slot })))).toBe("damaged");
  expect(set.listFiles()).toEqual([fileName("shard", fileId, 1)]);
  set.close();
});

test("parseFileName() reads what fileName() made and nothing else", () => {
  const name = fileName("shard-7", fileId, 12);
  expect(name).toBe(`shard-7-${"f1".repeat(16)}-k12.db`);
  expect(parseFileName(name)).toEqual({ name: "shard-7", fileId: "f1".repeat(16), keyset: 12 });
  for (const bad of ["members", `${name}-wal`, "x.db", `../${name}`])
    expect(parseFileName(bad)).toBeUndefined();
});

test("readers in a Worker see each COMMIT whole, and never a page half written", async () => {
  using bench = openBench(2);
  const set = openSet(bench);
  const options = databaseOptions();
  const database = createTable(set, { slot: options.slot });
  insertRows(database, 0, 10);
  const worker = new Worker(join(import.meta.dir, "reader.test-helper.ts"));
  const answers: string[] = [];
  const ended = new Promise<void>((resolve) => {
    worker.onmessage = ({ data }) => {
      answers.push(data);
      if (data.startsWith("done")) resolve();
    };
  });
  const started = new Promise<void>((resolve) => {
    worker.addEventListener("message", () => resolve(), { once: true });
  });
  worker.postMessage({ number: set.number, slot: options.slot });
  await started;
  for (let n = 10; n < 3000; n += 10) insertRows(database, n, n + 10);
  insertRows(database, 1_000_000, 1_000_010); // the reader's word to stop
  await ended;
  worker.terminate();
  expect(answers.filter((answer) => answer.startsWith("fault"))).toEqual([]);
  expect(answers.at(-1)).toMatch(/^done [1-9]/);
  database.close(true);
  set.close();
});
