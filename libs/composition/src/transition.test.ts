// Goal: content that moves to another pool changes nothing else of its version, and what it leaves is released.
// Method: the operation on each kind of content, shared and not; after each, every invariant is recomputed from the rows.
import { newBytes, toHex, toUtf8 } from "@kiseki/base";
import { expect, test } from "bun:test";
import type { Bed } from "./bed.test-helper.ts";
import {
  bedWithNamespace,
  md5,
  namespaceA,
  noAttributes,
  put,
  testAddress,
  testDirKeys,
  testExtents,
  testSeal,
  testSmall,
} from "./bed.test-helper.ts";
import { checkMap } from "./check-map.test-helper.ts";
import { lookupChunk } from "./chunks.ts";
import { lookupObject } from "./lookup.ts";
import type { NewContent, Operation } from "./operation.ts";
import { readContent, readParts } from "./read-content.ts";
import type { FoundObject } from "./reading.ts";
import { hasReclaim } from "./reclaim.ts";

const nameOf = (key: string) => ({ namespace: namespaceA, key: toUtf8(key) });
function find(bed: Bed, key: string, version?: bigint): FoundObject {
  const query = version === undefined ? nameOf(key) : { ...nameOf(key), version };
  const found = lookupObject(bed.map, testDirKeys, query);
  if (found.kind !== "object") throw new Error(found.kind);
  return found;
}
type Move = Extract<Operation, { kind: "move_content" }>;
/** A move of what the key is now. */
function move(bed: Bed, key: string, changes: Partial<Move>, found = find(bed, key)) {
  const { entry, cold } = found;
  const named = { version: entry.version, before: cold.content };
  return bed.decide({ kind: "move_content", ...nameOf(key), ...named, ...changes });
}
/** The chunks as other seals in pool 1. */
function inArchive(chunks: readonly number[]): NewContent {
  const { extents } = testExtents(
    chunks,
    chunks.map((n) => 70_000 + n),
  );
  return { kind: "extents", extents: extents.map((extent) => ({ ...extent, pool: 1 })) };
}
const archive = { ...testAddress(1), pool: 1 };
function poolsOf(bed: Bed, key: string): readonly number[] {
  const { entry, cold } = find(bed, key);
  const { pieces } = readContent(bed.map, cold.content, { start: 0, end: entry.size }, 10_000);
  return pieces.flatMap((piece) => (piece.kind === "chunk" ? [piece.address.pool] : []));
}
function settle(bed: Bed): void {
  while (hasReclaim(bed.map, bed.now)) bed.decide({ kind: "reclaim_step" });
  checkMap(bed.map, testDirKeys);
}
/** All that a client sees of it but the class. */
const seen = ({ entry: { storageClass: _, ...entry }, cold }: FoundObject) => ({
  entry,
  attributes: cold.attributes,
});

test.each([
  ["empty", { kind: "empty" } as const, undefined, 0],
  [
    "small",
    testSmall(1, 40),
    { kind: "small", ref: { ...archive, ...testSeal(9, 40) } } as const,
    40,
  ],
  ["extents", testExtents([1, 2], [1, 2]), inArchive([1, 2]), 200],
])(
  "decide() moves %s content and changes nothing else of the version",
  (_, content, moved, size) => {
    const bed = bedWithNamespace();
    put(bed, "d/k", content, size);
    const before = find(bed, "d/k");
    const change = moved === undefined ? {} : { content: moved };
    expect(move(bed, "d/k", { ...change, storageClass: "GLACIER_IR" })).toMatchObject({
      kind: "version",
      version: before.entry.version,
    });
    settle(bed);
    const after = find(bed, "d/k");
    expect(seen(after)).toEqual(seen(before));
    expect(after.entry.storageClass).toBe("GLACIER_IR");
    expect(new Set(poolsOf(bed, "d/k"))).toEqual(new Set(size === 0 ? [] : [1]));
    expect(lookupChunk(bed.map, testAddress(1))).toBeUndefined();
  },
);

test("decide() moves a noncurrent version, and not what was overwritten, changed or removed since", () => {
  const bed = bedWithNamespace("enabled");
  put(bed, "k", testExtents([1], [1]), 100);
  const old = find(bed, "k");
  put(bed, "k", testExtents([2], [2]), 100);
  const to = { content: inArchive([1]), storageClass: "STANDARD_IA" } as const;
  expect(move(bed, "k", to, old)).toMatchObject({ kind: "version" });
  expect(find(bed, "k", old.entry.version).entry.storageClass).toBe("STANDARD_IA");
  expect(find(bed, "k").entry.storageClass).toBeUndefined();
  expect(move(bed, "k", to, old)).toBe("precondition_failed"); // it has moved
  bed.decide({ kind: "delete_object", ...nameOf("k"), version: old.entry.version });
  expect(move(bed, "k", to, old)).toBe("no_such_version");
  settle(bed);
});

test("decide() moves a locked version: its bytes are the same", () => {
  const bed = bedWithNamespace("enabled");
  bed.decide({ kind: "set_object_lock", namespace: namespaceA });
  put(bed, "k", testExtents([1], [1]), 100);
  bed.decide({ kind: "set_object_extras", ...nameOf("k"), changes: { legalHold: true } });
  const hold = { id: "case-1", until: undefined } as never;
  bed.decide({ kind: "set_hold", namespace: namespaceA, hold });
  const to = { content: inArchive([1]), storageClass: "STANDARD_IA" } as const;
  expect(move(bed, "k", to)).toMatchObject({ kind: "version" });
  expect(find(bed, "k").cold.attributes.legalHold).toBe(true);
  settle(bed);
});

test("decide() moves what was tagged for it only while the tags are those that were seen", () => {
  const bed = bedWithNamespace("enabled");
  put(bed, "k", testExtents([1], [1]), 100);
  const old = find(bed, "k");
  const { version } = old.entry;
  const tags = [["keep", "no"]] as const;
  bed.decide({ kind: "set_object_extras", ...nameOf("k"), version, changes: { tags } });
  put(bed, "k", testExtents([2], [2]), 100);
  const to = { content: inArchive([1]), storageClass: "STANDARD_IA", ifTags: tags } as const;
  bed.decide({ kind: "set_object_extras", ...nameOf("k"), version, changes: { tags: null } });
  expect(move(bed, "k", to, old)).toBe("precondition_failed");
  bed.decide({ kind: "set_object_extras", ...nameOf("k"), version, changes: { tags } });
  expect(move(bed, "k", { ...to, ifTags: [] }, old)).toBe("precondition_failed");
  expect(move(bed, "k", to, old)).toMatchObject({ kind: "version" });
  settle(bed);
});

test("decide() leaves a copy of the content where it is", () => {
  const bed = bedWithNamespace();
  const chunks = Array.from({ length: 40 }, (_, i) => i + 1); // a manifest
  put(bed, "k", testExtents(chunks, chunks), 4000);
  bed.decide({ kind: "copy_object", ...nameOf("copy"), source: nameOf("k") });
  expect(move(bed, "k", { content: inArchive(chunks) })).toMatchObject({ kind: "version" });
  settle(bed);
  expect(new Set(poolsOf(bed, "k"))).toEqual(new Set([1]));
  expect(new Set(poolsOf(bed, "copy"))).toEqual(new Set([0]));
  expect(lookupChunk(bed.map, testAddress(1))).toMatchObject({ count: 1 });
});

const sumOf = (part: number): Uint8Array => md5(Uint8Array.of(part >> 8, part & 0xff));
/** An object of parts with these numbers, two chunks each. */
function putParts(bed: Bed, key: string, numbers: readonly number[]): void {
  const random = newBytes(16).fill(1);
  const begun = bed.decide({
    kind: "create_upload",
    ...nameOf(key),
    random,
    attributes: noAttributes,
  });
  if (typeof begun === "string" || begun.kind !== "upload") throw new Error(String(begun));
  const { upload } = begun;
  for (const part of numbers) {
    const chunks = [2 * part, 2 * part + 1];
    const content = testExtents(
      chunks,
      chunks.map((n) => 50_000 + n),
    );
    const body = { content, size: 200, md5: sumOf(part), checksums: [] };
    bed.decide({ kind: "put_part", ...nameOf(key), upload, part, ...body });
  }
  const parts = numbers.map((part) => ({ part, etag: toHex(sumOf(part)) }));
  bed.decide({ kind: "complete_upload", ...nameOf(key), upload, parts, checksums: [] });
}

test.each(["its own", "shared with a copy"])(
  "decide() moves parts one by one, in a manifest that is %s",
  (how) => {
    const bed = bedWithNamespace();
    const numbers = [1, 3, ...Array.from({ length: 300 }, (_, i) => i + 10)]; // two nodes
    putParts(bed, "k", numbers);
    if (how !== "its own")
      bed.decide({ kind: "copy_object", ...nameOf("copy"), source: nameOf("k") });
    const before = find(bed, "k");
    for (const [part, number] of numbers.entries()) {
      const content = inArchive([2 * number, 2 * number + 1]);
      expect(move(bed, "k", { part, content })).toMatchObject({ kind: "version" });
      if (part === 150) settle(bed);
    }
    expect(find(bed, "k").entry.storageClass).toBeUndefined();
    expect(move(bed, "k", { storageClass: "ONEZONE_IA" })).toMatchObject({ kind: "version" });
    settle(bed);
    const after = find(bed, "k");
    expect(seen(after)).toEqual(seen(before));
    expect(after.entry.storageClass).toBe("ONEZONE_IA");
    expect(new Set(poolsOf(bed, "k"))).toEqual(new Set([1]));
    const parts = readParts(bed.map, after.cold.content, 0, 1000);
    expect(parts?.map(({ number }) => number)).toEqual(numbers);
    const left = lookupChunk(bed.map, testAddress(2));
    if (how === "its own") expect(left).toBeUndefined();
    else expect(new Set(poolsOf(bed, "copy"))).toEqual(new Set([0]));
  },
);

test("decide() refuses a part that is not there, and what it was not told to look at", () => {
  const bed = bedWithNamespace();
  putParts(bed, "k", [1]);
  put(bed, "plain", testExtents([900], [900]), 100);
  const content = inArchive([2, 3]);
  expect(move(bed, "k", { part: 1, content })).toBe("invalid_part");
  expect(move(bed, "plain", { part: 0, content })).toBe("invalid_part");
  expect(move(bed, "k", { before: { kind: "empty" }, part: 0, content })).toBe(
    "precondition_failed",
  );
  settle(bed);
});
