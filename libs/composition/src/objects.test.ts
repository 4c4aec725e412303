import { newBytes, toHex, toUtf8, wallTime } from "@kiseki/base";
import { decodeHead, headKey } from "@kiseki/format";
import { expect, test } from "bun:test";
import type { Bed } from "./bed.test-helper.ts";
import {
  bedWithNamespace,
  md5,
  namespaceA,
  namespaceB,
  noAttributes,
  put,
  testAddress,
  testDirKeys,
  testExtents,
  testSeal,
  testSmall,
} from "./bed.test-helper.ts";
import { isReferenced, lookupChunk } from "./chunks.ts";
import { splitKey } from "./key-path.ts";
import { lookupObject } from "./lookup.ts";
import { listNamespaces, lookupNamespace } from "./namespaces.ts";
import type { Conditions } from "./operation.ts";
import { listDrops, listReferences } from "./references.ts";
import { lookupUsage } from "./step.ts";

const text = (key: Uint8Array): string => new TextDecoder().decode(key);
function putIf(bed: Bed, key: string, conditions: Conditions) {
  const etag = { md5: md5(toUtf8(key)), parts: 0 };
  const base = { kind: "put_object", namespace: namespaceA, key: toUtf8(key), etag } as const;
  const content = { kind: "empty" } as const;
  return bed.decide({ ...base, content, size: 0, attributes: noAttributes, conditions });
}

test("splitKey() cuts a key where its rows lie", () => {
  const cases: readonly (readonly [string, string[], string, boolean])[] = [
    ["a", [], "a", false],
    ["a/b", ["a"], "b", false],
    ["a/", ["a"], "", false],
    ["/", [], "/", true],
    ["/a", [], "/a", true],
    ["a//b", ["a"], "/b", true],
    ["a/./b", ["a"], "./b", true],
    ["a/..", ["a"], "..", true],
    ["...", [], "...", false],
    ["a/b\0c/d", ["a"], "b\0c/d", true],
    [`a/${"x".repeat(255)}/b`, ["a", "x".repeat(255)], "b", false],
    [`a/${"x".repeat(256)}/b`, ["a"], `${"x".repeat(256)}/b`, true],
  ];
  for (const [key, directories, name, isTail] of cases) {
    const path = splitKey(toUtf8(key));
    expect([path.directories.map(text), text(path.name), path.isTail]).toEqual([
      directories,
      name,
      isTail,
    ]);
  }
});

test("decide() refuses keys that are empty, too long or no UTF-8", () => {
  const bed = bedWithNamespace();
  expect(put(bed, "")).toBe("invalid_key");
  expect(put(bed, "x".repeat(1025))).toBe("key_too_long");
  expect(put(bed, "x/".repeat(512))).toMatchObject({ kind: "object" });
  const key = Uint8Array.of(0xff);
  expect(bed.decide({ kind: "delete_object", namespace: namespaceA, key })).toBe("invalid_key");
});

test("decide() lets one conditional put win", () => {
  const bed = bedWithNamespace();
  expect(putIf(bed, "k", { ifMatch: ["*"] })).toBe("no_such_key");
  expect(putIf(bed, "k", { ifNoneMatch: ["*"] })).toMatchObject({ kind: "object" });
  expect(putIf(bed, "k", { ifNoneMatch: ["*"] })).toBe("precondition_failed");
  expect(putIf(bed, "k", { ifMatch: ["other"] })).toBe("precondition_failed");
  const etag = toHex(md5(toUtf8("k")));
  expect(putIf(bed, "k", { ifMatch: ["other", etag] })).toMatchObject({ kind: "object" });
  expect(putIf(bed, "k", { ifNoneMatch: [etag] })).toBe("precondition_failed");
});

test("decide() deletes under conditions, and what is not there without any", () => {
  const bed = bedWithNamespace();
  const key = toUtf8("k");
  const removeIf = (conditions: Conditions) =>
    bed.decide({ kind: "delete_object", namespace: namespaceA, key, conditions });
  expect(removeIf({ ifMatch: ["*"] })).toMatchObject({ kind: "deleted", version: undefined });
  const made = put(bed, "k");
  if (typeof made === "string" || made.kind !== "object") throw new Error(String(made));
  const second = wallTime(Math.floor(made.modified / 1000) * 1000);
  const unmet: readonly Conditions[] = [
    { ifMatch: ["other"] },
    { ifSize: 1 },
    { ifModified: wallTime(second + 1000) },
    { ifMatch: ["*"], ifSize: 1 },
  ];
  for (const conditions of unmet) expect(removeIf(conditions)).toBe("precondition_failed");
  expect(removeIf({ ifMatch: ["*"], ifSize: 0, ifModified: second })).toMatchObject({
    kind: "deleted",
    isNull: true,
  });
  expect(removeIf({ ifSize: 5 })).toMatchObject({ kind: "deleted", version: undefined });
});

test("decide() gives namespaces by name and keeps two of one name apart", () => {
  const bed = bedWithNamespace();
  const create = { kind: "create_namespace", id: namespaceB } as const;
  expect(bed.decide({ ...create, name: "a" })).toBe("namespace_exists");
  expect(bed.decide({ ...create, name: "b" })).toMatchObject({ kind: "namespace" });
  expect(bed.decide({ ...create, name: "c" })).toBe("namespace_exists");
  expect(lookupNamespace(bed.map, "b")?.id).toEqual(namespaceB);
  expect(listNamespaces(bed.map, undefined, 1)).toMatchObject({
    namespaces: [{ name: "a" }],
    next: "a",
  });
  expect(listNamespaces(bed.map, "a", 5)).toMatchObject({
    namespaces: [{ name: "b" }],
    next: undefined,
  });
  const named = (after: string | undefined, countMax: number, prefix: string) => {
    const page = listNamespaces(bed.map, after, countMax, prefix);
    return [page.namespaces.map(({ name }) => name), page.next];
  };
  expect(named(undefined, 5, "b")).toEqual([["b"], undefined]);
  expect(named("a", 1, "b")).toEqual([["b"], undefined]);
  expect(named("c", 5, "b")).toEqual([[], undefined]);
  expect(named("b", 5, "b")).toEqual([[], undefined]);
  put(bed, "x/y");
  const remove = { kind: "delete_namespace", namespace: namespaceA } as const;
  expect(bed.decide(remove)).toBe("namespace_not_empty");
  bed.decide({ kind: "delete_object", namespace: namespaceA, key: toUtf8("x/y") });
  expect(bed.decide(remove)).toMatchObject({ kind: "namespace" });
  expect(bed.decide(remove)).toBe("no_such_namespace");
  expect(put(bed, "x/y")).toBe("no_such_namespace");
});

test("decide() counts what a directory holds and removes it when nothing is left", () => {
  const bed = bedWithNamespace("enabled");
  const root = testDirKeys.dirKey(lookupNamespace(bed.map, "a")!.root);
  const counts = () => {
    const { live, total, hidden } = decodeHead(bed.map.get(headKey(root))!);
    return [live, total, hidden];
  };
  put(bed, "d");
  expect(counts()).toEqual([1, 1, 0]);
  put(bed, "d/e//x");
  expect(counts()).toEqual([2, 2, 1]); // `d` is behind the directory `d/` now
  const deleted = bed.decide({
    kind: "delete_object",
    namespace: namespaceA,
    key: toUtf8("d/e//x"),
  });
  expect(counts()).toEqual([1, 2, 1]); // the directory holds an old version and a marker
  const key = toUtf8("d/e//x");
  if (typeof deleted === "string" || deleted.kind !== "deleted") throw new Error("no marker");
  const version = deleted.version!;
  bed.decide({ kind: "delete_object", namespace: namespaceA, key, version });
  expect(counts()).toEqual([2, 2, 1]);
  bed.decide({ kind: "delete_object", namespace: namespaceA, key, version: version - 1n });
  expect(counts()).toEqual([1, 1, 0]);
  expect(lookupUsage(bed.map, namespaceA)).toEqual({
    objects: 1,
    bytes: 0,
    oldVersions: 0,
    oldBytes: 0,
  });
});

test("decide() keeps one live seal per chunk and the newer keyset's", () => {
  const bed = bedWithNamespace();
  put(bed, "one", testExtents([1], [10]), 100);
  put(bed, "two", testExtents([1], [11]), 100);
  expect(lookupChunk(bed.map, testAddress(1))).toMatchObject({
    count: 2,
    sealId: testSeal(10).sealId,
  });
  const drops = () =>
    listDrops(bed.map, wallTime(9e9), 9).map(({ sealId }) => toHex(sealId).slice(-2));
  expect(drops()).toEqual(["0b"]);
  const reseal = (from: number, to: number, set: number) =>
    bed.decide({
      kind: "resealed",
      address: testAddress(1),
      sealId: testSeal(from).sealId,
      seal: testSeal(to, 100, set),
    });
  reseal(10, 12, 2);
  expect(lookupChunk(bed.map, testAddress(1))).toMatchObject({
    count: 2,
    sealId: testSeal(12).sealId,
  });
  expect(drops()).toEqual(["0b", "0a"]);
  reseal(10, 13, 3); // what it was read from is not live any more
  expect(drops()).toEqual(["0b", "0a", "0d"]);
  reseal(12, 14, 2); // other fragments, same keyset
  expect(drops()).toEqual(["0b", "0a", "0d", "0c"]);
  const all = listDrops(bed.map, wallTime(9e9), 9);
  expect(bed.decide({ kind: "dropped", drops: all })).toEqual({ kind: "none" });
  expect(drops()).toEqual([]);
  expect(isReferenced(bed.map, testAddress(1), testSeal(10).sealId)).toBe(false);
  expect(isReferenced(bed.map, testAddress(1), testSeal(14).sealId)).toBe(true);
  const repaired = {
    kind: "repaired",
    address: testAddress(1),
    sealId: testSeal(14).sealId,
  } as const;
  bed.decide({ ...repaired, missing: 4 });
  expect(lookupChunk(bed.map, testAddress(1))?.missing).toBe(4);
});

test("decide() switches the seal of small content, in one change with its drop; a late one goes to drop itself", () => {
  const bed = bedWithNamespace();
  put(bed, "small", testSmall(20, 77), 77);
  const named = () => listReferences(bed.map, undefined, 100).references;
  const reseal = (from: number, to: number, set: number) => {
    const ref = { ...testAddress(20), ...testSeal(to, 77, set) };
    const { sealId } = testSeal(from);
    return bed.decide({ kind: "small_resealed", row, sealId, ref });
  };
  const { row } = named()[0]!;
  expect(reseal(20, 21, 2)).toEqual({ kind: "none" });
  expect(
    named().map(({ from, keyset, sealId }) => [from, keyset, toHex(sealId).slice(-2)]),
  ).toEqual([
    ["cold", 2 as never, "15"],
    ["drop", 1 as never, "14"],
  ]);
  expect(reseal(20, 22, 3)).toEqual({ kind: "none" });
  put(bed, "small");
  expect(reseal(21, 23, 3)).toEqual({ kind: "none" });
  const drops = listDrops(bed.map, wallTime(9e9), 9);
  expect(drops.map(({ sealId }) => toHex(sealId).slice(-2))).toEqual(["14", "16", "15", "17"]);
});

test("decide() takes a pinned seal back when its last reference went before the commit", () => {
  const bed = bedWithNamespace();
  put(bed, "one", testExtents([1], [10]), 100);
  const { sealId } = testSeal(10);
  bed.decide({ kind: "delete_object", namespace: namespaceA, key: toUtf8("one") });
  expect(put(bed, "two", testExtents([1], [undefined]), 100)).toBe("chunk_gone");
  const range = { ...testAddress(1), offset: 0, length: 100, chunkOffset: 0 };
  const content = { kind: "extents", extents: [{ ...range, pinned: sealId }] } as const;
  expect(put(bed, "two", content, 100)).toMatchObject({ kind: "object" });
  expect(lookupChunk(bed.map, testAddress(1))).toMatchObject({ count: 1, sealId });
  expect(listDrops(bed.map, wallTime(9e9), 9)).toEqual([]);
});

test("decide() copies by reference and asks for the bytes of small content", () => {
  const bed = bedWithNamespace();
  put(bed, "big", testExtents([1], [10]), 100);
  put(bed, "small", testSmall(5, 9), 9);
  const copy = { kind: "copy_object", namespace: namespaceA, key: toUtf8("copy") } as const;
  const from = (key: string) => ({ source: { namespace: namespaceA, key: toUtf8(key) } });
  expect(bed.decide({ ...copy, ...from("small") })).toBe("source_is_small");
  expect(bed.decide({ ...copy, ...from("none") })).toBe("no_such_source_key");
  const none = { source: { namespace: namespaceB, key: toUtf8("x") } };
  expect(bed.decide({ ...copy, ...none })).toBe("no_such_source_namespace");
  const unmet = { sourceConditions: { ifMatch: ["x"] } };
  expect(bed.decide({ ...copy, ...from("big"), ...unmet })).toBe("source_precondition_failed");
  const attributes = { ...noAttributes, userMetadata: [["a", "b"]] } as const;
  expect(bed.decide({ ...copy, ...from("big"), attributes })).toMatchObject({ kind: "object" });
  expect(lookupChunk(bed.map, testAddress(1))?.count).toBe(2);
  const found = lookupObject(bed.map, testDirKeys, { namespace: namespaceA, key: toUtf8("copy") });
  expect(found).toMatchObject({ kind: "object", cold: { attributes } });
  const self = { ...copy, key: toUtf8("big"), ...from("big"), attributes };
  expect(bed.decide(self)).toMatchObject({ kind: "object" });
  expect(lookupChunk(bed.map, testAddress(1))?.count).toBe(2);
});

test("decide() refuses attributes and contents over the limits", () => {
  const bed = bedWithNamespace();
  bed.limits = { ...bed.limits, attributesSizeMax: 4, extentsMax: 1, objectSizeMax: 200 };
  const base = { kind: "put_object", namespace: namespaceA, key: toUtf8("k") } as const;
  const etag = { md5: newBytes(16), parts: 0 };
  const attributes = { ...noAttributes, userMetadata: [["abc", "de"]] } as const;
  const operation = { ...base, content: { kind: "empty" }, size: 0, etag, attributes } as const;
  expect(bed.decide(operation)).toBe("attributes_too_large");
  expect(put(bed, "k", testExtents([1, 2], [1, 2]), 200)).toBe("too_many_extents");
  expect(put(bed, "k", testExtents([1, 2, 3], [1, 2, 3]), 300)).toBe("object_too_large");
  expect(bed.map.rows().length).toBe(4); // namespace, its name, its head, the counters
});
