import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chunkId,
  deviceId,
  epoch,
  newBytes,
  operationId,
  sealId,
  shardId,
  tenantId,
  toHex,
} from "@kiseki/base";
import type { RecordHeader, Superblock, ZoneFooter, ZoneHeader } from "./index.ts";
import {
  decodeRecordHeader,
  decodeSuperblock,
  decodeZoneFooter,
  decodeZoneHeader,
  encodeRecordHeader,
  encodeSuperblock,
  encodeZoneFooter,
  encodeZoneHeader,
  foreignSignature,
  recordHeaderSize,
  superblockSize,
  zoneFooterSize,
  zoneHeaderSize,
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
const sha256 = (source: Uint8Array): Uint8Array =>
  new Uint8Array(createHash("sha256").update(source).digest());

const record: RecordHeader = {
  kind: "fragment",
  device: deviceId(newBytes(16).fill(0xd1)),
  zone: 3,
  generation: 2,
  offset: 8256,
  group: 0x1_0000_0007,
  durable: 0x1_0000_0006,
  tenant: tenantId(newBytes(16).fill(0x11)),
  shard: shardId(newBytes(16).fill(0x22)),
  epoch: epoch(5n),
  operationId: operationId(newBytes(16).fill(0x33)),
  chunkId: chunkId(newBytes(32).fill(0x44)),
  sealId: sealId(newBytes(16).fill(0x55)),
  index: 4,
  data: 4,
  parity: 2,
  payloadSize: 65_564,
  plainSize: 262_144,
  keyset: 9,
  payloadCrc: 0xdeadbeef,
};
const zone: ZoneHeader = {
  device: record.device,
  zone: 3,
  generation: 2,
  groupFirst: 17,
  zoneSize: 1 << 26,
};
const footer: ZoneFooter = {
  device: record.device,
  zone: 3,
  generation: 2,
  groupFirst: 17,
  groupLast: 99,
  summaryOffset: 8192,
  count: 12,
  summaryCrc: 0x01020304,
};
const superblock: Superblock = {
  device: record.device,
  cluster: newBytes(16).fill(0xc1),
  node: newBytes(16).fill(0xe1),
  size: 1 << 30,
  zoneSize: 1 << 24,
  zoneCount: 63,
  class: "nvme",
  generation: 7,
  epoch: epoch(3n),
  membersVersion: 2,
  pool: 0,
  members: [
    { id: record.device, class: "nvme", state: "active", size: 1 << 30 },
    { id: deviceId(newBytes(16).fill(0xd2)), class: "hdd", state: "away", size: 2 ** 31 },
  ],
};
const encodeRecord = (header: RecordHeader): Uint8Array => {
  const target = newBytes(recordHeaderSize).fill(0xaa); // dirty on purpose
  encodeRecordHeader(header, target, new DataView(target.buffer), 0, crc32c);
  return target;
};

// Append only: an edited row is a broken upgrade.
const golden = {
  record:
    "4b524543010104040200000003000000020000004020000007000000010000000600000001000000d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d111111111111111111111111111111111222222222222222222222222222222220500000000000000333333333333333333333333333333334444444444444444444444444444444444444444444444444444444444444444555555555555555555555555555555551c0001000000040009000000efbeadde000000000000000000000000b0adc487",
  zone: "4b5a4f4e0100000003000000020000001100000000000000d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d100000004000000000000000000000000000000007f21c7d4",
  footer:
    "4b5a465401000000030000000200000011000000000000006300000000000000d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1002000000c0000000403020100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000c89ae752",
  superblockHead:
    "4b4953454b4901000100000000100000d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e10000004000000000000000010000000000000100000000003f000000010002000700000000000000030000000000000002000000000000000000000000000000d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d101010000000000000000004000000000d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d203030000000000000000008000000000",
  superblockSum: "1e95699f9fcbfa7f3ab8f2118668075ef8a5c7007137267f63b331c255308649",
};

test("encodeRecordHeader() keeps the bytes of version 1", () => {
  const bytes = encodeRecord(record);
  expect(toHex(bytes)).toBe(golden.record);
  expect(decodeRecordHeader(bytes, 0, crc32c)).toEqual(record);
});
test("encodeZoneHeader() keeps the bytes of version 1", () => {
  const bytes = newBytes(zoneHeaderSize).fill(0xaa);
  encodeZoneHeader(zone, bytes, crc32c);
  expect(toHex(bytes)).toBe(golden.zone);
  expect(decodeZoneHeader(bytes, crc32c)).toEqual(zone);
});
test("encodeZoneFooter() keeps the bytes of version 1", () => {
  const bytes = newBytes(zoneFooterSize).fill(0xaa);
  encodeZoneFooter(footer, bytes, crc32c);
  expect(toHex(bytes)).toBe(golden.footer);
  expect(decodeZoneFooter(bytes, 1 << 26, crc32c)).toEqual(footer);
});
test("encodeSuperblock() keeps the bytes of version 1", () => {
  const bytes = newBytes(superblockSize).fill(0xaa);
  encodeSuperblock(superblock, bytes, sha256);
  expect(toHex(bytes.subarray(0, 192))).toBe(golden.superblockHead);
  expect(toHex(bytes.subarray(superblockSize - 32))).toBe(golden.superblockSum);
  expect(decodeSuperblock(bytes, sha256)).toEqual(superblock);
});

test("a member's state is one byte of version 1", () => {
  const bytes = newBytes(superblockSize);
  for (const [state, number] of [
    ["active", 1],
    ["away", 3],
    ["failed", 4],
    ["leaving", 2],
  ] as const) {
    const block = { ...superblock, members: [{ ...superblock.members[1]!, state }] };
    encodeSuperblock(block, bytes, sha256);
    expect(bytes[128 + 16]).toBe(number);
    expect(decodeSuperblock(bytes, sha256)).toEqual(block);
  }
});

test("decodeSuperblock() names the fault", () => {
  const bytes = newBytes(superblockSize);
  expect(decodeSuperblock(bytes, sha256)).toBe("absent");
  expect(decodeSuperblock(bytes.subarray(1), sha256)).toBe("absent");
  encodeSuperblock(superblock, bytes, sha256);
  const newer = bytes.slice();
  newer[8] = 2;
  expect(decodeSuperblock(newer, sha256)).toBe("unknown_version");
  const damaged = bytes.slice();
  damaged[200]! ^= 1;
  expect(decodeSuperblock(damaged, sha256)).toBe("bad_checksum");
});

test("foreignSignature() names file systems, and nothing on zeros", () => {
  const device = newBytes(128 * 1024);
  expect(foreignSignature(device)).toBeUndefined();
  device.set([0x53, 0xef], 0x438);
  expect(foreignSignature(device)).toBe("ext2/3/4");
  device.fill(0);
  device.set(new TextEncoder().encode("XFSB"));
  expect(foreignSignature(device)).toBe("xfs");
});

test("decodeRecordHeader() refuses every flipped bit", () => {
  const good = encodeRecord(record);
  for (let bit = 0; bit < recordHeaderSize * 8; bit += 1) {
    const flipped = good.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    expect(decodeRecordHeader(flipped, 0, crc32c), `bit ${bit}`).toBeUndefined();
  }
});
