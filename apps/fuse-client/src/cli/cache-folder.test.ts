import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ownCacheFolder, withCacheFolder } from "./cache-folder.ts";

let base: string;
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "kiseki-folder-"));
});
afterAll(() => rmSync(base, { recursive: true }));
const isRoot = process.getuid?.() === 0;
const [one, other] = [54_321, 54_322];

test.skipIf(!isRoot)("ownCacheFolder() gives each user of a machine a folder of its own", () => {
  const folder = join(base, "cache");
  expect(ownCacheFolder(folder, one)).toBe(folder);
  mkdirSync(folder, { mode: 0o700 });
  chownSync(folder, one, one);
  expect(ownCacheFolder(folder, one)).toBe(folder);
  expect(ownCacheFolder(folder, other)).toBe(`${folder}-${other}`);
  expect(ownCacheFolder(folder, 0)).toBe(`${folder}-0`);
  // Root's is for all only where it is open to all, and sticky.
  chownSync(folder, 0, 0);
  expect(ownCacheFolder(folder, one)).toBe(`${folder}-${one}`);
  chmodSync(folder, 0o1777);
  expect(ownCacheFolder(folder, one)).toBe(folder);
  // What was begun is gone on with; a stranger's folder of that name is nothing.
  symlinkSync(base, `${folder}-${one}`);
  expect(ownCacheFolder(folder, one)).toBe(folder);
  mkdirSync(`${folder}-${other}`);
  chownSync(`${folder}-${other}`, other, other);
  expect(ownCacheFolder(folder, other)).toBe(`${folder}-${other}`);
});

test("withCacheFolder() leaves a folder that somebody named", () => {
  const named = { KISEKI_CACHE_DIR: "/nvme", KISEKI_TENANT: "lab" };
  expect(withCacheFolder(named)).toEqual(named);
  expect(withCacheFolder({ KISEKI_TENANT: "lab" })).toEqual({
    KISEKI_CACHE_DIR: expect.stringMatching(/^\/tmp\/kiseki-cache(-\d+)?$/),
    KISEKI_TENANT: "lab",
  });
});
