import type { InodeId } from "@kiseki/base";
import { assert } from "@kiseki/base";
import type { ColdRow, InodeRow, NamespaceRow, ObjectEntry } from "@kiseki/format";
import {
  coldKey,
  decodeCold,
  decodeEntry,
  decodeNullPointer,
  encodeCold,
  encodeEntry,
  encodeInode,
  encodeNullPointer,
  entryKey,
  inodeKey,
  keyAfterPrefix,
  nullPointerKey,
  oldKey,
  oldPrefix,
  parseOldKey,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { releaseContent } from "./content.ts";
import type { Directory } from "./directories.ts";
import {
  adjustHead,
  hide,
  makeDirectories,
  nanosOf,
  unhide,
  walkDirectories,
} from "./directories.ts";
import { getInode, isObject, linksOf, resolveEntry, touchNode } from "./inodes.ts";
import type { KeyPath } from "./key-path.ts";
import { checkKey, splitKey, withSlash } from "./key-path.ts";
import { getNamespace } from "./namespaces.ts";
import type { DecideContext, ObjectName, Refusal } from "./operation.ts";
import { refuse } from "./operation.ts";
import { isKept } from "./posix/holders.ts";
import { chargeUsage } from "./quotas.ts";
import type { Step } from "./step.ts";
import { adjustUsage } from "./step.ts";

/** A key of a namespace with its directories so far, and what the operation adds up there. */
export interface Target {
  readonly namespace: NamespaceRow;
  readonly path: KeyPath;
  /** The directories that exist; complete when it is one longer than `path.directories`. */
  readonly chain: Directory[];
  readonly sums: {
    live: number;
    total: number;
    hidden: number;
    objects: number;
    bytes: number;
    oldVersions: number;
    oldBytes: number;
    /** Bytes of parts that stop or begin to count as an upload's. */
    pending: number;
  };
  /** POSIX changes the directory, at this time in nanoseconds. */
  readonly stamp?: bigint;
}
const noSums = (): Target["sums"] => ({
  live: 0,
  total: 0,
  hidden: 0,
  objects: 0,
  bytes: 0,
  oldVersions: 0,
  oldBytes: 0,
  pending: 0,
});

export function openTarget(
  map: MapReader,
  context: Pick<DecideContext, "dirKeys" | "limits">,
  { namespace: id, key }: ObjectName,
): Target | Refusal {
  const namespace = getNamespace(map, id);
  if (namespace === undefined) return refuse("no_such_namespace");
  const fault = checkKey(key, context.limits);
  if (fault !== undefined) return fault;
  const path = splitKey(key);
  const chain = walkDirectories(map, context.dirKeys, namespace.root, path.directories);
  return { namespace, path, chain, sums: noSums() };
}
/** A name in a directory that is there. `isTail`: POSIX shows it as hidden. */
export function targetAt(
  namespace: NamespaceRow,
  directory: Directory,
  { name, isTail = false }: { readonly name: Uint8Array; readonly isTail?: boolean },
  stamp: bigint | undefined,
): Target {
  const path = { directories: [], name, isTail };
  const target = { namespace, path, chain: [directory], sums: noSums() };
  return stamp === undefined ? target : { ...target, stamp };
}
export const isReached = ({ path, chain }: Target): boolean =>
  chain.length === path.directories.length + 1;
export function targetDirKey(target: Target): Uint8Array {
  assert(isReached(target), "the directory of the name is there");
  return target.chain.at(-1)!.dirKey;
}
/** Makes what is missing on the way to the name. */
export function reachTarget(step: Step, target: Target): Refusal | undefined {
  return makeDirectories(step, target.namespace.id, target.chain, target.path.directories);
}
/**
 * The last act of an operation on a name: sums go into heads, usage and quotas, the name into the delta's header.
 * Refused, unless `isDelete`, when a quota would be exceeded.
 */
export function settleTarget(step: Step, target: Target, isDelete = false): Refusal | undefined {
  const { live, total, hidden, pending, ...usage } = target.sums;
  step.dirKey = targetDirKey(target);
  step.name = target.path.name;
  adjustHead(step, step.dirKey, { live, total, hidden }, target.stamp);
  if (Object.values(usage).some((by) => by !== 0)) adjustUsage(step, target.namespace.id, usage);
  return chargeUsage(step, target.namespace.id, { ...usage, pending }, isDelete);
}

/** The current file of the name: an object, or something that POSIX alone can name. */
export function getCurrentNode(
  map: MapReader,
  context: Pick<DecideContext, "dirKeys">,
  target: Target,
): ObjectEntry | undefined {
  if (!isReached(target)) return undefined;
  const value = map.get(entryKey(targetDirKey(target), target.path.name));
  if (value === undefined) return undefined;
  const entry = decodeEntry(value);
  assert(entry.kind === "object", "a key's row is an object");
  return resolveEntry(map, context.dirKeys, entry);
}
/** The current object of the name. */
export function getCurrent(
  map: MapReader,
  context: Pick<DecideContext, "dirKeys">,
  target: Target,
): ObjectEntry | undefined {
  const entry = getCurrentNode(map, context, target);
  return entry !== undefined && isObject(entry) ? entry : undefined;
}
/** The newest noncurrent version or delete marker. */
export function getNewestOld(map: MapReader, target: Target): ObjectEntry | undefined {
  if (!isReached(target)) return undefined;
  const start = oldPrefix(targetDirKey(target), target.path.name);
  let newest: ObjectEntry | undefined;
  map.scan({ start, end: keyAfterPrefix(start) }, (key, value) => {
    if (parseOldKey(key).version !== 0n) newest = decodeOld(value);
    return false;
  });
  return newest;
}
export function decodeOld(value: Uint8Array): ObjectEntry {
  const entry = decodeEntry(value);
  assert(entry.kind !== "directory", "a noncurrent version is no directory");
  return entry;
}
export function getOld(map: MapReader, target: Target, version: bigint): ObjectEntry | undefined {
  if (!isReached(target) || version === 0n) return undefined;
  const value = map.get(oldKey(targetDirKey(target), target.path.name, version));
  return value === undefined ? undefined : decodeOld(value);
}
/** The noncurrent version called `null`. */
export function getOldNull(map: MapReader, target: Target): ObjectEntry | undefined {
  if (!isReached(target)) return undefined;
  const value = map.get(nullPointerKey(targetDirKey(target), target.path.name));
  return value === undefined ? undefined : getOld(map, target, decodeNullPointer(value));
}

/** Tails, and objects behind a directory of the same name. The row with the empty name is the directory's own. */
function isHidden(step: Step, target: Target): boolean {
  const { path } = target;
  if (path.isTail) return true;
  if (path.name.byteLength === 0) return false;
  return step.map.get(entryKey(targetDirKey(target), withSlash(path.name))) !== undefined;
}

export function addCurrent(step: Step, target: Target, entry: ObjectEntry): void {
  addName(step, target, entry);
  target.sums.objects += 1;
  target.sums.bytes += entry.size;
}
/** The name gets its row; what it is made of is counted already. */
export function addName(step: Step, target: Target, entry: ObjectEntry): void {
  const dirKey = targetDirKey(target);
  step.map.put(entryKey(dirKey, target.path.name), encodeEntry(entry));
  target.sums.live += 1;
  target.sums.total += 1;
  if (!isHidden(step, target)) return;
  hide(step, dirKey, target.path.name);
  target.sums.hidden += 1;
}
/** The name loses its current row; what it was made of stays, and counts no more unless it has other names. */
export function removeCurrent(step: Step, target: Target, entry: ObjectEntry): void {
  removeName(step, target);
  if (linksOf(step, entry) > 1) return;
  target.sums.objects -= 1;
  target.sums.bytes -= entry.size;
}
export function removeName(step: Step, target: Target): void {
  const dirKey = targetDirKey(target);
  step.map.delete(entryKey(dirKey, target.path.name));
  target.sums.live -= 1;
  target.sums.total -= 1;
  if (!isHidden(step, target)) return;
  unhide(step, dirKey, target.path.name);
  target.sums.hidden -= 1;
}
export function addOld(step: Step, target: Target, version: ObjectEntry): void {
  const { map } = step;
  const entry = bringHome(step, target, version);
  const { name } = target.path;
  map.put(oldKey(targetDirKey(target), name, entry.version), encodeEntry(entry));
  if (entry.isNull) {
    map.put(nullPointerKey(targetDirKey(target), name), encodeNullPointer(entry.version));
  }
  target.sums.total += 1;
  target.sums.oldVersions += 1;
  target.sums.oldBytes += entry.size;
}
export function removeOld(step: Step, target: Target, entry: ObjectEntry): void {
  const { name } = target.path;
  step.map.delete(oldKey(targetDirKey(target), name, entry.version));
  if (entry.isNull) step.map.delete(nullPointerKey(targetDirKey(target), name));
  target.sums.total -= 1;
  target.sums.oldVersions -= 1;
  target.sums.oldBytes -= entry.size;
}

/** Home of an object's cold row: its directory, unless the inode moved. */
export function homeKey(
  context: Pick<DecideContext, "dirKeys">,
  target: Target,
  entry: ObjectEntry,
): Uint8Array {
  return entry.home === undefined ? targetDirKey(target) : context.dirKeys.dirKey(entry.home);
}
export function getCold(
  map: MapReader,
  context: Pick<DecideContext, "dirKeys">,
  target: Target,
  entry: ObjectEntry,
): ColdRow {
  const value = map.get(coldKey(homeKey(context, target, entry), entry.inode, entry.version));
  assert(value !== undefined, "an object has a cold row");
  return decodeCold(value);
}
export function putCold(step: Step, target: Target, entry: ObjectEntry, row: ColdRow): void {
  const key = coldKey(homeKey(step.context, target, entry), entry.inode, entry.version);
  step.map.put(key, encodeCold(row));
}

/** A noncurrent version is gone for good. */
export function freeOld(step: Step, target: Target, entry: ObjectEntry): void {
  if (entry.kind !== "delete_marker")
    freeContent(step, homeKey(step.context, target, entry), entry);
}
function freeContent(step: Step, home: Uint8Array, entry: ObjectEntry): void {
  const key = coldKey(home, entry.inode, entry.version);
  const value = step.map.get(key);
  assert(value !== undefined, "an object has a cold row");
  releaseContent(step, decodeCold(value).content);
  step.map.delete(key);
}
/** A file without a name whose last session let go. */
export function freeInode(step: Step, home: InodeId, entry: ObjectEntry): void {
  const homeDirKey = step.context.dirKeys.dirKey(home);
  step.map.delete(inodeKey(homeDirKey, entry.inode));
  freeContent(step, homeDirKey, entry);
}

/** The inode of the directory that the target's name lies in. */
export const targetDirectory = (target: Target): InodeId => target.chain.at(-1)!.inode;

/**
 * The name no longer has this current file, and nothing keeps it as a version: it loses a link, and goes when it has none
 * and nobody holds it open or keeps it for those who may.
 */
export function freeCurrent(step: Step, target: Target, entry: ObjectEntry): void {
  const { map, context } = step;
  const home = entry.home ?? targetDirectory(target);
  const homeDirKey = context.dirKeys.dirKey(home);
  const row =
    entry.home === undefined ? undefined : getInode(map, context.dirKeys, home, entry.inode);
  const links = (row?.links ?? 1) - 1;
  if (links === 0 && !isKept(step, home, entry.inode)) {
    if (row !== undefined) map.delete(inodeKey(homeDirKey, entry.inode));
    freeContent(step, homeDirKey, entry);
    return;
  }
  const { id: namespace } = target.namespace;
  const touched = touchNode(entry, target.stamp ?? nanosOf(context.now));
  const next: InodeRow = { entry: { ...touched, home }, links, isOpen: links === 0, namespace };
  map.put(inodeKey(homeDirKey, entry.inode), encodeInode(next));
}
/** A version that is kept lies with its name: what moved comes back, and is no longer what references find. */
function bringHome(step: Step, target: Target, entry: ObjectEntry): ObjectEntry {
  if (entry.home === undefined) return entry;
  const { map, context } = step;
  const from = context.dirKeys.dirKey(entry.home);
  const cold = getCold(map, context, target, entry);
  map.delete(inodeKey(from, entry.inode));
  map.delete(coldKey(from, entry.inode, entry.version));
  const kept = { ...entry, home: undefined };
  putCold(step, target, kept, { ...cold, name: target.path.name });
  return kept;
}
