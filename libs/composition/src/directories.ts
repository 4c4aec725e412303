import type { InodeId, WallTime } from "@kiseki/base";
import { assert, wallTime } from "@kiseki/base";
import type { HeadNode, HeadRow, NamespaceRow } from "@kiseki/format";
import {
  decodeEntry,
  decodeHead,
  encodeEntry,
  encodeHead,
  encodeHidden,
  entryKey,
  headKey,
  hiddenKey,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { withSlash } from "./key-path.ts";
import type { DirKeys, Refusal } from "./operation.ts";
import { refuse } from "./operation.ts";
import type { Step } from "./step.ts";
import { allocateInode } from "./step.ts";

/** A directory on the way from a root. */
export interface Directory {
  readonly inode: InodeId;
  readonly dirKey: Uint8Array;
}
const directoryMode = 0o755;

export function getHead(map: MapReader, dirKey: Uint8Array): HeadRow {
  const value = map.get(headKey(dirKey));
  assert(value !== undefined, "a directory that is reached has a head");
  return decodeHead(value);
}
export const isLive = (head: HeadRow): boolean => head.isExplicit || head.live > 0;

/** The child directory of `dirKey` called `rowName`, if it is there. */
export function childDirectory(
  map: MapReader,
  dirKeys: DirKeys,
  dirKey: Uint8Array,
  rowName: Uint8Array,
): Directory | undefined {
  const value = map.get(entryKey(dirKey, rowName));
  if (value === undefined) return undefined;
  const entry = decodeEntry(value);
  assert(entry.kind === "directory", "a row whose name is a component and a slash is a directory");
  return { inode: entry.inode, dirKey: dirKeys.dirKey(entry.inode) };
}

/** The chain from `root` along `names`, as far as it exists. */
export function walkDirectories(
  map: MapReader,
  dirKeys: DirKeys,
  root: InodeId,
  names: readonly Uint8Array[],
): Directory[] {
  const chain: Directory[] = [{ inode: root, dirKey: dirKeys.dirKey(root) }];
  for (const name of names) {
    const child = childDirectory(map, dirKeys, chain.at(-1)!.dirKey, withSlash(name));
    if (child === undefined) break;
    chain.push(child);
  }
  return chain;
}

/** Head and, for a child, its row in the parent. Counts of the parent are the caller's. */
export function writeDirectory(
  step: Step,
  namespace: NamespaceRow["id"],
  inode: InodeId,
  parent: InodeId | undefined,
  name: Uint8Array,
): void {
  const { now, dirKeys } = step.context;
  const head: HeadRow = {
    inode,
    parent,
    name,
    namespace,
    isOpen: true,
    isExplicit: parent === undefined,
    generation: 0,
    live: 0,
    total: 0,
    hidden: 0,
    modified: now,
    mode: directoryMode,
    uid: 0,
    gid: 0,
  };
  step.map.put(headKey(dirKeys.dirKey(inode)), encodeHead(head));
  if (parent === undefined) return;
  const row = encodeEntry({ kind: "directory", inode, isExplicit: false });
  step.map.put(entryKey(dirKeys.dirKey(parent), withSlash(name)), row);
}

/** Extends `chain` to all of `names` with implicit directories. Refused when the last one there is closed. */
export function makeDirectories(
  step: Step,
  namespace: NamespaceRow["id"],
  chain: Directory[],
  names: readonly Uint8Array[],
): Refusal | undefined {
  const { map, context } = step;
  if (!getHead(map, chain.at(-1)!.dirKey).isOpen) return refuse("directory_closed");
  for (const name of names.slice(chain.length - 1)) {
    const parent = chain.at(-1)!;
    const inode = allocateInode(step);
    writeDirectory(step, namespace, inode, parent.inode, name);
    const head = getHead(map, parent.dirKey);
    const hidden = map.get(entryKey(parent.dirKey, name)) === undefined ? 0 : 1;
    if (hidden === 1) hide(step, parent.dirKey, name);
    const next = { ...head, total: head.total + 1, hidden: head.hidden + hidden };
    map.put(headKey(parent.dirKey), encodeHead({ ...next, modified: context.now }));
    chain.push({ inode, dirKey: context.dirKeys.dirKey(inode) });
  }
  return undefined;
}

export function hide(step: Step, dirKey: Uint8Array, name: Uint8Array): void {
  const hash = step.context.dirKeys.hiddenName(dirKey, name);
  step.map.put(hiddenKey(dirKey, hash), encodeHidden(name));
}
export function unhide(step: Step, dirKey: Uint8Array, name: Uint8Array): void {
  step.map.delete(hiddenKey(dirKey, step.context.dirKeys.hiddenName(dirKey, name)));
}

export interface HeadCounts {
  readonly live: number;
  readonly total: number;
  readonly hidden: number;
  /** Child directories that became live, less those that ceased to be. */
  readonly directories?: number;
}
/** Milliseconds of a decision as nanoseconds. */
export const nanosOf = (time: number): bigint => BigInt(time) * 1_000_000n;
export const millisOf = (time: bigint): WallTime =>
  wallTime(Number((time - (((time % 1_000_000n) + 1_000_000n) % 1_000_000n)) / 1_000_000n));

/** What POSIX tells of a directory that it never touched. */
export function headNode(head: HeadRow): HeadNode {
  if (head.node !== undefined) return head.node;
  const time = nanosOf(head.modified);
  const directories = head.total === 0 ? 0 : undefined;
  return { atime: time, mtime: time, ctime: time, btime: time, revision: 0, directories };
}
/** `stamp`: POSIX did it, at that time. */
function changedHead(
  step: Step,
  before: HeadRow,
  { live, total, hidden, directories = 0 }: HeadCounts,
  stamp: bigint | undefined,
): HeadRow {
  const { now } = step.context;
  const after: HeadRow = {
    ...before,
    live: before.live + live,
    total: before.total + total,
    hidden: before.hidden + hidden,
    modified: stamp === undefined ? now : millisOf(stamp),
  };
  assert(after.live >= 0 && after.hidden >= 0, "a directory's counts are not negative");
  assert(after.total >= after.live, "a directory's total covers its live rows");
  if (before.node === undefined && stamp === undefined) return after;
  const node = headNode(before);
  const time = stamp ?? nanosOf(now);
  const known = after.total === 0 ? 0 : node.directories;
  const counted = node.directories === undefined ? known : node.directories + directories;
  const isNameSame = stamp === undefined && live === 0;
  const times = isNameSame ? {} : { mtime: time, ctime: time, revision: node.revision + 1 };
  const next = { ...node, ...times, directories: counted };
  return { ...after, isExplicit: before.isExplicit || stamp !== undefined, node: next };
}

/**
 * Adds `by` to a directory; what follows from it goes up, and what is empty vanishes. With a `stamp` POSIX changed the
 * directory at that time, which makes it explicit.
 */
export function adjustHead(step: Step, dirKey: Uint8Array, by: HeadCounts, stamp?: bigint): void {
  const { map, context } = step;
  let counts = by;
  let at = dirKey;
  let touched = stamp;
  for (;;) {
    const isSame = counts.live === 0 && counts.total === 0 && counts.hidden === 0;
    if (isSame && touched === undefined) return;
    const before = getHead(map, at);
    const after = changedHead(step, before, counts, touched);
    const isGone = after.total === 0 && !after.isExplicit && before.parent !== undefined;
    if (isGone) map.delete(headKey(at));
    else map.put(headKey(at), encodeHead(after));
    if (before.parent === undefined) return;
    const parentKey = context.dirKeys.dirKey(before.parent);
    const rowKey = entryKey(parentKey, withSlash(before.name));
    const live = Number(!isGone && isLive(after)) - Number(isLive(before));
    let hidden = 0;
    if (isGone) {
      map.delete(rowKey);
      if (map.get(entryKey(parentKey, before.name)) !== undefined) {
        unhide(step, parentKey, before.name);
        hidden = -1;
      }
    } else if (after.isExplicit !== before.isExplicit) {
      const { inode, isExplicit } = after;
      map.put(rowKey, encodeEntry({ kind: "directory", inode, isExplicit }));
    }
    counts = { live, total: isGone ? -1 : 0, hidden, directories: live };
    touched = undefined;
    at = parentKey;
  }
}
