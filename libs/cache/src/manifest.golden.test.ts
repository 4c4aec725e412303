import { expect, test } from "bun:test";
import { encodeManifest, type Manifest, parseManifest } from "./index.ts";

const manifest: Manifest = {
  dataset: "/training/imagenet",
  namespace: "0b".repeat(16),
  isComplete: true,
  stagedAt: 1_700_000_000_000,
  files: [
    {
      path: "a/b.bin",
      inode: 2n ** 63n,
      home: 2n,
      version: 7n,
      size: 5,
      modified: 1_700_000_000_123_456_789n,
      image: "0c".repeat(16),
      checksum: 0xffff_ffff,
      chunks: ["0d".repeat(32)],
    },
  ],
};
// Append only: pools outlive the program that filled them.
const golden: readonly (readonly [manifest: Manifest, text: string])[] = [
  [
    manifest,
    `{"version":1,"dataset":"/training/imagenet","namespace":"${"0b".repeat(16)}","isComplete":true,"stagedAt":1700000000000,"files":[{"path":"a/b.bin","inode":"9223372036854775808","home":"2","version":"7","size":5,"modified":"1700000000123456789","image":"${"0c".repeat(16)}","checksum":4294967295,"chunks":["${"0d".repeat(32)}"]}]}`,
  ],
  [
    { ...manifest, dataset: "ä", isComplete: false, stagedAt: 0, files: [] },
    `{"version":1,"dataset":"ä","namespace":"${"0b".repeat(16)}","isComplete":false,"stagedAt":0,"files":[]}`,
  ],
];

test.each(golden)("encodeManifest() and parseManifest() keep v1, row %#", (value, text) => {
  expect(encodeManifest(value)).toBe(text);
  expect(parseManifest(text)).toEqual(value);
});

test("parseManifest() takes nothing that is not as encodeManifest() makes it", () => {
  const text = encodeManifest(manifest);
  const changed = (from: string, to: string): string => {
    expect(text).toContain(from);
    return text.replace(from, to);
  };
  for (const bad of [
    "",
    "null",
    "[]",
    text.slice(0, -1),
    changed('"version":1', '"version":2'),
    changed('"isComplete":true', '"isComplete":1'),
    changed('"stagedAt":1700000000000', '"stagedAt":-1'),
    changed('"size":5', '"size":5.5'),
    changed('"inode":"9223372036854775808"', '"inode":"-1"'),
    changed('"checksum":4294967295', '"checksum":4294967296'),
    changed("0c".repeat(16), "../../../../../../../../etc/pass"),
    changed("0d".repeat(32), "0d"),
    changed('"files":[', '"files":[null,'),
    // Two files of one image.
    changed('"files":[', `"files":[${/\{"path".*\}/.exec(text)![0].slice(0, -2)},`),
  ])
    expect(parseManifest(bad)).toBeUndefined();
});
