import type { InodeId, NamespaceId } from "@kiseki/base";
import { assert, inodeId, sameBytes } from "@kiseki/base";
import type {
  ColdRow,
  Content,
  Etag,
  InodeRow,
  NamespaceRow,
  ObjectAttributes,
  ObjectEntry,
  Xattr,
} from "@kiseki/format";
import {
  coldKey,
  coldKeyVersion,
  coldPrefix,
  decodeCold,
  decodeEntry,
  decodeInode,
  encodeCold,
  encodeEntry,
  encodeInode,
  entryKey,
  headKey,
  inodeKey,
  keyAfterPrefix,
  oldKey,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { decodeHead } from "@kiseki/format";
import { millisOf } from "../directories.ts";
import { isHeld } from "../holds.ts";
import { nodeOf } from "../inodes.ts";
import { withDefaultLock } from "../lock.ts";
import { getNamespace } from "../namespaces.ts";
import { withClass } from "../objects.ts";
import type { DirKeys, Refusal } from "../operation.ts";
import { refuse } from "../operation.ts";
import { chargeUsage } from "../quotas.ts";
import type { Step } from "../step.ts";
import { adjustUsage, allocateInode, allocateVersion } from "../step.ts";
import { addOld, settleTarget, targetAt } from "../target.ts";
import type { FileAttributes, FileRef } from "./operation.ts";

const inodeEnd = 1n << 64n;

/** A file (anything but a directory) behind a reference, or seen under a name. */
export interface PosixFile {
  readonly namespace: NamespaceRow;
  readonly home: InodeId;
  /** What is true of it now; `home` is set when the inode lies in its own table. */
  readonly entry: ObjectEntry;
  /** 0: no name is left, sessions hold it open. */
  readonly links: number;
  /** Its name, as far as it is known; of an old version the one it had. */
  readonly place: { readonly directory: InodeId; readonly name: Uint8Array } | undefined;
  /** A noncurrent version, which nobody changes. */
  readonly isOld: boolean;
}

/** Whether the directory is there and of the namespace. */
function isOfNamespace(map: MapReader, dirKey: Uint8Array, namespace: NamespaceId): boolean {
  const head = map.get(headKey(dirKey));
  return head !== undefined && sameBytes(decodeHead(head).namespace, namespace);
}

function fileOfRow(namespace: NamespaceRow, home: InodeId, row: InodeRow): PosixFile | Refusal {
  if (row.namespace === undefined || !sameBytes(row.namespace, namespace.id)) {
    return refuse("stale_file");
  }
  const { links, place } = row;
  return { namespace, home, entry: { ...row.entry, home }, links, place, isOld: false };
}

/**
 * The file behind a reference, in two seeks: its cold row starts with its name. Refused with `stale_file` when it is
 * gone, `is_a_directory` for a reference to one.
 */
export function findFile(map: MapReader, dirKeys: DirKeys, ref: FileRef): PosixFile | Refusal {
  const namespace = getNamespace(map, ref.namespace);
  if (namespace === undefined) return refuse("no_such_namespace");
  if (ref.home === 0n) return refuse("is_a_directory");
  if (ref.home < 0n || ref.home >= inodeEnd) return refuse("stale_file");
  const home = inodeId(ref.home);
  const dirKey = dirKeys.dirKey(home);
  const moved = map.get(inodeKey(dirKey, ref.inode));
  if (moved !== undefined) return fileOfRow(namespace, home, decodeInode(moved));
  let version: bigint | undefined;
  let name: Uint8Array | undefined;
  const start = coldPrefix(dirKey, ref.inode);
  map.scan({ start, end: keyAfterPrefix(start) }, (key, value) => {
    version = coldKeyVersion(key);
    name = decodeCold(value).name ?? (ref.hint?.directory === home ? ref.hint.name : undefined);
    return false;
  });
  if (version === undefined || name === undefined) return refuse("stale_file");
  if (!isOfNamespace(map, dirKey, namespace.id)) return refuse("stale_file");
  for (const isOld of [false, true]) {
    const value = map.get(isOld ? oldKey(dirKey, name, version) : entryKey(dirKey, name));
    const entry = value === undefined ? undefined : decodeEntry(value);
    if (entry?.kind !== "object" || entry.inode !== ref.inode || entry.home !== undefined) continue;
    return { namespace, home, entry, links: 1, place: { directory: home, name }, isOld };
  }
  return refuse("stale_file");
}

/** The file that an entry row of a directory stands for. */
export function fileOfEntry(
  map: MapReader,
  dirKeys: DirKeys,
  namespace: NamespaceRow,
  place: { readonly directory: InodeId; readonly name: Uint8Array },
  entry: ObjectEntry,
): PosixFile {
  if (entry.home === undefined) {
    return { namespace, home: place.directory, entry, links: 1, place, isOld: false };
  }
  const value = map.get(inodeKey(dirKeys.dirKey(entry.home), entry.inode));
  assert(value !== undefined, "an inode that is named has a row");
  const { links, entry: resolved } = decodeInode(value);
  const now = { ...resolved, home: entry.home };
  return { namespace, home: entry.home, entry: now, links, place, isOld: false };
}

/** `isHidden`: it was reached under a name that POSIX cannot show. */
export function fileAttributes(file: PosixFile, isHidden = false): FileAttributes {
  const { entry, place, home, links } = file;
  const node = nodeOf(entry);
  const { type, rdev, atime, mtime, ctime, btime, revision, allocated } = node;
  const hint = place === undefined ? {} : { hint: place };
  return {
    ref: { namespace: file.namespace.id, home, inode: entry.inode, ...hint },
    type,
    mode: entry.mode & 0o7777,
    uid: entry.uid,
    gid: entry.gid,
    size: entry.size,
    ...{ allocated, links, rdev, atime, mtime, ctime, btime, revision, isHidden },
    contentVersion: BigInt(node.contentRevision),
    generation: 0,
  };
}

const fileColdKey = (dirKeys: DirKeys, { home, entry }: PosixFile): Uint8Array =>
  coldKey(dirKeys.dirKey(home), entry.inode, entry.version);
/** Content, S3's attributes, extended attributes, a symlink's target. */
export function fileCold(map: MapReader, dirKeys: DirKeys, file: PosixFile): ColdRow {
  const value = map.get(fileColdKey(dirKeys, file));
  assert(value !== undefined, "a file has a cold row");
  return decodeCold(value);
}

/** The same bytes made of other pieces: nothing that anybody sees changes. */
export function putFileContent(step: Step, file: PosixFile, content: Content): void {
  const { map, context } = step;
  const cold = fileCold(map, context.dirKeys, file);
  map.put(fileColdKey(context.dirKeys, file), encodeCold({ ...cold, content }));
}

/** Whether a change of content makes a version and keeps the one before: then its references are shared, not moved. */
export const isKeptBefore = ({ namespace, links }: PosixFile): boolean =>
  namespace.isLockEnabled && links > 0;

/** What a change of a file sets; what is absent stays. */
export interface FileChange {
  /** Becomes ctime, nanoseconds. */
  readonly time: bigint;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly atime?: bigint;
  readonly mtime?: bigint;
  /**
   * New content, whose references are counted already. Unless `isKeptBefore`, the references of what was there and is
   * not in it are the caller's to release.
   */
  readonly content?: {
    readonly content: Content;
    readonly size: number;
    readonly etag: Etag;
    /** Bytes of it that are no holes. */
    readonly allocated: number;
  };
  readonly attributes?: ObjectAttributes;
  /** Empty: none are left. */
  readonly xattrs?: readonly Xattr[];
}

/** Refuses what nobody may change: old versions, read-only namespaces, content that a hold keeps. */
export function refuseChange(step: Step, file: PosixFile, isContent: boolean): Refusal | undefined {
  if (file.isOld) return refuse("stale_file");
  if (file.namespace.isReadOnly) return refuse("namespace_read_only");
  if (!isContent || isKeptBefore(file)) return undefined;
  return isHeld(step, file.namespace.id) ? refuse("object_locked") : undefined;
}

/**
 * Writes a changed file back where it lies, counts its bytes, and where versions may be locked keeps the one before.
 * Answers the file as it is now.
 */
export function storeFile(step: Step, file: PosixFile, change: FileChange): PosixFile | Refusal {
  const refusal = refuseChange(step, file, change.content !== undefined);
  if (refusal !== undefined) return refusal;
  if (change.content !== undefined && isKeptBefore(file)) return storeVersion(step, file, change);
  const { dirKeys } = step.context;
  const entry = changedEntry(file.entry, change);
  putFileEntry(step, file, entry);
  if (isColdChanged(change)) {
    const cold = changedCold(fileCold(step.map, dirKeys, file), change);
    step.map.put(fileColdKey(dirKeys, file), encodeCold(cold));
  }
  const bytes = entry.size - file.entry.size;
  if (bytes !== 0 && file.links > 0) {
    const usage = { objects: 0, bytes, oldVersions: 0, oldBytes: 0 };
    adjustUsage(step, file.namespace.id, usage);
    const exceeded = chargeUsage(step, file.namespace.id, { ...usage, pending: 0 }, false);
    if (exceeded !== undefined) return exceeded;
  }
  noteFile(step, file);
  return { ...file, entry };
}

const isColdChanged = ({ content, attributes, xattrs }: FileChange): boolean =>
  content !== undefined || attributes !== undefined || xattrs !== undefined;

function changedEntry(before: ObjectEntry, change: FileChange): ObjectEntry {
  const node = nodeOf(before);
  const { time, mode, uid, gid, content } = change;
  const mtime = change.mtime ?? (content === undefined ? node.mtime : time);
  return {
    // What a file protocol writes lies in the default pool: new content is STANDARD, as is what overwrites in S3.
    ...(content === undefined ? before : withClass(before, undefined)),
    size: content?.size ?? before.size,
    etag: content?.etag ?? before.etag,
    modified: mtime === node.mtime ? before.modified : millisOf(mtime),
    mode: mode ?? before.mode,
    uid: uid ?? before.uid,
    gid: gid ?? before.gid,
    node: {
      ...node,
      atime: change.atime ?? node.atime,
      mtime,
      ctime: time,
      revision: node.revision + 1,
      contentRevision: node.contentRevision + (content === undefined ? 0 : 1),
      allocated: content?.allocated ?? node.allocated,
    },
  };
}
function changedCold(before: ColdRow, { content, attributes, xattrs }: FileChange): ColdRow {
  const { xattrs: _xattrs, ...rest } = before;
  const kept = xattrs ?? before.xattrs ?? [];
  return {
    ...rest,
    content: content?.content ?? before.content,
    attributes: attributes ?? before.attributes,
    ...(kept.length === 0 ? {} : { xattrs: kept }),
  };
}

/** The row that is true of a file, in its entry or of its own. */
export function putFileEntry(step: Step, file: PosixFile, entry: ObjectEntry): void {
  const { dirKeys } = step.context;
  if (entry.home === undefined) {
    assert(file.place !== undefined && !file.isOld, "an embedded file has a name");
    const key = entryKey(dirKeys.dirKey(file.place.directory), file.place.name);
    step.map.put(key, encodeEntry(entry));
    return;
  }
  const key = inodeKey(dirKeys.dirKey(file.home), entry.inode);
  const value = step.map.get(key);
  assert(value !== undefined, "a moved file has a row");
  step.map.put(key, encodeInode({ ...decodeInode(value), entry }));
}
/** Says in the delta's clear header which file it is about. */
function noteFile(step: Step, { home, place }: PosixFile): void {
  step.dirKey = step.context.dirKeys.dirKey(place?.directory ?? home);
  step.name = place?.name ?? step.name;
}

/** The file gets a version with the new content; the one before stays as an old one, under an inode of its own. */
function storeVersion(step: Step, file: PosixFile, change: FileChange): PosixFile | Refusal {
  const { map, context } = step;
  const { namespace, place, entry } = file;
  // Without a name, or with several, no key could show the version before.
  if (place === undefined || file.links !== 1) return refuse("object_locked");
  const cold = fileCold(map, context.dirKeys, file);
  const dirKey = context.dirKeys.dirKey(place.directory);
  const target = targetAt(namespace, { inode: place.directory, dirKey }, place, undefined);
  map.delete(fileColdKey(context.dirKeys, file));
  const before = { ...entry, inode: allocateInode(step), home: undefined };
  const {
    retention: _retention,
    legalHold: _hold,
    ...plain
  } = change.attributes ?? cold.attributes;
  map.put(coldKey(dirKey, before.inode, before.version), encodeCold({ ...cold, name: place.name }));
  addOld(step, target, before);
  const version = allocateVersion(step);
  const next = { ...changedEntry(entry, change), version, isNull: false };
  const now = { ...file, entry: next };
  putFileEntry(step, file, next);
  const attributes = withDefaultLock(step, namespace, plain);
  const content = changedCold(cold, { ...change, attributes });
  map.put(fileColdKey(context.dirKeys, now), encodeCold(content));
  target.sums.bytes += next.size - entry.size;
  const exceeded = settleTarget(step, target);
  return exceeded ?? now;
}
