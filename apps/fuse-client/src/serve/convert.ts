/** Between the words of the kernel (`@kiseki/fuse`) and those of the file system (`@kiseki/vfs`). */
import {
  type AttributeChange,
  type FileSystemUsage,
  type LockRange,
  type NodeAttributes as WireAttributes,
  type NodeEntry,
  noEntry,
  openModes,
  type RequestOf,
} from "@kiseki/fuse";
import type {
  AllocatedRange,
  Change,
  Entry,
  FileKind,
  FileLock,
  FileSystemStatistics,
  NodeAttributes,
  OpenFlags,
  RenameMode,
  XattrMode,
} from "@kiseki/vfs";

/** What stat(2) says to read at once; the kernel reads in larger pieces by itself. */
const blockSize = 4096;
const nameSizeMax = 255;

/** `S_IFMT` of stat(2). */
const typeBits: Readonly<Record<FileKind, number>> = {
  fifo: 0o010000,
  character_device: 0o020000,
  directory: 0o040000,
  block_device: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
};
export const typeOf = (kind: FileKind): number => typeBits[kind];

export function toWireAttributes(attributes: NodeAttributes): WireAttributes {
  const { kind, mode, inode, accessed, modified, changed, ...rest } = attributes;
  return {
    ...rest,
    inode: BigInt(inode),
    mode: typeBits[kind] | mode,
    accessedAt: accessed,
    modifiedAt: modified,
    changedAt: changed,
    blockSize,
  };
}
export function toWireEntry(entry: Entry): NodeEntry {
  return {
    node: entry.node,
    generation: 0, // numbers of nodes are never given to another
    attributes: toWireAttributes(entry.attributes),
    validity: { name: entry.entryTtlMs, attributes: entry.ttlMs },
  };
}
export const absentEntry = (ttlMs: number): NodeEntry => ({
  ...noEntry,
  validity: { name: ttlMs, attributes: 0 },
});

export function toChange(change: AttributeChange): Change {
  const { accessedAt, modifiedAt, changedAt: _, endsPrivileges, ...rest } = change;
  return {
    ...rest,
    ...(accessedAt !== undefined && { accessed: accessedAt }),
    ...(modifiedAt !== undefined && { modified: modifiedAt }),
    ...(endsPrivileges && { isKillingPrivileges: true }),
  };
}

/** O_DSYNC; O_SYNC is this and one bit more. */
const dataSynchronous = 0o10000;
export function toOpenFlags(flags: number): OpenFlags {
  const access = flags & openModes.accessMask;
  const isWriting = access === openModes.writeOnly || access === openModes.readWrite;
  return {
    isReading: access === openModes.readOnly || access === openModes.readWrite,
    isWriting,
    isAppending: isWriting && (flags & openModes.append) !== 0,
    isTruncating: (flags & openModes.truncate) !== 0,
    isSynchronous: (flags & (openModes.direct | dataSynchronous)) !== 0,
  };
}

/** The kernel's last byte of a lock that has no end. */
const lockEnd = 2n ** 63n - 1n;
export function toFileLock(
  request: RequestOf<"getlk" | "setlk" | "setlkw">,
): Omit<FileLock, "type"> & { readonly type: LockRange["type"] } {
  const { start, end, type, pid } = request.lock;
  return {
    kind: request.isFlock ? "whole" : "range",
    type,
    start,
    end: end >= lockEnd ? undefined : end + 1n,
    owner: request.owner,
    pid,
  };
}
export function toLockRange(lock: FileLock | undefined): LockRange {
  if (lock === undefined) return { start: 0n, end: lockEnd, type: "unlock", pid: 0 };
  const { type, pid, start, end } = lock;
  return { start, end: end === undefined ? lockEnd : end - 1n, type, pid };
}

const keepSize = 1;
const punchHole = 2;
const zeroRange = 16;
/** `undefined`: a mode that no file here has. */
export function toAllocatedRange(request: RequestOf<"fallocate">): AllocatedRange | undefined {
  const { offset, length, mode } = request;
  const isSizeKept = (mode & keepSize) !== 0;
  const rest = mode & ~keepSize;
  if (rest === 0) return { mode: "allocate", offset, length, isSizeKept };
  if (rest === punchHole && isSizeKept) return { mode: "punch", offset, length, isSizeKept };
  return rest === zeroRange ? { mode: "zero", offset, length, isSizeKept } : undefined;
}

const renameModes: readonly (RenameMode | undefined)[] = ["replace", "no_replace", "exchange"];
export const toRenameMode = (flags: number): RenameMode | undefined => renameModes[flags];
const xattrModes: readonly (XattrMode | undefined)[] = ["set", "create", "replace"];
export const toXattrMode = (flags: number): XattrMode | undefined => xattrModes[flags];

const seekWords = { 3: "data", 4: "hole" } as const;
export const toSeekWord = (whence: number): "data" | "hole" | undefined =>
  seekWords[whence as keyof typeof seekWords];

export function toUsage(statistics: FileSystemStatistics): FileSystemUsage {
  return {
    blocks: Math.floor(statistics.bytesTotal / blockSize),
    blocksFree: Math.floor(statistics.bytesFree / blockSize),
    blocksAvailable: Math.floor(statistics.bytesAvailable / blockSize),
    files: statistics.filesTotal,
    filesFree: statistics.filesFree,
    blockSize,
    nameSizeMax,
  };
}

/** Names one after another, each with a NUL behind it. */
export function joinNames(names: readonly Uint8Array[]): Uint8Array {
  const size = names.reduce((sum, name) => sum + name.byteLength + 1, 0);
  const joined = new Uint8Array(new ArrayBuffer(size));
  let at = 0;
  for (const name of names) {
    joined.set(name, at);
    at += name.byteLength + 1;
  }
  return joined;
}
