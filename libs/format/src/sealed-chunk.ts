import type { ChunkId, SealId } from "@kiseki/base";
import { assert, newBytes } from "@kiseki/base";

/**
 * What binds a segment of a chunk to its place (KEYS §2; `docs/formats/sealed-chunk.md`). `ffi/datapath`
 * writes the same bytes in C; the simulator and the tests take them from here.
 */
export const segmentAadSize = 64;
const countMax = 2 ** 32 - 1;

/** AAD of segment `number` of `count`, of a chunk with `size` bytes of plaintext. */
export function segmentAad(
  chunkId: ChunkId,
  sealId: SealId,
  number: number,
  count: number,
  size: number,
): Uint8Array {
  assert(chunkId.byteLength === 32 && sealId.byteLength === 16, "ids have their sizes");
  assert(number >= 0 && number < count && count <= countMax, "the segment is one of the chunk's");
  const aad = newBytes(segmentAadSize);
  aad.set(chunkId, 0);
  aad.set(sealId, 32);
  const view = new DataView(aad.buffer);
  view.setUint32(48, number, true);
  view.setUint32(52, count, true);
  view.setBigUint64(56, BigInt(size), true);
  return aad;
}

/** Nonce of segment `number`: a counter, since a DEK seals one chunk once. */
export function segmentNonce(number: number): Uint8Array {
  assert(
    Number.isInteger(number) && number >= 0 && number <= countMax,
    "a segment number is a u32",
  );
  const nonce = newBytes(12);
  new DataView(nonce.buffer).setUint32(8, number); // big-endian, as counters are
  return nonce;
}
