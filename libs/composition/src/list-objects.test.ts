import { newBytes, toUtf8 } from "@kiseki/base";
import { decodeHead, encodeEntry, encodeHead, entryKey, headKey } from "@kiseki/format";
import { expect, test } from "bun:test";
import type { Bed } from "./bed.test-helper.ts";
import { bedWithNamespace, namespaceA, put, testDirKeys, testSmall } from "./bed.test-helper.ts";
import { writeDirectory } from "./directories.ts";
import { listObjects, listVersions } from "./list-objects.ts";
import { lookupNamespace } from "./namespaces.ts";
import { overlayOf } from "./overlay.ts";
import { startStep } from "./step.ts";

const text = (key: Uint8Array): string => new TextDecoder().decode(key);
function list(bed: Bed, prefix: string, delimiter: string, after?: string, countMax = 1000) {
  bed.map.reset();
  const page = listObjects(bed.map, testDirKeys, {
    namespace: namespaceA,
    prefix: toUtf8(prefix),
    delimiter: toUtf8(delimiter),
    after: after === undefined ? undefined : toUtf8(after),
    countMax,
  });
  if (page.kind === "refused") throw new Error(page.code);
  const items = page.items.map((item) => text(item.kind === "object" ? item.key : item.prefix));
  const { gets, rows, scans } = bed.map.touched;
  return { items, next: page.next, touched: gets + rows + scans };
}

function wide(directories: number, files: number): Bed {
  const bed = bedWithNamespace();
  for (let d = 0; d < directories; d++) {
    for (let f = 0; f < files; f++) {
      put(bed, `dir-${String(d).padStart(4, "0")}/file-${f}`, testSmall(d * files + f, 5), 5);
    }
  }
  return bed;
}

// Question: what does a page touch in a bucket of 1,000 directories × 20? Answer wanted: a few rows per item.
test("listObjects() touches rows by the page, whatever prefix, delimiter and depth", () => {
  const bed = wide(1000, 20);
  const cases = [
    ["", "/", undefined, 1000],
    ["", "/", "dir-0500/", 10],
    ["", "", undefined, 1000],
    ["", "", "dir-0777/file-15", 10],
    ["dir-05", "/", undefined, 1000],
    ["dir-0500/", "/", undefined, 100],
    ["", "-", undefined, 1000],
    ["dir-0", "0", undefined, 1000],
    ["", "/file", undefined, 1000],
    ["", "e-1", undefined, 1000],
    ["nothing", "/", undefined, 1000],
  ] as const;
  for (const [prefix, delimiter, after, countMax] of cases) {
    const { items, touched } = list(bed, prefix, delimiter, after, countMax);
    // A roll-up inside a directory costs a seek: batches of rows and the way down.
    expect(touched).toBeLessThanOrEqual(40 + 30 * Math.max(1, items.length));
    if (delimiter === "/" && prefix === "") expect(touched).toBeLessThanOrEqual(40 + 4 * countMax);
    if (delimiter === "") expect(touched).toBeLessThanOrEqual(40 + 2 * countMax);
  }
  expect(list(bed, "", "/").items).toHaveLength(1000);
  expect(list(bed, "", "-").items).toEqual(["dir-"]);
});

test("listObjects() touches rows by the page six levels deep", () => {
  const bed = bedWithNamespace();
  for (let i = 0; i < 4 ** 6; i++) {
    const digits = i.toString(4).padStart(6, "0");
    put(bed, `${[...digits].join("/")}/x`);
  }
  const page = list(bed, "", "", "1/2/3/0/1/2/x", 100);
  expect(page.items[0]).toBe("1/2/3/0/1/3/x");
  expect(page.touched).toBeLessThanOrEqual(1000);
  expect(list(bed, "1/2/", "/").items).toEqual(["1/2/0/", "1/2/1/", "1/2/2/", "1/2/3/"]);
});

test("listObjects() ends a page early rather than walk over many dead directories", () => {
  const bed = bedWithNamespace("enabled");
  for (let i = 0; i < 10_010; i++) {
    const key = toUtf8(`dead/${String(i).padStart(5, "0")}/x`);
    bed.decide({ kind: "delete_object", namespace: namespaceA, key });
  }
  put(bed, "live");
  const first = list(bed, "", "");
  expect(first).toMatchObject({ items: [] });
  expect(first.next).toBeDefined();
  const query = { namespace: namespaceA, prefix: toUtf8(""), delimiter: toUtf8(""), countMax: 10 };
  const rest = listObjects(bed.map, testDirKeys, { ...query, after: first.next });
  expect(rest).toMatchObject({ items: [{ key: toUtf8("live") }], next: undefined });
  expect(list(bed, "", "/").items).toEqual(["live"]);
});

test("listVersions() goes on within a name that has many versions", () => {
  const bed = bedWithNamespace("enabled");
  for (let i = 0; i < 2000; i++) put(bed, "k");
  const query = { namespace: namespaceA, prefix: toUtf8(""), delimiter: toUtf8(""), countMax: 10 };
  let after: Parameters<typeof listVersions>[2]["after"];
  for (let pages = 0; pages < 150; pages++) {
    bed.map.reset();
    const page = listVersions(bed.map, testDirKeys, { ...query, after });
    if (page.kind === "refused") throw new Error(page.code);
    expect(page.items).toHaveLength(10);
    expect(bed.map.touched.rows).toBeLessThan(60);
    after = page.next;
  }
});

test("listVersions() goes on after the version called null, wherever it stands", () => {
  const bed = bedWithNamespace();
  const set = (versioning: "enabled" | "suspended") =>
    bed.decide({ kind: "set_versioning", namespace: namespaceA, versioning });
  const query = { namespace: namespaceA, prefix: toUtf8(""), delimiter: toUtf8(""), countMax: 10 };
  const after = (key: string) => {
    const from = { key: toUtf8(key), version: "null" } as const;
    const page = listVersions(bed.map, testDirKeys, { ...query, after: from });
    if (page.kind === "refused") throw new Error(page.code);
    return page.items.map((item) => (item.kind === "version" ? text(item.key) : ""));
  };
  put(bed, "k");
  put(bed, "l");
  expect(after("k")).toEqual(["l"]); // the current one is null and the only one
  set("enabled");
  put(bed, "k");
  put(bed, "k");
  expect(after("k")).toEqual(["l"]); // the oldest
  set("suspended");
  put(bed, "k");
  expect(after("k")).toEqual(["k", "k", "l"]); // the newest
  expect(after("gone")).toEqual(["k", "k", "k", "l"]); // none: behind the key
});

test("listObjects() shows an explicit empty directory as a key with a slash", () => {
  const bed = bedWithNamespace();
  put(bed, "a");
  const step = startStep(bed.map, {} as never);
  const root = lookupNamespace(bed.map, "a")!.root;
  const context = { now: 5, dirKeys: testDirKeys } as never;
  const overlay = overlayOf(bed.map);
  writeDirectory({ ...step, map: overlay, context }, namespaceA, 77n as never, root, toUtf8("d"));
  for (const { key, value } of overlay.writes()) bed.map.put(key, value!);
  const dirKey = testDirKeys.dirKey(77n as never);
  const head = decodeHead(bed.map.get(headKey(dirKey))!);
  bed.map.put(headKey(dirKey), encodeHead({ ...head, isExplicit: true }));
  const row = encodeEntry({ kind: "directory", inode: 77n as never, isExplicit: true });
  bed.map.put(entryKey(testDirKeys.dirKey(root), toUtf8("d/")), row);
  expect(list(bed, "", "").items).toEqual(["a", "d/"]);
  expect(list(bed, "", "/").items).toEqual(["a", "d/"]);
  expect(list(bed, "d/", "/").items).toEqual(["d/"]);
});

test("listObjects() answers nothing for a page of none and for a marker behind all", () => {
  const bed = bedWithNamespace();
  put(bed, "a");
  expect(list(bed, "", "", undefined, 0)).toMatchObject({ items: [], next: undefined });
  expect(list(bed, "a", "", "b")).toMatchObject({ items: [], next: undefined });
  expect(list(bed, "\u{10ffff}", "").items).toEqual([]);
  const query = { prefix: newBytes(0), delimiter: newBytes(0), countMax: 1 };
  const missing = listObjects(bed.map, testDirKeys, { ...query, namespace: newBytes(16) as never });
  expect(missing).toEqual({ kind: "refused", code: "no_such_namespace" });
});
