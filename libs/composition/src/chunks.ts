import type { ChunkId, SealId } from "@kiseki/base";
import { assert, sameBytes } from "@kiseki/base";
import type { ChunkAddress, ChunkExtent, ChunkRow, ChunkSeal, SmallExtent } from "@kiseki/format";
import {
  chunkKey,
  chunkPrefix,
  condemnedKey,
  decodeChunk,
  decodeCondemned,
  decodeDrop,
  dropKey,
  encodeChunk,
  encodeCondemned,
  encodeDrop,
  isChunkKey,
  keyAfterPrefix,
  parseChunkKey,
  profileCode,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import type { Answer, Operation, Refusal } from "./operation.ts";
import { refuse } from "./operation.ts";
import type { LiveChunk } from "./reading.ts";
import type { Step } from "./step.ts";

type Of<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;

/** The live seal of a chunk, or `undefined`: what a dedup hit is judged by. */
export function lookupChunk(map: MapReader, address: ChunkAddress): LiveChunk | undefined {
  const value = map.get(chunkKey(address));
  return value === undefined ? undefined : decodeChunk(value);
}

/** The live chunk, of whichever pool and profile, that has this seal. */
export function findChunk(
  map: MapReader,
  chunkId: ChunkId,
  sealId: SealId,
): (ChunkAddress & LiveChunk) | undefined {
  let found: (ChunkAddress & LiveChunk) | undefined;
  const start = chunkPrefix(chunkId);
  map.scan({ start, end: keyAfterPrefix(start) }, (key, value) => {
    if (!isChunkKey(key)) return true;
    const live = decodeChunk(value);
    if (sameBytes(live.sealId, sealId)) found = { ...parseChunkKey(key), ...live };
    return found === undefined;
  });
  return found;
}

/** Says in the delta's clear header that the seal is live from here on. */
export function noteSeal(step: Step, address: ChunkAddress, seal: ChunkSeal): void {
  step.chunkRefs.push({
    chunkId: address.chunkId,
    sealId: seal.sealId,
    pool: address.pool,
    profile: profileCode(address.profile),
    placementEpoch: seal.placementEpoch,
    size: seal.size,
  });
}

/** A chunk's seal is condemned: found again by its id until the collector has deleted it. */
function condemnChunk(step: Step, address: ChunkAddress, seal: ChunkSeal): void {
  condemn(step, address, seal);
  step.map.put(condemnedKey(address, seal.sealId), encodeCondemned(step.context.now));
}

/** The pinned seal comes back to life; false when it is gone. */
function revive(step: Step, address: ChunkAddress, sealId: SealId): boolean {
  const key = condemnedKey(address, sealId);
  const value = step.map.get(key);
  if (value === undefined) return false;
  const drop = dropKey(decodeCondemned(value), address.chunkId, sealId);
  const row = step.map.get(drop);
  assert(row !== undefined, "a condemned seal has a drop row");
  step.map.delete(key);
  step.map.delete(drop);
  const seal = decodeDrop(row);
  putChunk(step, address, { ...seal, count: 1 });
  noteSeal(step, address, seal);
  return true;
}

/** Whether a chunk row or its drop row names the seal. Small chunks are named by their objects alone. */
export function isReferenced(map: MapReader, address: ChunkAddress, sealId: SealId): boolean {
  const live = lookupChunk(map, address);
  if (live !== undefined && sameBytes(live.sealId, sealId)) return true;
  return map.get(condemnedKey(address, sealId)) !== undefined;
}

/** Nothing names the seal any more: it waits for the collector. */
export function condemn(step: Step, address: ChunkAddress, seal: ChunkSeal): void {
  const { chunkId, pool, profile } = address;
  const { sealId, keyset, placementEpoch, size, missing } = seal;
  const row = { chunkId, pool, profile, sealId, keyset, placementEpoch, size, missing };
  step.map.put(dropKey(step.context.now, chunkId, sealId), encodeDrop(row));
}

function putChunk(step: Step, address: ChunkAddress, row: ChunkRow): void {
  step.map.put(chunkKey(address), encodeChunk(row));
}

/**
 * One more extent names the chunk. A second seal of a live chunk goes to `drop` at once, unless its
 * keyset is newer: then it becomes the live one and the other goes (STORE §4).
 */
export function takeReference(
  step: Step,
  address: ChunkAddress,
  seal: ChunkSeal | undefined,
  pinned: SealId | undefined,
): Refusal | undefined {
  const live = lookupChunk(step.map, address);
  if (seal === undefined) {
    if (live === undefined) {
      if (pinned !== undefined && revive(step, address, pinned)) return undefined;
      return refuse("chunk_gone");
    }
    putChunk(step, address, { ...live, count: live.count + 1 });
    return undefined;
  }
  if (live === undefined) {
    putChunk(step, address, { ...seal, count: 1 });
    noteSeal(step, address, seal);
    return undefined;
  }
  const count = live.count + 1;
  replaceSeal(step, address, live, seal, count);
  return undefined;
}

function replaceSeal(
  step: Step,
  address: ChunkAddress,
  live: ChunkRow,
  seal: ChunkSeal,
  count: number,
): void {
  const isSame = sameBytes(live.sealId, seal.sealId);
  assert(live.size === seal.size, "seals of one chunk hold equally many bytes");
  if (isSame || seal.keyset <= live.keyset) {
    putChunk(step, address, { ...live, count });
    if (!isSame) condemnChunk(step, address, seal);
    return;
  }
  takePlace(step, address, live, { ...seal, count });
}
/** `fresh` is the live one from here on, and `live` is condemned. */
function takePlace(step: Step, address: ChunkAddress, live: ChunkRow, fresh: ChunkRow): void {
  assert(live.size === fresh.size, "seals of one chunk hold equally many bytes");
  putChunk(step, address, fresh);
  noteSeal(step, address, fresh);
  condemnChunk(step, address, live);
}

/**
 * Small content gets a row, and so a count: more than one extent may name it from here on. The answer takes the place of
 * the one that named it.
 */
export function countSmall(step: Step, small: SmallExtent): ChunkExtent {
  const { offset, length, chunkOffset, chunkId, pool, profile } = small;
  const { sealId, keyset, placementEpoch, size, missing } = small;
  const address = { chunkId, pool, profile };
  assert(lookupChunk(step.map, address) === undefined, "small content has an id of its own");
  putChunk(step, address, { sealId, keyset, placementEpoch, size, missing, count: 1 });
  return { kind: "chunk", offset, length, chunkOffset, ...address };
}

/** One extent less names the chunk; at zero its seal is condemned. */
export function dropReference(step: Step, address: ChunkAddress): void {
  const live = lookupChunk(step.map, address);
  assert(live !== undefined, "a chunk that is named has a row");
  if (live.count > 1) {
    putChunk(step, address, { ...live, count: live.count - 1 });
    return;
  }
  step.map.delete(chunkKey(address));
  condemnChunk(step, address, live);
}

/** Removes drop rows whose seals are gone from every present device. Rows not there are passed over. */
export function removeDrops(step: Step, operation: Of<"dropped">): Answer {
  for (const { time, chunkId, sealId } of operation.drops) {
    const key = dropKey(time, chunkId, sealId);
    const value = step.map.get(key);
    if (value === undefined) continue;
    step.map.delete(key);
    step.map.delete(condemnedKey(decodeDrop(value), sealId));
  }
  return { kind: "none" };
}

/** A chunk that died or got another seal meanwhile leaves the new one to `drop`. */
export function switchSeal(step: Step, operation: Of<"resealed">): Answer {
  const { address, sealId, seal } = operation;
  const live = lookupChunk(step.map, address);
  if (live === undefined || !sameBytes(live.sealId, sealId)) {
    condemnChunk(step, address, seal);
    return { kind: "none" };
  }
  assert(seal.keyset >= live.keyset, "content is never sealed again under an older keyset");
  takePlace(step, address, live, { ...seal, count: live.count });
  return { kind: "none" };
}

export function noteRepair(step: Step, operation: Of<"repaired">): Answer {
  const { address, sealId, missing } = operation;
  const live = lookupChunk(step.map, address);
  if (live !== undefined && sameBytes(live.sealId, sealId)) {
    putChunk(step, address, { ...live, missing });
  }
  return { kind: "none" };
}
