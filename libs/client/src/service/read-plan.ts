import { chunkId, sealId } from "@kiseki/base";
import { capabilitySize } from "@kiseki/format";
import type { PlanReadResponse } from "@kiseki/rpc";
import { pieceSizeMax, type PlanPiece, type ReadPlan } from "@kiseki/vfs";
import { ChunkAccess } from "../content/access.ts";

type ReadableChunk = PlanReadResponse["chunks"][number];

function readChunk(chunk: ReadableChunk): ChunkAccess | undefined {
  const { chunkId: id, sealId: seal, dek, size, capability } = chunk;
  const isSized = id.byteLength === 32 && seal.byteLength === 16 && dek.byteLength === 32;
  const isRight = isSized && capability.byteLength === capabilitySize && size >= 1;
  if (!isRight || size > pieceSizeMax) return undefined;
  // Copies: views of a message keep all of it.
  return new ChunkAccess({
    chunkId: chunkId(Uint8Array.from(id)),
    sealId: sealId(Uint8Array.from(seal)),
    dek: Uint8Array.from(dek),
    size,
    capability: Uint8Array.from(capability),
  });
}

/** `undefined`: pieces that leave gaps, or point out of their chunks. */
export function readPlan(answer: PlanReadResponse, start: number): ReadPlan | undefined {
  const size = Number(answer.size);
  const chunks = answer.chunks.map(readChunk);
  const pieces: PlanPiece[] = [];
  let end = start;
  for (const piece of answer.pieces) {
    const [offset, length] = [Number(piece.offset), Number(piece.length)];
    if (offset !== end || length < 1 || offset + length > size) return undefined;
    end += length;
    if (piece.chunk === undefined) {
      pieces.push({ kind: "hole", offset, length });
      continue;
    }
    const access = chunks[piece.chunk];
    const { chunkOffset } = piece;
    if (access === undefined || chunkOffset + length > access.size) return undefined;
    pieces.push({ kind: "chunk", offset, length, chunkId: access.chunkId, chunkOffset, access });
  }
  if (!Number.isSafeInteger(size)) return undefined;
  const { contentVersion, leaseMs } = answer;
  return { kind: "plan", size, contentVersion, pieces, leaseMs };
}
