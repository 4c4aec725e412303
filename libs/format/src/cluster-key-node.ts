import { newBytes, sameBytes, toUtf8 } from "@kiseki/base";

/**
 * The node secret's file in the config directory. 68 bytes, little-endian; drawn in
 * `docs/formats/cluster-key.md`.
 *
 *     0   8  "KSKINODE"
 *     8   2  version, 1
 *    10   1  1 while the cluster key is being made and no byte was sealed under it, then 0
 *    11   5  zero
 *    16  16  cluster id: whose cluster key it opens
 *    32  32  node secret
 *    64   4  CRC-32C of bytes [0, 64)
 */
const nodeSecretFileSize = 68;
const version = 1;

export interface NodeSecretFile {
  readonly clusterId: Uint8Array;
  readonly secret: Uint8Array;
  /** True: the creation did not end; it may be begun anew. */
  readonly isUnfinished: boolean;
}
export type NodeSecretFileFault = "bad_size" | "bad_magic" | "bad_checksum" | "bad_version";

const magic = toUtf8("KSKINODE");
const checksumOffset = 64;
type Checksum = (initial: number, source: Uint8Array) => number;

export function encodeNodeSecretFile(file: NodeSecretFile, crc32c: Checksum): Uint8Array {
  const target = newBytes(nodeSecretFileSize);
  const view = new DataView(target.buffer);
  target.set(magic, 0);
  view.setUint16(8, version, true);
  view.setUint8(10, file.isUnfinished ? 1 : 0);
  target.set(file.clusterId, 16);
  target.set(file.secret, 32);
  view.setUint32(checksumOffset, crc32c(0, target.subarray(0, checksumOffset)), true);
  return target;
}

/** Reads the file; parts are views into `source`. */
export function decodeNodeSecretFile(
  source: Uint8Array,
  crc32c: Checksum,
): NodeSecretFile | NodeSecretFileFault {
  if (source.byteLength !== nodeSecretFileSize) return "bad_size";
  if (!sameBytes(source.subarray(0, 8), magic)) return "bad_magic";
  const view = new DataView(source.buffer, source.byteOffset, nodeSecretFileSize);
  const checksum = view.getUint32(checksumOffset, true);
  if (crc32c(0, source.subarray(0, checksumOffset)) !== checksum) return "bad_checksum";
  const isZero = source.subarray(11, 16).every((b) => b === 0);
  const state = view.getUint8(10);
  if (view.getUint16(8, true) !== version || !isZero || state > 1) return "bad_version";
  return {
    clusterId: source.subarray(16, 32),
    secret: source.subarray(32, checksumOffset),
    isUnfinished: state === 1,
  };
}
