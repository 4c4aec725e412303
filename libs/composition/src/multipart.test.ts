import { newBytes, toHex, toUtf8 } from "@kiseki/base";
import { decodeManifestNode, encodeManifestNode, manifestNodeKey } from "@kiseki/format";
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
} from "./bed.test-helper.ts";
import { checkMap } from "./check-map.test-helper.ts";
import { lookupChunk } from "./chunks.ts";
import { listParts, listUploads } from "./list-uploads.ts";
import { lookupObject } from "./lookup.ts";
import { readContent, readParts } from "./read-content.ts";
import { hasReclaim } from "./reclaim.ts";

const at = { namespace: namespaceA, key: toUtf8("big/object") };
function begin(bed: Bed): Uint8Array {
  const random = newBytes(16).fill(1);
  const answer = bed.decide({ kind: "create_upload", ...at, random, attributes: noAttributes });
  if (typeof answer === "string" || answer.kind !== "upload") throw new Error(String(answer));
  return answer.upload;
}
const sumOf = (part: number): Uint8Array => md5(Uint8Array.of(part >> 8, part & 0xff));
function putPart(bed: Bed, upload: Uint8Array, part: number, chunks: readonly number[]) {
  const content = testExtents(
    chunks,
    chunks.map((n) => 50_000 + n),
  );
  const operation = { kind: "put_part", ...at, upload, part, content, checksums: [] } as const;
  return bed.decide({ ...operation, size: 100 * chunks.length, md5: sumOf(part) });
}
function complete(bed: Bed, upload: Uint8Array, numbers: readonly number[]) {
  const parts = numbers.map((part) => ({ part, etag: toHex(sumOf(part)) }));
  return bed.decide({ kind: "complete_upload", ...at, upload, parts, checksums: [] });
}
function drain(bed: Bed): void {
  while (hasReclaim(bed.map, bed.now)) bed.decide({ kind: "reclaim_step" });
}

test("decide() completes 10,000 parts in one change that moves no data and frees it in bounded steps", () => {
  const bed = bedWithNamespace();
  const upload = begin(bed);
  const numbers = Array.from({ length: 10_000 }, (_, i) => i + 1);
  for (const part of numbers) putPart(bed, upload, part, [part % 300]);
  const answer = complete(bed, upload, numbers);
  expect(answer).toMatchObject({ kind: "object", size: 1_000_000, etag: { parts: 10_000 } });
  expect(bed.log.at(-1)!.byteLength).toBeLessThan(200_000);
  expect(complete(bed, upload, numbers)).toEqual(answer);
  const found = lookupObject(bed.map, testDirKeys, at);
  if (found.kind !== "object") throw new Error(found.kind);
  bed.map.reset();
  const page = readContent(bed.map, found.cold.content, { start: 777_750, end: 777_950 }, 10);
  expect(page.pieces).toMatchObject([
    { offset: 777_750, length: 50, chunkOffset: 50, address: testAddress(7778 % 300) },
    { offset: 777_800, length: 100, chunkOffset: 0 },
    { offset: 777_900, length: 50 },
  ]);
  expect(bed.map.touched.rows).toBeLessThan(30);
  const parts = (after: number, countMax: number) =>
    readParts(bed.map, found.cold.content, after, countMax);
  expect(parts(0, 2)).toEqual([
    { number: 1, offset: 0, length: 100, checksums: [] },
    { number: 2, offset: 100, length: 100, checksums: [] },
  ]);
  expect(parts(9_999, 5)).toMatchObject([{ number: 10_000, offset: 999_900, length: 100 }]);
  expect(parts(10_000, 5)).toEqual([]);
  expect(parts(0, 20_000)).toHaveLength(10_000);
  drain(bed);
  expect(lookupChunk(bed.map, testAddress(5))?.count).toBe(34);
  checkMap(bed.map, testDirKeys);
  bed.decide({ kind: "delete_object", ...at });
  for (let steps = 0; hasReclaim(bed.map, bed.now); steps++) {
    expect(steps).toBeLessThan(400);
    bed.decide({ kind: "reclaim_step" });
    expect(bed.log.at(-1)!.byteLength).toBeLessThan(64 * 1024);
  }
  expect(lookupChunk(bed.map, testAddress(5))).toBeUndefined();
  checkMap(bed.map, testDirKeys);
}, 15_000);

test("readParts() knows parts by the numbers and checksums of their upload, and those of older programs by their order", () => {
  const bed = bedWithNamespace();
  const upload = begin(bed);
  const sum = (n: number, algorithm: "crc32" | "sha1" = "crc32") =>
    ({ algorithm, value: newBytes(4).fill(n), isComposite: false }) as const;
  const put = (part: number, n: number) =>
    bed.decide({
      ...{ kind: "put_part", ...at, upload, part, size: 100, md5: sumOf(part) },
      content: testExtents([n], [50_000 + n]),
      checksums: [sum(n), sum(n, "sha1")],
    });
  for (const [i, part] of [3, 300, 9_000].entries()) put(part, i);
  const answer = bed.decide({
    ...{ kind: "complete_upload", ...at, upload },
    parts: [3, 300, 9_000].map((part) => ({ part, etag: toHex(sumOf(part)) })),
    checksums: [{ ...sum(9), isComposite: true }],
  });
  expect(answer).toMatchObject({ kind: "object", size: 300 });
  const found = lookupObject(bed.map, testDirKeys, at);
  if (found.kind !== "object") throw new Error(found.kind);
  const { content } = found.cold;
  const all = [
    { number: 3, offset: 0, length: 100, checksums: [sum(0)] },
    { number: 300, offset: 100, length: 100, checksums: [sum(1)] },
    { number: 9_000, offset: 200, length: 100, checksums: [sum(2)] },
  ];
  expect(readParts(bed.map, content, 0, 10)).toEqual(all);
  expect(readParts(bed.map, content, 3, 1)).toEqual([all[1]!]);
  expect(readParts(bed.map, content, 300, 10)).toEqual([all[2]!]);
  if (content.kind !== "manifest") throw new Error(content.kind);
  const row = manifestNodeKey(content.manifest, 0);
  const node = decodeManifestNode(bed.map.get(row)!);
  if (node.kind !== "inner") throw new Error(node.kind);
  const children = node.children.map(({ manifest, size }) => ({ manifest, size }));
  bed.map.put(row, encodeManifestNode({ kind: "inner", children }));
  expect(readParts(bed.map, content, 1, 10)).toEqual([
    { number: 2, offset: 100, length: 100, checksums: [] },
    { number: 3, offset: 200, length: 100, checksums: [] },
  ]);
});

test("decide() refuses parts out of order, unknown, wrong or too small", () => {
  const bed = bedWithNamespace();
  const upload = begin(bed);
  putPart(bed, upload, 1, [1]);
  putPart(bed, upload, 2, [2]);
  expect(complete(bed, upload, [2, 1])).toBe("invalid_part_order");
  expect(complete(bed, upload, [1, 1])).toBe("invalid_part_order");
  expect(complete(bed, upload, [1, 3])).toBe("invalid_part");
  expect(complete(bed, upload, [])).toBe("invalid_part");
  const parts = [{ part: 1, etag: "0".repeat(32) }];
  const operation = { kind: "complete_upload", ...at, upload, checksums: [] } as const;
  expect(bed.decide({ ...operation, parts })).toBe("invalid_part");
  bed.limits = { ...bed.limits, partSizeMin: 101 };
  expect(complete(bed, upload, [1, 2])).toBe("entity_too_small");
  expect(putPart(bed, upload, 0, [1])).toBe("invalid_part_number");
  expect(putPart(bed, upload, 10_001, [1])).toBe("invalid_part_number");
  expect(putPart(bed, newBytes(16), 1, [1])).toBe("no_such_upload");
  expect(complete(bed, newBytes(3), [1])).toBe("no_such_upload");
  expect(complete(bed, upload, [2])).toMatchObject({ kind: "object", size: 100 });
});

test("decide() forgets the outcome of a complete after its time", () => {
  const bed = bedWithNamespace();
  const upload = begin(bed);
  putPart(bed, upload, 1, [1]);
  const answer = complete(bed, upload, [1]);
  drain(bed);
  expect(complete(bed, upload, [1])).toEqual(answer);
  bed.now += bed.limits.doneMs + 1;
  drain(bed);
  expect(complete(bed, upload, [1])).toBe("no_such_upload");
});

test("decide() drops the chunks of parts replaced, left out, aborted or of a deleted namespace", () => {
  const bed = bedWithNamespace();
  let upload = begin(bed);
  putPart(bed, upload, 1, [1]);
  putPart(bed, upload, 1, [2]);
  putPart(bed, upload, 2, [3]);
  complete(bed, upload, [1]);
  drain(bed);
  const isThere = (n: number) => lookupChunk(bed.map, testAddress(n)) !== undefined;
  expect([1, 2, 3].map(isThere)).toEqual([false, true, false]);
  bed.now += 10;
  upload = begin(bed);
  putPart(bed, upload, 1, [4]);
  expect(bed.decide({ kind: "abort_upload", ...at, upload })).toEqual({ kind: "none" });
  expect(bed.decide({ kind: "abort_upload", ...at, upload })).toBe("no_such_upload");
  upload = begin(bed);
  putPart(bed, upload, 1, [5]);
  bed.decide({ kind: "delete_object", ...at });
  expect(bed.decide({ kind: "delete_namespace", namespace: namespaceA })).toMatchObject({});
  drain(bed);
  expect([2, 4, 5].map(isThere)).toEqual([false, false, false]);
  checkMap(bed.map, testDirKeys);
});

test("decide() copies a range of an object as a part", () => {
  const bed = bedWithNamespace();
  put(bed, "source", testExtents([1, 2, 3], [1, 2, 3]), 300);
  const upload = begin(bed);
  const source = { namespace: namespaceA, key: toUtf8("source") };
  const copy = {
    kind: "copy_part",
    ...at,
    upload,
    part: 1,
    source,
    md5: sumOf(1),
    checksums: [],
  } as const;
  expect(bed.decide({ ...copy, start: 50, end: 301 })).toBe("invalid_range");
  expect(bed.decide({ ...copy, start: 50, end: 250 })).toMatchObject({ kind: "part", size: 200 });
  complete(bed, upload, [1]);
  bed.decide({ kind: "delete_object", ...source });
  drain(bed);
  const found = lookupObject(bed.map, testDirKeys, at);
  if (found.kind !== "object") throw new Error(found.kind);
  const page = readContent(bed.map, found.cold.content, { start: 0, end: 200 }, 10);
  expect(page.pieces).toMatchObject([
    { offset: 0, length: 50, chunkOffset: 50, address: testAddress(1) },
    { offset: 50, length: 100, chunkOffset: 0, address: testAddress(2) },
    { offset: 150, length: 50, chunkOffset: 0, address: testAddress(3) },
  ]);
  checkMap(bed.map, testDirKeys);
});

test("listUploads() and listParts() page through what is open", () => {
  const bed = bedWithNamespace();
  const first = begin(bed);
  const second = begin(bed);
  for (const part of [3, 1, 2]) putPart(bed, first, part, [part]);
  const query = {
    namespace: namespaceA,
    prefix: toUtf8("big"),
    delimiter: toUtf8(""),
    countMax: 1,
  };
  const page = listUploads(bed.map, testDirKeys, query);
  expect(page).toMatchObject({ items: [{ upload: first }], next: { key: at.key, upload: first } });
  if (page.kind === "refused") throw new Error(page.code);
  const rest = listUploads(bed.map, testDirKeys, { ...query, after: page.next });
  expect(rest).toMatchObject({ items: [{ upload: second }], next: undefined });
  const parts = listParts(bed.map, testDirKeys, { ...at, upload: first, after: 0, countMax: 2 });
  expect(parts).toMatchObject({ parts: [{ part: 1 }, { part: 2 }], next: 2 });
});
