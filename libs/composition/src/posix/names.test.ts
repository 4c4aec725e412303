// Goal: names, directories, links and attributes act as POSIX says, and S3 sees the same tree.
// Method: each rule by the operations of both, and every invariant of the map recomputed after each test.
import { fromUtf8, toUtf8 } from "@kiseki/base";
import { afterEach, expect, test } from "bun:test";
import {
  namespaceA,
  namespaceB,
  put,
  testAddress,
  testDirKeys,
  testSeal,
} from "../bed.test-helper.ts";
import { checkMap } from "../check-map.test-helper.ts";
import { listObjects } from "../list-objects.ts";
import { lookupObject } from "../lookup.ts";
import { lookupUsage } from "../step.ts";

import { Tree } from "./bed.test-helper.ts";
import { getFile } from "./lookup.ts";

let tree = new Tree();
const fresh = (...given: ConstructorParameters<typeof Tree>): Tree => (tree = new Tree(...given));
afterEach(() => checkMap(tree.bed.map, testDirKeys));

const smallRef = (n: number, size: number) => ({ ...testAddress(n), ...testSeal(n, size) });

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

const client = new Uint8Array(16).fill(7);
const isLike = { type: "file", isExclusive: false } as const;

test("make_node without exclusive takes a file that is there, and refuses everything else", () => {
  fresh();
  const made = tree.make("f", { mode: 0o600 });
  expect(tree.make("f", isLike)).toEqual(made);
  expect(tree.make("f")).toBe("file_exists");
  tree.mkdir("d");
  expect(tree.make("d", isLike)).toBe("is_a_directory");
  expect(tree.mkdir("f")).toBe("file_exists");
  tree.make("l", { type: "symlink", target: toUtf8("f") });
  expect(tree.make("l", isLike)).toBe("file_exists");
  expect(tree.make("f/x")).toBe("stale_file");
});
test("names are one component of at most 255 bytes", () => {
  fresh();
  const long = "n".repeat(255);
  expect(tree.make(long)).toMatchObject({ type: "file" });
  expect(tree.make(`${long}n`)).toBe("name_too_long");
  for (const name of [".", "..", "", "a\0b"]) expect(tree.make(name)).toBe("invalid_name");
  expect(tree.make(`.s3~${"0".repeat(32)}`)).toBe("name_reserved");
  expect(tree.make(`.s3~${"0".repeat(31)}`)).toMatchObject({ type: "file" });
  expect(tree.unlink("..")).toBe("invalid_name");
});
test("a directory with the setgid bit gives its group, and directories the bit", () => {
  fresh();
  tree.mkdir("d", 0o2775);
  const { ref } = tree.get("d");
  tree.act({ kind: "set_attributes", namespace: namespaceA, file: ref, gid: 50 });
  expect(tree.make("d/f", { gid: 2 })).toMatchObject({ gid: 50, mode: 0o644 });
  expect(tree.mkdir("d/e")).toMatchObject({ gid: 50, mode: 0o2755 });
});
test("set_attributes changes what it names, and chown takes setuid and setgid away", () => {
  fresh();
  tree.make("f", { mode: 0o6755 });
  const file = tree.get("f").ref;
  const change = { kind: "set_attributes", namespace: namespaceA, file } as const;
  expect(tree.act({ ...change, atime: -1n, mtime: "now", time: 9_000_000_001n })).toMatchObject({
    atime: -1n,
    mtime: 9_000_000_001n,
    ctime: 9_000_000_001n,
    mode: 0o6755,
  });
  expect(tree.act({ ...change, uid: 9, isDroppingSetId: true })).toMatchObject({ mode: 0o755 });
  expect(tree.act({ ...change, mode: 0o6644, isDroppingSetId: true })).toMatchObject({
    mode: 0o2644,
  });
  const directory = { ...change, file: tree.get("").ref };
  expect(tree.act({ ...directory, mode: 0o1777 })).toMatchObject({ mode: 0o1777 });
});
test("unlink and rmdir take what they are for", () => {
  fresh();
  tree.mkdir("d");
  tree.make("d/f");
  expect(tree.unlink("d")).toBe("is_a_directory");
  expect(tree.rmdir("d/f")).toBe("not_a_directory");
  expect(tree.rmdir("d")).toBe("directory_not_empty");
  expect(tree.unlink("d/f")).toMatchObject({ links: 0 });
  expect(tree.unlink("d/f")).toBe("no_such_file");
  expect(tree.stat("d")).toMatchObject({ size: 0 });
  expect(keys()).toEqual(["d/"]);
  expect(tree.rmdir("d")).toMatchObject({ links: 0 });
  expect(tree.rmdir("d")).toBe("no_such_file");
  expect(tree.bed.map.rows()).toHaveLength(5); // namespace, its name, root, counters, usage
});
test("rmdir of a directory that S3 marked by an empty object takes that along", () => {
  fresh();
  put(tree.bed, "d/");
  expect(tree.list("")).toEqual(["d"]);
  expect(tree.list("d")).toEqual([]);
  expect(tree.rmdir("d")).toMatchObject({ links: 0 });
  expect(tree.list("")).toEqual([]);
  tree.mkdir("e");
  put(tree.bed, "e/");
  expect(tree.rmdir("e")).toMatchObject({ links: 0 });
  put(tree.bed, "f/", { kind: "small", ref: smallRef(5, 42) }, 42);
  expect(tree.rmdir("f")).toBe("directory_not_empty");
  const [hidden] = tree.list("f");
  expect(tree.unlink(`f/${hidden}`)).toMatchObject({ links: 0 });
});
test("hard links are one file under several names, counted once", () => {
  fresh();
  tree.mkdir("d");
  put(tree.bed, "f", { kind: "small", ref: smallRef(5, 42) }, 42);
  expect(tree.link("f", "d/g")).toMatchObject({ links: 2, size: 42 });
  expect(tree.link("d/g", "h")).toMatchObject({ links: 3 });
  expect(tree.link("f", "h")).toBe("file_exists");
  expect(tree.get("f").ref.inode).toBe(tree.get("d/g").ref.inode);
  expect(lookupUsage(tree.bed.map, namespaceA)).toMatchObject({ objects: 1, bytes: 42 });
  const file = tree.get("h").ref;
  tree.act({ kind: "set_attributes", namespace: namespaceA, file, mode: 0o600 });
  expect(tree.get("d/g")).toMatchObject({ mode: 0o600, links: 3 });
  expect(keys()).toEqual(["d/g", "f", "h"]);
  tree.unlink("f");
  put(tree.bed, "h"); // S3 makes a new file under the name
  expect(tree.get("d/g")).toMatchObject({ links: 1, size: 42 });
  expect(tree.get("h").size).toBe(0);
  expect(
    tree.bed.decide({ kind: "delete_object", namespace: namespaceA, key: toUtf8("d/g") }),
  ).toMatchObject({ kind: "deleted" });
  expect(lookupUsage(tree.bed.map, namespaceA)).toMatchObject({ objects: 1, bytes: 0 });
});
test("link refuses directories, and namespaces whose versions are no more made", () => {
  fresh();
  tree.mkdir("d");
  expect(tree.link("d", "e")).toBe("is_a_directory");
  fresh("suspended");
  tree.make("f");
  expect(tree.link("f", "g")).toBe("links_not_kept");
});
test("a file that a session holds open outlives its name until it is closed", () => {
  fresh();
  for (const end of ["close_file", "close_session"] as const) {
    put(tree.bed, "f", { kind: "small", ref: smallRef(end.length, 42) }, 42);
    const file = tree.get("f").ref;
    expect(tree.act({ kind: "open_file", namespace: namespaceA, file, client })).toMatchObject({
      links: 1,
    });
    if (end === "close_file") tree.unlink("f");
    else tree.bed.decide({ kind: "delete_object", namespace: namespaceA, key: toUtf8("f") });
    expect(getFile(tree.bed.map, testDirKeys, file)).toMatchObject({
      attributes: { links: 0, size: 42 },
    });
    checkMap(tree.bed.map, testDirKeys);
    tree.bed.decide({ kind: end, namespace: namespaceA, file, client });
    expect(getFile(tree.bed.map, testDirKeys, file)).toMatchObject({ code: "stale_file" });
  }
});
test("unlink and rename keep what the session has open, in the same change", () => {
  fresh();
  const made = tree.make("f", { client });
  tree.make("g");
  const second = tree.get("g").ref;
  tree.unlink("f", client);
  tree.make("h");
  tree.rename("h", "g", { client });
  const file = typeof made === "string" ? second : made.ref;
  expect(getFile(tree.bed.map, testDirKeys, file)).toMatchObject({ attributes: { links: 0 } });
  expect(getFile(tree.bed.map, testDirKeys, second)).toMatchObject({ attributes: { links: 0 } });
  expect(tree.bed.decide({ kind: "close_session", client })).toEqual({
    kind: "reclaimed",
    hasMore: false,
  });
  expect(getFile(tree.bed.map, testDirKeys, second)).toMatchObject({ code: "stale_file" });
});
test("tails and objects behind a directory are shown under hidden names, to be read and deleted", () => {
  fresh();
  put(tree.bed, "a//b");
  put(tree.bed, "d");
  put(tree.bed, "d/x");
  const names = tree.list("");
  expect(names).toHaveLength(3);
  const hidden = names.find((name) => name.startsWith(".s3~"))!;
  expect(tree.get(hidden)).toMatchObject({ type: "file", isHidden: true });
  expect(tree.get("d").type).toBe("directory");
  tree.make("m");
  expect(tree.rename("m", hidden)).toBe("name_reserved");
  expect(tree.rename("m", hidden, { flag: "exchange" })).toBe("name_reserved");
  tree.unlink("m");
  expect(tree.unlink(hidden)).toMatchObject({ links: 0 });
  expect(keys()).toEqual(["a//b", "d/x"]);
  const [tail] = tree.list("a");
  expect(tree.rename(`a/${tail}`, "b")).toMatchObject({ type: "file" });
  expect(keys()).toEqual(["a/", "b", "d/x"]);
});
test("a reference of another namespace of the tenant finds nothing", () => {
  fresh();
  tree.make("f");
  tree.mkdir("d");
  tree.bed.decide({ kind: "create_namespace", id: namespaceB, name: "b" });
  for (const path of ["f", "d", ""]) {
    const file = { ...tree.get(path).ref, namespace: namespaceB };
    expect(getFile(tree.bed.map, testDirKeys, file)).toMatchObject({ code: "stale_file" });
    const change = { kind: "set_attributes", namespace: namespaceB, file, mode: 0 } as const;
    expect(tree.act(change)).toBe("stale_file");
  }
  tree.link("f", "g");
  const file = { ...tree.get("f").ref, namespace: namespaceB };
  expect(getFile(tree.bed.map, testDirKeys, file)).toMatchObject({ code: "stale_file" });
});
test("numbers that rows cannot hold are refused, not asserted", () => {
  fresh();
  tree.make("f");
  const base = { namespace: namespaceA, file: tree.get("f").ref } as const;
  const change = { ...base, kind: "set_attributes" } as const;
  for (const bad of [
    { uid: -1 },
    { gid: 2 ** 32 },
    { mode: 0.5 },
    { atime: 1n << 63n },
    { mtime: -(1n << 64n) },
    { time: 1n << 80n },
  ]) {
    expect(tree.act({ ...change, ...bad })).toBe("invalid_argument");
  }
  for (const good of [{ atime: (1n << 63n) - 1n }, { mtime: -(1n << 63n) }, { uid: 2 ** 32 - 1 }]) {
    expect(tree.act({ ...change, ...good })).toMatchObject(good);
  }
  expect(tree.make("g", { type: "char", rdev: 2 ** 32 })).toBe("invalid_argument");
  const lock = { space: "posix", kind: "shared", owner: 1n, start: 0n, end: 1n, pid: -1 } as const;
  expect(tree.act({ ...base, kind: "lock", client, lock })).toBe("invalid_argument");
  const nobody = new Uint8Array(0);
  expect(tree.act({ ...base, kind: "open_file", client: nobody })).toBe("invalid_argument");
  const file = { ...base.file, home: 1n << 64n };
  expect(tree.act({ ...change, file, mode: 0 })).toBe("stale_file");
  expect(tree.bed.decide({ kind: "open_session", client, expires: 2 ** 53 })).toBe(
    "invalid_argument",
  );
});
