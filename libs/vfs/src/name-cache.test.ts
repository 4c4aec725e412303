import { inodeId, toUtf8 } from "@kiseki/base";
import { expect, test } from "bun:test";
import {
  CookieJar,
  type FileAttributes,
  NameCache,
  nameKey,
  nameOfKey,
  NodeTable,
  rootNode,
} from "./index.ts";
import { RamBlockCache, withoutSetId } from "./index.ts";

const attributes = (inode: bigint, changed = 1n, contentVersion = 1n): FileAttributes => ({
  ref: { inode: inodeId(inode), home: 9n },
  kind: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  links: 1,
  size: 0,
  allocated: 0,
  device: 0,
  accessed: 1n,
  modified: 1n,
  changed,
  born: 1n,
  contentVersion,
  generation: 0,
});

test("nameKey() tells all bytes apart", () => {
  const keys = Array.from({ length: 256 }, (_, i) => nameKey(Uint8Array.of(65, i)));
  expect(new Set(keys).size).toBe(256);
  expect(nameKey(toUtf8("name"))).toBe("name");
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  expect(nameOfKey(nameKey(all))).toEqual(all);
});

test("NameCache answers until its time, absent names too", () => {
  const names = new NameCache(100);
  names.set(1, "a", 5, 10);
  names.set(1, "b", 0, 20);
  expect([names.get(1, "a", 9), names.get(1, "a", 10), names.get(1, "b", 19)]).toEqual([
    5,
    undefined,
    0,
  ]);
  expect([names.last(1, "a"), names.until(1, "b"), names.until(2, "b")]).toEqual([5, 20, 0]);
  names.forget(1, "a");
  names.forget(1, "a");
  expect([names.count, names.last(1, "a")]).toEqual([1, undefined]);
  names.clear();
  expect([names.count, names.get(1, "b", 0)]).toEqual([0, undefined]);
});

test("NameCache forgets whole directories when it is full", () => {
  const names = new NameCache(10);
  for (let parent = 1; parent <= 5; parent += 1)
    for (let i = 0; i < 4; i += 1) names.set(parent, `${i}`, 7, 100);
  expect(names.count).toBeLessThanOrEqual(10);
  expect([names.get(1, "0", 0), names.get(5, "3", 0)]).toEqual([undefined, 7]);
});

test("NodeTable keeps a node while the kernel or a handle has it", () => {
  const table = new NodeTable({ inode: inodeId(77n), home: 0n });
  expect([table.numberOf(77n), table.numberOf(5n)]).toEqual([rootNode, 5]);
  const node = table.getOrMake(attributes(5n));
  node.lookups = 3;
  node.uses = 1;
  table.forget(5, 3);
  expect(table.get(5)).toBe(node);
  node.uses = 0;
  table.release(node);
  expect([table.get(5), table.count]).toEqual([undefined, 0]);
  table.forget(5, 1);
  table.getOrMake(attributes(77n));
  table.forget(rootNode, 1);
  expect(table.get(rootNode)?.ref.inode).toBe(inodeId(77n));
});

test("FileNode.note() believes the newer of two answers, whichever comes last", () => {
  const table = new NodeTable({ inode: inodeId(77n), home: 0n });
  const node = table.getOrMake(attributes(5n, 3n, 2n));
  node.xattrs = new Map();
  expect(node.note(attributes(5n, 3n, 2n), 10)).toBe("same");
  expect([node.isFresh(9), node.isFresh(10), node.xattrs]).toEqual([true, false, new Map()]);
  expect(node.note(attributes(5n, 2n, 1n), 99)).toBe("older");
  expect([node.attributes.contentVersion, node.until]).toEqual([2n, 10]);
  expect(node.note(attributes(5n, 4n, 3n), 20)).toBe("content_changed");
  expect([node.until, node.xattrs === undefined]).toEqual([20, true]);
});

test("FileNode.note() does not keep what was asked before a doubt", () => {
  const table = new NodeTable({ inode: inodeId(77n), home: 0n });
  const node = table.getOrMake(attributes(5n));
  const asked = node.doubts;
  node.doubt();
  node.note(attributes(5n, 8n), 100, asked);
  expect([node.isFresh(1), node.attributes.changed]).toEqual([false, 8n]);
  node.note(attributes(5n, 8n), 100);
  expect(node.isFresh(1)).toBe(true);
  const before = node.doubts;
  node.settle(attributes(5n, 9n, 4n), 50, 3);
  expect(node.note(attributes(5n, 9n, 3n), 100, before)).toBe("older");
  expect([node.attributes.contentVersion, node.until, node.changedAt]).toEqual([4n, 50, 3]);
});

test("CookieJar gives back what it was given", () => {
  const jar = new CookieJar();
  const cookies = Array.from({ length: 1000 }, (_, i) =>
    toUtf8(`cookie ${i} ${"x".repeat(i % 40)}`),
  );
  for (const [i, cookie] of cookies.entries()) expect(jar.add(cookie)).toBe(i);
  for (const [i, cookie] of cookies.entries()) expect(jar.get(i)).toEqual(cookie);
  jar.clear();
  expect([jar.count, jar.add(toUtf8("a"))]).toEqual([0, 0]);
  expect(jar.get(0)).toEqual(toUtf8("a"));
});

test("RamBlockCache stays in its bytes and zeroizes what leaves", () => {
  const cache = new RamBlockCache(1000);
  const blocks = Array.from({ length: 5 }, (_, i) => new Uint8Array(300).fill(i + 1));
  for (const [i, block] of blocks.entries()) {
    cache.put(`${i}`, block);
    cache.get("0");
  }
  expect(cache.byteCount).toBe(900);
  expect(["0", "1", "2", "3", "4"].map((key) => cache.has(key))).toEqual([
    ...[true, false, false, true, true],
  ]);
  expect(blocks.map((block) => block[0])).toEqual([1, 0, 0, 4, 5]);
  cache.put("huge", new Uint8Array(1001).fill(1));
  expect(cache.has("huge")).toBe(false);
  cache.wipe();
  expect(blocks.flatMap((block) => [...block]).every((byte) => byte === 0)).toBe(true);
  expect(cache.byteCount).toBe(0);
});

test("RamBlockCache gives the memory of large blocks to the next, zeroized", () => {
  const size = 256 * 1024;
  const cache = new RamBlockCache(2 * size);
  const first = cache.memory(size).fill(1);
  cache.put("1", first);
  for (const key of ["2", "3"]) cache.put(key, cache.memory(size).fill(2));
  expect(cache.has("1")).toBe(false);
  expect(cache.memory(size - 1)).not.toBe(first);
  const again = cache.memory(size);
  expect(again).toBe(first);
  expect(again.every((byte) => byte === 0)).toBe(true);
  expect(cache.memory(size)).not.toBe(first);
});

test("withoutSetId() leaves the bit that means mandatory locks", () => {
  const cases = [
    [0o4755, 0o755],
    [0o2755, 0o755],
    [0o2745, 0o2745],
    [0o6711, 0o711],
    [0o1777, 0o1777],
  ] as const;
  for (const [mode, wanted] of cases) expect(withoutSetId(mode)).toBe(wanted);
});
