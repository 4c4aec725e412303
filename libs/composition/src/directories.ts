import type { InodeId } from "@kiseki/base";
import { assert } from "@kiseki/base";
import type { HeadRow, NamespaceRow } from "@kiseki/format";
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
  /** Its row's name in the parent, with the slash; empty for a root. */
  readonly rowName: Uint8Array;
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
  return { inode: entry.inode, dirKey: dirKeys.dirKey(entry.inode), rowName };
}

/** The chain from `root` along `names`, as far as it exists. */
export function walkDirectories(
  map: MapReader,
  dirKeys: DirKeys,
  root: InodeId,
  names: readonly Uint8Array[],
): Directory[] {
  const chain: Directory[] = [
    { inode: root, dirKey: dirKeys.dirKey(root), rowName: new Uint8Array(0) },
  ];
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
    chain.push({ inode, dirKey: context.dirKeys.dirKey(inode), rowName: withSlash(name) });
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
  live: number;
  total: number;
  hidden: number;
}
/** Adds `by` to the last directory of `chain`; what follows from it goes up, and what is empty vanishes. */
export function adjustHeads(step: Step, chain: readonly Directory[], by: HeadCounts): void {
  const { map, context } = step;
  let { live, total, hidden } = by;
  for (let i = chain.length - 1; i >= 0; i--) {
    if (live === 0 && total === 0 && hidden === 0) return;
    const { dirKey, rowName } = chain[i]!;
    const before = getHead(map, dirKey);
    const after: HeadRow = {
      ...before,
      live: before.live + live,
      total: before.total + total,
      hidden: before.hidden + hidden,
      modified: context.now,
    };
    assert(after.live >= 0 && after.hidden >= 0, "a directory's counts are not negative");
    assert(after.total >= after.live, "a directory's total covers its live rows");
    const isGone = after.total === 0 && !after.isExplicit && i > 0;
    live = Number(!isGone && isLive(after)) - Number(isLive(before));
    total = isGone ? -1 : 0;
    hidden = 0;
    if (!isGone) {
      map.put(headKey(dirKey), encodeHead(after));
      continue;
    }
    const parent = chain[i - 1]!;
    map.delete(headKey(dirKey));
    map.delete(entryKey(parent.dirKey, rowName));
    const name = rowName.subarray(0, -1);
    if (map.get(entryKey(parent.dirKey, name)) === undefined) continue;
    unhide(step, parent.dirKey, name);
    hidden = -1;
  }
}
