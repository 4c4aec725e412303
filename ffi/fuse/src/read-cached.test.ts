import { expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newBytes } from "@kiseki/base";
import { openReadCached } from "./read-cached.ts";

const readCached = openReadCached(`${import.meta.dir}/../../../build/native`);

test("readCached() fills a target with what the system has, and says no where it has less", () => {
  const folder = mkdtempSync(join(tmpdir(), "kiseki-read-"));
  const path = join(folder, "file");
  const content = newBytes(200_000).map((_, at) => (at * 7 + (at >> 8)) & 255);
  writeFileSync(path, content);
  const fd = openSync(path, "r");
  const memory = newBytes(70_000);
  const target = memory.subarray(5, 65_005);
  // A file system that cannot tell says no each time: nothing is wrong then either.
  if (readCached(fd, target, 100_001))
    expect(Buffer.compare(target, content.subarray(100_001, 165_001))).toBe(0);
  expect([...memory.subarray(0, 5), ...memory.subarray(65_005)].every((each) => each === 0)).toBe(
    true,
  );
  expect(readCached(fd, target, 150_000)).toBe(false);
  expect(readCached(fd, newBytes(0), 150_000)).toBe(true);
  closeSync(fd);
  expect(readCached(fd, target, 0)).toBe(false);
  rmSync(folder, { recursive: true });
});
