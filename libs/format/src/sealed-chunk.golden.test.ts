import { expect, test } from "bun:test";
import { chunkId, newBytes, sealId, toHex } from "@kiseki/base";
import { segmentAad, segmentNonce } from "./sealed-chunk.ts";

// Append only: an edited row makes every stored chunk unreadable.
const golden = [
  [0, 1, 1, "00000000 01000000 0100000000000000", "000000000000000000000000"],
  [63, 64, 4_194_304, "3f000000 40000000 0000400000000000", "00000000000000000000003f"],
  [258, 65_536, 4_294_967_297, "02010000 00000100 0100000001000000", "000000000000000000000102"],
] as const;
for (const [number, count, size, aad, nonce] of golden) {
  test(`segmentAad() and segmentNonce() keep the bytes of segment ${number} of ${count}`, () => {
    const chunk = chunkId(newBytes(32).fill(0xc1));
    const seal = sealId(newBytes(16).fill(0x5e));
    const ids = "c1".repeat(32) + "5e".repeat(16);
    expect(toHex(segmentAad(chunk, seal, number, count, size))).toBe(ids + aad.replaceAll(" ", ""));
    expect(toHex(segmentNonce(number))).toBe(nonce);
  });
}
