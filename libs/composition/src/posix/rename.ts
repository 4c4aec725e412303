import type { InodeId } from "@kiseki/base";
import { entryKey } from "@kiseki/format";
import { getHead } from "../directories.ts";
import { isHeld } from "../holds.ts";
import { isLocked, withDefaultLock } from "../lock.ts";
import { coverOld, displaceCurrent, isDetachingLocked } from "../objects.ts";
import type { Answer, Refusal } from "../operation.ts";
import { isRefusal, refuse } from "../operation.ts";
import type { Step } from "../step.ts";
import { isSplittable, splitVersion, withoutLocks } from "../split-version.ts";
import type { Target } from "../target.ts";
import { addOld, removeCurrent, removeName, settleTarget } from "../target.ts";
import type { PosixFile } from "./file.ts";
import { fileAttributes, fileCold, fileOfEntry } from "./file.ts";
import type { NamedNode, PosixDirectory } from "./names.ts";
import {
  childHead,
  directoryAttributes,
  findDirectory,
  findName,
  refuseName,
  refuseNewName,
} from "./names.ts";
import type { PlaceName, PosixOperation } from "./operation.ts";
import type { DirectoryNode, FileNode } from "./places.ts";
import {
  openDirectory,
  placeDirectory,
  placeFile,
  stampOf,
  takeDirectory,
  targetIn,
} from "./places.ts";
import { keepOpen, removeDirectory } from "./remove.ts";

type Rename = Extract<PosixOperation, { kind: "rename" }>;

/** One end of a rename. */
interface End {
  readonly directory: PosixDirectory;
  readonly name: Uint8Array;
}
interface Move {
  readonly from: End;
  readonly to: End;
  readonly stamp: bigint;
}

function openEnd(step: Step, operation: Rename, { directory, name }: PlaceName): End | Refusal {
  const opened = openDirectory(step, operation.namespace, directory);
  return isRefusal(opened) ? opened : { directory: opened, name };
}
const nodeAt = (step: Step, { directory, name }: End): NamedNode | undefined =>
  findName(step.map, step.context.dirKeys, directory, name);

export function rename(step: Step, operation: Rename): Answer | Refusal {
  const { flag, client } = operation;
  const from = openEnd(step, operation, operation.from);
  if (isRefusal(from)) return from;
  const to = openEnd(step, operation, operation.to);
  if (isRefusal(to)) return to;
  const unfit = refuseName(from.name) ?? refuseName(to.name);
  if (unfit !== undefined) return unfit;
  const source = nodeAt(step, from);
  if (source === undefined) return refuse("no_such_file");
  const target = nodeAt(step, to);
  const move = { from, to, stamp: stampOf(step, operation) };
  if (flag === "exchange") {
    return target === undefined ? refuse("no_such_file") : exchange(step, move, source, target);
  }
  if (flag === "noreplace" && target !== undefined) return refuse("file_exists");
  if (target !== undefined && isSameNode(source, target)) {
    return { kind: "file", attributes: attributesOf(step, from, source) };
  }
  // What is hidden may leave its name, and nothing else gets it.
  const reserved = refuseNewName(to.name);
  if (reserved !== undefined && (target === undefined || isHidden(target))) return reserved;
  if (source.kind === "directory") return moveDirectory(step, move, source, target);
  if (target?.kind === "directory") return refuse("is_a_directory");
  if (target !== undefined) keepOpen(step, to.directory, target, client);
  return moveFile(step, move, source, target?.rowName ?? to.name);
}

const isHidden = (node: NamedNode | undefined): boolean => node?.kind === "file" && node.isHidden;

/** Two names of one file, or one name: nothing is to be done. */
function isSameNode(a: NamedNode, b: NamedNode): boolean {
  return a.kind === b.kind && a.entry.inode === b.entry.inode;
}
function attributesOf(step: Step, end: End, node: NamedNode) {
  if (node.kind === "directory") return directoryAttributes(node.head);
  return fileAttributes(fileAt(step, end, node));
}
const fileAt = (step: Step, { directory }: End, { entry, rowName }: FileNode): PosixFile =>
  fileOfEntry(
    step.map,
    step.context.dirKeys,
    directory.namespace,
    { directory: directory.inode, name: rowName },
    entry,
  );

/** Whether `directory` is `ancestor`, or lies in it. */
function isWithin(step: Step, directory: PosixDirectory, ancestor: InodeId): boolean {
  let { head } = directory;
  while (head.inode !== ancestor) {
    if (head.parent === undefined) return false;
    head = getHead(step.map, step.context.dirKeys.dirKey(head.parent));
  }
  return true;
}

/** What keeps a file or directory under its name. */
function refuseMove(step: Step, end: End, node: NamedNode): Refusal | undefined {
  const { namespace } = end.directory;
  if (node.kind === "directory") {
    const isFull = node.head.total > 0;
    if (isFull && namespace.isLockEnabled) return refuse("directory_locked");
    return isFull && isHeld(step, namespace.id) ? refuse("object_locked") : undefined;
  }
  return isHeld(step, namespace.id) ? refuse("object_locked") : undefined;
}
/** Whether the file's version must stay under its key. */
function isLockedAt(step: Step, end: End, node: NamedNode): boolean {
  const { namespace } = end.directory;
  if (!namespace.isLockEnabled || node.kind === "directory") return false;
  const { attributes } = fileCold(step.map, step.context.dirKeys, fileAt(step, end, node));
  return isLocked(attributes, step.context.now, false);
}

/** As it stands after what the operation did so far. */
function again(step: Step, { namespace, inode }: PosixDirectory): PosixDirectory {
  const found = findDirectory(step.map, step.context.dirKeys, namespace.id, inode);
  if (isRefusal(found)) throw new TypeError("Cannot lose a directory that POSIX made explicit");
  return found;
}

function moveDirectory(
  step: Step,
  { from, to, stamp }: Move,
  source: DirectoryNode,
  target: NamedNode | undefined,
): Answer | Refusal {
  const { map, context } = step;
  if (target?.kind === "file") return refuse("not_a_directory");
  if (isWithin(step, to.directory, source.entry.inode)) return refuse("directory_loop");
  const kept = refuseMove(step, from, source);
  if (kept !== undefined) return kept;
  if (target !== undefined) {
    const refusal = removeDirectory(step, to.directory, target, stamp);
    if (refusal !== undefined) return refusal;
  }
  // Old versions keep an unlisted directory of that name: nothing can take its place.
  if (childHead(map, context.dirKeys, to.directory.dirKey, to.name) !== undefined) {
    return refuse("directory_not_empty");
  }
  takeDirectory(step, from.directory, from.name, stamp);
  placeDirectory(step, to.directory, to.name, source.head, stamp);
  step.dirKey = to.directory.dirKey;
  step.name = to.name;
  const head = getHead(map, context.dirKeys.dirKey(source.entry.inode));
  return { kind: "file", attributes: directoryAttributes(head) };
}

function moveFile(
  step: Step,
  { from, to, stamp }: Move,
  source: FileNode,
  toName: Uint8Array,
): Answer | Refusal {
  const kept = refuseMove(step, from, source);
  if (kept !== undefined) return kept;
  const file = fileAt(step, from, source);
  const left = targetIn(from.directory, source.rowName, stamp);
  const reached = targetIn(to.directory, toName, stamp);
  if (isDetachingLocked(step, reached)) return refuse("object_locked");
  const isLeaving = isLockedAt(step, from, source);
  const cold = fileCold(step.map, step.context.dirKeys, file);
  if (isLeaving && (file.links > 1 || !isSplittable(cold))) return refuse("object_locked");
  if (isLeaving) leaveVersion(step, left, reached, file);
  else removeName(step, left);
  displaceCurrent(step, reached);
  const unlocked = withDefaultLock(step, left.namespace, withoutLocks(cold.attributes));
  const moved = placeFile(step, reached, file, stamp, isLeaving ? unlocked : undefined);
  coverOld(step, left);
  return (
    settleTarget(step, left, true) ??
    settleTarget(step, reached, !isLeaving) ?? {
      kind: "file",
      attributes: fileAttributes(moved),
    }
  );
}
/** The version that is locked stays under its key; the file goes on as one that has the same content. */
function leaveVersion(step: Step, left: Target, reached: Target, file: PosixFile): void {
  const { entry } = file;
  removeCurrent(step, left, entry);
  addOld(step, left, splitVersion(step, left, entry));
  reached.sums.objects += 1;
  reached.sums.bytes += entry.size;
}

/** Both names are there, and each gets what the other had. */
function exchange(step: Step, move: Move, a: NamedNode, b: NamedNode): Answer | Refusal {
  const { from, to } = move;
  if (isSameNode(a, b)) return { kind: "file", attributes: attributesOf(step, from, a) };
  const isLoop =
    (a.kind === "directory" && isWithin(step, to.directory, a.entry.inode)) ||
    (b.kind === "directory" && isWithin(step, from.directory, b.entry.inode));
  if (isLoop) return refuse("directory_loop");
  const kept = refuseMove(step, from, a) ?? refuseMove(step, to, b);
  if (kept !== undefined) return kept;
  if (isLockedAt(step, from, a) || isLockedAt(step, to, b)) return refuse("object_locked");
  if (isHidden(a) || isHidden(b)) return refuse("name_reserved");
  const taken = a.kind === b.kind ? undefined : refuseTaken(step, move, a.kind);
  if (taken !== undefined) return taken;
  const placeA = takeOut(step, from, a, move.stamp);
  const placeB = takeOut(step, to, b, move.stamp);
  const refusal = placeB(from) ?? placeA(to);
  if (refusal !== undefined) return refusal;
  const directory = again(step, to.directory);
  const moved = findName(step.map, step.context.dirKeys, directory, to.name);
  if (moved === undefined) return refuse("no_such_file");
  return { kind: "file", attributes: attributesOf(step, { ...to, directory }, moved) };
}

/** A file and a directory cannot change places where S3 has something of the other's kind under the name. */
function refuseTaken(step: Step, { from, to }: Move, kind: NamedNode["kind"]): Refusal | undefined {
  const { map, context } = step;
  const [ofDirectory, ofFile] = kind === "directory" ? [from, to] : [to, from];
  const behind = entryKey(ofDirectory.directory.dirKey, ofDirectory.name);
  if (map.get(behind) !== undefined) return refuse("file_exists");
  const { dirKey } = ofFile.directory;
  const unlisted = childHead(map, context.dirKeys, dirKey, ofFile.name);
  return unlisted === undefined ? undefined : refuse("directory_not_empty");
}

/** Takes a node from its name; the answer puts it under another. */
function takeOut(
  step: Step,
  end: End,
  node: NamedNode,
  stamp: bigint,
): (to: End) => Refusal | undefined {
  if (node.kind === "directory") {
    takeDirectory(step, end.directory, end.name, stamp);
    return (to) => {
      const head = getHead(step.map, step.context.dirKeys.dirKey(node.entry.inode));
      placeDirectory(step, to.directory, to.name, head, stamp);
      return undefined;
    };
  }
  const file = fileAt(step, end, node);
  const left = targetIn(end.directory, node.rowName, stamp);
  removeName(step, left);
  settleTarget(step, left, true);
  return (to) => {
    const reached = targetIn(to.directory, to.name, stamp);
    placeFile(step, reached, file, stamp);
    return settleTarget(step, reached, true);
  };
}
