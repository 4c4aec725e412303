import { expect, test } from "bun:test";
import { chunkId, epoch, newBytes, sealId, tenantId, toHex, wallTime } from "@kiseki/base";
import {
  type BulkAnswer,
  bulkAnswerSize,
  bulkEntriesMax,
  type BulkEntry,
  bulkEntrySize,
  bulkPayloadMax,
  type BulkRequest,
  bulkRequestSize,
  bulkRequestsMax,
  bulkSealedSize,
  type BulkStatus,
  capabilityMacOf,
  capabilityMacParts,
  capabilitySize,
  type ChunkCapability,
  decodeBulkAnswer,
  decodeBulkEntries,
  decodeBulkRequest,
  decodeCapability,
  decodeReceipt,
  encodeBulkAnswer,
  encodeBulkEntries,
  encodeBulkRequest,
  encodeCapability,
  encodeReceipt,
  putBulkStatuses,
  receiptSize,
  splitReceipt,
  takeBulkStatuses,
  type WriteReceipt,
} from "./index.ts";

/** CRC-32C by the book (RFC 3720 §B.4), slow. */
function crc32c(source: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of source) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
const bytesOf = (hex: string): Uint8Array => Uint8Array.fromHex(hex.replaceAll(/\s/g, ""));
const chunk = chunkId(newBytes(32).fill(0xc1));
const seal = sealId(newBytes(16).fill(0x5e));
const tenant = tenantId(newBytes(16).fill(0x7e));

const toRead: ChunkCapability = {
  right: "read",
  keyset: 3,
  expires: wallTime(0x0102_0304_0506),
  epoch: epoch(9n),
  tenant,
  size: 0x20001,
  pool: 0,
};
const capabilities: readonly (readonly [name: string, capability: ChunkCapability, hex: string])[] =
  [
    [
      "v1 read",
      toRead,
      `01010000 03000000 0605040302010000 0900000000000000 ${"7e".repeat(16)} 01000200 00000000 ${"00".repeat(32)}`,
    ],
    [
      "v1 write",
      { ...toRead, right: "write", size: 0 },
      `01020000 03000000 0605040302010000 0900000000000000 ${"7e".repeat(16)} 00000000 00000000 ${"00".repeat(32)}`,
    ],
  ];
test.each([...capabilities])("encodeCapability() keeps the bytes of %s", (_, capability, hex) => {
  expect(toHex(encodeCapability(capability))).toBe(toHex(bytesOf(hex)));
  expect(decodeCapability(bytesOf(hex))).toEqual(capability);
});
test("capabilityMacParts() covers all but the MAC, and what it is for", () => {
  const bytes = encodeCapability(toRead);
  capabilityMacOf(bytes).fill(0xaa);
  expect(toHex(bytes)).toEndWith("aa".repeat(32));
  const [signed, ...ids] = capabilityMacParts(bytes, chunk, seal);
  expect([signed.byteLength, ids]).toEqual([capabilitySize - 32, [chunk, seal]]);
});

const receipt: WriteReceipt = {
  tenant,
  chunkId: chunk,
  sealId: seal,
  profile: { kind: "ec", data: 4, parity: 2 },
  keyset: 3,
  pool: 1,
  placementEpoch: 5,
  size: 0x20001,
  missing: 1,
  epoch: epoch(9n),
  payloadCrc: 0xdeadbeef,
};
const ids = `${"7e".repeat(16)} ${"c1".repeat(32)} ${"5e".repeat(16)}`;
const receipts: readonly (readonly [name: string, receipt: WriteReceipt, hex: string])[] = [
  [
    "v1 coded",
    receipt,
    `01020402 03000000 01000000 05000000 01000200 01000000 0900000000000000 ${ids} efbeadde ${"00".repeat(28)} ${"00".repeat(32)}`,
  ],
  [
    "v1 copies",
    { ...receipt, profile: { kind: "copies", copies: 3 } },
    `01010300 03000000 01000000 05000000 01000200 01000000 0900000000000000 ${ids} efbeadde ${"00".repeat(28)} ${"00".repeat(32)}`,
  ],
];
test.each([...receipts])("encodeReceipt() keeps the bytes of %s", (_, given, hex) => {
  const bytes = encodeReceipt(given);
  expect(toHex(bytes)).toBe(toHex(bytesOf(hex)));
  expect(decodeReceipt(bytes)).toEqual(given);
  const { signed, mac } = splitReceipt(bytes);
  expect([signed.byteLength, mac.byteLength, bytes.byteLength]).toEqual([128, 32, receiptSize]);
});
test("decodeReceipt() and decodeCapability() refuse what is not theirs", () => {
  const refuses = (decode: (source: Uint8Array) => unknown, source: Uint8Array, at: number) => {
    const bytes = source.slice();
    bytes[at]! ^= 0xff;
    expect(decode(bytes)).toBeUndefined();
  };
  for (const at of [0, 1, 2, 3, 19, 100, 127]) refuses(decodeReceipt, encodeReceipt(receipt), at);
  for (const at of [0, 1, 2, 15]) refuses(decodeCapability, encodeCapability(toRead), at);
  expect(decodeReceipt(newBytes(receiptSize - 1))).toBeUndefined();
  expect(decodeCapability(newBytes(capabilitySize + 1))).toBeUndefined();
});

const target = {
  requestId: 0x1_0000_0002,
  chunkId: chunk,
  sealId: seal,
  capability: newBytes(capabilitySize).fill(0xca),
  size: 0x20001,
};
const shared = `${"c1".repeat(32)} ${"5e".repeat(16)} ${"ca".repeat(80)} ${"00".repeat(20)}`;
const requests: readonly (readonly [name: string, request: BulkRequest, hex: string])[] = [
  [
    "v1 write",
    { kind: "write", ...target, isSmall: false, payloadCrc: 0xdeadbeef },
    `4b425142 01010000 0200000001000000 55000200 efbeadde 01000200 00000000 00000000 00000000 ${shared} b5f3d72c`,
  ],
  [
    "v1 write of small content",
    { kind: "write", ...target, size: 5, isSmall: true, payloadCrc: 1 },
    `4b425142 01010100 0200000001000000 21000000 01000000 05000000 00000000 00000000 00000000 ${shared} 8ef2b872`,
  ],
  [
    "v1 read",
    { kind: "read", ...target, segmentFirst: 1, segmentEnd: 3, isVerifying: false },
    `4b425142 01020000 0200000001000000 00000000 00000000 01000200 01000000 03000000 00000000 ${shared} a63934ea`,
  ],
  [
    "v1 read that verifies",
    { kind: "read", ...target, segmentFirst: 0, segmentEnd: 1, isVerifying: true },
    `4b425142 01020200 0200000001000000 00000000 00000000 01000200 00000000 01000000 00000000 ${shared} 6422dcfe`,
  ],
  [
    "v1 read of many",
    { kind: "read_many", requestId: 0x1_0000_0002, count: 3, payloadCrc: 0xdeadbeef },
    `4b425142 01030000 0200000001000000 98010000 efbeadde 03000000 00000000 00000000 00000000 ${"00".repeat(148)} f74f16df`,
  ],
];
test.each([...requests])("encodeBulkRequest() keeps the bytes of %s", (_, request, hex) => {
  const bytes = encodeBulkRequest(request, crc32c);
  expect(toHex(bytes)).toBe(toHex(bytesOf(hex)));
  expect(bytes.byteLength).toBe(bulkRequestSize);
  expect(decodeBulkRequest(bytes, crc32c)).toEqual(request);
});
test("bulkSealedSize() counts what a request moves", () => {
  const single = requests.map(([, request]) => request).filter(({ kind }) => kind !== "read_many");
  expect(single.map((request) => bulkSealedSize(request as never))).toEqual([
    0x20001 + 3 * 28,
    5 + 28,
    0x10001 + 2 * 28,
    0x10000 + 28,
  ]);
});

/** As `bytes`, with one number changed and a checksum that fits. */
function resigned(bytes: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  change(view);
  view.setUint32(bytes.byteLength - 4, crc32c(bytes.subarray(0, -4)), true);
  return bytes;
}
test("decodeBulkRequest() refuses what makes no sense, and every changed byte", () => {
  const [write, , read, , many] = requests.map(([, request]) => request);
  const faults: readonly (readonly [BulkRequest, (view: DataView) => void])[] = [
    [write!, (view) => view.setUint8(4, 2)],
    [write!, (view) => view.setUint8(5, 3)],
    [write!, (view) => view.setUint8(5, 4)],
    [write!, (view) => view.setUint16(6, 2, true)],
    [write!, (view) => view.setUint16(6, 1, true)], // small content is one segment at most
    [write!, (view) => view.setUint32(12, 0x20_0000, true)],
    [write!, (view) => view.setUint32(16, 0x20056, true)],
    [write!, (view) => view.setUint32(24, 0, true)],
    [write!, (view) => view.setUint32(24, 0x40_0001, true)],
    [read!, (view) => view.setUint16(6, 1, true)],
    [read!, (view) => view.setUint32(16, 1, true)],
    [read!, (view) => view.setUint32(28, 3, true)],
    [read!, (view) => view.setUint32(32, 4, true)],
    [many!, (view) => view.setUint16(6, 2, true)],
    [many!, (view) => view.setUint32(16, 3 * 136 + 1, true)],
    [many!, (view) => view.setUint32(24, 4, true)],
    [many!, (view) => (view.setUint32(16, 0, true), view.setUint32(24, 0, true))],
    [many!, (view) => (view.setUint32(16, 129 * 136, true), view.setUint32(24, 129, true))],
  ];
  for (const [request, change] of faults) {
    const bytes = resigned(encodeBulkRequest(request, crc32c), change);
    expect(decodeBulkRequest(bytes, crc32c)).toBeUndefined();
  }
  for (let at = 0; at < bulkRequestSize; at++) {
    const bytes = encodeBulkRequest(write!, crc32c);
    bytes[at]! ^= 1;
    expect(decodeBulkRequest(bytes, crc32c)).toBeUndefined();
  }
});

const entry: BulkEntry = { chunkId: chunk, sealId: seal, capability: target.capability, size: 5 };
test("encodeBulkEntries() keeps the bytes of entries", () => {
  const entries = [entry, { ...entry, size: 65_536 }];
  const bytes = encodeBulkEntries(entries);
  const ids = `${"c1".repeat(32)} ${"5e".repeat(16)} ${"ca".repeat(80)}`;
  expect(toHex(bytes)).toBe(toHex(bytesOf(`${ids} 05000000 00000000 ${ids} 00000100 00000000`)));
  expect(decodeBulkEntries(bytes)).toEqual(entries);
});
test("decodeBulkEntries() refuses more than a segment of a chunk, and more entries than a frame has", () => {
  const changed = (change: (view: DataView) => void): Uint8Array => {
    const bytes = encodeBulkEntries([entry]);
    change(new DataView(bytes.buffer));
    return bytes;
  };
  expect(decodeBulkEntries(changed(() => undefined))).toEqual([entry]);
  expect(decodeBulkEntries(changed((view) => view.setUint32(128, 0, true)))).toBeUndefined();
  expect(decodeBulkEntries(changed((view) => view.setUint32(128, 65_537, true)))).toBeUndefined();
  expect(decodeBulkEntries(changed((view) => view.setUint32(132, 1, true)))).toBeUndefined();
  expect(decodeBulkEntries(newBytes(0))).toBeUndefined();
  expect(decodeBulkEntries(newBytes(bulkEntrySize - 1))).toBeUndefined();
  const many = encodeBulkEntries(Array.from({ length: bulkEntriesMax }, () => entry));
  expect(decodeBulkEntries(many)).toHaveLength(128);
  const [one] = [encodeBulkEntries([entry])];
  expect(decodeBulkEntries(Buffer.concat([many, one]))).toBeUndefined();
});

const answer: BulkAnswer = {
  requestId: 0x1_0000_0002,
  kind: "write",
  status: "ok",
  payloadSize: 160,
  payloadCrc: 0xdeadbeef,
  retryAfterMs: 0,
};
const statuses: readonly BulkStatus[] = [
  "ok", "malformed", "forbidden", "stale", "busy", "no_space", "conflict", "not_found", "lost", "checksum",
  "unavailable", "internal",
]; // prettier-ignore
const answers: readonly (readonly [name: string, answer: BulkAnswer, hex: string])[] = [
  [
    "v1 receipt",
    answer,
    `4b424141 01010000 0200000001000000 a0000000 efbeadde 00000000 ${"00".repeat(32)} 266176ec`,
  ],
  [
    "v1 busy read",
    { ...answer, kind: "read", status: "busy", payloadSize: 0, payloadCrc: 0, retryAfterMs: 500 },
    `4b424141 01020400 0200000001000000 00000000 00000000 f4010000 ${"00".repeat(32)} e82c1aad`,
  ],
];
test.each([...answers])("encodeBulkAnswer() keeps the bytes of %s", (_, given, hex) => {
  const bytes = encodeBulkAnswer(given, crc32c);
  expect(toHex(bytes)).toBe(toHex(bytesOf(hex)));
  expect(bytes.byteLength).toBe(bulkAnswerSize);
  expect(decodeBulkAnswer(bytes, crc32c)).toEqual(given);
});
test("encodeBulkAnswer() numbers the statuses for ever", () => {
  const numbers = statuses.map((status) => encodeBulkAnswer({ ...answer, status }, crc32c)[6]);
  expect(numbers).toEqual(statuses.map((_, number) => number));
  for (const status of statuses) {
    expect(decodeBulkAnswer(encodeBulkAnswer({ ...answer, status }, crc32c), crc32c)?.status).toBe(
      status,
    );
  }
});
test("putBulkStatuses() keeps the bytes of how each entry fared", () => {
  const bytes = newBytes(6);
  putBulkStatuses(["ok", "not_found", "forbidden"], bytes);
  expect(toHex(bytes)).toBe("000007000200");
  expect(takeBulkStatuses(bytes, 3)).toEqual(["ok", "not_found", "forbidden"]);
  expect(takeBulkStatuses(bytes, 4)).toBeUndefined();
  expect(takeBulkStatuses(bytesOf("0c00"), 1)).toBeUndefined();
});
test("decodeBulkAnswer() refuses payloads that no answer has, and every changed byte", () => {
  const large = resigned(encodeBulkAnswer(answer, crc32c), (view) =>
    view.setUint32(16, bulkPayloadMax + 1, true),
  );
  expect(decodeBulkAnswer(large, crc32c)).toBeUndefined();
  for (let at = 0; at < bulkAnswerSize; at++) {
    const bytes = encodeBulkAnswer(answer, crc32c);
    bytes[at]! ^= 1;
    expect(decodeBulkAnswer(bytes, crc32c)).toBeUndefined();
  }
  expect(bulkRequestsMax).toBe(64);
});
