// Goal: a locked version stays as it is until its time is over, whatever is asked of the machine.
// Method: one locked version and every operation that might take it away, one after another and in random
// order; after each the version is read whole and every invariant is recomputed from the rows.
import { prngFromSeed, toUtf8, wallTime } from "@kiseki/base";
import type { LockDefault, ObjectAttributes, Retention } from "@kiseki/format";
import { decodeLockDefault, encodeLockDefault, table } from "@kiseki/format";
import { expect, test } from "bun:test";
import type { Bed } from "./bed.test-helper.ts";
import {
  namespaceA,
  namespaceB,
  noAttributes,
  put,
  testBed,
  testDirKeys,
  testExtents,
  testSmall,
} from "./bed.test-helper.ts";
import { checkMap } from "./check-map.test-helper.ts";
import { lookupHolds } from "./holds.ts";
import { lookupObject } from "./lookup.ts";
import type { ExtrasChanges, Operation, VersionRef } from "./operation.ts";
import { hasReclaim } from "./reclaim.ts";

const key = toUtf8("d/locked");
const name = { namespace: namespaceA, key } as const;
const later = (bed: Bed, by: number) => wallTime(bed.now + by);

function lockBed(): Bed {
  const bed = testBed();
  bed.decide({ kind: "create_namespace", id: namespaceA, name: "a", isLockEnabled: true });
  return bed;
}
function putLocked(
  bed: Bed,
  locks: Pick<ObjectAttributes, "retention" | "legalHold">,
  n = 1,
): bigint {
  const answer = bed.decide({
    kind: "put_object",
    ...name,
    content: testExtents([n], [100 + n]),
    size: 100,
    etag: { md5: new Uint8Array(16).fill(n), parts: 0 },
    attributes: { ...noAttributes, ...locks },
  });
  if (typeof answer === "string" || answer.kind !== "object") throw new Error(String(answer));
  return answer.version;
}
const find = (bed: Bed, version?: VersionRef) => {
  const query = version === undefined ? name : { ...name, version };
  return lookupObject(bed.map, testDirKeys, query);
};
function attributesOf(bed: Bed, version?: VersionRef): ObjectAttributes {
  const found = find(bed, version);
  if (found.kind !== "object") throw new Error(found.kind);
  return found.cold.attributes;
}
const change = (bed: Bed, changes: ExtrasChanges, version?: VersionRef, isBypassing = false) =>
  bed.decide({
    kind: "set_object_extras",
    ...name,
    changes,
    isBypassing,
    ...(version === undefined ? {} : { version }),
  });
const remove = (bed: Bed, version: VersionRef, isBypassing = false) =>
  bed.decide({ kind: "delete_object", ...name, version, isBypassing });

test("create_namespace with locks enables versioning, which is never suspended", () => {
  const bed = testBed();
  const created = bed.decide({
    kind: "create_namespace",
    id: namespaceA,
    name: "a",
    isLockEnabled: true,
  });
  const locked = { isLockEnabled: true, versioning: "enabled" };
  expect(created).toMatchObject({ namespace: locked });
  for (const versioning of ["suspended", "off"] as const) {
    const answer = bed.decide({ kind: "set_versioning", namespace: namespaceA, versioning });
    expect(["versioning_locked", "invalid_versioning"]).toContain(answer as string);
  }
  const again = { kind: "set_versioning", namespace: namespaceA, versioning: "enabled" } as const;
  expect(bed.decide(again)).toMatchObject({ namespace: locked });
});

test("set_object_lock wants versioning, switches locks on for good and is changed by itself alone", () => {
  const bed = testBed();
  bed.decide({ kind: "create_namespace", id: namespaceA, name: "a" });
  const set = (byDefault?: LockDefault) =>
    bed.decide({
      kind: "set_object_lock",
      namespace: namespaceA,
      ...(byDefault === undefined ? {} : { byDefault }),
    });
  expect(set()).toBe("lock_needs_versioning");
  bed.decide({ kind: "set_versioning", namespace: namespaceA, versioning: "suspended" });
  expect(set()).toBe("lock_needs_versioning");
  bed.decide({ kind: "set_versioning", namespace: namespaceA, versioning: "enabled" });
  expect(set({ mode: "governance", unit: "days", count: 1 })).toMatchObject({ kind: "namespace" });
  const setting = { namespace: namespaceA, setting: "object-lock" } as const;
  const value = encodeLockDefault(undefined);
  expect(bed.decide({ kind: "put_setting", ...setting, value })).toBe("object_locked");
  expect(bed.decide({ kind: "delete_setting", ...setting })).toBe("object_locked");
  expect(bed.decide({ kind: "set_object_lock", namespace: namespaceB })).toBe("no_such_namespace");
});

test("locks are refused where they are not enabled, and when they end in the past", () => {
  const bed = testBed();
  bed.decide({ kind: "create_namespace", id: namespaceA, name: "a" });
  const until = later(bed, 1000);
  const attempt = (attributes: ObjectAttributes): readonly unknown[] => [
    bed.decide({
      kind: "put_object",
      ...name,
      content: { kind: "empty" },
      size: 0,
      etag: { md5: new Uint8Array(16), parts: 0 },
      attributes,
    }),
    bed.decide({ kind: "create_upload", ...name, random: new Uint8Array(16), attributes }),
    bed.decide({
      kind: "copy_object",
      ...name,
      source: { namespace: namespaceA, key: toUtf8("from") },
      attributes,
    }),
  ];
  put(bed, "from");
  const retention = { mode: "governance", until } as const;
  const refused = ["lock_not_enabled", "lock_not_enabled", "lock_not_enabled"];
  expect(attempt({ ...noAttributes, retention })).toEqual(refused);
  expect(attempt({ ...noAttributes, legalHold: false })).toEqual(refused);
  put(bed, "d/locked");
  expect(change(bed, { retention })).toBe("lock_not_enabled");
  expect(change(bed, { legalHold: true })).toBe("lock_not_enabled");
  bed.decide({ kind: "set_versioning", namespace: namespaceA, versioning: "enabled" });
  bed.decide({ kind: "set_object_lock", namespace: namespaceA });
  const past = { mode: "compliance", until: wallTime(bed.now) } as const;
  const inPast = ["retention_in_past", "retention_in_past", "retention_in_past"];
  expect(attempt({ ...noAttributes, retention: past })).toEqual(inPast);
  expect(change(bed, { retention: past })).toBe("retention_in_past");
  expect(change(bed, { retention: { ...past, until: later(bed, 10) } })).toMatchObject({
    kind: "version",
  });
});

test("governance yields to a bypass alone, compliance to nobody, and both to their end", () => {
  for (const mode of ["governance", "compliance"] as const) {
    const bed = lockBed();
    const until = later(bed, 1000);
    const version = putLocked(bed, { retention: { mode, until } });
    const both = (changes: ExtrasChanges) => [
      change(bed, changes, version),
      change(bed, changes, version, true),
    ];
    expect(remove(bed, version)).toBe("object_locked");
    const bypassed = mode === "compliance" ? "object_locked" : expect.anything();
    const shorter = later(bed, 500);
    expect(both({ retention: { mode, until: shorter } })).toEqual(["object_locked", bypassed]);
    const other = mode === "compliance" ? "governance" : "compliance";
    if (mode === "compliance") {
      expect(both({ retention: { mode: other, until } })).toEqual(["object_locked", bypassed]);
      expect(both({ retention: null })).toEqual(["object_locked", bypassed]);
      expect(remove(bed, version, true)).toBe("object_locked");
      const longer = later(bed, 2000);
      expect(change(bed, { retention: { mode, until: longer } }, version)).toMatchObject({
        kind: "version",
      });
      expect(attributesOf(bed, version).retention).toEqual({ mode, until: longer });
      bed.now = longer - 2;
      expect(remove(bed, version, true)).toBe("object_locked"); // a millisecond before
      expect(remove(bed, version)).toMatchObject({ kind: "deleted", version });
    } else {
      expect(both({ retention: { mode: other, until: shorter } })[0]).toBe("object_locked");
      expect(attributesOf(bed, version).retention?.mode).toBe(other); // by the bypass
      const plain = putLocked(bed, { retention: { mode, until: later(bed, 1000) } }, 2);
      expect(change(bed, { retention: null }, plain)).toBe("object_locked");
      expect(change(bed, { retention: null }, plain, true)).toMatchObject({ kind: "version" });
      expect(remove(bed, plain)).toMatchObject({ kind: "deleted" });
    }
    checkMap(bed.map, testDirKeys);
  }
});

test("a legal hold keeps the version with and without retention, and no bypass lifts it", () => {
  const bed = lockBed();
  const version = putLocked(bed, { legalHold: true });
  expect(remove(bed, version, true)).toBe("object_locked");
  bed.now += 10 ** 12;
  expect(remove(bed, version)).toBe("object_locked");
  change(bed, { legalHold: false }, version);
  expect(attributesOf(bed, version).legalHold).toBe(false);
  expect(remove(bed, version)).toMatchObject({ kind: "deleted" });
});

test("a new version takes the default retention unless it brings its own", () => {
  const bed = lockBed();
  const day = 24 * 3600 * 1000;
  const set = (byDefault: LockDefault) =>
    bed.decide({ kind: "set_object_lock", namespace: namespaceA, byDefault });
  set({ mode: "compliance", unit: "days", count: 2 });
  const version = putLocked(bed, {});
  expect(attributesOf(bed, version).retention).toEqual({
    mode: "compliance",
    until: wallTime(bed.now + 2 * day),
  });
  const own: Retention = { mode: "governance", until: later(bed, 1000) };
  expect(attributesOf(bed, putLocked(bed, { retention: own }, 2)).retention).toEqual(own);
  set({ mode: "governance", unit: "years", count: 1 });
  bed.decide({
    kind: "copy_object",
    ...name,
    source: { namespace: namespaceA, key, version },
  });
  const copied = attributesOf(bed).retention;
  expect(copied).toEqual({ mode: "governance", until: wallTime(bed.now + 366 * day) });
  const upload = bed.decide({
    kind: "create_upload",
    ...name,
    random: new Uint8Array(16),
    attributes: { ...noAttributes, retention: { mode: "compliance", until: later(bed, 2) } },
  });
  if (typeof upload === "string" || upload.kind !== "upload") throw new Error(String(upload));
  const md5 = new Uint8Array(16);
  const part = { upload: upload.upload, content: testSmall(9, 42), size: 42, md5 };
  bed.decide({ kind: "put_part", ...name, ...part, part: 1, checksums: [] });
  bed.now += 1000; // its own retention is over: the object is not locked, nor the complete refused
  const completed = bed.decide({
    kind: "complete_upload",
    ...name,
    upload: upload.upload,
    parts: [{ part: 1, etag: "0".repeat(32) }],
    checksums: [],
  });
  if (typeof completed === "string" || completed.kind !== "object") throw new Error("incomplete");
  expect(remove(bed, completed.version)).toMatchObject({ kind: "deleted" });
  expect(remove(bed, version)).toBe("object_locked");
  bed.decide({ kind: "set_object_lock", namespace: namespaceA });
  expect(attributesOf(bed, putLocked(bed, {}, 4))).not.toHaveProperty("retention");
});

test("decodeLockDefault() reads what was written and nothing else", () => {
  const value: LockDefault = { mode: "governance", unit: "years", count: 100 };
  expect(decodeLockDefault(encodeLockDefault(value))).toEqual(value);
  expect(decodeLockDefault(encodeLockDefault(undefined))).toBeUndefined();
  const bad = [
    "",
    "null",
    "{}",
    `{"version":2}`,
    `{"version":1,"mode":"governance"}`,
    `{"version":1,"mode":"x","unit":"days","count":1}`,
    `{"version":1,"mode":"governance","unit":"days","count":0}`,
    `{"version":1,"mode":"governance","unit":"years","count":101}`,
    `{"version":1,"more":1}`,
  ];
  for (const text of bad) expect(() => decodeLockDefault(toUtf8(text))).toThrow();
});

test("a hold keeps what a namespace has, with and without versions, until it ends or is released", () => {
  for (const versioning of ["off", "enabled", "suspended"] as const) {
    const bed = testBed();
    bed.decide({ kind: "create_namespace", id: namespaceA, name: "a" });
    const version = putLocked(bed, {});
    if (versioning !== "off") {
      bed.decide({ kind: "set_versioning", namespace: namespaceA, versioning });
    }
    const hold = (id: string, by?: number) =>
      bed.decide({
        kind: "set_hold",
        namespace: namespaceA,
        hold: by === undefined ? { id } : { id, until: later(bed, by) },
      });
    const release = (id: string) => bed.decide({ kind: "release_hold", namespace: namespaceA, id });
    expect(hold("case")).toEqual({ kind: "none" });
    expect(hold("year", 1000)).toEqual({ kind: "none" });
    expect(hold("a b")).toBe("invalid_hold");
    expect(hold("past", 0)).toBe("retention_in_past");
    expect(lookupHolds(bed.map, namespaceA).map(({ id }) => id)).toEqual(["case", "year"]);
    const attempt = () => [
      remove(bed, version, true),
      remove(bed, "null", true),
      bed.decide({ kind: "delete_namespace", namespace: namespaceA }),
      bed.decide({ kind: "delete_setting", namespace: namespaceA, setting: "holds" }),
    ];
    expect(new Set(attempt())).toEqual(new Set(["object_locked"]));
    const over = put(bed, "d/locked");
    const plain = bed.decide({ kind: "delete_object", ...name });
    if (versioning === "enabled") {
      expect([over, plain]).toMatchObject([{ kind: "object" }, { kind: "deleted" }]);
    } else expect([over, plain]).toEqual(["object_locked", "object_locked"]);
    expect(put(bed, "new")).toMatchObject({ kind: "object" });
    expect(release("nobody")).toBe("no_such_hold");
    expect(release("case")).toEqual({ kind: "none" });
    expect(remove(bed, version)).toBe("object_locked");
    const found = find(bed, "null");
    expect(found).toMatchObject({ kind: "object", entry: { version } });
    checkMap(bed.map, testDirKeys);
    bed.now += 1000;
    expect(remove(bed, version)).toMatchObject({ kind: "deleted", version });
    expect(release("year")).toEqual({ kind: "none" });
    expect(lookupHolds(bed.map, namespaceA)).toEqual([]);
  }
});

/** Each way to take a version away that the machine knows, and a few that it should not. */
function attempts(bed: Bed, version: bigint): readonly Operation[] {
  const etag = { md5: new Uint8Array(16), parts: 0 };
  const content = { kind: "empty" } as const;
  const attributes = noAttributes;
  const shorter: Retention = { mode: "compliance", until: later(bed, 5) };
  const extras = { kind: "set_object_extras", ...name, version, isBypassing: true } as const;
  return [
    { kind: "delete_object", ...name, version },
    { kind: "delete_object", ...name, version, isBypassing: true },
    { kind: "delete_object", ...name, version: "null", isBypassing: true },
    { kind: "delete_object", ...name },
    { kind: "delete_object", ...name, conditions: { ifMatch: ["*"] } },
    { kind: "put_object", ...name, content, size: 0, etag, attributes },
    { kind: "copy_object", ...name, source: { ...name, version }, attributes },
    { kind: "set_versioning", namespace: namespaceA, versioning: "suspended" },
    { kind: "set_versioning", namespace: namespaceA, versioning: "off" },
    { kind: "delete_namespace", namespace: namespaceA },
    { kind: "create_namespace", id: namespaceA, name: "again" },
    { kind: "delete_setting", namespace: namespaceA, setting: "object-lock" },
    { kind: "put_setting", namespace: namespaceA, setting: "object-lock", value: toUtf8("{}") },
    { kind: "set_object_lock", namespace: namespaceA },
    { ...extras, changes: { retention: null } },
    { ...extras, changes: { retention: shorter } },
    { ...extras, changes: { retention: { ...shorter, mode: "governance" } } },
    { ...extras, changes: { retention: null, legalHold: false, tags: null } },
    { kind: "reclaim_step" },
  ];
}
const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0],
);
test(`nothing takes a version in compliance mode away (replay with KISEKI_SIM_SEED=${seed})`, () => {
  const prng = prngFromSeed(seed);
  for (let round = 0; round < 6; round++) {
    const bed = lockBed();
    const until = later(bed, 1_000_000);
    const version = putLocked(bed, { retention: { mode: "compliance", until } });
    const before = find(bed, version);
    if (before.kind !== "object") throw new Error(before.kind);
    const order = attempts(bed, version);
    for (let i = 0; i < 80; i++) {
      const operation =
        i < order.length && round === 0 ? order[i]! : order[prng.below(order.length)]!;
      bed.decide(operation);
      while (hasReclaim(bed.map, bed.now)) bed.decide({ kind: "reclaim_step" });
      const after = find(bed, version);
      expect(after.kind).toBe("object");
      if (after.kind !== "object") return;
      expect(after.cold).toEqual(before.cold);
      expect(after.entry).toEqual(before.entry);
    }
    checkMap(bed.map, testDirKeys);
    let rows = 0;
    bed.map.scan(
      { start: Uint8Array.of(table.chunk), end: Uint8Array.of(table.chunk + 1) },
      () => (rows += 1) > 0,
    );
    expect(rows).toBeGreaterThan(0);
    bed.now = until;
    expect(remove(bed, version)).toMatchObject({ kind: "deleted" });
  }
});
