import type { Content, LeafExtent } from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { lookupChunk, noteSeal, takeReference } from "../chunks.ts";
import type { Refusal } from "../operation.ts";
import { refuse } from "../operation.ts";
import { visitExtents } from "../read-content.ts";
import type { Step } from "../step.ts";
import type { ContentRange } from "./content-list.ts";
import type { WritePiece } from "./content-operation.ts";

const piecesMax = 1024;
/** Extents that are looked at to learn how much of a range is holes; behind them it counts as full. */
const countedExtentsMax = 4096;

/** Counts the references of new pieces, laid `by` bytes further on, and answers their extents. They come from clients. */
export function admitPieces(
  step: Step,
  pieces: readonly WritePiece[],
  by: number,
): readonly LeafExtent[] | Refusal {
  if (pieces.length > piecesMax) return refuse("too_many_extents");
  if (pieces.length === 0) return refuse("invalid_argument");
  const extents: LeafExtent[] = [];
  let end = by;
  for (const piece of pieces) {
    const { length, chunkOffset } = piece;
    const offset = piece.offset + by;
    const isOrdered = Number.isSafeInteger(offset) && offset >= end;
    if (!isOrdered || !(length >= 1) || !(chunkOffset >= 0)) return refuse("invalid_argument");
    end = offset + length;
    if (end > step.context.limits.objectSizeMax) return refuse("object_too_large");
    const extent = admitPiece(step, piece, offset);
    if (extent.kind === "refused") return extent;
    extents.push(extent);
  }
  return extents;
}
function admitPiece(step: Step, piece: WritePiece, offset: number): LeafExtent | Refusal {
  const { length, chunkOffset } = piece;
  const range = { offset, length, chunkOffset };
  const isWithin = (size: number): boolean => chunkOffset + length <= size;
  if (piece.kind === "small") {
    if (!isWithin(piece.ref.size)) return refuse("invalid_argument");
    noteSeal(step, piece.ref, piece.ref);
    return { kind: "small", ...range, ...piece.ref };
  }
  const { chunkId, pool, profile } = piece;
  const address = { chunkId, pool, profile };
  if (piece.seal !== undefined && !isWithin(piece.seal.size)) return refuse("invalid_argument");
  const refusal = takeReference(step, address, piece.seal, piece.pinned);
  if (refusal !== undefined) return refusal;
  if (!isWithin(lookupChunk(step.map, address)?.size ?? 0)) return refuse("invalid_argument");
  return { kind: "chunk", ...range, ...address };
}

/** Bytes of a range that are no holes. */
export function dataSize(map: MapReader, content: Content, range: ContentRange): number {
  let size = 0;
  let count = 0;
  if (range.start >= range.end) return 0;
  visitExtents(map, content, range, ({ offset, length }) => {
    count += 1;
    size += count < countedExtentsMax ? length : range.end - offset;
    return count < countedExtentsMax;
  });
  return size;
}

/** Extents side by side, as one edit each. */
export function runsOf(extents: readonly LeafExtent[]): readonly (readonly LeafExtent[])[] {
  const runs: LeafExtent[][] = [];
  let end: number | undefined;
  for (const extent of extents) {
    if (extent.offset === end) runs.at(-1)!.push(extent);
    else runs.push([extent]);
    end = extent.offset + extent.length;
  }
  return runs;
}
