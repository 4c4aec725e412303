import { newBytes, sameBytes, toUtf8 } from "@kiseki/base";

/**
 * The cluster key's file, sealed twice; copies lie in the data directory and in each mirror.
 * 256 bytes, little-endian; drawn in `docs/formats/cluster-key.md`.
 *
 *     0   8  "KSKICKEY"
 *     8   2  version, 1
 *    10   6  zero
 *    16  16  cluster id, random
 *    32   8  generation: grows each time the file is sealed anew; the highest copy counts
 *    40  32  salt of the node secret's sealing
 *    72  12  nonce, then 48 bytes: cluster key under HKDF(node secret)
 *   132  32  salt of the recovery code's sealing
 *   164  12  nonce, then 48 bytes: cluster key under HKDF(recovery code)
 *   224  28  zero
 *   252   4  CRC-32C of bytes [0, 252)
 *
 * AAD of both sealings = bytes [0, 40).
 */
const clusterKeyFileSize = 256;
const clusterKeyFileVersion = 1;
/** Bytes in front of both sealings, their AAD. */
const clusterKeyHeaderSize = 40;

/** One of the two sealings. */
export interface ClusterKeySlot {
  /** 32 bytes. */
  readonly salt: Uint8Array;
  /** 12 bytes. */
  readonly nonce: Uint8Array;
  /** 48 bytes: ciphertext ‖ tag. */
  readonly sealed: Uint8Array;
}
export interface ClusterKeyFile {
  /** 16 bytes. */
  readonly clusterId: Uint8Array;
  readonly generation: bigint;
  readonly node: ClusterKeySlot;
  readonly recovery: ClusterKeySlot;
}
export type ClusterKeyFileFault = "bad_size" | "bad_magic" | "bad_checksum" | "bad_version";

const magic = toUtf8("KSKICKEY");
const slotOffsets = { node: 40, recovery: 132 } as const;
const checksumOffset = 252;
type Checksum = (initial: number, source: Uint8Array) => number;

export function encodeClusterKeyHeader(file: {
  readonly clusterId: Uint8Array;
  readonly generation: bigint;
}): Uint8Array {
  const target = newBytes(clusterKeyHeaderSize);
  const view = new DataView(target.buffer);
  target.set(magic, 0);
  view.setUint16(8, clusterKeyFileVersion, true);
  target.set(file.clusterId, 16);
  view.setBigUint64(32, file.generation, true);
  return target;
}

export function encodeClusterKeyFile(file: ClusterKeyFile, crc32c: Checksum): Uint8Array {
  const target = newBytes(clusterKeyFileSize);
  target.set(encodeClusterKeyHeader(file), 0);
  for (const slot of ["node", "recovery"] as const) {
    const offset = slotOffsets[slot];
    target.set(file[slot].salt, offset);
    target.set(file[slot].nonce, offset + 32);
    target.set(file[slot].sealed, offset + 44);
  }
  const view = new DataView(target.buffer);
  view.setUint32(checksumOffset, crc32c(0, target.subarray(0, checksumOffset)), true);
  return target;
}

/** Reads a file; all parts are views into `source`. A good checksum says nothing about who wrote it. */
export function decodeClusterKeyFile(
  source: Uint8Array,
  crc32c: Checksum,
): ClusterKeyFile | ClusterKeyFileFault {
  if (source.byteLength !== clusterKeyFileSize) return "bad_size";
  if (!sameBytes(source.subarray(0, 8), magic)) return "bad_magic";
  const view = new DataView(source.buffer, source.byteOffset, clusterKeyFileSize);
  const checksum = view.getUint32(checksumOffset, true);
  if (crc32c(0, source.subarray(0, checksumOffset)) !== checksum) return "bad_checksum";
  const isZero = [...source.subarray(10, 16), ...source.subarray(224, 252)].every((b) => b === 0);
  if (view.getUint16(8, true) !== clusterKeyFileVersion || !isZero) return "bad_version";
  const slot = (offset: number): ClusterKeySlot => ({
    salt: source.subarray(offset, offset + 32),
    nonce: source.subarray(offset + 32, offset + 44),
    sealed: source.subarray(offset + 44, offset + 92),
  });
  return {
    clusterId: source.subarray(16, 32),
    generation: view.getBigUint64(32, true),
    node: slot(slotOffsets.node),
    recovery: slot(slotOffsets.recovery),
  };
}
