import { assert } from "@kiseki/base";
import type { HeadRow, ObjectEntry } from "@kiseki/format";
import { encodeHead, headKey } from "@kiseki/format";
import { adjustHead, millisOf } from "../directories.ts";
import { isHeld } from "../holds.ts";
import { emptyEtag } from "../inodes.ts";
import { withDefaultLock } from "../lock.ts";
import { displaceCurrent, isFreeing } from "../objects.ts";
import type { Answer, Refusal } from "../operation.ts";
import { isRefusal, refuse } from "../operation.ts";
import type { Step } from "../step.ts";
import { allocateInode, allocateVersion } from "../step.ts";
import { addCurrent, putCold, settleTarget } from "../target.ts";
import { fileAttributes, fileOfEntry } from "./file.ts";
import { holdOpen } from "./open-files.ts";
import type { NamedNode, PosixDirectory } from "./names.ts";
import { childHead, directoryAttributes, findName, refuseNewName } from "./names.ts";
import type { PosixOperation } from "./operation.ts";
import { openDirectory, putDirectoryRow, stampOf, targetIn } from "./places.ts";

type MakeNode = Extract<PosixOperation, { kind: "make_node" }>;
const setGid = 0o2000;
const symlinkTargetSizeMax = 4095;
const noAttributes = { headers: [], userMetadata: [], checksums: [] } as const;

export function makeNode(step: Step, operation: MakeNode): Answer | Refusal {
  const directory = openDirectory(step, operation.namespace, operation.directory);
  if (isRefusal(directory)) return directory;
  const unfit = refuseNewName(operation.name);
  if (unfit !== undefined) return unfit;
  const { map, context } = step;
  const found = findName(map, context.dirKeys, directory, operation.name);
  if (found !== undefined) return takeExisting(step, operation, directory, found);
  const size = operation.target?.byteLength;
  const isSymlink = operation.type === "symlink";
  if (isSymlink !== (size !== undefined) || size === 0) return refuse("invalid_argument");
  if (size !== undefined && size > symlinkTargetSizeMax) return refuse("name_too_long");
  if (operation.type === "directory") return makeDirectory(step, operation, directory);
  return makeFile(step, operation, directory);
}

/** The name is there: open(2) with O_CREAT takes a file that it finds. */
function takeExisting(
  step: Step,
  { type, isExclusive, name, client }: MakeNode,
  { namespace, inode }: PosixDirectory,
  found: NamedNode,
): Answer | Refusal {
  if (isExclusive || type !== "file") return refuse("file_exists");
  if (found.kind === "directory") return refuse("is_a_directory");
  const place = { directory: inode, name };
  const file = fileOfEntry(step.map, step.context.dirKeys, namespace, place, found.entry);
  const attributes = fileAttributes({ ...file, place });
  if (attributes.type !== "file") return refuse("file_exists");
  if (client !== undefined) holdOpen(step, file, client);
  return { kind: "file", attributes, isMade: false };
}

/** Owner, group and mode of what is made in a directory. */
function ownership({ head }: PosixDirectory, { mode, uid, gid, type }: MakeNode) {
  const isInherited = (head.mode & setGid) !== 0;
  const given = mode & 0o7777;
  return {
    uid,
    gid: isInherited ? head.gid : gid,
    mode: isInherited && type === "directory" ? given | setGid : given,
  };
}

function makeFile(step: Step, operation: MakeNode, directory: PosixDirectory): Answer | Refusal {
  const { type, name, client } = operation;
  assert(type !== "directory", "a directory is made otherwise");
  const { namespace } = directory;
  const stamp = stampOf(step, operation);
  const target = targetIn(directory, name, stamp);
  const isObject = type === "file";
  if (isObject) {
    if (isFreeing(step, target) && isHeld(step, namespace.id)) return refuse("object_locked");
    displaceCurrent(step, target);
  }
  const time = millisOf(stamp);
  const times = { atime: stamp, mtime: stamp, ctime: stamp, btime: stamp };
  const isDevice = type === "char" || type === "block";
  const entry: ObjectEntry = {
    kind: "object",
    inode: allocateInode(step),
    version: allocateVersion(step),
    isNull: namespace.versioning !== "enabled",
    home: undefined,
    size: operation.target?.byteLength ?? 0,
    etag: emptyEtag,
    modified: time,
    created: time,
    ...ownership(directory, operation),
    node: {
      type,
      rdev: isDevice ? (operation.rdev ?? 0) : 0,
      ...times,
      revision: 1,
      contentRevision: 1,
      allocated: 0,
    },
  };
  addCurrent(step, target, entry);
  const attributes = isObject ? withDefaultLock(step, namespace, noAttributes) : noAttributes;
  const link = operation.target === undefined ? {} : { target: operation.target };
  putCold(step, target, entry, { name, content: { kind: "empty" }, attributes, ...link });
  const exceeded = settleTarget(step, target);
  if (exceeded !== undefined) return exceeded;
  const place = { directory: directory.inode, name };
  const file = { namespace, home: directory.inode, entry, links: 1, place, isOld: false };
  if (client !== undefined) holdOpen(step, file, client);
  return { kind: "file", attributes: fileAttributes(file), isMade: true };
}

/** One that S3's old versions kept, unlisted, comes back under the same inode. */
function makeDirectory(step: Step, operation: MakeNode, directory: PosixDirectory): Answer {
  const { map, context } = step;
  const { name } = operation;
  const unlisted = childHead(map, context.dirKeys, directory.dirKey, name);
  const inode = unlisted?.entry.inode ?? allocateInode(step);
  const stamp = stampOf(step, operation);
  const times = { atime: stamp, mtime: stamp, ctime: stamp, btime: stamp };
  const counts = unlisted?.head ?? { live: 0, total: 0, hidden: 0, generation: -1 };
  const head: HeadRow = {
    inode,
    parent: directory.inode,
    name,
    namespace: directory.namespace.id,
    isOpen: true,
    isExplicit: true,
    generation: counts.generation + 1,
    live: counts.live,
    total: counts.total,
    hidden: counts.hidden,
    modified: millisOf(stamp),
    ...ownership(directory, operation),
    node: { ...times, revision: 1, directories: 0 },
  };
  map.put(headKey(context.dirKeys.dirKey(inode)), encodeHead(head));
  putDirectoryRow(step, directory.dirKey, name, inode, true);
  const total = unlisted === undefined ? 1 : 0;
  const change = { live: 1, total, hidden: 0, directories: 1 };
  adjustHead(step, directory.dirKey, change, stamp);
  step.dirKey = directory.dirKey;
  step.name = name;
  return { kind: "file", attributes: directoryAttributes(head), isMade: true };
}
