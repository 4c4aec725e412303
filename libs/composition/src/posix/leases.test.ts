// Goal: locks, open files, attributes and repeated operations keep what they promise to several sessions.
// Method: tables and single cases, and every invariant of the map recomputed after each test.
import { fromUtf8, operationId, prngFromSeed, toUtf8 } from "@kiseki/base";
import type { FileLock } from "@kiseki/format";
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
import { Tree } from "./bed.test-helper.ts";
import { findLock, withoutRange, withRange } from "./locks.ts";
import { getFile } from "./lookup.ts";
import type { LockRange } from "./operation.ts";
import { listSessions } from "./sessions.ts";
import { getXattr, listXattrs } from "./xattrs.ts";

let tree = new Tree();
const fresh = (...given: ConstructorParameters<typeof Tree>): Tree => (tree = new Tree(...given));
afterEach(() => checkMap(tree.bed.map, testDirKeys));

const clientA = new Uint8Array(16).fill(1);
const clientB = new Uint8Array(16); // all zeros: escaped in its keys
const end = 1n << 63n;
const lock = (more: Partial<LockRange> = {}): LockRange => ({
  space: "posix",
  kind: "exclusive",
  owner: 1n,
  start: 0n,
  end,
  pid: 42,
  ...more,
});
function take(client: Uint8Array, wanted: LockRange) {
  const file = tree.get("f").ref;
  return tree.bed.decide({ kind: "lock", namespace: namespaceA, file, client, lock: wanted });
}

test("a lock conflicts with another owner's where they meet and one is exclusive", () => {
  const shared = lock({ kind: "shared" });
  for (const [held, wanted, isSame, isGranted] of [
    [shared, shared, false, true],
    [shared, lock(), false, false],
    [lock(), shared, false, false],
    [lock(), lock(), true, true],
    [lock({ end: 10n }), lock({ start: 10n }), false, true],
    [lock({ end: 10n }), lock({ start: 9n, end: 11n }), false, false],
    [lock(), lock({ space: "flock" }), false, true],
  ] as const) {
    fresh();
    tree.make("f");
    expect(take(clientA, held)).toEqual({ kind: "none" });
    const client = isSame ? clientA : clientB;
    expect(take(client, wanted)).toEqual(isGranted ? { kind: "none" } : "lock_conflict");
    const file = tree.get("f").ref;
    const found = findLock(tree.bed.map, testDirKeys, {
      file,
      client: clientB,
      lock: { ...wanted, owner: 99n },
    });
    if (!isGranted) expect(found).toEqual({ kind: "lock", client: clientA, lock: held });
    if (isSame) expect(take(client, { ...wanted, owner: 2n })).toBe("lock_conflict");
  }
});
test("withRange() and withoutRange() hold what a list of bytes would", () => {
  const seed = Number(process.env["KISEKI_SIM_SEED"] ?? 7);
  const prng = prngFromSeed(seed);
  const plain = new Map<string, FileLock["kind"]>();
  let locks: readonly FileLock[] = [];
  for (let i = 0; i < 2000; i++) {
    const owner = BigInt(1 + prng.below(2));
    const start = BigInt(prng.below(20));
    const range = { space: "posix", owner, start, end: start + BigInt(1 + prng.below(8)) } as const;
    const kind = prng.chance(1, 2) ? "shared" : "exclusive";
    const isUnlock = prng.chance(1, 3);
    locks = isUnlock
      ? withoutRange(locks, range)
      : withRange(locks, { ...range, kind, pid: Number(owner) });
    for (let at = range.start; at < range.end; at++) {
      if (isUnlock) plain.delete(`${owner} ${at}`);
      else plain.set(`${owner} ${at}`, kind);
    }
    const held = new Map<string, FileLock["kind"]>();
    for (const each of locks) {
      for (let at = each.start; at < each.end; at++) {
        expect(held.has(`${each.owner} ${at}`)).toBe(false);
        held.set(`${each.owner} ${at}`, each.kind);
      }
    }
    expect([...held].toSorted()).toEqual([...plain].toSorted());
  }
});
test("unlock gives a range up, close_file and close_session all of a session's", () => {
  fresh();
  tree.make("f");
  const file = tree.get("f").ref;
  take(clientA, lock());
  const range = { space: "posix", owner: 1n, start: 10n, end: 20n } as const;
  const unlock = { kind: "unlock", namespace: namespaceA, file, client: clientA } as const;
  expect(tree.bed.decide({ ...unlock, lock: range })).toEqual({ kind: "none" });
  expect(take(clientB, lock({ start: 10n, end: 20n }))).toEqual({ kind: "none" });
  expect(take(clientB, lock({ start: 10n, end: 21n }))).toBe("lock_conflict");
  tree.bed.decide({ kind: "close_file", namespace: namespaceA, file, client: clientA });
  expect(take(clientB, lock())).toEqual({ kind: "none" });
  expect(tree.bed.decide({ kind: "open_session", client: clientB, expires: 1 })).toEqual({
    kind: "none",
  });
  tree.bed.decide({ kind: "open_session", client: clientA, expires: 1 });
  const { map } = tree.bed;
  expect(listSessions(map, undefined, 9)).toEqual([clientB, clientA]);
  expect(listSessions(map, undefined, 1)).toEqual([clientB]);
  expect(listSessions(map, clientB, 9)).toEqual([clientA]);
  checkMap(map, testDirKeys);
  tree.bed.decide({ kind: "close_session", client: clientB });
  expect(listSessions(map, undefined, 9)).toEqual([clientA]);
  expect(take(clientA, lock())).toEqual({ kind: "none" });
});
test("close_session works in bounded steps", () => {
  fresh();
  for (let i = 0; i < 300; i++) tree.make(`${i}`, { client: clientA });
  for (let i = 0; i < 300; i++) tree.unlink(`${i}`);
  const close = { kind: "close_session", client: clientA } as const;
  expect(tree.bed.decide(close)).toEqual({ kind: "reclaimed", hasMore: true });
  expect(tree.bed.decide(close)).toEqual({ kind: "reclaimed", hasMore: false });
  expect(tree.bed.map.rows()).toHaveLength(5);
});
test("a keeper keeps a file whose last name goes, by whatever protocol, until its session is closed", () => {
  const removals: readonly (readonly [string, () => unknown])[] = [
    ["unlink", () => tree.unlink("f")],
    ["a rename over it", () => tree.rename("g", "f")],
    ["DELETE", () => tree.bed.decide({ ...named, kind: "delete_object" })],
    ["PUT over it", () => put(tree.bed, "f")],
  ];
  const named = { namespace: namespaceA, key: toUtf8("f") };
  for (const versioning of ["off", "enabled"] as const) {
    for (const [how, remove] of removals) {
      fresh(versioning);
      put(tree.bed, "f", { kind: "small", ref: { ...testAddress(6), ...testSeal(6, 42) } }, 42);
      tree.make("g");
      const { ref } = tree.get("f");
      const asked: bigint[] = [];
      tree.bed.keeper = (inode) => {
        asked.push(inode);
        return inode === ref.inode ? clientA : undefined;
      };
      remove();
      tree.bed.keeper = undefined;
      const at = () => getFile(tree.bed.map, testDirKeys, ref);
      expect([how, asked, at()]).toMatchObject([
        how,
        [ref.inode],
        { attributes: { size: 42, links: 0 } },
      ]);
      expect(listSessions(tree.bed.map, undefined, 9)).toEqual([clientA]);
      checkMap(tree.bed.map, testDirKeys);
      // Who has it open says so meanwhile, and is the one to keep it.
      const open = {
        kind: "open_file",
        namespace: namespaceA,
        file: ref,
        client: clientB,
      } as const;
      expect(tree.act(open)).toMatchObject({ size: 42 });
      tree.bed.decide({ kind: "close_session", client: clientA });
      expect(at()).toMatchObject({ attributes: { size: 42 } });
      tree.bed.decide({ kind: "close_file", namespace: namespaceA, file: ref, client: clientB });
      expect(at()).toMatchObject({ code: "stale_file" });
      checkMap(tree.bed.map, testDirKeys);
    }
  }
});
test("a keeper is not asked for a file that keeps a name", () => {
  fresh();
  tree.make("f");
  tree.link("f", "g");
  tree.bed.keeper = () => {
    throw new Error("asked");
  };
  expect(tree.unlink("f")).toMatchObject({ links: 1 });
});
test("locks hold at most 1024 ranges of a session on a file", () => {
  fresh();
  tree.make("f");
  for (let i = 0; i < 1024; i++) {
    const start = BigInt(2 * i);
    if (take(clientA, lock({ start, end: start + 1n })) === "too_many_locks") {
      throw new TypeError(`Cannot take lock ${i}`);
    }
  }
  expect(take(clientA, lock({ start: 5000n, end: 5001n }))).toBe("too_many_locks");
});

test("an operation repeated under its id answers what came of it, and does nothing again", () => {
  fresh();
  const once = operationId(new Uint8Array(16).fill(9));
  const made = tree.make("f", { once });
  expect(tree.make("f", { once })).toEqual(made);
  expect(tree.make("f")).toBe("file_exists");
  const place = tree.place("f");
  const unlink = { kind: "unlink", namespace: namespaceA, ...place } as const;
  const id = operationId(new Uint8Array(16).fill(8));
  const gone = tree.act({ ...unlink, once: id });
  tree.make("f");
  const size = tree.bed.map.rows().length;
  expect(tree.act({ ...unlink, once: id })).toEqual(gone);
  expect(tree.bed.map.rows()).toHaveLength(size);
  expect(tree.get("f").links).toBe(1);
  const elsewhere = { ...unlink, namespace: namespaceB, once: id };
  expect(tree.bed.decide(elsewhere)).toBe("invalid_argument");
  tree.bed.now += 3_600_001;
  expect(tree.bed.decide({ kind: "reclaim_step" })).toEqual({ kind: "reclaimed", hasMore: false });
  expect(tree.bed.map.rows()).toHaveLength(size - 4);
});
test("a refusal is not kept: the repetition is tried anew", () => {
  fresh();
  const once = operationId(new Uint8Array(16).fill(9));
  tree.make("f");
  expect(tree.make("f", { once })).toBe("file_exists");
  tree.unlink("f");
  expect(tree.make("f", { once })).toMatchObject({ type: "file" });
});

test("extended attributes are set, replaced, listed and removed, on directories too", () => {
  fresh();
  tree.make("f");
  tree.mkdir("d");
  for (const path of ["f", "d", ""]) {
    const file = tree.get(path).ref;
    const attribute = toUtf8("user.a");
    const base = { namespace: namespaceA, file, attribute } as const;
    const set = { ...base, kind: "set_xattr", value: Uint8Array.of(1) } as const;
    const remove = { ...base, kind: "remove_xattr" } as const;
    const map = tree.bed.map;
    expect(tree.act({ ...set, flag: "replace" })).toBe("no_such_attribute");
    expect(tree.act(remove)).toBe("no_such_attribute");
    expect(getXattr(map, testDirKeys, file, attribute)).toMatchObject({
      code: "no_such_attribute",
    });
    const { revision } = tree.get(path);
    expect(tree.act({ ...set, flag: "create" })).toMatchObject({ revision: revision + 1 });
    expect(tree.act({ ...set, flag: "create" })).toBe("attribute_exists");
    tree.act({ ...set, flag: "replace", value: Uint8Array.of(2) });
    expect(getXattr(map, testDirKeys, file, attribute)).toMatchObject({ value: Uint8Array.of(2) });
    tree.act({ ...set, attribute: toUtf8("trusted.b") });
    expect(listXattrs(map, testDirKeys, file)).toMatchObject({
      names: [toUtf8("trusted.b"), attribute],
    });
    expect(tree.act({ ...set, value: new Uint8Array(65_536) })).toBe("attributes_too_large");
    expect(tree.act({ ...set, attribute: toUtf8(`user.${"n".repeat(251)}`) })).toBe(
      "invalid_argument",
    );
    checkMap(map, testDirKeys);
    tree.act(remove);
    tree.act({ ...remove, attribute: toUtf8("trusted.b") });
    expect(listXattrs(map, testDirKeys, file)).toMatchObject({ names: [] });
  }
  expect(tree.rmdir("d")).toMatchObject({ type: "directory" });
});
test("what S3 keeps with an object is read as attributes that nobody sets", () => {
  fresh();
  tree.bed.decide({
    kind: "put_object",
    namespace: namespaceA,
    key: toUtf8("f"),
    content: { kind: "empty" },
    size: 0,
    etag: { md5: new Uint8Array(16), parts: 0 },
    attributes: {
      headers: [["content-type", "text/plain"]],
      userMetadata: [["colour", "blue"]],
      checksums: [],
    },
  });
  const file = tree.get("f").ref;
  const { map } = tree.bed;
  const listed = listXattrs(map, testDirKeys, file);
  const names = listed.kind === "names" ? listed.names.map((name) => fromUtf8(name)) : [];
  expect(names).toEqual(["user.s3.content-type", "user.s3.meta.colour"]);
  expect(getXattr(map, testDirKeys, file, toUtf8("user.s3.meta.colour"))).toMatchObject({
    value: toUtf8("blue"),
  });
  const attribute = toUtf8("user.s3.content-type");
  const base = { namespace: namespaceA, file, attribute } as const;
  expect(tree.act({ ...base, kind: "set_xattr", value: toUtf8("x") })).toBe("attribute_read_only");
  expect(tree.act({ ...base, kind: "remove_xattr" })).toBe("attribute_read_only");
  tree.mkdir("d");
  tree.rename("f", "d/f");
  expect(getXattr(map, testDirKeys, file, attribute)).toMatchObject({
    value: toUtf8("text/plain"),
  });
  expect(getFile(map, testDirKeys, file)).toMatchObject({ kind: "file" });
});
