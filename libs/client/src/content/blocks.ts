/** What a stream's content is cut to. */
export const streamBlockSize = 1024 * 1024;
/** What a block is cut to that is read here and there: a segment is the least that can be opened. */
export const randomBlockSize = 64 * 1024;

interface Range {
  readonly from: number;
  readonly to: number;
}
interface Piece {
  readonly chunkOffset: number;
  readonly length: number;
}
/** The block of a stream in which `from` lies; offsets in the chunk's plaintext. */
export function streamBlockAround(piece: Piece, { from }: Pick<Range, "from">): Range {
  return blockAround(piece, from, streamBlockSize);
}
/** The block of this size in which `from` lies. */
export function blockAround({ chunkOffset, length }: Piece, from: number, size: number): Range {
  const start = Math.floor(from / size) * size;
  return {
    from: Math.max(start, chunkOffset),
    to: Math.min(start + size, chunkOffset + length),
  };
}
