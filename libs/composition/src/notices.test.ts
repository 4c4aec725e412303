/** What those who subscribed are told by the log: every change of an object, once, and nothing else. */
import { toHex, toUtf8 } from "@kiseki/base";
import { decodeNotice, decodeRowWrites, isLoggedNoticeKey, type NoticeRow } from "@kiseki/format";
import { expect, test } from "bun:test";
import {
  type Bed,
  bedWithNamespace,
  md5,
  namespaceA,
  noAttributes,
  put,
  testExtents,
} from "./bed.test-helper.ts";
import { memoryMap } from "./memory-map.test-helper.ts";
import { apply } from "./decide.ts";
import type { Origin } from "./operation.ts";

const key = (name: string) => ({ namespace: namespaceA, key: toUtf8(name) });
function subscribe(bed: Bed): void {
  const value = new Uint8Array(1);
  const setting = { kind: "put_setting", namespace: namespaceA, setting: "notification" } as const;
  expect(bed.decide({ ...setting, value })).toEqual({ kind: "none" });
}
/** Notices in the log since the last call. */
function noticesOf(bed: Bed): readonly NoticeRow[] {
  return bed.log.splice(0).flatMap((payload) => {
    const rows = decodeRowWrites(payload);
    if (rows instanceof Error) throw rows;
    return rows.filter((row) => isLoggedNoticeKey(row.key)).map((row) => decodeNotice(row.value!));
  });
}
const eventsOf = (bed: Bed) => noticesOf(bed).map(({ event }) => event);
const origin: Origin = { principal: "AWS:x", address: "::1", requestId: "R" };

test("decide() tells of every change of an object in a bucket that subscribed, and of no other", () => {
  const bed = bedWithNamespace();
  put(bed, "before");
  expect(noticesOf(bed)).toEqual([]);
  subscribe(bed);
  noticesOf(bed);
  bed.origin = origin;
  const now = bed.now + 1;
  put(bed, "a/b", testExtents([1], [1]), 100);
  expect(noticesOf(bed)).toEqual([
    {
      event: "created:put",
      namespace: namespaceA,
      bucket: "a",
      key: toUtf8("a/b"),
      version: expect.any(BigInt) as unknown as bigint,
      isNull: true,
      isVersioned: false,
      size: 100,
      etag: { md5: md5(toUtf8("a/b")), parts: 0 },
      time: now as NoticeRow["time"],
      ...origin,
    } as NoticeRow,
  ]);
  bed.decide({ kind: "copy_object", ...key("copy"), source: key("a/b") });
  const upload = bed.decide({
    ...{ kind: "create_upload", ...key("parts"), attributes: noAttributes },
    random: new Uint8Array(16).fill(3),
  });
  if (typeof upload === "string" || upload.kind !== "upload") throw new Error(String(upload));
  const at = { ...key("parts"), upload: upload.upload };
  const sum = md5(toUtf8("part"));
  const content = testExtents([2], [2]);
  bed.decide({ kind: "put_part", ...at, part: 1, content, size: 100, md5: sum, checksums: [] });
  const parts = [{ part: 1, etag: toHex(sum) }];
  const complete = { kind: "complete_upload", ...at, parts, checksums: [] } as const;
  expect(bed.decide(complete)).toEqual(bed.decide(complete));
  bed.decide({ kind: "set_object_extras", ...key("copy"), changes: { tags: [["k", "v"]] } });
  bed.decide({ kind: "set_object_extras", ...key("copy"), changes: { tags: null } });
  bed.decide({ kind: "delete_object", ...key("copy") });
  bed.decide({ kind: "delete_object", ...key("copy") });
  bed.decide({ kind: "delete_object", ...key("a/b"), conditions: { ifMatch: ["x"] } });
  bed.decide({ kind: "reclaim_step" });
  expect(eventsOf(bed)).toEqual([
    "created:copy",
    "created:complete",
    "tagging:put",
    "tagging:delete",
    "removed:delete",
  ]);
  bed.decide({ kind: "delete_setting", namespace: namespaceA, setting: "notification" });
  put(bed, "after");
  expect(noticesOf(bed)).toEqual([]);
});

test("decide() tells versions, markers and what the node did by itself apart", () => {
  const bed = bedWithNamespace("enabled");
  subscribe(bed);
  const made = put(bed, "k");
  if (typeof made === "string" || made.kind !== "object") throw new Error(String(made));
  noticesOf(bed);
  bed.decide({ kind: "delete_object", ...key("k") });
  bed.decide({ kind: "delete_object", ...key("k"), version: made.version });
  const [marker, version] = noticesOf(bed);
  expect(marker).toMatchObject({ event: "removed:marker", isNull: false, isVersioned: true });
  expect(version).toMatchObject({ event: "removed:delete", version: made.version });
  bed.origin = { ...origin, via: "lifecycle" };
  put(bed, "l");
  bed.decide({ kind: "delete_object", ...key("l") });
  const old = noticesOf(bed).find(({ event }) => event === "created:put")!;
  bed.decide({ kind: "delete_object", ...key("l"), version: old.version });
  expect(eventsOf(bed)).toEqual(["expired:delete"]);
  for (const [via, event] of [
    ["form", "created:post"],
    ["copy", "created:copy"],
  ] as const) {
    bed.origin = { ...origin, via };
    put(bed, via);
    expect(eventsOf(bed)).toEqual([event]);
  }
});

test("apply() passes over notices: they are in the log and in no map", () => {
  const bed = bedWithNamespace();
  subscribe(bed);
  put(bed, "k");
  const log = [...bed.log];
  expect(noticesOf(bed)).toHaveLength(1);
  const again = memoryMap();
  for (const payload of log) {
    const rows = decodeRowWrites(payload);
    if (rows instanceof Error) throw rows;
    apply(again, { rows });
  }
  expect(again.rows()).toEqual(bed.map.rows());
  expect(again.rows().filter(([row]) => isLoggedNoticeKey(row))).toEqual([]);
});
