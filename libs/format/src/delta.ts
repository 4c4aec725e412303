import type {
  Bytes,
  ChunkId,
  Epoch,
  Keyset,
  OperationId,
  SealId,
  Sequence,
  ShardId,
  TenantId,
} from "@kiseki/base";
import {
  assert,
  bytes,
  chunkId,
  epoch,
  keyset,
  KiB,
  MiB,
  operationId,
  sealId,
  sequence,
  shardId,
  tenantId,
} from "@kiseki/base";

/** One delta as stored in a log entry, drawn in `docs/formats/delta.md`: clear header, sealed payload. */
export const deltaVersion = 1;
/** Bytes of the header before the first chunk reference. */
export const deltaHeaderSizeMin = 144;
export const chunkRefSize = 64;
/** Chunk references of one delta; a complete-multipart names 10,000 parts at most. */
export const deltaChunkRefsMax = 16 * KiB;
/** Plaintext bytes of one payload. */
export const deltaPayloadSizeMax = 4 * MiB;
export const deltaNonceSize = 12;
export const deltaTagSize = 16;
/** What sealing adds to a payload: nonce ‖ ciphertext ‖ tag. */
export const deltaSealOverhead = deltaNonceSize + deltaTagSize;
export const deltaSizeMax =
  deltaHeaderSizeMin + deltaChunkRefsMax * chunkRefSize + deltaSealOverhead + deltaPayloadSizeMax;

const magic = 0x746c646b; // "kdlt" in file order
const sequenceOffset = 16;
const sequenceSize = 8;
const refsOffset = deltaHeaderSizeMin;

/** Hybrid logical clock: order and cause across shards (spec I-T5). Compared by physical, then logical, then node. */
export interface Hlc {
  /** Milliseconds since the Unix epoch, in `[0, 2^53)`; may run ahead of the wall clock. */
  readonly physical: number;
  /** Counts within one physical millisecond, in `[0, 2^32)`. */
  readonly logical: number;
  /** Id of the node that made it, in `[0, 2^64)`. */
  readonly node: bigint;
}

/** One chunk that a delta names: enough to find, scrub and repair it without a tenant's key. */
export interface ChunkRef {
  readonly chunkId: ChunkId;
  readonly sealId: SealId;
  /** Number of the pool, in `[0, 2^32)`. */
  readonly pool: number;
  /** `data` × 256 + `parity` of an EC profile, or the number of copies: see `docs/formats/delta.md`. */
  readonly profile: number;
  /** Version of the placement map that chose its devices, in `[0, 2^32)`. */
  readonly placementEpoch: number;
  /** Plaintext bytes of the chunk, in `[0, 2^32)`. */
  readonly size: number;
}

/** What the state machine hands over per change. Plain bytes; borrowed by whoever seals it. */
export interface DeltaContent {
  /** Code of the operation, in `[1, 2^16)`; its meaning and the payload's are composition's. */
  readonly operation: number;
  /** Of the directory that changes; 16 bytes. */
  readonly dirKey: Uint8Array;
  /** Keyed tag of the name, 16 bytes; zeros where no name is touched. */
  readonly nameTag: Uint8Array;
  /** Chunks that the change makes live. */
  readonly chunkRefs: readonly ChunkRef[];
  /** Names, attributes, times, ids: everything `apply` needs. At most `deltaPayloadSizeMax`. */
  readonly payload: Uint8Array;
}

/** What the owner adds to the content. */
export interface DeltaStamp {
  readonly shard: ShardId;
  readonly tenant: TenantId;
  readonly sequence: Sequence;
  readonly hlc: Hlc;
  readonly operationId: OperationId;
  readonly epoch: Epoch;
  readonly keyset: Keyset;
}

export interface DeltaHeader extends DeltaStamp {
  readonly operation: number;
  readonly dirKey: Uint8Array;
  readonly nameTag: Uint8Array;
  readonly chunkRefs: readonly ChunkRef[];
  /** Plaintext bytes of the payload. */
  readonly payloadSize: Bytes;
}

/**
 * Why stored bytes are no delta. `unknown_version` halts the view until the program is newer (STORE §2);
 * the others are damage.
 */
export type DeltaFault = "truncated" | "bad_magic" | "unknown_version" | "too_large" | "bad_field";

/** Views into the source: they live and change with it. */
export interface DecodedDelta {
  readonly kind: "delta";
  readonly header: DeltaHeader;
  /** The header as it stands in the source. */
  readonly clear: Uint8Array;
  /** nonce ‖ ciphertext ‖ tag. */
  readonly sealed: Uint8Array;
  /** Bytes the whole delta takes in the source. */
  readonly size: Bytes;
}

export function deltaHeaderSize(header: { readonly chunkRefs: readonly unknown[] }): Bytes {
  return bytes(refsOffset + header.chunkRefs.length * chunkRefSize);
}

/** Bytes of the whole delta once encoded. */
export function deltaSize(header: {
  readonly chunkRefs: readonly unknown[];
  readonly payloadSize: number;
}): Bytes {
  return bytes(deltaHeaderSize(header) + deltaSealOverhead + header.payloadSize);
}

/** Writes the header at the start of `target` and returns its size; the sealed payload follows it. */
export function encodeDeltaHeader(header: DeltaHeader, target: Uint8Array): Bytes {
  const size = deltaHeaderSize(header);
  assert(target.byteLength >= size, "the target has room for the header");
  assert(header.chunkRefs.length <= deltaChunkRefsMax, "a delta names few enough chunks");
  assert(header.payloadSize <= deltaPayloadSizeMax, "a payload is small enough");
  assert(header.operation >= 1 && header.operation <= 0xffff, "an operation code fits 16 bits");
  assert(header.dirKey.byteLength === 16, "a dirKey has 16 bytes");
  assert(header.nameTag.byteLength === 16, "a name tag has 16 bytes");
  const view = new DataView(target.buffer, target.byteOffset, size);
  view.setUint32(0, magic, true);
  view.setUint16(4, deltaVersion, true);
  view.setUint16(6, header.operation, true);
  view.setUint32(8, size, true);
  view.setUint32(12, header.payloadSize, true);
  view.setBigUint64(sequenceOffset, header.sequence, true);
  view.setBigUint64(24, BigInt(header.hlc.physical), true);
  view.setBigUint64(32, header.hlc.node, true);
  view.setUint32(40, header.hlc.logical, true);
  view.setUint32(44, header.keyset, true);
  view.setBigUint64(48, header.epoch, true);
  view.setUint32(56, header.chunkRefs.length, true);
  view.setUint32(60, 0, true);
  target.set(header.shard, 64);
  target.set(header.tenant, 80);
  target.set(header.operationId, 96);
  target.set(header.dirKey, 112);
  target.set(header.nameTag, 128);
  let offset = refsOffset;
  for (const ref of header.chunkRefs) {
    encodeChunkRef(ref, target, view, offset);
    offset += chunkRefSize;
  }
  return size;
}

function encodeChunkRef(ref: ChunkRef, target: Uint8Array, view: DataView, offset: number): void {
  assert(ref.profile >= 1 && ref.profile <= 0xffff, "a profile code fits 16 bits");
  target.set(ref.chunkId, offset);
  target.set(ref.sealId, offset + 32);
  view.setUint32(offset + 48, ref.pool, true);
  view.setUint16(offset + 52, ref.profile, true);
  view.setUint16(offset + 54, 0, true);
  view.setUint32(offset + 56, ref.placementEpoch, true);
  view.setUint32(offset + 60, ref.size, true);
}

/**
 * Reads the delta that starts `source`; more may follow it. Nothing is copied. Every size is checked
 * against its limit and against `source` before it is used.
 */
export function decodeDelta(source: Uint8Array): DecodedDelta | DeltaFault {
  if (source.byteLength < refsOffset) return "truncated";
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  if (view.getUint32(0, true) !== magic) return "bad_magic";
  if (view.getUint16(4, true) !== deltaVersion) return "unknown_version";
  const refCount = view.getUint32(56, true);
  const payloadSize = view.getUint32(12, true);
  if (refCount > deltaChunkRefsMax || payloadSize > deltaPayloadSizeMax) return "too_large";
  const headerSize = refsOffset + refCount * chunkRefSize;
  if (view.getUint32(8, true) !== headerSize) return "bad_field";
  const size = headerSize + deltaSealOverhead + payloadSize;
  if (source.byteLength < size) return "truncated";
  const physical = view.getBigUint64(24, true);
  const operation = view.getUint16(6, true);
  const keysetNumber = view.getUint32(44, true);
  if (operation === 0 || keysetNumber === 0 || physical >= 1n << 53n) return "bad_field";
  if (view.getUint32(60, true) !== 0) return "bad_field";
  const chunkRefs: ChunkRef[] = [];
  for (let i = 0; i < refCount; i++) {
    const ref = decodeChunkRef(source, view, refsOffset + i * chunkRefSize);
    if (ref === undefined) return "bad_field";
    chunkRefs.push(ref);
  }
  const header: DeltaHeader = {
    shard: shardId(source.subarray(64, 80)),
    tenant: tenantId(source.subarray(80, 96)),
    sequence: sequence(view.getBigUint64(sequenceOffset, true)),
    hlc: {
      physical: Number(physical),
      logical: view.getUint32(40, true),
      node: view.getBigUint64(32, true),
    },
    operationId: operationId(source.subarray(96, 112)),
    epoch: epoch(view.getBigUint64(48, true)),
    keyset: keyset(keysetNumber),
    operation,
    dirKey: source.subarray(112, 128),
    nameTag: source.subarray(128, 144),
    chunkRefs,
    payloadSize: bytes(payloadSize),
  };
  const clear = source.subarray(0, headerSize);
  const sealed = source.subarray(headerSize, size);
  return { kind: "delta", header, clear, sealed, size: bytes(size) };
}

function decodeChunkRef(source: Uint8Array, view: DataView, offset: number): ChunkRef | undefined {
  const profile = view.getUint16(offset + 52, true);
  if (profile === 0 || view.getUint16(offset + 54, true) !== 0) return undefined;
  return {
    chunkId: chunkId(source.subarray(offset, offset + 32)),
    sealId: sealId(source.subarray(offset + 32, offset + 48)),
    pool: view.getUint32(offset + 48, true),
    profile,
    placementEpoch: view.getUint32(offset + 56, true),
    size: view.getUint32(offset + 60, true),
  };
}

/** What the payload's tag also covers: the header without its sequence, so that an append may be renumbered. */
export function deltaAad(encodedHeader: Uint8Array): Uint8Array {
  const after = sequenceOffset + sequenceSize;
  const aad = new Uint8Array(encodedHeader.byteLength - sequenceSize);
  aad.set(encodedHeader.subarray(0, sequenceOffset), 0);
  aad.set(encodedHeader.subarray(after), sequenceOffset);
  return aad;
}

assert(refsOffset % 16 === 0, "chunk references start aligned");
