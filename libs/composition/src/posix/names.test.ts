// Goal: names, directories, links and attributes act as POSIX says, and S3 sees the same tree.
// Method: each rule by the operations of both, and every invariant of the map recomputed after each test.
import { fromUtf8, toUtf8 } from "@kiseki/base";
import { afterEach, expect, test } from "bun:test";
import { namespaceA, put, testDirKeys } from "../bed.test-helper.ts";
import { checkMap } from "../check-map.test-helper.ts";
import { listObjects } from "../list-objects.ts";
import { lookupObject } from "../lookup.ts";

import { Tree } from "./bed.test-helper.ts";

let tree = new Tree();
const fresh = (...given: ConstructorParameters<typeof Tree>): Tree => (tree = new Tree(...given));
afterEach(() => checkMap(tree.bed.map, testDirKeys));

function keys(delimiter = ""): readonly string[] {
  const page = listObjects(tree.bed.map, testDirKeys, {
    namespace: namespaceA,
    prefix: new Uint8Array(0),
    delimiter: toUtf8(delimiter),
    countMax: 100,
  });
  if (page.kind === "refused") throw new TypeError(page.code);
  return page.items.map((item) => fromUtf8(item.kind === "object" ? item.key : item.prefix)!);
}

test("make_node makes files and directories that S3 lists, and S3's are found by name", () => {
  fresh();
  expect(tree.mkdir("d")).toMatchObject({ type: "directory", links: 2 });
  expect(tree.make("d/f")).toMatchObject({ type: "file", size: 0, links: 1, uid: 1, gid: 2 });
  put(tree.bed, "d/e/x");
  put(tree.bed, "s");
  expect(keys()).toEqual(["d/e/x", "d/f", "s"]);
  expect(tree.list("")).toEqual(["d", "s"]);
  expect(tree.list("d")).toEqual(["e", "f"]);
  expect(tree.get("d").links).toBe(3);
  expect(tree.get("d/e/x")).toMatchObject({ type: "file", mode: 0o644 });
  expect(tree.stat("d/none")).toBe("no_such_file");
});

test("a symlink, a fifo and a device are no objects", () => {
  fresh();
  const target = toUtf8("../x");
  expect(tree.make("l", { type: "symlink", target, mode: 0o777 })).toMatchObject({ size: 4 });
  tree.make("p", { type: "fifo" });
  expect(tree.make("b", { type: "block", rdev: 0x801 })).toMatchObject({ rdev: 0x801 });
  expect(keys()).toEqual([]);
  const found = lookupObject(tree.bed.map, testDirKeys, {
    namespace: namespaceA,
    key: toUtf8("l"),
  });
  expect(found).toMatchObject({ code: "no_such_key" });
  expect(tree.list("")).toEqual(["b", "l", "p"]);
  put(tree.bed, "l");
  expect(tree.get("l").type).toBe("file");
});
