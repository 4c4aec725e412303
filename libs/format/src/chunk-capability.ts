import {
  assert,
  type ChunkId,
  type Epoch,
  newBytes,
  type SealId,
  type TenantId,
  tenantId,
  type WallTime,
  wallTime,
} from "@kiseki/base";
import { epoch as asEpoch } from "@kiseki/base";

/**
 * The right to one sealing of one chunk, as a native client shows it to whoever keeps the bytes (KEYS §4). Little-endian;
 * drawn in `docs/formats/bulk-frame.md`. Which chunk and seal it is for stands beside it in the frame, and under its MAC.
 */
export const capabilitySize = 80;
export const capabilityMacSize = 32;
const macOffset = capabilitySize - capabilityMacSize;
const version = 1;
/** Numbers are on the wire: append only. */
const rights = { read: 1, write: 2 } as const;

export interface ChunkCapability {
  readonly right: keyof typeof rights;
  /** Under which the owner gave the key. */
  readonly keyset: number;
  readonly expires: WallTime;
  /** Of the owner that gave it: it is void under a later one. */
  readonly epoch: Epoch;
  readonly tenant: TenantId;
  /** To read: plaintext bytes of the whole chunk. To write: 0, the frame says. */
  readonly size: number;
  /** Number of the pool that has it, or is to have it. */
  readonly pool: number;
}

/** The capability with 32 zeros where its MAC belongs (`capabilityMacOf`). */
export function encodeCapability(capability: ChunkCapability): Uint8Array {
  const target = newBytes(capabilitySize);
  const view = new DataView(target.buffer);
  view.setUint8(0, version);
  view.setUint8(1, rights[capability.right]);
  view.setUint32(4, capability.keyset, true);
  view.setBigUint64(8, BigInt(capability.expires), true);
  view.setBigUint64(16, capability.epoch, true);
  target.set(capability.tenant, 24);
  view.setUint32(40, capability.size, true);
  view.setUint32(44, capability.pool, true);
  return target;
}

/** `undefined` for what is no capability of this version; its MAC is for the caller to check first. */
export function decodeCapability(source: Uint8Array): ChunkCapability | undefined {
  if (source.byteLength !== capabilitySize) return undefined;
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  const number = view.getUint8(1);
  const right = number === rights.read ? "read" : number === rights.write ? "write" : undefined;
  const expires = view.getBigUint64(8, true);
  const isBlank = view.getUint16(2, true) === 0;
  if (view.getUint8(0) !== version || right === undefined || !isBlank) return undefined;
  if (expires > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
  return {
    right,
    keyset: view.getUint32(4, true),
    expires: wallTime(Number(expires)),
    epoch: asEpoch(view.getBigUint64(16, true)),
    tenant: tenantId(source.slice(24, 40)),
    size: view.getUint32(40, true),
    pool: view.getUint32(44, true),
  };
}

/** What the MAC is over: the capability, then what it is for. Views of `capability` and the ids. */
export function capabilityMacParts(
  capability: Uint8Array,
  chunkId: ChunkId,
  sealId: SealId,
): readonly [Uint8Array, ChunkId, SealId] {
  assert(capability.byteLength === capabilitySize, "a capability has its size");
  return [capability.subarray(0, macOffset), chunkId, sealId];
}
/** A view. */
export const capabilityMacOf = (capability: Uint8Array): Uint8Array =>
  capability.subarray(macOffset, capabilitySize);
