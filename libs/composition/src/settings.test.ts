// Goal: settings live and die with their namespace, extras change alone and in place.
// Method: single operations on one bed; every invariant is recomputed from the rows after each act.
import { fromUtf8, toUtf8, wallTime } from "@kiseki/base";
import type { ObjectAttributes } from "@kiseki/format";
import { encodeEncryption } from "@kiseki/format";
import { settingSizeMax } from "@kiseki/format";
import { expect, test } from "bun:test";
import type { Bed } from "./bed.test-helper.ts";
import {
  bedWithNamespace,
  namespaceA,
  namespaceB,
  put,
  testBed,
  testDirKeys,
  testSmall,
} from "./bed.test-helper.ts";
import { checkMap } from "./check-map.test-helper.ts";
import { lookupObject } from "./lookup.ts";
import { listNamespaces } from "./namespaces.ts";
import type { ExtrasChanges, VersionRef } from "./operation.ts";
import { lookupSetting } from "./settings.ts";

const cors = { namespace: namespaceA, setting: "cors" } as const;
const value = toUtf8(`{"version":1}`);

test("put_setting and delete_setting write and remove one row, and only where the namespace is", () => {
  const bed = bedWithNamespace();
  expect(lookupSetting(bed.map, namespaceA, "cors")).toBeUndefined();
  expect(bed.decide({ kind: "put_setting", ...cors, value })).toEqual({ kind: "none" });
  expect(fromUtf8(lookupSetting(bed.map, namespaceA, "cors")!)).toBe(`{"version":1}`);
  expect(lookupSetting(bed.map, namespaceA, "acl")).toBeUndefined();
  expect(lookupSetting(bed.map, namespaceB, "cors")).toBeUndefined();
  const other = { namespace: namespaceB, setting: "cors" } as const;
  expect(bed.decide({ kind: "put_setting", ...other, value })).toBe("no_such_namespace");
  expect(bed.decide({ kind: "delete_setting", ...other })).toBe("no_such_namespace");
  const large = new Uint8Array(settingSizeMax + 1);
  expect(bed.decide({ kind: "put_setting", ...cors, value: large })).toBe("setting_too_large");
  expect(bed.decide({ kind: "delete_setting", ...cors })).toEqual({ kind: "none" });
  expect(lookupSetting(bed.map, namespaceA, "cors")).toBeUndefined();
  const rows = bed.log.length;
  expect(bed.decide({ kind: "delete_setting", ...cors })).toEqual({ kind: "none" });
  expect(bed.log.length).toBe(rows);
});

test("delete_namespace takes its settings along, and listings of names do not see them", () => {
  const bed = bedWithNamespace();
  bed.decide({ kind: "create_namespace", id: namespaceB, name: "b" });
  for (const setting of ["acl", "website"] as const) {
    bed.decide({ kind: "put_setting", namespace: namespaceA, setting, value });
    bed.decide({ kind: "put_setting", namespace: namespaceB, setting, value });
  }
  checkMap(bed.map, testDirKeys);
  const names = () => listNamespaces(bed.map, undefined, 10).namespaces.map(({ name }) => name);
  expect(names()).toEqual(["a", "b"]);
  expect(bed.decide({ kind: "delete_namespace", namespace: namespaceA })).toMatchObject({});
  expect(names()).toEqual(["b"]);
  checkMap(bed.map, testDirKeys);
  expect(lookupSetting(bed.map, namespaceA, "acl")).toBeUndefined();
  expect(lookupSetting(bed.map, namespaceB, "website")).toEqual(value);
});

const key = toUtf8("d/k");
const attributesOf = (bed: Bed, version?: VersionRef): ObjectAttributes => {
  const query = { namespace: namespaceA, key, ...(version === undefined ? {} : { version }) };
  const found = lookupObject(bed.map, testDirKeys, query);
  if (found.kind !== "object") throw new Error(found.kind);
  return found.cold.attributes;
};
const setExtras = (bed: Bed, changes: ExtrasChanges, version?: VersionRef) =>
  bed.decide({
    kind: "set_object_extras",
    namespace: namespaceA,
    key,
    changes,
    ...(version === undefined ? {} : { version }),
  });

test("set_object_extras changes what it names, on the version it names, in one delta", () => {
  const bed = bedWithNamespace("enabled");
  const first = put(bed, "d/k", testSmall(7, 42), 42);
  put(bed, "d/k");
  if (typeof first === "string" || first.kind !== "object") throw new Error("not put");
  const { version } = first;
  const rows = bed.log.length;
  const set = setExtras(bed, { tags: [["a", "1"]], acl: value }, version);
  expect(set).toEqual({ kind: "version", version, isNull: false });
  expect(bed.log.length).toBe(rows + 1);
  expect(attributesOf(bed)).not.toHaveProperty("tags");
  expect(attributesOf(bed, version)).toMatchObject({ tags: [["a", "1"]], acl: value });
  setExtras(bed, { tags: [["b", "2"]] }, version);
  expect(attributesOf(bed, version)).toMatchObject({ tags: [["b", "2"]], acl: value });
  setExtras(bed, { tags: [], acl: null }, version);
  expect(Object.keys(attributesOf(bed, version)).toSorted()).toEqual([
    "checksums",
    "headers",
    "userMetadata",
  ]);
  checkMap(bed.map, testDirKeys);
});

test("set_object_extras refuses what is not there, markers and too much", () => {
  const bed = bedWithNamespace("enabled");
  const tags = { tags: [["a", "1"]] } as const;
  expect(setExtras(bed, tags)).toBe("no_such_key");
  put(bed, "d/k");
  expect(setExtras(bed, tags, 999n)).toBe("no_such_version");
  expect(setExtras(bed, tags, "null")).toBe("no_such_version");
  expect(setExtras(bed, { tags: [["a", "x".repeat(20_000)]] })).toBe("attributes_too_large");
  expect(setExtras(bed, { acl: new Uint8Array(16 * 1024 + 1) })).toBe("attributes_too_large");
  const marker = bed.decide({ kind: "delete_object", namespace: namespaceA, key });
  if (typeof marker === "string" || marker.kind !== "deleted") throw new Error("not deleted");
  expect(setExtras(bed, tags)).toBe("no_such_key");
  expect(setExtras(bed, tags, marker.version!)).toBe("is_delete_marker");
  const nowhere = { namespace: namespaceB, key, changes: tags } as const;
  expect(bed.decide({ kind: "set_object_extras", ...nowhere })).toBe("no_such_namespace");
});

test("copy_object takes tags along, and neither ACL nor locks nor keys", () => {
  const bed = testBed();
  bed.decide({ kind: "create_namespace", id: namespaceA, name: "a", isLockEnabled: true });
  const attributes: ObjectAttributes = {
    headers: [["content-type", "a/b"]],
    userMetadata: [],
    checksums: [],
    tags: [["a", "1"]],
    acl: value,
    encryption: encodeEncryption({ kind: "kms", isBucketKey: false }),
    retention: { mode: "governance", until: wallTime(2_000_000) },
    legalHold: true,
  };
  const source = { namespace: namespaceA, key: toUtf8("from") };
  const etag = { md5: new Uint8Array(16), parts: 0 };
  const content = { kind: "empty" } as const;
  bed.decide({ kind: "put_object", ...source, content, size: 0, etag, attributes });
  expect(bed.decide({ kind: "copy_object", namespace: namespaceA, key, source })).toMatchObject({
    kind: "object",
  });
  expect(attributesOf(bed)).toEqual({
    headers: [["content-type", "a/b"]],
    userMetadata: [],
    checksums: [],
    tags: [["a", "1"]],
  });
});
