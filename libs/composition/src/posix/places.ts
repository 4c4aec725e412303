import type { InodeId, NamespaceId } from "@kiseki/base";
import type { ColdRow, ObjectEntry } from "@kiseki/format";
import {
  coldKey,
  decodeCold,
  encodeCold,
  encodeEntry,
  encodeHead,
  encodeInode,
  entryKey,
  headKey,
  inodeKey,
} from "@kiseki/format";
import { assert } from "@kiseki/base";
import { adjustHead, headNode, hide, nanosOf, unhide } from "../directories.ts";
import { touchNode } from "../inodes.ts";
import { isComponent, withSlash } from "../key-path.ts";
import type { Refusal } from "../operation.ts";
import { isRefusal, refuse } from "../operation.ts";
import type { Step } from "../step.ts";
import { allocateVersion } from "../step.ts";
import type { Target } from "../target.ts";
import { addName, targetAt } from "../target.ts";
import type { PosixFile } from "./file.ts";
import type { NamedNode, PosixDirectory } from "./names.ts";
import { findDirectory } from "./names.ts";

export type DirectoryNode = Extract<NamedNode, { kind: "directory" }>;
export type FileNode = Extract<NamedNode, { kind: "file" }>;

/** The time of an operation, in nanoseconds. */
export const stampOf = (step: Step, { time }: { readonly time?: bigint }): bigint =>
  time ?? nanosOf(step.context.now);

/** A directory whose names may change. */
export function openDirectory(
  step: Step,
  namespace: NamespaceId,
  inode: InodeId,
): PosixDirectory | Refusal {
  const directory = findDirectory(step.map, step.context.dirKeys, namespace, inode);
  if (isRefusal(directory)) return directory;
  if (directory.namespace.isReadOnly) return refuse("namespace_read_only");
  return directory.head.isOpen ? directory : refuse("directory_closed");
}

/** The row called `name` in a directory, to be changed at `stamp`. */
export function targetIn(directory: PosixDirectory, name: Uint8Array, stamp: bigint): Target {
  const { namespace, inode, dirKey } = directory;
  const isFit = isComponent(name, 0, name.byteLength) && !name.includes(0x2f);
  const isTail = name.byteLength > 0 && !isFit;
  return targetAt(namespace, { inode, dirKey }, { name, isTail }, stamp);
}

/** A directory's own attributes change; its names do not. POSIX made it explicit. */
export function putHead(step: Step, head: DirectoryNode["head"]): void {
  const { dirKeys } = step.context;
  const dirKey = dirKeys.dirKey(head.inode);
  step.map.put(headKey(dirKey), encodeHead({ ...head, isExplicit: true }));
  step.dirKey = dirKey;
  if (head.isExplicit || head.parent === undefined) return;
  putDirectoryRow(step, dirKeys.dirKey(head.parent), head.name, head.inode, true);
}
export function putDirectoryRow(
  step: Step,
  parentKey: Uint8Array,
  name: Uint8Array,
  inode: InodeId,
  isExplicit: boolean,
): void {
  const row = encodeEntry({ kind: "directory", inode, isExplicit });
  step.map.put(entryKey(parentKey, withSlash(name)), row);
}

/** A directory's row leaves its parent; its head and what lies below stay. */
export function takeDirectory(
  step: Step,
  parent: PosixDirectory,
  name: Uint8Array,
  stamp: bigint,
): void {
  const { map } = step;
  map.delete(entryKey(parent.dirKey, withSlash(name)));
  const isHiding = map.get(entryKey(parent.dirKey, name)) !== undefined;
  if (isHiding) unhide(step, parent.dirKey, name);
  const counts = { live: -1, total: -1, hidden: isHiding ? -1 : 0, directories: -1 };
  adjustHead(step, parent.dirKey, counts, stamp);
}
/** A directory that has no row gets one. */
export function placeDirectory(
  step: Step,
  parent: PosixDirectory,
  name: Uint8Array,
  head: DirectoryNode["head"],
  stamp: bigint,
): void {
  const { map, context } = step;
  const node = headNode(head);
  const moved = {
    ...head,
    parent: parent.inode,
    name,
    generation: head.generation + 1,
    isExplicit: true,
    node: { ...node, ctime: stamp, revision: node.revision + 1 },
  };
  map.put(headKey(context.dirKeys.dirKey(head.inode)), encodeHead(moved));
  const isHiding = map.get(entryKey(parent.dirKey, name)) !== undefined;
  if (isHiding) hide(step, parent.dirKey, name);
  putDirectoryRow(step, parent.dirKey, name, head.inode, true);
  const counts = { live: 1, total: 1, hidden: isHiding ? 1 : 0, directories: 1 };
  adjustHead(step, parent.dirKey, counts, stamp);
}

/**
 * A file that has lost one of its names gets another, in `target`: the inode lies with the only name while that is in its
 * home, else in its own table. Where versions are kept the name gets a version of its own. Answers what it is now.
 */
export function placeFile(
  step: Step,
  target: Target,
  file: PosixFile,
  stamp: bigint,
  changed?: ColdRow["attributes"],
): PosixFile {
  const { map, context } = step;
  const { namespace, home, links } = file;
  const homeDirKey = context.dirKeys.dirKey(home);
  const directory = target.chain.at(-1)!.inode;
  const place = { directory, name: target.path.name };
  const isAtHome = links === 1 && directory === home;
  const before = file.entry;
  const entry: ObjectEntry = {
    ...touchNode(before, stamp),
    ...versionIn(step, target, before),
    home: isAtHome ? undefined : home,
  };
  const coldBefore = coldKey(homeDirKey, before.inode, before.version);
  const cold = map.get(coldBefore);
  assert(cold !== undefined, "a file has a cold row");
  const isMovingCold = entry.version !== before.version;
  if (isMovingCold) map.delete(coldBefore);
  if (isMovingCold || isAtHome || changed !== undefined) {
    const row: ColdRow = decodeCold(cold);
    const attributes = changed ?? row.attributes;
    const named = { ...row, attributes, ...(isAtHome ? { name: place.name } : {}) };
    map.put(coldKey(homeDirKey, entry.inode, entry.version), encodeCold(named));
  }
  const rowKey = inodeKey(homeDirKey, entry.inode);
  if (!isAtHome) {
    const where = links === 1 ? { place } : {};
    const row = { entry, links, isOpen: false, namespace: namespace.id, ...where };
    map.put(rowKey, encodeInode(row));
  } else if (before.home !== undefined) map.delete(rowKey);
  addName(step, target, entry);
  return { ...file, entry, place };
}
function versionIn(
  step: Step,
  { namespace }: Target,
  { version, isNull }: ObjectEntry,
): Pick<ObjectEntry, "version" | "isNull"> {
  if (namespace.versioning === "off") return { version, isNull };
  return { version: allocateVersion(step), isNull: namespace.versioning === "suspended" };
}
