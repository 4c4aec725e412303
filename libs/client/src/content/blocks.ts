/** What a stream's content is cut to. */
export const streamBlockSize = 1024 * 1024;

interface Piece {
  readonly chunkOffset: number;
  readonly length: number;
}
/** The block of a stream in which `from` lies; offsets in the chunk's plaintext. */
export function streamBlockAround(
  { chunkOffset, length }: Piece,
  { from }: { readonly from: number },
): { readonly from: number; readonly to: number } {
  const start = Math.floor(from / streamBlockSize) * streamBlockSize;
  return {
    from: Math.max(start, chunkOffset),
    to: Math.min(start + streamBlockSize, chunkOffset + length),
  };
}
