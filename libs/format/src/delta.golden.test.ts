import { expect, test } from "bun:test";
import {
  bytes,
  chunkId,
  epoch,
  keyset,
  operationId,
  sealId,
  sequence,
  shardId,
  tenantId,
  toHex,
} from "@kiseki/base";
import type { DeltaHeader } from "./delta.ts";
import {
  chunkRefSize,
  decodeDelta,
  deltaAad,
  deltaChunkRefsMax,
  deltaHeaderSize,
  deltaPayloadSizeMax,
  deltaSealOverhead,
  deltaSize,
  encodeDeltaHeader,
} from "./delta.ts";

const filled = (size: number, first: number): Uint8Array =>
  Uint8Array.from({ length: size }, (_, i) => first + i);

const bare: DeltaHeader = {
  shard: shardId(filled(16, 0x10)),
  tenant: tenantId(filled(16, 0x20)),
  sequence: sequence(0x0102030405060708n),
  hlc: { physical: 0x018f_0a0b_0c0d, logical: 0x11121314, node: 0x2122232425262728n },
  operationId: operationId(filled(16, 0x30)),
  epoch: epoch(0x3132333435363738n),
  keyset: keyset(0x41424344),
  operation: 0x5152,
  dirKey: filled(16, 0x60),
  nameTag: filled(16, 0x70),
  chunkRefs: [],
  payloadSize: bytes(3),
};
const named: DeltaHeader = {
  ...bare,
  chunkRefs: [
    {
      chunkId: chunkId(filled(32, 0x80)),
      sealId: sealId(filled(16, 0xa0)),
      pool: 0xb1b2b3b4,
      profile: 0x0402,
      placementEpoch: 0xc1c2c3c4,
      size: 0x00400000,
    },
  ],
};

// One row per header that ever shipped. Append only: an edited row is a broken upgrade.
const golden = [
  [
    "v1 without chunks",
    bare,
    "6b646c74 0100 5251 90000000 03000000 0807060504030201 0d0c0b0a8f010000 2827262524232221 14131211 44434241 3837363534333231 00000000 00000000 101112131415161718191a1b1c1d1e1f 202122232425262728292a2b2c2d2e2f 303132333435363738393a3b3c3d3e3f 606162636465666768696a6b6c6d6e6f 707172737475767778797a7b7c7d7e7f",
  ],
  [
    "v1 with one chunk",
    named,
    "6b646c74 0100 5251 d0000000 03000000 0807060504030201 0d0c0b0a8f010000 2827262524232221 14131211 44434241 3837363534333231 01000000 00000000 101112131415161718191a1b1c1d1e1f 202122232425262728292a2b2c2d2e2f 303132333435363738393a3b3c3d3e3f 606162636465666768696a6b6c6d6e6f 707172737475767778797a7b7c7d7e7f 808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f a0a1a2a3a4a5a6a7a8a9aaabacadaeaf b4b3b2b1 0204 0000 c4c3c2c1 00004000",
  ],
] as const;
for (const [name, header, hex] of golden) {
  test(`encodeDeltaHeader() keeps the bytes of ${name}`, () => {
    const target = new Uint8Array(deltaHeaderSize(header)).fill(0xaa); // dirty on purpose
    encodeDeltaHeader(header, target);
    expect(toHex(target)).toBe(hex.replaceAll(" ", ""));
  });
  test(`decodeDelta() reads ${name}, and what follows is not its`, () => {
    const source = new Uint8Array(deltaSize(header) + 5).fill(0x55);
    encodeDeltaHeader(header, source);
    const delta = decodeDelta(source);
    if (typeof delta === "string") throw new Error(delta);
    expect(delta.header).toEqual(header);
    expect(delta.size).toBe(deltaSize(header));
    expect(delta.clear.byteLength).toBe(deltaHeaderSize(header));
    expect(delta.sealed.byteLength).toBe(deltaSealOverhead + header.payloadSize);
  });
}

const encoded = (): Uint8Array => {
  const source = new Uint8Array(deltaSize(named));
  encodeDeltaHeader(named, source);
  return source;
};

test("decodeDelta() names each fault, and takes no size on trust", () => {
  const withWord = (offset: number, word: number): Uint8Array => {
    const source = encoded();
    new DataView(source.buffer).setUint32(offset, word, true);
    return source;
  };
  expect(decodeDelta(new Uint8Array(0))).toBe("truncated");
  expect(decodeDelta(withWord(0, 1))).toBe("bad_magic");
  expect(decodeDelta(withWord(4, 2))).toBe("unknown_version");
  expect(decodeDelta(withWord(4, 1))).toBe("bad_field"); // operation 0
  expect(decodeDelta(withWord(8, 999))).toBe("bad_field");
  expect(decodeDelta(withWord(12, deltaPayloadSizeMax + 1))).toBe("too_large");
  expect(decodeDelta(withWord(12, deltaPayloadSizeMax))).toBe("truncated");
  expect(decodeDelta(withWord(12, 4))).toBe("truncated");
  expect(decodeDelta(withWord(28, 0xffffffff))).toBe("bad_field"); // physical time
  expect(decodeDelta(withWord(44, 0))).toBe("bad_field"); // keyset
  expect(decodeDelta(withWord(56, deltaChunkRefsMax + 1))).toBe("too_large");
  expect(decodeDelta(withWord(56, 0xffffffff))).toBe("too_large");
  expect(decodeDelta(withWord(56, 2))).toBe("bad_field");
  expect(decodeDelta(withWord(60, 1))).toBe("bad_field");
  expect(decodeDelta(withWord(144 + 52, 0))).toBe("bad_field"); // profile
});

test("decodeDelta() of every cut is truncated, of noise a fault", () => {
  const source = encoded();
  for (let size = 0; size < source.byteLength; size++) {
    expect(decodeDelta(source.subarray(0, size))).toBe("truncated");
  }
  expect(decodeDelta(crypto.getRandomValues(new Uint8Array(500)))).toBe("bad_magic");
});

test("deltaAad() is the header without the sequence", () => {
  const header = encoded().subarray(0, deltaHeaderSize(named));
  const aad = deltaAad(header);
  expect(toHex(aad)).toBe(toHex(header.slice(0, 16)) + toHex(header.slice(24)));
  expect(aad.byteLength).toBe(144 + chunkRefSize - 8);
});
