// Goal: rename(2) with and without its flags ends as POSIX says for every pair of kinds, within and across directories.
// Method: the whole table, and every invariant of the map after each case.
import { toUtf8 } from "@kiseki/base";
import { expect, test } from "bun:test";
import { put, testDirKeys } from "../bed.test-helper.ts";
import { checkMap } from "../check-map.test-helper.ts";
import { Tree } from "./bed.test-helper.ts";

type Kind = "file" | "empty" | "full" | "symlink" | "missing";
const kinds: readonly Kind[] = ["file", "empty", "full", "symlink", "missing"];
const isDirectory = (kind: Kind): boolean => kind === "empty" || kind === "full";

function makeAt(tree: Tree, path: string, kind: Kind): void {
  if (kind === "file") tree.make(path);
  if (kind === "symlink") tree.make(path, { type: "symlink", target: toUtf8("t") });
  if (isDirectory(kind)) tree.mkdir(path);
  if (kind === "full") tree.make(`${path}/x`);
}
const typeOf = (tree: Tree, path: string): Kind => {
  const found = tree.stat(path);
  if (typeof found === "string") return "missing";
  if (found.type === "directory") return found.size === 0 ? "empty" : "full";
  return found.type === "symlink" ? "symlink" : "file";
};

/** What rename(2) answers: undefined for success. */
function expected(from: Kind, to: Kind, flag: undefined | "noreplace" | "exchange") {
  if (from === "missing") return "no_such_file";
  if (flag === "exchange") return to === "missing" ? "no_such_file" : undefined;
  if (flag === "noreplace" && to !== "missing") return "file_exists";
  if (to === "missing") return undefined;
  if (isDirectory(from) && !isDirectory(to)) return "not_a_directory";
  if (!isDirectory(from) && isDirectory(to)) return "is_a_directory";
  return to === "full" ? "directory_not_empty" : undefined;
}

for (const flag of [undefined, "noreplace", "exchange"] as const) {
  for (const [a, b] of [
    ["a", "b"],
    ["d/a", "e/b"],
    ["d/a", "b"],
  ] as const) {
    test(`rename ${flag ?? "plain"} of ${a} to ${b}, every kind over every kind`, () => {
      for (const from of kinds) {
        for (const to of kinds) {
          const tree = new Tree();
          tree.mkdir("d");
          tree.mkdir("e");
          makeAt(tree, a, from);
          makeAt(tree, b, to);
          const before = tree.stat(a);
          const code = expected(from, to, flag);
          const answer = tree.rename(a, b, flag === undefined ? {} : { flag });
          const title = `${from} over ${to}`;
          expect([title, typeof answer === "string" ? answer : undefined]).toEqual([title, code]);
          const isMoved = code === undefined;
          const left = isMoved ? (flag === "exchange" ? to : "missing") : from;
          expect([title, typeOf(tree, a)]).toEqual([title, left]);
          expect([title, typeOf(tree, b)]).toEqual([title, isMoved ? from : to]);
          if (isMoved && typeof before !== "string" && typeof answer !== "string") {
            expect(answer.ref.inode).toBe(before.ref.inode);
            expect(tree.get(b).ref.inode).toBe(before.ref.inode);
          }
          checkMap(tree.bed.map, testDirKeys);
        }
      }
    });
  }
}

test("rename refuses to put a directory into itself, however deep, and to change places with what it lies in", () => {
  const tree = new Tree();
  tree.mkdir("a");
  tree.mkdir("a/b");
  tree.mkdir("a/b/c");
  expect(tree.rename("a", "a/x")).toBe("directory_loop");
  expect(tree.rename("a", "a/b/c/x")).toBe("directory_loop");
  expect(tree.rename("a", "a/b/c", { flag: "exchange" })).toBe("directory_loop");
  expect(tree.rename("a/b/c", "a", { flag: "exchange" })).toBe("directory_loop");
  expect(tree.rename("a/b/c", "a")).toBe("directory_not_empty");
  expect(tree.rename("a/b", "a/b")).toMatchObject({ type: "directory" });
});

test("rename onto another name of the same file does nothing", () => {
  const tree = new Tree();
  tree.make("a");
  tree.link("a", "b");
  expect(tree.rename("a", "b")).toMatchObject({ links: 2 });
  expect(tree.list("")).toEqual(["a", "b"]);
});

test("rename of a directory takes what lies in it along in one change, and raises its generation", () => {
  const tree = new Tree();
  tree.mkdir("a");
  tree.mkdir("t");
  for (let i = 0; i < 50; i++) put(tree.bed, `a/b/${i}`);
  const { generation } = tree.get("a");
  const deltas = tree.bed.log.length;
  expect(tree.rename("a", "t/c")).toMatchObject({ generation: generation + 1 });
  expect(tree.bed.log.length).toBe(deltas + 1);
  expect(tree.bed.log.at(-1)!.byteLength).toBeLessThan(1024);
  expect(tree.get("t/c/b/49").type).toBe("file");
  expect(tree.get("t").links).toBe(3);
  expect(tree.get("").links).toBe(3);
  checkMap(tree.bed.map, testDirKeys);
});

test("a reference follows its file through renames, home again too", () => {
  const tree = new Tree();
  tree.mkdir("d");
  const made = tree.make("f");
  if (typeof made === "string") throw new TypeError(made);
  for (const [from, to] of [
    ["f", "d/g"],
    ["d/g", "d/h"],
    ["d/h", "i"],
    ["i", "j"],
  ] as const) {
    tree.rename(from, to);
    const chmod = { kind: "set_attributes", namespace: made.ref.namespace } as const;
    const { hint: _hint, ...file } = made.ref;
    expect(tree.act({ ...chmod, file, mode: 0o600 })).toMatchObject({ mode: 0o600 });
    expect(tree.get(to).ref).toMatchObject(file);
    checkMap(tree.bed.map, testDirKeys);
  }
});
