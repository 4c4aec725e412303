import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fragmentIndexContract } from "./fragment-index.contract.ts";
import { MemoryIndex, openSqliteIndex } from "./index.ts";

const directory = mkdtempSync(join(tmpdir(), "kiseki-index-"));
afterAll(() => rmSync(directory, { recursive: true }));
let number = 0;

fragmentIndexContract("MemoryIndex", () => new MemoryIndex());
fragmentIndexContract("SqliteIndex", () => openSqliteIndex(join(directory, `${number++}.sqlite`)));

test("openSqliteIndex() replaces a file that is no database", () => {
  const path = join(directory, "damaged.sqlite");
  writeFileSync(path, "not a database at all".repeat(500));
  using index = openSqliteIndex(path);
  expect(index.count()).toBe(0);
  index.put(new Uint8Array(48), new Uint8Array([1]));
  expect(index.count()).toBe(1);
});

test("get() refuses a row that is not what was put, and the next opening begins anew", () => {
  const path = join(directory, "rotten.sqlite");
  const key = new Uint8Array(48).fill(5);
  {
    using index = openSqliteIndex(path);
    index.put(key, new Uint8Array(300).fill(0x77));
    index.checkpoint();
  }
  const bytes = readFileSync(path);
  bytes[bytes.indexOf(Buffer.alloc(300, 0x77)) + 100]! ^= 4;
  writeFileSync(path, bytes);
  {
    using index = openSqliteIndex(path);
    expect(() => index.get(key)).toThrow("start again");
    expect(() => index.scan(undefined, 10, () => undefined)).toThrow("start again");
  }
  using index = openSqliteIndex(path);
  expect(index.count()).toBe(0);
});

test("openSqliteIndex() shows after a close what was flushed", () => {
  const path = join(directory, "again.sqlite");
  {
    using index = openSqliteIndex(path);
    index.put(new Uint8Array(48).fill(3), new Uint8Array([1, 2]));
    index.putMeta("mark", new Uint8Array([9]));
    index.flush();
  }
  using index = openSqliteIndex(path);
  expect(index.get(new Uint8Array(48).fill(3))).toEqual(new Uint8Array([1, 2]));
  expect(index.meta("mark")).toEqual(new Uint8Array([9]));
});
