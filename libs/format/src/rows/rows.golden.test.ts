// Goal: rows keep their bytes for ever, and a damaged row is refused instead of misread.
// Method: one sample of each row and key, append only; every prefix, a longer row and another version are tried.
import type { ChunkId, InodeId, NamespaceId, OperationId, SealId, WallTime } from "@kiseki/base";
import { fromHex, keyset, newBytes, toHex, toUtf8 } from "@kiseki/base";
import { expect, test } from "bun:test";
import { decodeRowWrites, encodeRowWrites } from "./change.ts";
import { RowError } from "./codec.ts";
import * as files from "./files.ts";
import * as keys from "./keys.ts";
import { decodeHolds, encodeHolds } from "./holds.ts";
import { decodeLockDefault, encodeLockDefault } from "./lock-default.ts";
import type { ChunkAddress, ChunkSeal, Extent, ObjectEntry } from "./types.ts";
import * as notices from "./notices.ts";
import * as values from "./values.ts";

const filled = (size: number, byte: number): Uint8Array => newBytes(size).fill(byte);
const chunkId = filled(32, 0xc1) as ChunkId;
const sealId = filled(16, 0x5e) as SealId;
const namespace = filled(16, 0xaa) as NamespaceId;
const inode = 0x1234n as InodeId;
const time = 1_700_000_000_000 as WallTime;
const address: ChunkAddress = { chunkId, pool: 3, profile: { kind: "ec", data: 4, parity: 2 } };
const seal: ChunkSeal = {
  sealId,
  keyset: keyset(2),
  placementEpoch: 5,
  size: 4194304,
  missing: 32,
};
const chunkExtent: Extent = {
  kind: "chunk",
  offset: 0,
  length: 4194304,
  chunkOffset: 0,
  ...address,
};
const smallExtent: Extent = {
  kind: "small",
  offset: 4200000,
  length: 9,
  chunkOffset: 1,
  ...address,
  ...seal,
};
const attributes = {
  headers: [["content-type", "text/plain"]],
  userMetadata: [["a", "é"]],
  checksums: [{ algorithm: "crc32c", value: filled(4, 7), isComposite: true }],
} as const;
const extras = {
  tags: [
    ["b", "1"],
    ["a", "é"],
  ],
  acl: filled(2, 0xac),
  retention: { mode: "compliance", until: time },
  legalHold: true,
  encryption: filled(3, 0xec),
  storageClass: "GLACIER",
  redirect: "/x",
} as const;
const entry: ObjectEntry = {
  kind: "object",
  inode,
  version: 2n ** 63n,
  isNull: true,
  home: undefined,
  size: 300,
  etag: { md5: filled(16, 0xed), parts: 3 },
  modified: time,
  created: -1 as WallTime,
  mode: 0o644,
  uid: 1000,
  gid: 100,
};
const head = {
  inode,
  parent: 7n as InodeId,
  name: toUtf8("d"),
  namespace,
  isOpen: true,
  isExplicit: false,
  generation: 1,
  live: 2,
  total: 300,
  hidden: 4,
  modified: time,
  mode: 0o755,
  uid: 0,
  gid: 0,
};
const upload = {
  initiated: time,
  attributes,
  checksumAlgorithm: "sha256",
  isChecksumComposite: true,
} as const;
const part = { manifest: 9n, size: 5242880, md5: filled(16, 1), modified: time, checksums: [] };
const done = {
  namespace,
  key: toUtf8("k"),
  finished: time,
  etag: entry.etag,
  size: 1,
  version: 5n,
  isNull: false,
  checksums: [],
};
const space = {
  id: namespace,
  name: "bucket",
  root: inode,
  created: time,
  versioning: "suspended",
  isReadOnly: false,
  isLockEnabled: false,
} as const;
const reclaim = {
  kind: "parts",
  root: inode,
  key: toUtf8("k"),
  upload: filled(16, 9),
  used: filled(2, 6),
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
// Append only: an edited row is a broken upgrade.
const golden: readonly Sample[] = [
  sample(
    "v1 entry, object",
    files.encodeEntry,
    files.decodeEntry,
    entry,
    "010101b42480808080808080808001ac02edededededededededededededededed0380a0abfef96201a403e80764",
  ),
  sample(
    "v1 entry, object with a home",
    files.encodeEntry,
    files.decodeEntry,
    { ...entry, home: 8n as InodeId, isNull: false },
    "010102b42480808080808080808001ac0208edededededededededededededededed0380a0abfef96201a403e80764",
  ),
  sample(
    "v1 entry, storage class",
    files.encodeEntry,
    files.decodeEntry,
    { ...entry, storageClass: "STANDARD_IA" },
    "010105b42480808080808080808001ac02edededededededededededededededed0380a0abfef96201a403e8076402",
  ),
  sample(
    "v1 entry, delete marker",
    files.encodeEntry,
    files.decodeEntry,
    { ...entry, kind: "delete_marker" },
    "010301b42480808080808080808001ac02edededededededededededededededed0380a0abfef96201a403e80764",
  ),
  sample(
    "v1 entry, directory",
    files.encodeEntry,
    files.decodeEntry,
    { kind: "directory", inode, isExplicit: true },
    "010201b424",
  ),
  sample(
    "v1 head",
    files.encodeHead,
    files.decodeHead,
    head,
    "0101b424070164aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa0102ac020480a0abfef962ed030000",
  ),
  sample(
    "v1 inode",
    files.encodeInode,
    files.decodeInode,
    { entry, links: 2, isOpen: true },
    "01020101b42480808080808080808001ac02edededededededededededededededed0380a0abfef96201a403e80764",
  ),
  sample(
    "v1 cold, extents",
    files.encodeCold,
    files.decodeCold,
    { content: { kind: "extents", extents: [chunkExtent, smallExtent] }, attributes },
    "01010200008080800200c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c103820801c02c0901c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c10382085e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e02058080800220010c636f6e74656e742d747970650a746578742f706c61696e01016102c3a90102010407070707",
  ),
  sample(
    "v1 cold, manifest",
    files.encodeCold,
    files.decodeCold,
    { content: { kind: "manifest", manifest: 77n }, attributes },
    "01024d010c636f6e74656e742d747970650a746578742f706c61696e01016102c3a90102010407070707",
  ),
  sample(
    "v1 cold, empty",
    files.encodeCold,
    files.decodeCold,
    { content: { kind: "empty" }, attributes },
    "0100010c636f6e74656e742d747970650a746578742f706c61696e01016102c3a90102010407070707",
  ),
  sample("v1 null pointer", values.encodeNullPointer, values.decodeNullPointer, 6n, "0106"),
  sample(
    "v1 upload",
    values.encodeUpload,
    values.decodeUpload,
    upload,
    "0180a0abfef9620501010c636f6e74656e742d747970650a746578742f706c61696e01016102c3a90102010407070707",
  ),
  sample(
    "v1 part",
    values.encodePart,
    values.decodePart,
    part,
    "01098080c0020101010101010101010101010101010180a0abfef96200",
  ),
  sample(
    "v1 chunk",
    values.encodeChunk,
    values.decodeChunk,
    { count: 2, ...seal },
    "01025e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e02058080800220",
  ),
  sample("v1 condemned", values.encodeCondemned, values.decodeCondemned, time, "0180a0abfef962"),
  sample(
    "v1 drop",
    values.encodeDrop,
    values.decodeDrop,
    { ...address, ...seal },
    "01c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c10382085e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e02058080800220",
  ),
  sample("v1 hidden", values.encodeHidden, values.decodeHidden, toUtf8("./x"), "01032e2f78"),
  sample(
    "v1 lease",
    values.encodeLease,
    values.decodeLease,
    { epoch: 3n, expires: time, payload: filled(2, 1) },
    "010380a0abfef962020101",
  ),
  sample(
    "v1 done",
    values.encodeDone,
    values.decodeDone,
    done,
    "01aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa016b80a0abfef962edededededededededededededededed0301050000",
  ),
  sample(
    "v1 namespace",
    values.encodeNamespace,
    values.decodeNamespace,
    space,
    "010200aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa066275636b6574b42480a0abfef962",
  ),
  sample("v1 consumer", values.encodeConsumer, values.decodeConsumer, 300n, "01ac02"),
  sample(
    "v1 counters",
    values.encodeCounters,
    values.decodeCounters,
    { nextInode: 2n, nextVersion: 3n },
    "010203",
  ),
  sample(
    "v1 usage",
    values.encodeUsage,
    values.decodeUsage,
    { objects: 1, bytes: 2, oldVersions: 3, oldBytes: 4 },
    "0101020304",
  ),
  sample(
    "v1 quota",
    values.encodeQuota,
    values.decodeQuota,
    { bytesMax: 300, objectsMax: 5, bytes: 6, objects: 7 },
    "0103ac02050607",
  ),
  sample(
    "v1 quota of bytes alone",
    values.encodeQuota,
    values.decodeQuota,
    { bytesMax: 0, objectsMax: undefined, bytes: 6, objects: 7 },
    "0101000607",
  ),
  sample("v1 sum", values.encodeSum, values.decodeSum, 300, "01ac02"),
  sample(
    "v1 manifest head",
    values.encodeManifestHead,
    values.decodeManifestHead,
    { count: 1, size: 2 ** 40 },
    "0101808080808020",
  ),
  sample(
    "v1 manifest leaf",
    values.encodeManifestNode,
    values.decodeManifestNode,
    { kind: "leaf", extents: [chunkExtent] },
    "01010100008080800200c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1038208",
  ),
  sample(
    "v1 manifest inner",
    values.encodeManifestNode,
    values.decodeManifestNode,
    { kind: "inner", children: [{ manifest: 9n, size: 300 }] },
    "01020109ac02",
  ),
  sample(
    "v2 manifest inner, of parts",
    values.encodeManifestNode,
    values.decodeManifestNode,
    {
      kind: "inner",
      children: [
        {
          manifest: 9n,
          size: 300,
          part: {
            number: 7,
            checksums: [{ algorithm: "crc32", value: filled(4, 5), isComposite: false }],
          },
        },
        { manifest: 10n, size: 0, part: { number: 10_000, checksums: [] } },
      ],
    },
    "02030209ac02070101000405050505" + "0a00904e00",
  ),
  sample(
    "v1 reclaim, manifest",
    values.encodeReclaim,
    values.decodeReclaim,
    { kind: "manifest", manifest: 9n },
    "010109",
  ),
  sample(
    "v1 reclaim, parts",
    values.encodeReclaim,
    values.decodeReclaim,
    reclaim,
    "0102b424016b09090909090909090909090909090909020606",
  ),
  sample(
    "v1 reclaim, uploads",
    values.encodeReclaim,
    values.decodeReclaim,
    { kind: "uploads", root: inode },
    "0103b424",
  ),
  sample(
    "v2 cold, all extras",
    files.encodeCold,
    files.decodeCold,
    { content: { kind: "empty" }, attributes: { ...attributes, ...extras } },
    "0200010c636f6e74656e742d747970650a746578742f706c61696e01016102c3a9010201040707070707010a0201620131016102c3a90202acac03070280a0abfef9620401010503ececec060807474c41434945520703022f78",
  ),
  sample(
    "v2 cold, legal hold off",
    files.encodeCold,
    files.decodeCold,
    { content: { kind: "empty" }, attributes: { ...attributes, legalHold: false } },
    "0200010c636f6e74656e742d747970650a746578742f706c61696e01016102c3a9010201040707070701040100",
  ),
  sample(
    "v2 upload",
    values.encodeUpload,
    values.decodeUpload,
    { ...upload, attributes: { ...attributes, ...extras } },
    "0280a0abfef9620501010c636f6e74656e742d747970650a746578742f706c61696e01016102c3a9010201040707070707010a0201620131016102c3a90202acac03070280a0abfef9620401010503ececec060807474c41434945520703022f78",
  ),
  sample(
    "v2 namespace, versions may be locked",
    values.encodeNamespace,
    values.decodeNamespace,
    { ...space, versioning: "enabled", isLockEnabled: true },
    "020102aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa066275636b6574b42480a0abfef962",
  ),
  sample("v1 setting", values.encodeSetting, values.decodeSetting, toUtf8("{}"), "01027b7d"),
];

const dirKey = filled(16, 0xdd);
const notice: notices.NoticeRow = {
  event: "created:put",
  namespace,
  bucket: "bucket",
  key: Uint8Array.of(0x6b),
  version: 5n,
  isNull: true,
  isVersioned: false,
  size: 300,
  etag: { md5: filled(16, 3), parts: 0 },
  time,
  principal: "AWS:x",
  address: "::1",
  requestId: "R",
};
test("encodeNotice() keeps the bytes of v1 notices, logged and dead", () => {
  const encoded = notices.encodeNotice(notice);
  expect(toHex(encoded)).toBe(
    "010101aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa066275636b6574016b05ac02030303030303030303030303030303030080a0abfef962054157533a78033a3a310152",
  );
  expect(notices.decodeNotice(encoded)).toEqual(notice);
  const dead = { time, reason: "no", notice: Uint8Array.of(1, 2) };
  const buried = notices.encodeDeadNotice(dead);
  expect(toHex(buried)).toBe("0180a0abfef962026e6f020102");
  expect(notices.decodeDeadNotice(buried)).toEqual(dead);
  for (let size = 0; size < encoded.byteLength; size++) {
    expect(() => notices.decodeNotice(encoded.slice(0, size))).toThrow(RowError);
  }
});
test("noticeKey() keeps its bytes, in the order of the log", () => {
  const place = { sequence: 7n, index: 2 };
  const key = notices.noticeKey("dead", "hook", place);
  expect(toHex(key)).toBe("1202686f6f6b000100000000000000070002");
  expect(toHex(notices.noticePrefix("queued", "hook"))).toBe("1201686f6f6b0001");
  expect(toHex(notices.loggedNoticeKey(1))).toBe("12000001");
  expect(notices.parseNoticeKey(key)).toEqual(place);
  expect([key, notices.loggedNoticeKey(0)].map(notices.isLoggedNoticeKey)).toEqual([false, true]);
});
const name = Uint8Array.of(0x61, 0, 0x62);
const goldenKeys: readonly (readonly [string, Uint8Array, string])[] = [
  ["entry", keys.entryKey(dirKey, name), "01dddddddddddddddddddddddddddddddd610062"],
  ["head", keys.headKey(dirKey), "02dddddddddddddddddddddddddddddddd"],
  ["inode", keys.inodeKey(dirKey, inode), "03dddddddddddddddddddddddddddddddd0000000000001234"],
  [
    "cold",
    keys.coldKey(dirKey, inode, 5n),
    "04dddddddddddddddddddddddddddddddd0000000000001234fffffffffffffffa",
  ],
  [
    "old",
    keys.oldKey(dirKey, name, 5n),
    "05dddddddddddddddddddddddddddddddd6100ff620001fffffffffffffffa",
  ],
  [
    "null pointer",
    keys.nullPointerKey(dirKey, name),
    "05dddddddddddddddddddddddddddddddd6100ff620001ffffffffffffffff",
  ],
  [
    "upload",
    keys.uploadKey(dirKey, name, filled(16, 9)),
    "06dddddddddddddddddddddddddddddddd6100ff62000109090909090909090909090909090909",
  ],
  [
    "part",
    keys.partKey(dirKey, name, filled(16, 9), 10_000),
    "07dddddddddddddddddddddddddddddddd6100ff620001090909090909090909090909090909092710",
  ],
  [
    "chunk",
    keys.chunkKey(address),
    "08c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1000000030402",
  ],
  [
    "condemned",
    keys.condemnedKey(address, sealId),
    "08c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c10000000304025e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
  ],
  [
    "drop",
    keys.dropKey(time, chunkId, sealId),
    "098000018bcfe56800c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c15e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
  ],
  [
    "hidden",
    keys.hiddenKey(dirKey, filled(16, 4)),
    "0adddddddddddddddddddddddddddddddd04040404040404040404040404040404",
  ],
  ["lease", keys.leaseKey(filled(2, 0), 1, filled(3, 8)), "0b00ff00ff000101080808"],
  ["done", keys.doneKey(filled(16, 0x0d) as OperationId), "0c0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d"],
  ["namespace", keys.namespaceKey(namespace), "0d00aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
  ["namespace name", keys.namespaceNameKey("bucket"), "0d016275636b6574"],
  ["setting", keys.settingKey(namespace, "cors"), "0d02aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa636f7273"],
  ["consumer", keys.consumerKey("audit"), "0e6175646974"],
  ["counters", keys.countersKey(), "0f01"],
  ["usage", keys.usageKey(namespace), "0f02aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
  ["quota of the tenant", keys.quotaKey(), "0f03"],
  ["quota", keys.quotaKey(namespace), "0f03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
  ["pending", keys.pendingKey(namespace), "0f04aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
  ["upload sum", keys.uploadSumKey(filled(16, 9)), "0f0509090909090909090909090909090909"],
  ["manifest head", keys.manifestHeadKey(9n), "100000000000000009"],
  ["manifest node", keys.manifestNodeKey(9n, 300), "10000000000000000901000000000000012c"],
  ["reclaim", keys.reclaimKey(9n), "11010000000000000009"],
  [
    "expiry",
    keys.expiryKey(time, filled(16, 9)),
    "11028000018bcfe5680009090909090909090909090909090909",
  ],
];

for (const [title, encoded, row, decode, hex] of golden) {
  test(`encode and decode keep the bytes of ${title}`, () => {
    expect(toHex(encoded)).toBe(hex);
    expect(decode(fromHex(hex))).toEqual(row);
  });
  test(`decode refuses ${title} cut short, lengthened or of another version`, () => {
    for (let size = 0; size < encoded.byteLength; size++) {
      expect(() => decode(encoded.slice(0, size))).toThrow(RowError);
    }
    expect(() => decode(Uint8Array.of(...encoded, 0))).toThrow(RowError);
    expect(() => decode(Uint8Array.of(0xff, ...encoded.slice(1)))).toThrow("unknown_version");
  });
}
for (const [title, key, hex] of goldenKeys) {
  test(`keys keep the bytes of ${title}`, () => {
    expect(toHex(key)).toBe(hex);
  });
}
test("decodeCold() refuses extras out of order, twice, too long or of a code it does not know", () => {
  const head = [2, 0, 0, 0, 0];
  const decode =
    (...rest: readonly number[]) =>
    () =>
      files.decodeCold(Uint8Array.of(...head, ...rest));
  expect(decode(1, 4, 1, 1)()).toMatchObject({ attributes: { legalHold: true } });
  expect(decode(2, 3, 2, 1, 0, 4, 1, 1)()).toMatchObject({ attributes: { legalHold: true } });
  expect(decode(2, 4, 1, 1, 3, 2, 1, 0)).toThrow("bad_field");
  expect(decode(2, 4, 1, 1, 4, 1, 1)).toThrow("bad_field");
  expect(decode(1, 4, 2, 1, 0)).toThrow("bad_field");
  expect(decode(0)).toThrow("bad_field");
  expect(decode(1, 1, 1, 0)).toThrow("bad_field"); // no tag at all
  expect(decode(1, 0x40, 1, 1)).toThrow("unknown_version");
  expect(decode(1, 5, 0x81, 4, ...Array<number>(513).fill(7))).toThrow("bad_field");
});
test("encodeLockDefault() and decodeLockDefault() keep the bytes of v1", () => {
  const value = { mode: "governance", unit: "days", count: 30 } as const;
  const bytes = toUtf8(`{"version":1,"mode":"governance","unit":"days","count":30}`);
  expect(encodeLockDefault(value)).toEqual(bytes);
  expect(decodeLockDefault(bytes)).toEqual(value);
  expect(encodeLockDefault(undefined)).toEqual(toUtf8(`{"version":1}`));
});
test("encodeHolds() and decodeHolds() keep the bytes of v1", () => {
  const holds = [{ id: "audit-2026" }, { id: "b", until: time }];
  const bytes = toUtf8(`{"version":1,"holds":[{"id":"audit-2026"},{"id":"b","until":${time}}]}`);
  expect(encodeHolds(holds)).toEqual(bytes);
  expect(decodeHolds(bytes)).toEqual(holds);
  const bad = [
    "",
    "{}",
    `{"version":2,"holds":[]}`,
    `{"version":1}`,
    `{"version":1,"holds":[{"id":""}]}`,
    `{"version":1,"holds":[{"id":"a","until":"1"}]}`,
    `{"version":1,"holds":[{"id":"a","more":1}]}`,
  ];
  for (const text of bad) expect(() => decodeHolds(toUtf8(text))).toThrow(RowError);
});
test("a hot entry row is under 200 bytes", () => {
  const large = {
    ...entry,
    home: (2n ** 64n - 1n) as InodeId,
    inode: (2n ** 64n - 1n) as InodeId,
    size: 2 ** 50,
  };
  expect(files.encodeEntry(large).byteLength).toBeLessThan(100);
});
test("encodeRowWrites() keeps the bytes of v1 change", () => {
  const rows = [
    { key: Uint8Array.of(1, 2), value: Uint8Array.of(3) },
    { key: Uint8Array.of(1, 3), value: newBytes(0) },
    { key: Uint8Array.of(1, 4), value: undefined },
  ];
  const encoded = encodeRowWrites(rows);
  expect(toHex(encoded)).toBe("010302010202030201030102010400");
  expect(decodeRowWrites(encoded)).toEqual(rows);
  for (let size = 0; size < encoded.byteLength; size++) {
    expect(decodeRowWrites(encoded.slice(0, size))).toBeInstanceOf(RowError);
  }
});
test("parsers of keys undo their builders", () => {
  expect(keys.parseOldKey(keys.oldKey(dirKey, name, 5n))).toEqual({ name, version: 5n });
  expect(keys.parseUploadKey(keys.uploadKey(dirKey, name, filled(16, 9)))).toEqual({
    key: name,
    upload: filled(16, 9),
  });
  expect(keys.parseChunkKey(keys.chunkKey(address))).toEqual(address);
  expect(keys.parseDropKey(keys.dropKey(time, chunkId, sealId))).toEqual({ time, chunkId, sealId });
  expect(keys.parseExpiryKey(keys.expiryKey(time, filled(16, 9)))).toEqual({
    time,
    id: filled(16, 9),
  });
});
test("escapeName() keeps the order of names", () => {
  const names = [[], [0], [0, 0], [0, 1], [0, 255], [1], [97], [97, 0], [97, 1], [97, 255], [255]];
  const escaped = names.map((bytes) => toHex(keys.escapeName(Uint8Array.from(bytes), true)));
  expect([...escaped].sort()).toEqual(escaped);
});
