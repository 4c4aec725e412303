import { newBytes, toUtf8 } from "@kiseki/base";
import type { Crypto } from "@kiseki/ports";

/** What a key is for. The label `kiseki/<purpose>/v1` opens the info of its HKDF-Expand (KEYS). */
type Purpose =
  | "bounds"
  | "capability"
  | "chain"
  | "chunk"
  | "cluster-page"
  | "cluster-wal-mask"
  | "customer-check"
  | "customer-chunk"
  | "customer-etag"
  | "customer-salt"
  | "hidden-name"
  | "version-id"
  | "internal-kek"
  | "internal-wrap"
  | "list-token"
  | "log"
  | "master"
  | "name-tag"
  | "node"
  | "page"
  | "receipt"
  | "recovery"
  | "row-sum"
  | "session-secret"
  | "session-token"
  | "share"
  | "share-binding"
  | "tenant-secret"
  | "wal-mask";

/** Salts of HKDF-Extract: one per kind of secret, so that no secret is extracted twice into one key. */
type SecretKind =
  "chain-root" | "cluster-root" | "customer-root" | "dir-root" | "master-root" | "root";

const labels = new Map<Purpose | SecretKind, Uint8Array>();
/** Shared: copied into what it opens, never changed. */
export function label(purpose: Purpose | SecretKind): Uint8Array {
  let bytes = labels.get(purpose);
  if (bytes === undefined) labels.set(purpose, (bytes = toUtf8(`kiseki/${purpose}/v1`)));
  return bytes;
}

/** A field of fixed width, little-endian. */
export function u32Field(n: number): Uint8Array {
  const target = newBytes(4);
  new DataView(target.buffer).setUint32(0, n, true);
  return target;
}
export function u64Field(n: bigint): Uint8Array {
  const target = newBytes(8);
  new DataView(target.buffer).setBigUint64(0, n, true);
  return target;
}

/** Label ‖ for each field its size (4 bytes, little-endian) ‖ field: no two lists give equal bytes. */
export function deriveInfo(purpose: Purpose, ...fields: readonly Uint8Array[]): Uint8Array {
  return writeInfo(newBytes(infoSize(purpose, fields)), purpose, fields);
}

function infoSize(purpose: Purpose, fields: readonly Uint8Array[]): number {
  let size = label(purpose).byteLength;
  for (const field of fields) size += 4 + field.byteLength;
  return size;
}

function writeInfo(
  target: Uint8Array,
  purpose: Purpose,
  fields: readonly Uint8Array[],
): Uint8Array {
  const opening = label(purpose);
  target.set(opening);
  let at = opening.byteLength;
  for (const field of fields) {
    for (let left = field.byteLength, i = 0; i < 4; i++, left >>>= 8) target[at + i] = left;
    target.set(field, at + 4);
    at += 4 + field.byteLength;
  }
  return target;
}

/** Where infos are written, by their size: each read of a chunk derives a key, and few sizes are in use. */
const rooms = new Map<number, Uint8Array>();
const roomSizeMax = 256;

function roomOf(size: number): Uint8Array {
  const known = rooms.get(size);
  if (known !== undefined) return known;
  const room = newBytes(size);
  if (size <= roomSizeMax) rooms.set(size, room);
  return room;
}

/** HKDF-Expand (RFC 5869) to 32 bytes under the info of `purpose` and `fields`. */
export function deriveKey(
  crypto: Crypto,
  root: Uint8Array,
  purpose: Purpose,
  ...fields: readonly Uint8Array[]
): Uint8Array {
  const info = writeInfo(roomOf(infoSize(purpose, fields)), purpose, fields);
  return crypto.hkdfExpand(root, info, 32);
}
