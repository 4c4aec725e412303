// Goal: rows of files and directories keep their bytes for ever, and a damaged row is refused instead of misread.
// Method: one sample of each row, append only; every prefix, a longer row and another version are tried.
import type { InodeId, NamespaceId, WallTime } from "@kiseki/base";
import { fromHex, newBytes, toHex, toUtf8 } from "@kiseki/base";
import { expect, test } from "bun:test";
import { RowError } from "./codec.ts";
import * as files from "./files.ts";
import { decodeFileLocks, encodeFileLocks } from "./locks.ts";
import { decodeOutcome, encodeOutcome } from "./outcome.ts";
import type { ColdRow, HeadRow, InodeRow, ObjectEntry } from "./types.ts";

const filled = (size: number, byte: number): Uint8Array => newBytes(size).fill(byte);
const namespace = filled(16, 0xaa) as NamespaceId;
const inode = 0x1234n as InodeId;
const time = 1_700_000_000_000 as WallTime;
const times = { atime: -1n, mtime: 1_700_000_000_123_456_789n, ctime: 0n, btime: 5n } as const;
const entry: ObjectEntry = {
  kind: "object",
  inode,
  version: 7n,
  isNull: true,
  home: undefined,
  size: 300,
  etag: { md5: filled(16, 0xed), parts: 0 },
  modified: time,
  created: time,
  mode: 0o4755,
  uid: 1000,
  gid: 100,
  node: { type: "file", rdev: 0, ...times, revision: 3, contentRevision: 2, allocated: 200 },
};
const device = { ...times, revision: 1, contentRevision: 0, allocated: 0 };
const head: HeadRow = {
  inode,
  parent: 7n as InodeId,
  name: toUtf8("d"),
  namespace,
  isOpen: true,
  isExplicit: true,
  generation: 1,
  live: 2,
  total: 300,
  hidden: 4,
  modified: time,
  mode: 0o2755,
  uid: 1,
  gid: 2,
  node: { ...times, revision: 9, directories: 1 },
};
const attributes = { headers: [], userMetadata: [], checksums: [] } as const;
const cold: ColdRow = { name: toUtf8("f"), content: { kind: "empty" }, attributes };
const place = { directory: 7n as InodeId, name: toUtf8("g") };
const moved: InodeRow = {
  entry: { ...entry, home: 8n as InodeId },
  links: 1,
  isOpen: false,
  namespace,
  place,
};
const { node: _node, ...plain } = entry;
const facts = {
  type: "file",
  inode,
  mode: 0o4755,
  uid: 1000,
  gid: 100,
  size: 300,
  allocated: 200,
  links: 2,
  rdev: 0,
  ...times,
  revision: 3,
  contentVersion: 2n,
} as const;

type Sample = readonly [
  name: string,
  encoded: Uint8Array,
  row: unknown,
  decode: (source: Uint8Array) => unknown,
  hex: string,
];
const sample = <T>(
  name: string,
  encode: (row: T) => Uint8Array,
  decode: (source: Uint8Array) => T,
  row: T,
  hex: string,
): Sample => [name, encode(row), row, decode, hex];
const { encodeEntry, decodeEntry, encodeHead, decodeHead } = files;
const { encodeInode, decodeInode, encodeCold, decodeCold } = files;
// Append only: an edited row is a broken upgrade.
const golden: readonly Sample[] = [
  sample(
    "v2 entry, file",
    encodeEntry,
    decodeEntry,
    entry,
    "020101b42407ac02edededededededededededededededed0080a0abfef96280a0abfef962ed13e80764010001ff93ebdc0380c49fd50c959aef3a000000050302c801",
  ),
  sample(
    "v2 entry, device",
    encodeEntry,
    decodeEntry,
    { ...entry, node: { ...device, type: "block", rdev: 0x801 } },
    "020101b42407ac02edededededededededededededededed0080a0abfef96280a0abfef962ed13e8076406811001ff93ebdc0380c49fd50c959aef3a00000005010000",
  ),
  sample(
    "v2 head",
    encodeHead,
    decodeHead,
    head,
    "0203b424070164aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa0102ac020480a0abfef962ed0b010201ff93ebdc0380c49fd50c959aef3a000000050902",
  ),
  sample(
    "v2 head, children not counted",
    encodeHead,
    decodeHead,
    { ...head, node: { ...times, revision: 0, directories: undefined } },
    "0203b424070164aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa0102ac020480a0abfef962ed0b010201ff93ebdc0380c49fd50c959aef3a000000050000",
  ),
  sample(
    "v2 inode, moved",
    encodeInode,
    decodeInode,
    moved,
    "020106aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa07016703b42407ac0208edededededededededededededededed0080a0abfef96280a0abfef962ed13e80764010001ff93ebdc0380c49fd50c959aef3a000000050302c801",
  ),
  sample(
    "v2 inode, of S3, open without a name",
    encodeInode,
    decodeInode,
    { entry: { ...plain, home: 8n as InodeId }, links: 0, isOpen: true, namespace },
    "020001aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa03b42407ac0208edededededededededededededededed0080a0abfef96280a0abfef962ed13e80764",
  ),
  sample("v3 cold, name", encodeCold, decodeCold, cold, "030101660000000000"),
  sample(
    "v3 cold, symlink",
    encodeCold,
    decodeCold,
    { ...cold, target: toUtf8("../t") },
    "030301660000000000042e2e2f74",
  ),
  sample(
    "v3 cold, attributes and extras, of a directory",
    encodeCold,
    decodeCold,
    {
      content: { kind: "empty" },
      attributes: { ...attributes, legalHold: true },
      xattrs: [{ name: toUtf8("user.a"), value: Uint8Array.of(0, 1) }],
    },
    "030400000000010401010106757365722e61020001",
  ),
  sample(
    "v1 locks",
    encodeFileLocks,
    decodeFileLocks,
    [
      { space: "posix", kind: "exclusive", owner: 5n, start: 0n, end: 10n, pid: 77 },
      { space: "flock", kind: "shared", owner: 2n ** 64n - 1n, start: 0n, end: 2n ** 63n, pid: 0 },
    ],
    "01020205000a4d01ffffffffffffffffff01008080808080808080800100",
  ),
  sample(
    "v1 outcome, file",
    encodeOutcome,
    decodeOutcome,
    {
      namespace,
      file: { ...facts, home: 8n, isHidden: false, generation: 0, place },
      isMade: true,
      offset: 300,
      length: 7,
    },
    "01aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa0f010408b424070167ed13e80764ac02c801020001ff93ebdc0380c49fd50c959aef3a00000005030200ac0207",
  ),
  sample(
    "v1 outcome, directory",
    encodeOutcome,
    decodeOutcome,
    {
      namespace,
      file: {
        ...facts,
        type: "directory",
        home: 0n,
        isHidden: true,
        generation: 4,
        parent: 7n as InodeId,
      },
    },
    "01aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa01070300b42407ed13e80764ac02c801020001ff93ebdc0380c49fd50c959aef3a00000005030204",
  ),
  sample(
    "v1 outcome, none",
    encodeOutcome,
    decodeOutcome,
    { namespace },
    "01aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa00",
  ),
];

for (const [title, encoded, row, decode, hex] of golden) {
  test(`rows keep the bytes of ${title}`, () => {
    expect(toHex(encoded)).toBe(hex);
    expect(decode(fromHex(hex))).toEqual(row);
  });
  test(`decoding refuses ${title} cut short, lengthened or of another version`, () => {
    for (let size = 0; size < encoded.byteLength; size++) {
      expect(() => decode(encoded.slice(0, size))).toThrow(RowError);
    }
    expect(() => decode(Uint8Array.of(...encoded, 0))).toThrow(RowError);
    expect(() => decode(Uint8Array.of(0xff, ...encoded.slice(1)))).toThrow("unknown_version");
  });
}
test("a hot entry row of a file stays under 200 bytes", () => {
  const large = {
    ...entry,
    home: (2n ** 64n - 1n) as InodeId,
    inode: (2n ** 64n - 1n) as InodeId,
    size: 2 ** 50,
    uid: 2 ** 32 - 1,
    gid: 2 ** 32 - 1,
  };
  expect(encodeEntry(large).byteLength).toBeLessThan(200);
});
