import { newBytes } from "@kiseki/base";

/**
 * One secret under another key: the value of every secret column of the key store, and what the
 * internal key manager answers to a wrap. Little-endian; drawn in `docs/formats/keys.md`.
 *
 *     0  1  version, 1
 *     1  1  kind (`sealedKeyKind`)
 *     2  2  zero
 *     4  4  generation of the sealing key: master epoch, keyset or KEK epoch; 0 for the cluster key
 *     8 12  nonce, random for each sealing
 *    20  n  AES-256-GCM ciphertext and 16-byte tag; AAD = bytes [0, 8) ‖ the caller's context
 */
const sealedKeyVersion = 1;
const sealedKeyHeaderSize = 8;
const sealedKeyOverhead = 20 + 16;
/** The largest secret: what a `Kms` must wrap. */
export const sealedKeyPlaintextSizeMax = 4096;

/** What a sealed key holds. Numbers are stored: append only. */
const sealedKeyKind = {
  master: 1,
  share: 2,
  id_key: 3,
  dir_secret: 4,
  internal_kek: 5,
  internal_wrap: 6,
} as const;
export type SealedKeyKind = keyof typeof sealedKeyKind;

export interface SealedKey {
  readonly kind: SealedKeyKind;
  /** In `[0, 2^32)`. */
  readonly generation: number;
  /** 12 bytes. */
  readonly nonce: Uint8Array;
  /** Ciphertext ‖ tag. */
  readonly sealed: Uint8Array;
}
export type SealedKeyFault = "bad_size" | "bad_version" | "bad_kind";

/** The 8 bytes that open a sealed key and stand in front of its AAD. */
export function encodeSealedKeyHeader(kind: SealedKeyKind, generation: number): Uint8Array {
  const target = newBytes(sealedKeyHeaderSize);
  const view = new DataView(target.buffer);
  view.setUint8(0, sealedKeyVersion);
  view.setUint8(1, sealedKeyKind[kind]);
  view.setUint32(4, generation, true);
  return target;
}

export function encodeSealedKey(key: SealedKey): Uint8Array {
  const target = newBytes(20 + key.sealed.byteLength);
  target.set(encodeSealedKeyHeader(key.kind, key.generation), 0);
  target.set(key.nonce, 8);
  target.set(key.sealed, 20);
  return target;
}

/** Reads a sealed key of the kind wanted. `nonce` and `sealed` are views into `source`. */
export function decodeSealedKey(
  source: Uint8Array,
  kind: SealedKeyKind,
): SealedKey | SealedKeyFault {
  const size = source.byteLength;
  if (size < sealedKeyOverhead || size > sealedKeyPlaintextSizeMax + sealedKeyOverhead) {
    return "bad_size";
  }
  const view = new DataView(source.buffer, source.byteOffset, 20);
  if (view.getUint8(0) !== sealedKeyVersion || view.getUint16(2, true) !== 0) return "bad_version";
  if (view.getUint8(1) !== sealedKeyKind[kind]) return "bad_kind";
  return {
    kind,
    generation: view.getUint32(4, true),
    nonce: source.subarray(8, 20),
    sealed: source.subarray(20),
  };
}

/**
 * A share as it is given to be wrapped: it says whose it is, because not every provider binds AAD.
 *
 *     0 32  share
 *    32 32  SHA-256 of (tenant, keyset, purpose), checked after unwrap
 */
export const shareSize = 32;
const boundShareSize = 64;

export function encodeBoundShare(share: Uint8Array, binding: Uint8Array): Uint8Array {
  const target = newBytes(boundShareSize);
  target.set(share, 0);
  target.set(binding, shareSize);
  return target;
}

/** The two halves as views into `source`, or `undefined` when the size is wrong. */
export function decodeBoundShare(
  source: Uint8Array,
): { readonly share: Uint8Array; readonly binding: Uint8Array } | undefined {
  if (source.byteLength !== boundShareSize) return undefined;
  return { share: source.subarray(0, shareSize), binding: source.subarray(shareSize) };
}
