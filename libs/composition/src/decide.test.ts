import { toUtf8, wallTime } from "@kiseki/base";
import { expect, test } from "bun:test";
import {
  bedWithNamespace,
  namespaceA,
  put,
  testAddress,
  testDirKeys,
  testExtents,
  testSmall,
} from "./bed.test-helper.ts";
import { lookupChunk } from "./chunks.ts";
import { listObjects } from "./list-objects.ts";
import { lookupObject } from "./lookup.ts";
import { readContent } from "./read-content.ts";
import { listDrops } from "./references.ts";

const text = (key: Uint8Array) => new TextDecoder().decode(key);

test("decide() puts, reads, lists and deletes an object", () => {
  const bed = bedWithNamespace();
  expect(put(bed, "d/e/f", testExtents([1, 2, 1], [10, 11, undefined]), 300)).toMatchObject({
    kind: "object",
    isNull: true,
  });
  expect(put(bed, "d/x", testSmall(5, 42), 42)).toMatchObject({ kind: "object", size: 42 });
  const found = lookupObject(bed.map, testDirKeys, { namespace: namespaceA, key: toUtf8("d/e/f") });
  if (found.kind !== "object") throw new Error(found.kind);
  const page = readContent(bed.map, found.cold.content, { start: 50, end: 250 }, 10);
  expect(page.pieces.map(({ offset, length }) => [offset, length])).toEqual([
    [50, 50],
    [100, 100],
    [200, 50],
  ]);
  expect(lookupChunk(bed.map, testAddress(1))?.count).toBe(2);
  const query = { namespace: namespaceA, prefix: toUtf8(""), delimiter: toUtf8(""), countMax: 10 };
  const all = listObjects(bed.map, testDirKeys, query);
  if (all.kind !== "page") throw new Error(all.code);
  expect(all.items.map((item) => (item.kind === "object" ? text(item.key) : ""))).toEqual([
    "d/e/f",
    "d/x",
  ]);
  for (const key of ["d/e/f", "d/x"]) {
    const operation = { kind: "delete_object", namespace: namespaceA, key: toUtf8(key) } as const;
    expect(bed.decide(operation)).toMatchObject({ kind: "deleted" });
  }
  expect(listDrops(bed.map, wallTime(9e9), 100)).toHaveLength(3);
  expect(bed.decide({ kind: "delete_namespace", namespace: namespaceA })).toMatchObject({
    kind: "namespace",
  });
});
