// Goal: where versions are kept and locked, file protocols cannot do what S3 may not.
// Method: each way around, and every invariant of the map recomputed after each test.
import { fromUtf8, toUtf8, wallTime } from "@kiseki/base";
import { afterEach, expect, test } from "bun:test";
import {
  bedWithNamespace,
  namespaceA,
  put,
  testAddress,
  testDirKeys,
  testSeal,
} from "../bed.test-helper.ts";
import { checkMap } from "../check-map.test-helper.ts";
import { listVersions } from "../list-objects.ts";
import { lookupObject } from "../lookup.ts";
import { Tree } from "./bed.test-helper.ts";

const content2 = { kind: "small", ref: { ...testAddress(6), ...testSeal(6, 42) } } as const;
let tree = new Tree();
const fresh = (...given: ConstructorParameters<typeof Tree>): Tree => (tree = new Tree(...given));
afterEach(() => checkMap(tree.bed.map, testDirKeys));

/** Key, then `m` for a marker, `*` for the latest. */
function versions(): readonly string[] {
  const page = listVersions(tree.bed.map, testDirKeys, {
    namespace: namespaceA,
    prefix: new Uint8Array(0),
    delimiter: new Uint8Array(0),
    countMax: 100,
  });
  if (page.kind === "refused") throw new TypeError(page.code);
  return page.items.map((item) => {
    if (item.kind === "prefix") return "prefix";
    const marks = `${item.entry.kind === "object" ? "" : " m"}${item.isLatest ? " *" : ""}`;
    return `${fromUtf8(item.key)}${marks}`;
  });
}

test("unlink leaves a marker and the version, as S3 DELETE does", () => {
  fresh("enabled");
  tree.make("f");
  tree.unlink("f");
  expect(versions()).toEqual(["f m *", "f"]);
  expect(tree.list("")).toEqual([]);
  tree.make("f");
  expect(versions()).toEqual(["f *", "f m", "f"]);
  tree.make("l", { type: "symlink", target: toUtf8("f") });
  tree.unlink("l");
  expect(versions()).toEqual(["f *", "f m", "f"]);
});
test("rename over a name keeps what it named, and covers what lies behind the one it leaves", () => {
  fresh("enabled");
  tree.make("a");
  tree.unlink("a");
  tree.make("a");
  tree.make("b");
  tree.rename("a", "b");
  expect(versions()).toEqual(["a m *", "a", "b *", "b"]);
  put(tree.bed, "c");
  put(tree.bed, "c");
  tree.rename("c", "d");
  expect(versions()).toEqual(["a m *", "a", "b *", "b", "c m *", "c", "d *"]);
  tree.make("s", { type: "symlink", target: toUtf8("f") });
  tree.rename("s", "d");
  expect(tree.get("d").type).toBe("symlink");
  expect(
    lookupObject(tree.bed.map, testDirKeys, { namespace: namespaceA, key: toUtf8("d") }),
  ).toMatchObject({ code: "no_such_key" });
  tree.unlink("d");
  expect(versions()).toEqual(["a m *", "a", "b *", "b", "c m *", "c", "d m *", "d"]);
});
test("a directory that old versions keep is gone for POSIX, and comes back by mkdir", () => {
  fresh("enabled");
  tree.mkdir("d");
  tree.make("d/f");
  expect(tree.rmdir("d")).toBe("directory_not_empty");
  tree.unlink("d/f");
  const { inode } = tree.get("d").ref;
  expect(tree.rmdir("d")).toMatchObject({ links: 0 });
  expect(tree.stat("d")).toBe("no_such_file");
  expect(versions()).toEqual(["d/f m *", "d/f"]);
  tree.mkdir("e");
  expect(tree.rename("e", "d")).toBe("directory_not_empty");
  expect(tree.mkdir("d", 0o700)).toMatchObject({ mode: 0o700 });
  expect(tree.get("d").ref.inode).toBe(inode);
  tree.rmdir("d");
  expect(tree.make("d")).toMatchObject({ type: "file" });
  expect(tree.rename("e", "d", { flag: "exchange" })).toBe("directory_not_empty");
  expect(tree.rename("d", "e", { flag: "exchange" })).toBe("directory_not_empty");
  expect(tree.list("")).toEqual(["d", "e"]);
});
test("a suspended namespace keeps one version called null", () => {
  fresh("suspended");
  tree.make("f");
  tree.unlink("f");
  expect(versions()).toEqual(["f m *"]);
  tree.make("g");
  tree.rename("g", "f");
  expect(versions()).toEqual(["f *"]);
  tree.make("h");
  tree.rename("f", "h");
  expect(versions()).toEqual(["h *"]);
});

/** A namespace whose versions are kept by compliance for a day. */
function locked(): void {
  fresh("enabled", bedWithNamespace("enabled"));
  const byDefault = { mode: "compliance", unit: "days", count: 1 } as const;
  tree.bed.decide({ kind: "set_object_lock", namespace: namespaceA, byDefault });
}
test("compliance holds against every operation of a file protocol", () => {
  locked();
  tree.mkdir("d");
  tree.make("f");
  tree.make("d/g");
  expect(tree.rename("f", "d/g", { flag: "exchange" })).toBe("object_locked");
  expect(tree.rename("d", "e")).toBe("directory_locked");
  expect(tree.link("f", "x")).toBe("links_not_kept");
  tree.unlink("f");
  expect(versions()).toEqual(["d/g *", "f m *", "f"]);
  tree.mkdir("empty");
  expect(tree.rename("empty", "moved")).toMatchObject({ type: "directory" });
});
test("rename leaves a locked version under its key, and what it moves has the same content", () => {
  locked();
  tree.mkdir("d");
  const content = { kind: "small", ref: { ...testAddress(5), ...testSeal(5, 42) } } as const;
  put(tree.bed, "f", content, 42);
  const { inode } = tree.get("f").ref;
  expect(tree.rename("f", "d/g")).toMatchObject({ size: 42 });
  expect(versions()).toEqual(["d/g *", "f m *", "f"]);
  expect(tree.get("d/g").ref.inode).toBe(inode);
  put(tree.bed, "h", content2, 42);
  tree.rename("h", "d/g"); // both versions of d/g are kept
  expect(versions()).toEqual(["d/g *", "d/g", "f m *", "f", "h m *", "h"]);
  tree.rename("d/g", "d/i");
  expect(versions().filter((text) => text.startsWith("d/"))).toEqual([
    "d/g m *",
    "d/g",
    "d/g",
    "d/i *",
  ]);
  expect(tree.list("d")).toEqual(["i"]);
  const retention = { mode: "compliance" } as const;
  const found = lookupObject(tree.bed.map, testDirKeys, {
    namespace: namespaceA,
    key: toUtf8("d/i"),
  });
  expect(found).toMatchObject({ cold: { attributes: { retention } } });
});
test("a file that is open when its name goes can be written, and its version stays as it was", () => {
  const client = new Uint8Array(16).fill(7);
  for (const versioning of ["enabled", "locked"] as const) {
    if (versioning === "locked") locked();
    else fresh("enabled");
    put(tree.bed, "f", content2, 42);
    const file = tree.get("f").ref;
    tree.unlink("f", client);
    expect(versions()).toEqual(["f m *", "f"]);
    const truncate = { kind: "truncate_file", namespace: namespaceA, file, size: 7 } as const;
    expect(tree.act(truncate)).toMatchObject({ size: 7, links: 0 });
    const page = listVersions(tree.bed.map, testDirKeys, {
      namespace: namespaceA,
      prefix: toUtf8("f"),
      delimiter: new Uint8Array(0),
      countMax: 9,
    });
    expect(page).toMatchObject({ items: [{}, { entry: { size: 42 } }] });
    checkMap(tree.bed.map, testDirKeys);
    tree.bed.decide({ kind: "close_session", client });
    expect(tree.act(truncate)).toBe("stale_file");
  }
});
test("a name of several leaves a version when it goes, and the file lives on under the others", () => {
  const named = { namespace: namespaceA, key: toUtf8("g") };
  const removals: readonly (readonly [string, readonly string[], () => unknown])[] = [
    ["unlink", ["f *", "g m *", "g"], () => tree.unlink("g")],
    ["DELETE", ["f *", "g m *", "g"], () => tree.bed.decide({ ...named, kind: "delete_object" })],
    ["PUT over it", ["f *", "g *", "g"], () => put(tree.bed, "g")],
    ["a rename over it", ["f *", "g *", "g", "x m *", "x"], () => tree.rename("x", "g")],
  ];
  for (const [how, left, remove] of removals) {
    fresh("enabled");
    put(tree.bed, "f", content2, 42);
    if (left.includes("x")) {
      put(tree.bed, "x");
      put(tree.bed, "x");
    }
    const { inode } = tree.get("f").ref;
    expect(tree.link("f", "g")).toMatchObject({ links: 2, size: 42 });
    remove();
    expect([how, versions()]).toEqual([how, [...left]]);
    expect(tree.get("f")).toMatchObject({ links: 1, size: 42, ref: { inode } });
    checkMap(tree.bed.map, testDirKeys);
    // What is left as a version is not changed with the file.
    const { ref } = tree.get("f");
    tree.act({ kind: "truncate_file", namespace: namespaceA, file: ref, size: 7 });
    const page = listVersions(tree.bed.map, testDirKeys, {
      namespace: namespaceA,
      prefix: toUtf8("g"),
      delimiter: new Uint8Array(0),
      countMax: 9,
    });
    const items = page.kind === "refused" ? [] : page.items;
    expect(items.at(-1)).toMatchObject({ entry: { size: 42 }, isLatest: false });
    checkMap(tree.bed.map, testDirKeys);
  }
});
test("a name with versions behind it gets one above them by a link", () => {
  fresh("enabled");
  put(tree.bed, "f", content2, 42);
  for (let turn = 0; turn < 3; turn++) {
    expect(tree.link("f", "g")).toMatchObject({ links: 2 });
    const at = (key: string) => {
      const found = lookupObject(tree.bed.map, testDirKeys, {
        namespace: namespaceA,
        key: toUtf8(key),
      });
      return found.kind === "object" ? found.entry.version : undefined;
    };
    expect(at("g")).toBe(at("f"));
    tree.unlink("g");
    checkMap(tree.bed.map, testDirKeys);
  }
  expect(versions()).toEqual(["f *", "g m *", "g", "g m", "g", "g m", "g"]);
});
test("a file with several names stays under each of them while its version is locked", () => {
  fresh();
  tree.make("f");
  tree.link("f", "g");
  tree.bed.decide({ kind: "set_versioning", namespace: namespaceA, versioning: "enabled" });
  tree.bed.decide({ kind: "set_object_lock", namespace: namespaceA });
  const retention = { mode: "compliance", until: wallTime(9_000_000) } as const;
  const extras = { kind: "set_object_extras", namespace: namespaceA } as const;
  tree.bed.decide({ ...extras, key: toUtf8("f"), changes: { retention } });
  expect(tree.unlink("g")).toBe("object_locked");
  expect(tree.unlink("f")).toBe("object_locked");
  tree.make("x");
  expect(tree.rename("x", "f")).toBe("object_locked");
  expect(put(tree.bed, "f")).toBe("object_locked");
  expect(tree.bed.decide({ kind: "delete_object", namespace: namespaceA, key: toUtf8("f") })).toBe(
    "object_locked",
  );
  tree.bed.now = 10_000_000;
  expect(tree.unlink("g")).toMatchObject({ links: 1 });
  expect(tree.unlink("f")).toMatchObject({ links: 0 });
  expect(versions()).toEqual(["f m *", "f", "g m *", "g", "x *"]);
});
test("a hold keeps files from being removed, replaced or moved", () => {
  fresh();
  tree.make("f");
  tree.make("g");
  tree.mkdir("d");
  put(tree.bed, "d/x");
  tree.bed.decide({ kind: "set_hold", namespace: namespaceA, hold: { id: "audit" } });
  expect(tree.unlink("f")).toBe("object_locked");
  expect(tree.rename("f", "g")).toBe("object_locked");
  expect(tree.rename("f", "h")).toBe("object_locked");
  expect(tree.rename("d", "h")).toBe("object_locked");
  expect(tree.list("")).toEqual(["d", "f", "g"]);
});
