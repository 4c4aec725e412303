import { segmentSize } from "@kiseki/ports";

/**
 * Bytes of arena that `ChunkStore.get` needs for `range` of a chunk of `size` bytes: the whole
 * segments it touches.
 */
export function roomFor(
  range: { readonly start: number; readonly end: number },
  size: number,
): number {
  const first = Math.floor(range.start / segmentSize) * segmentSize;
  return Math.min(size, Math.ceil(range.end / segmentSize) * segmentSize) - first;
}
