import { newBytes } from "@kiseki/base";
import type { DirtyPiece } from "./dirty-ranges.ts";

/** Pieces of this size and more are stored alone. */
const pieceSizeMin = 64 * 1024;
/** A pack lives until the last of its ranges is overwritten, so it stays small. */
const packSizeMax = 256 * 1024;
const packRangesMax = 32;
/** Content of up to a segment may be kept as small content, which has one range alone. */
const packSizeMin = 64 * 1024 + 1;

/** What is stored at once, and where its bytes belong in the file. */
export interface Pack {
  readonly data: Uint8Array;
  readonly ranges: readonly {
    /** In the file. */
    readonly offset: number;
    /** In `data`. */
    readonly start: number;
    readonly length: number;
  }[];
}
const alone = ({ offset, data }: DirtyPiece): Pack => ({
  data,
  ranges: [{ offset, start: 0, length: data.byteLength }],
});

function joined(pieces: readonly DirtyPiece[]): readonly Pack[] {
  const size = pieces.reduce((sum, { data }) => sum + data.byteLength, 0);
  if (pieces.length < 2 || size < packSizeMin) return pieces.map(alone);
  const data = newBytes(size);
  let start = 0;
  const ranges = pieces.map((piece) => {
    const range = { offset: piece.offset, start, length: piece.data.byteLength };
    data.set(piece.data, start);
    start += range.length;
    return range;
  });
  return [{ data, ranges }];
}

/** Puts small pieces together, so that what is scattered over a file takes few stores. Keeps the order. */
export function packPieces(pieces: readonly DirtyPiece[]): readonly Pack[] {
  const packs: Pack[] = [];
  let open: DirtyPiece[] = [];
  let openSize = 0;
  const shut = (): void => {
    packs.push(...joined(open));
    open = [];
    openSize = 0;
  };
  for (const piece of pieces) {
    const size = piece.data.byteLength;
    if (openSize + size > packSizeMax || open.length === packRangesMax) shut();
    if (size >= pieceSizeMin) {
      shut();
      packs.push(alone(piece));
      continue;
    }
    open.push(piece);
    openSize += size;
  }
  shut();
  return packs;
}
