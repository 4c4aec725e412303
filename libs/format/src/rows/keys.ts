import type { ChunkId, InodeId, NamespaceId, OperationId, SealId, WallTime } from "@kiseki/base";
import { assert, chunkId, concatBytes, sealId, toUtf8, wallTime } from "@kiseki/base";
import type { ChunkAddress, NamespaceSetting, RowProfile } from "./types.ts";
import { RowError } from "./codec.ts";

/** First byte of every key (STORE §3). Numbers are never reused. */
export const table = {
  entry: 1,
  head: 2,
  inode: 3,
  cold: 4,
  old: 5,
  upload: 6,
  part: 7,
  chunk: 8,
  drop: 9,
  hidden: 10,
  lease: 11,
  done: 12,
  namespace: 13,
  consumer: 14,
  meta: 15,
  manifest: 16,
  reclaim: 17,
  notice: 18,
} as const;
export const dirKeySize = 16;
const noVersion = 0xffff_ffff_ffff_ffffn;

/** The least key above all keys that start with `prefix`; undefined when there is none (all 0xff). */
export function keyAfterPrefix(prefix: Uint8Array): Uint8Array | undefined {
  let size = prefix.byteLength;
  while (size > 0 && prefix[size - 1] === 0xff) size -= 1;
  if (size === 0) return undefined;
  const next = prefix.slice(0, size);
  next[size - 1]! += 1;
  return next;
}

/** `source` with 00 → 00 FF; `ended`: 00 01 follows, and bytes may follow that. Keeps the order. */
export function escapeName(source: Uint8Array, ended: boolean): Uint8Array {
  let zeros = 0;
  for (const byte of source) if (byte === 0) zeros += 1;
  const target = new Uint8Array(source.byteLength + zeros + (ended ? 2 : 0));
  let offset = 0;
  for (const byte of source) {
    target[offset++] = byte;
    if (byte === 0) target[offset++] = 0xff;
  }
  if (ended) target[offset + 1] = 1;
  return target;
}
/** Undoes `escapeName` from `start`; `next` is the offset after the end mark. @throws {RowError} */
export function unescapeName(
  source: Uint8Array,
  start: number,
): { readonly name: Uint8Array; readonly next: number } {
  const name = new Uint8Array(Math.max(0, source.byteLength - start));
  let size = 0;
  for (let i = start; i < source.byteLength; i++) {
    const byte = source[i]!;
    if (byte === 0) {
      const mark = source[++i];
      if (mark === 1) return { name: name.slice(0, size), next: i + 1 };
      if (mark !== 0xff) break;
    }
    name[size++] = byte;
  }
  throw new RowError("bad_field", "an escaped name");
}

function joined(number: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const part of parts) size += part.byteLength;
  const key = new Uint8Array(1 + size);
  key[0] = number;
  let offset = 1;
  for (const part of parts) {
    key.set(part, offset);
    offset += part.byteLength;
  }
  return key;
}
/** Big-endian, as order wants it. */
function u64(value: bigint): Uint8Array {
  const target = new Uint8Array(8);
  let low = Number(value & 0xffff_ffffn);
  let high = Number(value >> 32n);
  for (let i = 0; i < 4; i++) {
    target[7 - i] = low & 0xff;
    target[3 - i] = high & 0xff;
    low >>>= 8;
    high >>>= 8;
  }
  return target;
}
/** Order of times is order of bytes, also before 1970. */
const timeBytes = (time: WallTime): Uint8Array => u64(BigInt(time) + (1n << 63n));
function timeAt(key: Uint8Array, offset: number): WallTime {
  if (key.byteLength < offset + 8) throw new RowError("truncated", "a time in a key");
  const time = Number(viewOf(key).getBigUint64(offset) - (1n << 63n));
  if (!Number.isSafeInteger(time)) throw new RowError("bad_field", "a time in a key");
  return wallTime(time);
}
const viewOf = (key: Uint8Array): DataView =>
  new DataView(key.buffer, key.byteOffset, key.byteLength);

/** `name` last and as it is; a directory's ends in a slash. */
export const entryKey = (dirKey: Uint8Array, name: Uint8Array): Uint8Array =>
  joined(table.entry, dirKey, name);
/** A copy. */
export const entryKeyName = (key: Uint8Array): Uint8Array => key.slice(1 + dirKeySize);
export const headKey = (dirKey: Uint8Array): Uint8Array => joined(table.head, dirKey);
export const inodeKey = (homeDirKey: Uint8Array, inode: InodeId): Uint8Array =>
  joined(table.inode, homeDirKey, u64(inode));
export const coldKey = (homeDirKey: Uint8Array, inode: InodeId, version: bigint): Uint8Array =>
  joined(table.cold, homeDirKey, u64(inode), u64(noVersion - version));
/** All versions of an inode, newest first. */
export const coldPrefix = (homeDirKey: Uint8Array, inode: InodeId): Uint8Array =>
  joined(table.cold, homeDirKey, u64(inode));
export const coldKeyVersion = (key: Uint8Array): bigint =>
  noVersion - viewOf(key).getBigUint64(key.byteLength - 8);

/** All versions of `name`. */
export const oldPrefix = (dirKey: Uint8Array, name: Uint8Array): Uint8Array =>
  joined(table.old, dirKey, escapeName(name, true));
/** Newest first. */
export const oldKey = (dirKey: Uint8Array, name: Uint8Array, version: bigint): Uint8Array =>
  joined(table.old, dirKey, escapeName(name, true), u64(noVersion - version));
/** Row that says which of the noncurrent versions is the one called `null`; sorts behind them all. */
export const nullPointerKey = (dirKey: Uint8Array, name: Uint8Array): Uint8Array =>
  oldKey(dirKey, name, 0n);
export const oldDirectoryPrefix = (dirKey: Uint8Array): Uint8Array => joined(table.old, dirKey);
/** The start of the rows of names from `name` on. */
export const oldStart = (dirKey: Uint8Array, name: Uint8Array): Uint8Array =>
  joined(table.old, dirKey, escapeName(name, false));
/** `version` 0: the row is the pointer to the null version. @throws {RowError} */
export function parseOldKey(key: Uint8Array): {
  readonly name: Uint8Array;
  readonly version: bigint;
} {
  const { name, next } = unescapeName(key, 1 + dirKeySize);
  if (key.byteLength !== next + 8) throw new RowError("bad_field", "a key of an old version");
  return { name, version: noVersion - viewOf(key).getBigUint64(next) };
}

export const uploadPrefix = (rootDirKey: Uint8Array): Uint8Array =>
  joined(table.upload, rootDirKey);
export const uploadStart = (rootDirKey: Uint8Array, key: Uint8Array): Uint8Array =>
  joined(table.upload, rootDirKey, escapeName(key, false));
export const uploadKey = (
  rootDirKey: Uint8Array,
  key: Uint8Array,
  upload: Uint8Array,
): Uint8Array => joined(table.upload, rootDirKey, escapeName(key, true), upload);
/** @throws {RowError} */
export function parseUploadKey(rowKey: Uint8Array): {
  readonly key: Uint8Array;
  readonly upload: Uint8Array;
} {
  const { name, next } = unescapeName(rowKey, 1 + dirKeySize);
  return { key: name, upload: rowKey.slice(next) };
}
export const partPrefix = (
  rootDirKey: Uint8Array,
  key: Uint8Array,
  upload: Uint8Array,
): Uint8Array => joined(table.part, rootDirKey, escapeName(key, true), upload);
export function partKey(
  rootDirKey: Uint8Array,
  key: Uint8Array,
  upload: Uint8Array,
  part: number,
): Uint8Array {
  assert(Number.isInteger(part) && part >= 0 && part <= 0xffff, "a part number fits 16 bits");
  return joined(
    table.part,
    rootDirKey,
    escapeName(key, true),
    upload,
    Uint8Array.of(part >> 8, part & 0xff),
  );
}
export const partKeyNumber = (key: Uint8Array): number => viewOf(key).getUint16(key.byteLength - 2);

/** Two bytes of a profile: n for n copies, data × 256 + parity for EC. */
export function profileCode(profile: RowProfile): number {
  if (profile.kind === "copies") {
    assert(profile.copies >= 1 && profile.copies <= 0xff, "copies fit a byte");
    return profile.copies;
  }
  assert(profile.data >= 1 && profile.data <= 0xff, "data fragments fit a byte");
  assert(profile.parity >= 1 && profile.parity <= 0xff, "parity fragments fit a byte");
  return profile.data * 256 + profile.parity;
}
/** Undefined for a code that names no profile. */
export function profileFromCode(code: number): RowProfile | undefined {
  if (code < 1 || code > 0xffff) return undefined;
  if (code <= 0xff) return { kind: "copies", copies: code };
  if ((code & 0xff) === 0) return undefined;
  return { kind: "ec", data: code >> 8, parity: code & 0xff };
}
export function chunkKey(address: ChunkAddress): Uint8Array {
  const { pool } = address;
  const code = profileCode(address.profile);
  const tail = Uint8Array.of(pool >>> 24, pool >>> 16, pool >>> 8, pool, code >> 8, code);
  return joined(table.chunk, address.chunkId, tail);
}
/** Of all rows of one chunk, in whichever pool and profile. */
export const chunkPrefix = (chunk: ChunkId): Uint8Array => joined(table.chunk, chunk);
/** Says when a seal of the chunk was condemned: from there to its drop row. Behind the chunk's own row. */
export const condemnedKey = (address: ChunkAddress, seal: SealId): Uint8Array =>
  concatBytes(chunkKey(address), seal);
export const isChunkKey = (key: Uint8Array): boolean => key.byteLength === 39;
/** @throws {RowError} */
export function parseChunkKey(key: Uint8Array): ChunkAddress {
  if (key.byteLength !== 39) throw new RowError("bad_field", "a chunk key");
  const view = viewOf(key);
  const profile = profileFromCode(view.getUint16(37));
  if (profile === undefined) throw new RowError("bad_field", "a chunk key");
  return { chunkId: chunkId(key.slice(1, 33)), pool: view.getUint32(33), profile };
}

export const dropPrefix = (): Uint8Array => Uint8Array.of(table.drop);
export const dropKey = (time: WallTime, chunk: ChunkId, seal: SealId): Uint8Array =>
  joined(table.drop, timeBytes(time), chunk, seal);
/** @throws {RowError} */
export function parseDropKey(key: Uint8Array): {
  readonly time: WallTime;
  readonly chunkId: ChunkId;
  readonly sealId: SealId;
} {
  if (key.byteLength !== 57) throw new RowError("bad_field", "a drop key");
  return {
    time: timeAt(key, 1),
    chunkId: chunkId(key.slice(9, 41)),
    sealId: sealId(key.slice(41, 57)),
  };
}

export const hiddenKey = (dirKey: Uint8Array, hash: Uint8Array): Uint8Array =>
  joined(table.hidden, dirKey, hash);
/** `kind`: 1 lock, 2 open, 3 session, 4 grant to a native client. */
export const leaseKey = (client: Uint8Array, kind: number, target: Uint8Array): Uint8Array =>
  joined(table.lease, escapeName(client, true), Uint8Array.of(kind), target);
/** All leases of a client; the kind follows. Those of no client are indexes: kind ‖ target ‖ client. */
export const leasePrefix = (client: Uint8Array): Uint8Array =>
  joined(table.lease, escapeName(client, true));
export const doneKey = (operation: OperationId | Uint8Array): Uint8Array =>
  joined(table.done, operation);
/** Outcome of an operation of a file protocol: never under an upload's id. */
export const outcomeId = (operation: OperationId): Uint8Array =>
  concatBytes(operation, Uint8Array.of(1));

/** Row of a namespace; its names lie behind all ids. */
export const namespaceKey = (id: NamespaceId): Uint8Array =>
  joined(table.namespace, Uint8Array.of(0), id);
export const namespaceNameKey = (name: string): Uint8Array =>
  joined(table.namespace, Uint8Array.of(1), toUtf8(name));
export const namespaceNamePrefix = (): Uint8Array => Uint8Array.of(table.namespace, 1);
/** One setting of a namespace. */
export const settingKey = (namespace: NamespaceId, setting: NamespaceSetting): Uint8Array =>
  joined(table.namespace, Uint8Array.of(2), namespace, toUtf8(setting));
export const settingPrefix = (namespace: NamespaceId): Uint8Array =>
  joined(table.namespace, Uint8Array.of(2), namespace);
export const consumerKey = (name: string): Uint8Array => joined(table.consumer, toUtf8(name));
export const countersKey = (): Uint8Array => Uint8Array.of(table.meta, 1);
export const usageKey = (namespace: NamespaceId): Uint8Array =>
  joined(table.meta, Uint8Array.of(2), namespace);

/** Limits of a bucket, or of the whole tenant, and what counts against them. */
export const quotaKey = (namespace?: NamespaceId): Uint8Array =>
  namespace === undefined
    ? Uint8Array.of(table.meta, 3)
    : joined(table.meta, Uint8Array.of(3), namespace);
/** Bytes of parts whose uploads are open: of a namespace, of one upload. */
export const pendingKey = (namespace: NamespaceId): Uint8Array =>
  joined(table.meta, Uint8Array.of(4), namespace);
export const uploadSumKey = (upload: Uint8Array): Uint8Array =>
  joined(table.meta, Uint8Array.of(5), upload);
export const usagePrefix = (): Uint8Array => Uint8Array.of(table.meta, 2);
export const pendingPrefix = (): Uint8Array => Uint8Array.of(table.meta, 4);

export const manifestHeadKey = (manifest: bigint): Uint8Array =>
  joined(table.manifest, u64(manifest));
export const manifestNodePrefix = (manifest: bigint): Uint8Array =>
  joined(table.manifest, u64(manifest), Uint8Array.of(1));
/** `start`: offset of the node in the manifest. */
export const manifestNodeKey = (manifest: bigint, start: number): Uint8Array =>
  joined(table.manifest, u64(manifest), Uint8Array.of(1), u64(BigInt(start)));
export const isManifestNodeKey = (key: Uint8Array): boolean => key.byteLength === 18;
export const manifestNodeStart = (key: Uint8Array): number => Number(viewOf(key).getBigUint64(10));

/** Freed first to last; `number` makes it unique. */
export const reclaimKey = (number: bigint): Uint8Array =>
  joined(table.reclaim, Uint8Array.of(1), u64(number));
export const reclaimPrefix = (): Uint8Array => Uint8Array.of(table.reclaim, 1);
/** Done rows that end at `time`. */
export const expiryKey = (time: WallTime, id: Uint8Array): Uint8Array =>
  joined(table.reclaim, Uint8Array.of(2), timeBytes(time), id);
export const expiryPrefix = (): Uint8Array => Uint8Array.of(table.reclaim, 2);
/** @throws {RowError} */
export const parseExpiryKey = (
  key: Uint8Array,
): { readonly time: WallTime; readonly id: Uint8Array } => ({
  time: timeAt(key, 2),
  id: key.slice(10),
});
