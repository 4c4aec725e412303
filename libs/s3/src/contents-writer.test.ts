import { expect, test } from "bun:test";
import { fromUtf8, toUtf8, wallTime } from "@kiseki/base";
import { ContentsWriter } from "./contents-writer.ts";
import type { ListedObject } from "./result.ts";

const object = (key: string, changes: Partial<ListedObject> = {}): ListedObject => ({
  key: toUtf8(key),
  lastModified: wallTime(1_795_000_000_007),
  etag: "d41d8cd98f00b204e9800998ecf8427e",
  size: 4096,
  storageClass: "STANDARD",
  owner: { id: "0a", displayName: "main" },
  checksumAlgorithm: undefined,
  checksumType: undefined,
  ...changes,
});

function write(
  objects: readonly ListedObject[],
  options: { readonly isUrlEncoded?: boolean; readonly isOwnerShown?: boolean } = {},
): string {
  const { isUrlEncoded = false, isOwnerShown = false } = options;
  const writer = new ContentsWriter({ isUrlEncoded, isOwnerShown, count: 0 });
  for (const one of objects) writer.add(one);
  return fromUtf8(writer.done())!;
}
const keysIn = (text: string): readonly string[] =>
  [...text.matchAll(/<Key(?:\/>|>(.*?)<\/Key>)/g)].map(([, key]) => key ?? "");

test("add() writes all of an object, element by element", () => {
  const owner = { id: "<id>", displayName: "" };
  const full = object("k", {
    ...{ checksumAlgorithm: "crc64nvme", checksumType: "FULL_OBJECT", storageClass: "GLACIER" },
    ...{ owner, etag: "00ff-12", size: 2 ** 42, lastModified: wallTime(1_795_000_001_999) },
  });
  expect(write([full], { isOwnerShown: true })).toBe(
    "<Contents><Key>k</Key><LastModified>2026-11-18T11:06:41.999Z</LastModified><ETag>&quot;00ff-12&quot;</ETag>" +
      "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>4398046511104</Size>" +
      "<Owner><ID>&lt;id&gt;</ID><DisplayName/></Owner><StorageClass>GLACIER</StorageClass></Contents>",
  );
});

test("add() escapes keys as documents and as encoding-type=url ask", () => {
  const keys = ["plain/key-_.~9", `&<>"'`, "a b+%", "é日", "\u0001\u007f\u0085", ""];
  const objects = keys.map((key) => object(key));
  expect(keysIn(write(objects))).toEqual([
    ...["plain/key-_.~9", "&amp;&lt;&gt;&quot;'", "a b+%", "é日", "&#x1;&#x7F;&#x85;", ""],
  ]);
  expect(keysIn(write(objects, { isUrlEncoded: true }))).toEqual([
    ...["plain/key-_.~9", "%26%3C%3E%22%27", "a%20b%2B%25", "%C3%A9%E6%97%A5", "%01%7F%C2%85", ""],
  ]);
});

test("add() writes the time of each object, before 1970 too", () => {
  const times = [0, 7, 999, 1000, 999, -1, -1000, -62_167_219_200_000, 253_402_300_799_999];
  const text = write(times.map((time) => object("k", { lastModified: wallTime(time) })));
  const dates = [...text.matchAll(/<LastModified>(.*?)<\/LastModified>/g)].map(([, date]) => date!);
  expect(dates).toEqual(times.map((time) => new Date(time).toISOString()));
});
