// Goal: whatever S3 and file protocols do to one tree, names, links, open files and listings are those of a plain tree.
// Method: random operations of both on few names (odd ones among them), each answer compared; the whole tree, S3's list
// and every invariant now and then; the log replayed at the end. `KISEKI_SIM_SEED` replays a run.
import type { Prng } from "@kiseki/base";
import { prngFromSeed } from "@kiseki/base";
import { expect, test } from "bun:test";
import {
  namespaceA,
  noAttributes,
  testAddress,
  testDirKeys,
  testSeal,
} from "../bed.test-helper.ts";
import { checkMap } from "../check-map.test-helper.ts";
import { listObjects } from "../list-objects.ts";
import { replay } from "../model-quotas.test-helper.ts";
import { keyBytes, keyString } from "../plain-model.test-helper.ts";
import { Tree } from "./bed.test-helper.ts";
import { listDirectory } from "./list-directory.ts";
import { getFile } from "./lookup.ts";
import { hiddenName } from "./names.ts";
import type { FileAttributes, FileRef } from "./operation.ts";
import type { PlainDirectory, PlainFile, PlainNode } from "./plain-files.test-helper.ts";
import {
  cutKey,
  isLiveDirectory,
  plainDirectory,
  plainFile,
  plainFind,
  plainKeys,
  plainPrune,
  plainWalk,
} from "./plain-files.test-helper.ts";

const seedGiven = process.env["KISEKI_SIM_SEED"];
const seed = Number(seedGiven ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const operationsCount = 400;
const client = new Uint8Array(16).fill(5);

interface World {
  readonly prng: Prng;
  readonly tree: Tree;
  readonly root: PlainDirectory;
  /** Files that the session holds open. */
  readonly open: Map<PlainFile, FileRef>;
  nextSeal: number;
}
const pick = <T>(prng: Prng, from: readonly T[]): T => from[prng.below(from.length)]!;
const names = ["a", "b", "c", "a-", "a.b", "ab"];
const oddNames = ["", "..", "a/b", "//"];

function randomPath(prng: Prng): string {
  return Array.from({ length: 1 + prng.below(3) }, () => pick(prng, names)).join("/");
}
const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")));
const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

/** A name of the file is gone; what else follows from it. */
function dropName(file: PlainFile): void {
  file.links -= 1;
}
function codeOf(answer: unknown): string | undefined {
  return typeof answer === "string" ? answer : undefined;
}

/** POSIX changes the directory. */
function touch(directory: PlainDirectory): void {
  directory.isExplicit = true;
}

function makeSome({ prng, tree, root }: World): void {
  const path = randomPath(prng);
  const type = pick(prng, ["file", "file", "directory", "symlink", "fifo"] as const);
  const isExclusive = prng.chance(2, 3);
  const mode = pick(prng, [0o644, 0o755, 0o600]);
  const target = type === "symlink" ? { target: keyBytes("t") } : {};
  const answer = tree.make(path, { type, isExclusive, mode, ...target });
  const parent = plainWalk(root, parentOf(path));
  const found = parent && plainFind(parent, nameOf(path));
  const code = codeOf(answer);
  if (parent === undefined) expect(code).toBe("stale_file");
  else if (found !== undefined) {
    const isTaken =
      !isExclusive && type === "file" && found.kind === "file" && found.file.type === "file";
    const isBusy = !isExclusive && type === "file" && found.kind === "directory";
    expect(code).toBe(isTaken ? undefined : isBusy ? "is_a_directory" : "file_exists");
  } else {
    expect(code).toBeUndefined();
    touch(parent);
    if (type === "directory") parent.directories.set(nameOf(path), plainDirectory(true, mode));
    else parent.files.set(nameOf(path), plainFile(type, mode, type === "symlink" ? 1 : 0));
  }
}

function unlinkSome({ prng, tree, root }: World): void {
  const path = randomPath(prng);
  const code = codeOf(tree.unlink(path));
  const parent = plainWalk(root, parentOf(path));
  const found = parent && plainFind(parent, nameOf(path));
  if (parent === undefined) expect(code).toBe("stale_file");
  else if (found === undefined) expect(code).toBe("no_such_file");
  else if (found.kind === "directory") expect(code).toBe("is_a_directory");
  else {
    expect(code).toBeUndefined();
    touch(parent);
    parent.files.delete(nameOf(path));
    dropName(found.file);
  }
}

/** Whether a directory is empty for POSIX, but for the object that stands for itself. */
function isEmpty({ files, directories }: PlainDirectory): boolean {
  if ([...directories.values()].some(isLiveDirectory)) return false;
  const own = files.get("");
  return files.size === 0 || (files.size === 1 && own !== undefined && own.size === 0);
}
function removeDirectory(parent: PlainDirectory, name: string): void {
  for (const file of parent.directories.get(name)?.files.values() ?? []) dropName(file);
  parent.directories.delete(name);
}
function rmdirSome({ prng, tree, root }: World): void {
  const path = randomPath(prng);
  const code = codeOf(tree.rmdir(path));
  const parent = plainWalk(root, parentOf(path));
  const found = parent && plainFind(parent, nameOf(path));
  if (parent === undefined) expect(code).toBe("stale_file");
  else if (found === undefined) expect(code).toBe("no_such_file");
  else if (found.kind === "file") expect(code).toBe("not_a_directory");
  else if (!isEmpty(found.directory)) expect(code).toBe("directory_not_empty");
  else {
    expect(code).toBeUndefined();
    touch(parent);
    removeDirectory(parent, nameOf(path));
  }
}

function contains(directory: PlainDirectory, other: PlainDirectory): boolean {
  if (directory === other) return true;
  return [...directory.directories.values()].some((child) => contains(child, other));
}
interface Ends {
  readonly from: PlainDirectory;
  readonly to: PlainDirectory;
  readonly fromName: string;
  readonly toName: string;
}
function take(directory: PlainDirectory, name: string, node: PlainNode): void {
  if (node.kind === "directory") directory.directories.delete(name);
  else directory.files.delete(name);
}
function place(directory: PlainDirectory, name: string, node: PlainNode): void {
  if (node.kind === "file") directory.files.set(name, node.file);
  else {
    node.directory.isExplicit = true;
    directory.directories.set(name, node.directory);
  }
}
const isSame = (a: PlainNode, b: PlainNode): boolean =>
  a.kind === "file"
    ? b.kind === "file" && a.file === b.file
    : b.kind === "directory" && a.directory === b.directory;

/** What rename(2) does to the plain tree, or refuses. */
function plainRename(ends: Ends, flag: "noreplace" | "exchange" | undefined): string | undefined {
  const { from, to, fromName, toName } = ends;
  const a = plainFind(from, fromName);
  const b = plainFind(to, toName);
  if (a === undefined) return "no_such_file";
  if (flag === "exchange") return plainExchange(ends, a, b);
  if (flag === "noreplace" && b !== undefined) return "file_exists";
  if (b !== undefined && isSame(a, b)) return undefined;
  if (a.kind === "directory") {
    if (b?.kind === "file") return "not_a_directory";
    if (contains(a.directory, to)) return "directory_loop";
    if (b !== undefined && !isEmpty(b.directory)) return "directory_not_empty";
    if (b !== undefined) removeDirectory(to, toName);
    // What the directory was hiding has its name.
  } else {
    if (b?.kind === "directory") return "is_a_directory";
    if (b !== undefined) dropName(b.file);
  }
  take(from, fromName, a);
  place(to, toName, a);
  touch(from);
  touch(to);
  return undefined;
}
function plainExchange(
  { from, to, fromName, toName }: Ends,
  a: PlainNode,
  b: PlainNode | undefined,
): string | undefined {
  if (b === undefined) return "no_such_file";
  if (isSame(a, b)) return undefined;
  const isLoop =
    (a.kind === "directory" && contains(a.directory, to)) ||
    (b.kind === "directory" && contains(b.directory, from));
  if (isLoop) return "directory_loop";
  if (a.kind === "directory" && b.kind === "file" && from.files.has(fromName)) return "file_exists";
  if (b.kind === "directory" && a.kind === "file" && to.files.has(toName)) return "file_exists";
  take(from, fromName, a);
  take(to, toName, b);
  place(from, fromName, b);
  place(to, toName, a);
  touch(from);
  touch(to);
  return undefined;
}
function renameSome({ prng, tree, root }: World): void {
  const fromPath = randomPath(prng);
  const toPath = randomPath(prng);
  const flag = pick(prng, [undefined, undefined, "noreplace", "exchange"] as const);
  const code = codeOf(tree.rename(fromPath, toPath, flag === undefined ? {} : { flag }));
  const from = plainWalk(root, parentOf(fromPath));
  const to = plainWalk(root, parentOf(toPath));
  if (from === undefined || to === undefined) expect(code).toBe("stale_file");
  else {
    const ends = { from, to, fromName: nameOf(fromPath), toName: nameOf(toPath) };
    expect([fromPath, toPath, flag, code]).toEqual([
      fromPath,
      toPath,
      flag,
      plainRename(ends, flag),
    ]);
  }
}

function linkSome({ prng, tree, root }: World): void {
  const fromPath = randomPath(prng);
  const toPath = randomPath(prng);
  const parent = plainWalk(root, parentOf(fromPath));
  const found = parent && plainFind(parent, nameOf(fromPath));
  if (found?.kind !== "file") return;
  const code = codeOf(tree.link(fromPath, toPath));
  const to = plainWalk(root, parentOf(toPath));
  if (to === undefined) expect(code).toBe("stale_file");
  else if (plainFind(to, nameOf(toPath)) !== undefined) expect(code).toBe("file_exists");
  else {
    expect(code).toBeUndefined();
    found.file.links += 1;
    to.files.set(nameOf(toPath), found.file);
    touch(to);
  }
}

function chmodSome({ prng, tree, root }: World): void {
  const path = randomPath(prng);
  const parent = plainWalk(root, parentOf(path));
  const found = parent && plainFind(parent, nameOf(path));
  if (found === undefined) return;
  const mode = pick(prng, [0o600, 0o4755, 0o1777]);
  const { hint, ...file } = tree.get(path).ref;
  const ref = prng.chance(1, 2) && hint !== undefined ? { ...file, hint } : file;
  tree.act({ kind: "set_attributes", namespace: namespaceA, file: ref, mode });
  if (found.kind === "file") found.file.mode = mode;
  else {
    found.directory.mode = mode;
    touch(found.directory);
  }
}

function putSome(world: World): void {
  const { prng, tree, root } = world;
  const path = randomPath(prng);
  const key = prng.chance(1, 6) ? `${path}/${pick(prng, oddNames)}` : path;
  const size = prng.chance(1, 2) ? 42 : 0;
  const seal = testSeal(world.nextSeal++, 42);
  const ref = { ...testAddress(1000 + world.nextSeal), ...seal };
  const answer = tree.bed.decide({
    kind: "put_object",
    namespace: namespaceA,
    key: keyBytes(key),
    content: size === 0 ? { kind: "empty" } : { kind: "small", ref },
    size,
    etag: { md5: prng.fill(new Uint8Array(16)), parts: 0 },
    attributes: noAttributes,
  });
  expect(answer).toMatchObject({ kind: "object" });
  const { names: steps, rest } = cutKey(key);
  let at = root;
  for (const name of steps) {
    const child = at.directories.get(name) ?? plainDirectory(false);
    at.directories.set(name, child);
    at = child;
  }
  const before = at.files.get(rest);
  if (before !== undefined) dropName(before);
  at.files.set(rest, plainFile("file", 0o644, size));
}
function deleteSome({ prng, tree, root }: World): void {
  const keys = plainKeys(root);
  const key = keys.length > 0 && prng.chance(1, 2) ? pick(prng, keys) : randomPath(prng);
  const kind = "delete_object";
  const answer = tree.bed.decide({ kind, namespace: namespaceA, key: keyBytes(key) });
  const { names: steps, rest } = cutKey(key);
  let at: PlainDirectory | undefined = root;
  for (const name of steps) at = at?.directories.get(name);
  const file = at?.files.get(rest);
  const isThere = at !== undefined && file?.type === "file";
  expect(answer).toMatchObject({ kind: "deleted", isNull: isThere });
  if (!isThere || file === undefined) return;
  at?.files.delete(rest);
  dropName(file);
}

function openSome({ prng, tree, root, open }: World): void {
  if (open.size > 3 || (open.size > 0 && prng.chance(1, 2))) {
    const [file, ref] = pick(prng, [...open]);
    const { map } = tree.bed;
    const found = getFile(map, testDirKeys, ref);
    expect(found).toMatchObject({ attributes: { links: file.links, size: file.size } });
    if (prng.chance(1, 4)) {
      expect(tree.bed.decide({ kind: "close_session", client })).toMatchObject({ hasMore: false });
      for (const each of open.keys()) each.isOpen = false;
      for (const [each, gone] of open) {
        if (each.links > 0) continue;
        expect(getFile(map, testDirKeys, gone)).toMatchObject({ code: "stale_file" });
      }
      open.clear();
      return;
    }
    tree.bed.decide({ kind: "close_file", namespace: namespaceA, file: ref, client });
    file.isOpen = false;
    open.delete(file);
    if (file.links > 0) return;
    expect(getFile(map, testDirKeys, ref)).toMatchObject({ code: "stale_file" });
    return;
  }
  const path = randomPath(prng);
  const parent = plainWalk(root, parentOf(path));
  const found = parent && plainFind(parent, nameOf(path));
  if (found?.kind !== "file") return;
  const { hint: _hint, ...ref } = tree.get(path).ref;
  tree.act({ kind: "open_file", namespace: namespaceA, file: ref, client });
  found.file.isOpen = true;
  open.set(found.file, ref);
}

/** Both trees have the same names, kinds, modes and links, and one inode is one file. */
function compareTrees({ tree, root }: World): void {
  const inodes = new Map<bigint, PlainFile>();
  const visit = (attributes: FileAttributes, plain: PlainDirectory, path: string): void => {
    const directory = attributes.ref.inode;
    const live = [...plain.directories.values()].filter(isLiveDirectory).length;
    expect([path, attributes.mode]).toEqual([path, plain.mode]);
    if (attributes.links !== 1) expect([path, attributes.links]).toEqual([path, 2 + live]);
    const query = { namespace: namespaceA, directory, countMax: 1000 };
    const page = listDirectory(tree.bed.map, testDirKeys, query);
    if (page.kind !== "page") throw new TypeError(`Cannot list ${path}`);
    const wanted: string[] = [];
    const dirKey = testDirKeys.dirKey(directory);
    for (const [name, child] of plain.directories) if (isLiveDirectory(child)) wanted.push(name);
    for (const [rowName, file] of plain.files) {
      if (rowName === "" && file.size === 0) continue;
      const behind = plain.directories.get(rowName);
      const { names: steps, rest } = cutKey(rowName);
      const isPlain = steps.length === 0 && rest !== "" && !/^\.\.?$|\//.test(rest);
      const isHidden = !isPlain || (behind !== undefined && isLiveDirectory(behind));
      const row = keyBytes(rowName);
      wanted.push(isHidden ? keyString(hiddenName(testDirKeys, dirKey, row)) : rowName);
      const item = page.items.find(({ name }) => keyString(name) === wanted.at(-1));
      const { type, links, mode, size } = file;
      expect([path, rowName, item?.attributes]).toMatchObject([
        path,
        rowName,
        { type, links, mode, size, isHidden },
      ]);
      const inode = item!.attributes.ref.inode;
      expect(inodes.get(inode) ?? file).toBe(file);
      inodes.set(inode, file);
      const found = getFile(tree.bed.map, testDirKeys, item!.attributes.ref);
      expect(found).toMatchObject({ attributes: { mode, size } });
    }
    const listed = page.items.map(({ name }) => keyString(name));
    expect([path, listed.toSorted()]).toEqual([path, wanted.toSorted()]);
    for (const { name, attributes: child } of page.items) {
      if (child.type !== "directory") continue;
      visit(child, plain.directories.get(keyString(name))!, `${path}${keyString(name)}/`);
    }
  };
  visit(tree.get(""), root, "");
}
function compareKeys({ tree, root }: World): void {
  const nothing = new Uint8Array(0);
  const query = { namespace: namespaceA, prefix: nothing, delimiter: nothing, countMax: 1000 };
  const page = listObjects(tree.bed.map, testDirKeys, query);
  if (page.kind !== "page") throw new TypeError("Cannot list the keys");
  const keys = page.items.map((item) => keyString(item.kind === "object" ? item.key : item.prefix));
  expect(keys).toEqual(plainKeys(root).toSorted());
}

const acts = [
  makeSome,
  makeSome,
  unlinkSome,
  rmdirSome,
  renameSome,
  renameSome,
  linkSome,
  chmodSome,
  putSome,
  putSome,
  deleteSome,
  openSome,
];
test(`S3 and file protocols see one plain tree, seed ${seed}`, () => {
  const world: World = {
    prng: prngFromSeed(seed),
    tree: new Tree(),
    root: plainDirectory(true),
    open: new Map(),
    nextSeal: 1,
  };
  for (let i = 0; i < operationsCount; i++) {
    pick(world.prng, acts)(world);
    plainPrune(world.root);
    if (i % 10 === 0) {
      compareTrees(world);
      compareKeys(world);
    }
    if (i % 50 === 0) checkMap(world.tree.bed.map, testDirKeys);
  }
  checkMap(world.tree.bed.map, testDirKeys);
  replay(world.tree.bed);
});
