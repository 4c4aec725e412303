import { coldKey, encodeHead, headKey } from "@kiseki/format";
import { adjustHead } from "../directories.ts";
import { isHeld } from "../holds.ts";
import { isObject, touchNode } from "../inodes.ts";
import { addMarker, coverOld, isDetachingLocked } from "../objects.ts";
import type { Answer, Refusal } from "../operation.ts";
import { isRefusal, refuse } from "../operation.ts";
import type { Step } from "../step.ts";
import type { Target } from "../target.ts";
import { freeCurrent, getCurrentNode, removeCurrent, settleTarget } from "../target.ts";
import { fileAttributes, fileOfEntry } from "./file.ts";
import type { PosixDirectory } from "./names.ts";
import { directoryAttributes, findName, refuseName } from "./names.ts";
import { holdOpen } from "./open-files.ts";
import type { ClientId, PosixOperation } from "./operation.ts";
import type { DirectoryNode, FileNode } from "./places.ts";
import { openDirectory, putDirectoryRow, stampOf, takeDirectory, targetIn } from "./places.ts";

type Of<Kind extends PosixOperation["kind"]> = Extract<PosixOperation, { kind: Kind }>;
const nothing = new Uint8Array(0);

export function unlink(step: Step, operation: Of<"unlink">): Answer | Refusal {
  const directory = openDirectory(step, operation.namespace, operation.directory);
  if (isRefusal(directory)) return directory;
  const unfit = refuseName(operation.name);
  if (unfit !== undefined) return unfit;
  const node = findName(step.map, step.context.dirKeys, directory, operation.name);
  if (node === undefined) return refuse("no_such_file");
  if (node.kind === "directory") return refuse("is_a_directory");
  keepOpen(step, directory, node, operation.client);
  const stamp = stampOf(step, operation);
  const place = { directory: operation.directory, name: node.rowName };
  const { dirKeys } = step.context;
  const file = fileOfEntry(step.map, dirKeys, directory.namespace, place, node.entry);
  const refusal = removeFile(step, targetIn(directory, node.rowName, stamp));
  if (refusal !== undefined) return refusal;
  const left = { ...file, entry: touchNode(file.entry, stamp), links: file.links - 1 };
  return { kind: "file", attributes: fileAttributes(left) };
}

/** The session that has the file open says so with the operation that takes its name. */
export function keepOpen(
  step: Step,
  { namespace, inode }: PosixDirectory,
  { entry, rowName }: FileNode,
  client: ClientId | undefined,
): void {
  if (client === undefined) return;
  const place = { directory: inode, name: rowName };
  holdOpen(step, fileOfEntry(step.map, step.context.dirKeys, namespace, place, entry), client);
}

/** The name's current file goes; where versions are kept a delete marker says so. */
function removeFile(step: Step, target: Target): Refusal | undefined {
  const { versioning, id } = target.namespace;
  const current = getCurrentNode(step.map, step.context, target);
  if (current === undefined) return refuse("no_such_file");
  if (isDetachingLocked(step, target)) return refuse("object_locked");
  if (versioning !== "off" && isObject(current)) {
    const marked = addMarker(step, target);
    return isRefusal(marked) ? marked : undefined;
  }
  if (isHeld(step, id)) return refuse("object_locked");
  removeCurrent(step, target, current);
  freeCurrent(step, target, current);
  if (versioning !== "off") coverOld(step, target);
  return settleTarget(step, target, true);
}

export function rmdir(step: Step, operation: Of<"rmdir">): Answer | Refusal {
  const parent = openDirectory(step, operation.namespace, operation.directory);
  if (isRefusal(parent)) return parent;
  const unfit = refuseName(operation.name);
  if (unfit !== undefined) return unfit;
  const node = findName(step.map, step.context.dirKeys, parent, operation.name);
  if (node === undefined) return refuse("no_such_file");
  if (node.kind === "file") return refuse("not_a_directory");
  const attributes = { ...directoryAttributes(node.head), links: 0 };
  const refusal = removeDirectory(step, parent, node, stampOf(step, operation));
  return refusal ?? { kind: "file", attributes };
}

/** An empty directory goes; one that old versions keep stays unlisted. */
export function removeDirectory(
  step: Step,
  parent: PosixDirectory,
  node: DirectoryNode,
  stamp: bigint,
): Refusal | undefined {
  const { map, context } = step;
  const { inode } = node.entry;
  const dirKey = context.dirKeys.dirKey(inode);
  const refusal = removeOwnObject(step, { ...parent, inode, dirKey, head: node.head }, stamp);
  if (refusal !== undefined) return refusal;
  const child = findName(map, context.dirKeys, parent, node.head.name);
  step.dirKey = parent.dirKey;
  step.name = node.head.name;
  if (child?.kind !== "directory") return undefined; // an implicit one went with its last object
  const { head } = child;
  if (map.get(coldKey(dirKey, inode, 0n)) !== undefined) map.delete(coldKey(dirKey, inode, 0n));
  if (head.total === 0) {
    map.delete(headKey(dirKey));
    takeDirectory(step, parent, head.name, stamp);
    return undefined;
  }
  const { node: _node, ...rest } = head;
  const unlisted = { ...rest, isExplicit: false, generation: head.generation + 1 };
  map.put(headKey(dirKey), encodeHead(unlisted));
  putDirectoryRow(step, parent.dirKey, head.name, inode, false);
  const counts = { live: -1, total: 0, hidden: 0, directories: -1 };
  adjustHead(step, parent.dirKey, counts, stamp);
  return undefined;
}

/** The object `directory/` without a byte, which S3 clients make to mean a directory, does not fill it. */
function removeOwnObject(
  step: Step,
  directory: PosixDirectory,
  stamp: bigint,
): Refusal | undefined {
  const { live } = directory.head;
  if (live === 0) return undefined;
  const own = targetIn(directory, nothing, stamp);
  const current = live === 1 ? getCurrentNode(step.map, step.context, own) : undefined;
  if (current === undefined || current.size > 0) return refuse("directory_not_empty");
  return removeFile(step, own);
}
