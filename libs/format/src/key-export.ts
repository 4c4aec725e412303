import { newBytes, sameBytes, toUtf8 } from "@kiseki/base";

/**
 * What `kiseki encryption export` writes: node secret and cluster key under a passphrase, never a KEK.
 * 192 bytes, little-endian; drawn in `docs/formats/cluster-key.md`.
 *
 *     0   8  "KSKIEXPT"
 *     8   2  version, 1
 *    10   1  function from passphrase to key: 1 = scrypt (RFC 7914)
 *    11   1  scrypt log2 N, 10 … 20
 *    12   2  scrypt r, 1 … 16
 *    14   2  scrypt p, 1 … 4
 *    16  16  cluster id
 *    32  32  salt
 *    64  12  nonce
 *    76  80  AES-256-GCM of node secret ‖ cluster key, and tag; AAD = bytes [0, 64)
 *   156  32  zero
 *   188   4  CRC-32C of bytes [0, 188)
 */
const keyExportSize = 192;
const keyExportVersion = 1;
/** Bytes in front of the nonce, the sealing's AAD. */
const keyExportHeaderSize = 64;

export interface ScryptCost {
  readonly log2N: number;
  readonly r: number;
  readonly p: number;
}
export interface KeyExportHeader {
  readonly cost: ScryptCost;
  /** 16 bytes. */
  readonly clusterId: Uint8Array;
  /** 32 bytes. */
  readonly salt: Uint8Array;
}
export interface KeyExport extends KeyExportHeader {
  readonly nonce: Uint8Array;
  /** 80 bytes: ciphertext ‖ tag. */
  readonly sealed: Uint8Array;
}
/** `bad_cost`: outside the ranges above, so memory beyond 2 GiB is never asked for by a file's word. */
export type KeyExportFault = "bad_size" | "bad_magic" | "bad_checksum" | "bad_version" | "bad_cost";

const magic = toUtf8("KSKIEXPT");
const scryptId = 1;
const checksumOffset = 188;
type Checksum = (initial: number, source: Uint8Array) => number;

const isCostAllowed = ({ log2N, r, p }: ScryptCost): boolean =>
  log2N >= 10 && log2N <= 20 && r >= 1 && r <= 16 && p >= 1 && p <= 4;

/** @throws {RangeError} when the cost is out of range. */
export function encodeKeyExportHeader(header: KeyExportHeader): Uint8Array {
  if (!isCostAllowed(header.cost)) throw new RangeError("Cannot export keys: scrypt cost");
  const target = newBytes(keyExportHeaderSize);
  const view = new DataView(target.buffer);
  target.set(magic, 0);
  view.setUint16(8, keyExportVersion, true);
  view.setUint8(10, scryptId);
  view.setUint8(11, header.cost.log2N);
  view.setUint16(12, header.cost.r, true);
  view.setUint16(14, header.cost.p, true);
  target.set(header.clusterId, 16);
  target.set(header.salt, 32);
  return target;
}

export function encodeKeyExport(source: KeyExport, crc32c: Checksum): Uint8Array {
  const target = newBytes(keyExportSize);
  target.set(encodeKeyExportHeader(source), 0);
  target.set(source.nonce, 64);
  target.set(source.sealed, 76);
  const view = new DataView(target.buffer);
  view.setUint32(checksumOffset, crc32c(0, target.subarray(0, checksumOffset)), true);
  return target;
}

/** Reads an export; parts are views into `source`. */
export function decodeKeyExport(source: Uint8Array, crc32c: Checksum): KeyExport | KeyExportFault {
  if (source.byteLength !== keyExportSize) return "bad_size";
  if (!sameBytes(source.subarray(0, 8), magic)) return "bad_magic";
  const view = new DataView(source.buffer, source.byteOffset, keyExportSize);
  const checksum = view.getUint32(checksumOffset, true);
  if (crc32c(0, source.subarray(0, checksumOffset)) !== checksum) return "bad_checksum";
  const isKnown = view.getUint16(8, true) === keyExportVersion && view.getUint8(10) === scryptId;
  if (!isKnown || source.subarray(156, checksumOffset).some((b) => b !== 0)) return "bad_version";
  const cost = {
    log2N: view.getUint8(11),
    r: view.getUint16(12, true),
    p: view.getUint16(14, true),
  };
  if (!isCostAllowed(cost)) return "bad_cost";
  return {
    cost,
    clusterId: source.subarray(16, 32),
    salt: source.subarray(32, 64),
    nonce: source.subarray(64, 76),
    sealed: source.subarray(76, 156),
  };
}
