import { expect, test } from "bun:test";
import { fromHex, newBytes, toHex } from "@kiseki/base";
import { decodeNodeSecretFile, encodeNodeSecretFile } from "./cluster-key-node.ts";
import { decodeClusterKeyFile, encodeClusterKeyFile } from "./cluster-key.ts";
import { decodeKeyExport, encodeKeyExport } from "./key-export.ts";
import { formatRecoveryCode } from "./recovery.ts";
import {
  decodeBoundShare,
  decodeSealedKey,
  encodeBoundShare,
  encodeSealedKey,
} from "./wrapped-share.ts";

/** CRC-32C bit by bit. */
function crc32c(initial: number, source: Uint8Array): number {
  let crc = ~initial >>> 0;
  for (const byte of source) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}
const filled = (size: number, byte: number) => newBytes(size).fill(byte);
const repeat = (byte: string, count: number) => byte.repeat(count);
/** Refuses every flip of one bit, either at decoding or by a decoded value that differs. */
function refusesFlips(source: Uint8Array, decode: (bytes: Uint8Array) => unknown): void {
  const good = decode(source.slice());
  for (let bit = 0; bit < source.byteLength * 8; bit++) {
    const flipped = source.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    expect(typeof decode(flipped), `bit ${bit}`).toBe("string");
  }
  expect(typeof good).toBe("object");
}

// One row per format that ever shipped. Append only: an edited row is a broken upgrade.
test("encodeClusterKeyFile() keeps the bytes of version 1", () => {
  const slot = (byte: number) => ({
    salt: filled(32, byte),
    nonce: filled(12, byte + 1),
    sealed: filled(48, byte + 2),
  });
  const file = {
    clusterId: filled(16, 0xc1),
    generation: 0x0102n,
    node: slot(0x10),
    recovery: slot(0x20),
  };
  const bytes = encodeClusterKeyFile(file, crc32c);
  expect(toHex(bytes)).toBe(
    `4b534b49434b4559 0100 000000000000 ${repeat("c1", 16)} 0201000000000000
     ${repeat("10", 32)} ${repeat("11", 12)} ${repeat("12", 48)}
     ${repeat("20", 32)} ${repeat("21", 12)} ${repeat("22", 48)} ${repeat("00", 28)} CRC`
      .replaceAll(/\s/g, "")
      .replace("CRC", goldenChecksum.clusterKey),
  );
  expect(decodeClusterKeyFile(bytes, crc32c)).toEqual(file);
  refusesFlips(bytes, (source) => decodeClusterKeyFile(source, crc32c));
  expect(decodeClusterKeyFile(bytes.subarray(1), crc32c)).toBe("bad_size");
});
test("encodeNodeSecretFile() keeps the bytes of version 1", () => {
  const file = { clusterId: filled(16, 0xc1), secret: filled(32, 0x5e), isUnfinished: false };
  const bytes = encodeNodeSecretFile(file, crc32c);
  expect(toHex(bytes)).toBe(
    `4b534b494e4f4445 0100 00 0000000000 ${repeat("c1", 16)} ${repeat("5e", 32)} CRC`
      .replaceAll(/\s/g, "")
      .replace("CRC", goldenChecksum.nodeSecret),
  );
  expect(decodeNodeSecretFile(bytes, crc32c)).toEqual(file);
  const unfinished = { ...file, isUnfinished: true };
  expect(decodeNodeSecretFile(encodeNodeSecretFile(unfinished, crc32c), crc32c)).toEqual(
    unfinished,
  );
  refusesFlips(bytes, (source) => decodeNodeSecretFile(source, crc32c));
});
test("encodeKeyExport() keeps the bytes of version 1", () => {
  const file = {
    cost: { log2N: 17, r: 8, p: 1 },
    clusterId: filled(16, 0xc1),
    salt: filled(32, 0x5a),
    nonce: filled(12, 0x0c),
    sealed: filled(80, 0x5e),
  };
  const bytes = encodeKeyExport(file, crc32c);
  expect(toHex(bytes)).toBe(
    `4b534b4945585054 0100 01 11 0800 0100 ${repeat("c1", 16)} ${repeat("5a", 32)}
     ${repeat("0c", 12)} ${repeat("5e", 80)} ${repeat("00", 32)} CRC`
      .replaceAll(/\s/g, "")
      .replace("CRC", goldenChecksum.keyExport),
  );
  expect(decodeKeyExport(bytes, crc32c)).toEqual(file);
  refusesFlips(bytes, (source) => decodeKeyExport(source, crc32c));
  for (const [offset, value] of [
    [11, 9],
    [11, 21],
    [12, 0],
    [12, 17],
    [14, 0],
    [14, 5],
  ] as const) {
    const costly = bytes.slice();
    costly[offset] = value;
    new DataView(costly.buffer).setUint32(188, crc32c(0, costly.subarray(0, 188)), true);
    expect(decodeKeyExport(costly, crc32c)).toBe("bad_cost");
  }
  expect(() => encodeKeyExport({ ...file, cost: { log2N: 21, r: 8, p: 1 } }, crc32c)).toThrow();
});
test("encodeSealedKey() keeps the bytes of version 1", () => {
  const key = {
    kind: "share",
    generation: 0x01020304,
    nonce: filled(12, 0x0c),
    sealed: filled(48, 0x5e),
  } as const;
  const bytes = encodeSealedKey(key);
  expect(toHex(bytes)).toBe(
    `01 02 0000 04030201 ${repeat("0c", 12)} ${repeat("5e", 48)}`.replaceAll(" ", ""),
  );
  expect(decodeSealedKey(bytes, "share")).toEqual(key);
  expect(decodeSealedKey(bytes, "master")).toBe("bad_kind");
  expect(decodeSealedKey(bytes.subarray(0, 35), "share")).toBe("bad_size");
  expect(decodeSealedKey(newBytes(4096 + 37), "share")).toBe("bad_size");
  for (const [offset, fault] of [
    [0, "bad_version"],
    [1, "bad_kind"],
    [2, "bad_version"],
    [3, "bad_version"],
  ] as const) {
    const changed = bytes.slice();
    changed[offset]! ^= 0x80;
    expect(decodeSealedKey(changed, "share")).toBe(fault);
  }
});
test("encodeBoundShare() puts the share first, then whose it is", () => {
  const bytes = encodeBoundShare(filled(32, 1), filled(32, 2));
  expect(toHex(bytes)).toBe(repeat("01", 32) + repeat("02", 32));
  expect(decodeBoundShare(bytes)).toEqual({ share: filled(32, 1), binding: filled(32, 2) });
  expect(decodeBoundShare(bytes.subarray(1))).toBeUndefined();
});
test("formatRecoveryCode() keeps the letters of version 1", () => {
  expect(formatRecoveryCode(newBytes(22))).toBe(goldenCode.zeros);
  const counted = fromHex("000102030405060708090a0b0c0d0e0f101112131414");
  expect(formatRecoveryCode(counted)).toBe(goldenCode.counted);
});
const goldenChecksum = { clusterKey: "103b6ac9", nodeSecret: "6ca53eda", keyExport: "4b16f169" };
const goldenCode = {
  zeros: "1000H-00005-0000N-0000A-0000T-0000F-0000Z-0000M-00004",
  counted: "1000H-G40R3-40M3K-0E20Y-9185S-GR38C-E1W86-124GN-K2GA3",
};
