import { expect, test } from "bun:test";
import { createDecipheriv } from "node:crypto";
import { join } from "node:path";
import { chunkId, newBytes, sealId, toHex } from "@kiseki/base";
import { segmentAad, segmentNonce } from "@kiseki/format";
import { segmentOverhead, segmentSize } from "@kiseki/ports";
import { openDatapath } from "./native-datapath.ts";

const directory = join(import.meta.dir, "../../../build/native");
const identity = {
  chunkId: chunkId(newBytes(32).fill(0xc1)),
  sealId: sealId(newBytes(16).fill(0x5e)),
  dek: newBytes(32).fill(0xde),
};

// Append only. Plaintext byte i is i modulo 251; one copy; CRC-32C of the payload and its first 44 bytes.
const golden = [
  [1, "68be27ab", "000000000000000000000000c38a0f1ce496a5fa00dd08dc0e66a79b7a"],
  [
    65_537,
    "e532001a",
    "000000000000000000000000c385d5049ce8228bbf88a0d43c3bd88b894bd4941638803cae5c4519496f9c59",
  ],
] as const;

async function sealGolden(size: number): Promise<{ crc: string; payload: Uint8Array }> {
  const options = { directory, arenaSize: 1 << 21, computeThreads: 1, deviceThreads: 1 };
  await using datapath = openDatapath(options);
  using lease = datapath.arena.lend(size)!;
  using target = datapath.arena.lend(size + 4096)!;
  for (let i = 0; i < size; i++) lease.bytes[i] = i % 251;
  const [fragment] = await datapath.seal({
    source: { lease, offset: 0, size },
    identity,
    profile: { kind: "copies", copies: 1 },
    headerRoom: 0,
    target,
  });
  const payload = Uint8Array.from(target.bytes.subarray(0, fragment!.size));
  return { crc: fragment!.crc32c.toString(16).padStart(8, "0"), payload };
}

for (const [size, crc, start] of golden) {
  test(`seal() keeps the bytes of ${size}`, async () => {
    const sealed = await sealGolden(size);
    expect([sealed.crc, toHex(sealed.payload.subarray(0, 44))]).toEqual([crc, start]);
  });

  test(`seal() of ${size} bytes opens with another implementation of AES-GCM`, async () => {
    const { payload } = await sealGolden(size);
    const count = Math.ceil(size / segmentSize);
    for (let i = 0; i < count; i++) {
      const at = i * (segmentSize + segmentOverhead);
      const segment = payload.subarray(at, at + segmentSize + segmentOverhead);
      expect(toHex(segment.subarray(0, 12))).toBe(toHex(segmentNonce(i)));
      const cipher = createDecipheriv("aes-256-gcm", identity.dek, segment.subarray(0, 12));
      cipher.setAAD(segmentAad(identity.chunkId, identity.sealId, i, count, size));
      cipher.setAuthTag(segment.subarray(segment.byteLength - 16));
      const plain = cipher.update(segment.subarray(12, segment.byteLength - 16));
      cipher.final();
      expect(plain.every((byte, j) => byte === (i * segmentSize + j) % 251)).toBe(true);
    }
  });
}
