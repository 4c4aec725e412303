import { chunkId, sameBytes, sealId } from "@kiseki/base";
import { capabilitySize } from "@kiseki/format";
import type { PlanReadResponse } from "@kiseki/rpc";
import { type FileRefusal, pieceSizeMax, type PlanPiece, type ReadPlan } from "@kiseki/vfs";
import { ChunkAccess, chunkAccess } from "../content/access.ts";

type ReadableChunk = PlanReadResponse["chunks"][number];

/** Plans the byte at `offset` anew. */
export type PlanAgain = (offset: number) => Promise<ReadPlan | FileRefusal>;
type ChunkFields = Omit<ChunkAccess, "renew">;

async function renew({ chunkId: wanted }: ChunkFields, offset: number, planAgain: PlanAgain) {
  const plan = await planAgain(offset);
  const piece = plan.kind === "plan" ? plan.pieces[0] : undefined;
  const isSame = piece?.kind === "chunk" && sameBytes(piece.chunkId, wanted);
  return isSame ? chunkAccess(piece.access) : undefined;
}

function readChunk(chunk: ReadableChunk): ChunkFields | undefined {
  const { chunkId: id, sealId: seal, dek, size, capability } = chunk;
  const isSized = id.byteLength === 32 && seal.byteLength === 16 && dek.byteLength === 32;
  const isRight = isSized && capability.byteLength === capabilitySize && size >= 1;
  if (!isRight || size > pieceSizeMax) return undefined;
  // Copies: views of a message keep all of it.
  return {
    chunkId: chunkId(new Uint8Array(id)),
    sealId: sealId(new Uint8Array(seal)),
    dek: new Uint8Array(dek),
    size,
    capability: new Uint8Array(capability),
  };
}

/** `undefined`: pieces that leave gaps, or point out of their chunks. */
export function readPlan(
  answer: PlanReadResponse,
  start: number,
  planAgain: PlanAgain,
): ReadPlan | undefined {
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
    const chunk = chunks[piece.chunk];
    const { chunkOffset } = piece;
    if (chunk === undefined || chunkOffset + length > chunk.size) return undefined;
    const access = new ChunkAccess({ ...chunk, renew: () => renew(chunk, offset, planAgain) });
    pieces.push({ kind: "chunk", offset, length, chunkId: chunk.chunkId, chunkOffset, access });
  }
  if (!Number.isSafeInteger(size)) return undefined;
  const { contentVersion, leaseMs } = answer;
  return { kind: "plan", size, contentVersion, pieces, leaseMs };
}
