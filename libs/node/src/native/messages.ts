import type { FileAttributes, FileRef, LockRange } from "@kiseki/composition";
import { inodeId, type NamespaceId } from "@kiseki/base";
import type { NativeBackend } from "@kiseki/rpc";
import { NativeRefusal } from "./failure.ts";

/** The words of the services, as the generated code has them. */
export type Files = NativeBackend["files"];
export type FileOperationMessage = Parameters<Files["apply"]>[0]["operations"][number];
export type FileResultMessage = NonNullable<Awaited<ReturnType<Files["apply"]>>["results"]>[number];
export type AttributesMessage = NonNullable<FileResultMessage["attributes"]>;
export type LockMessage = NonNullable<Parameters<Files["testLock"]>[0]["lock"]>;
type FileRefMessage = Parameters<Files["getAttributes"]>[0]["file"];

/** The system counts files in blocks of 512. */
const blockSize = 512;
/** Of a lock that goes to the end of its file, wherever that is. */
const lockEndMax = 2n ** 63n;

type NodeType = FileAttributes["type"];
const wireTypes: Readonly<Record<NodeType, string>> = {
  file: "file",
  directory: "directory",
  symlink: "symlink",
  fifo: "fifo",
  socket: "socket",
  char: "character_device",
  block: "block_device",
};
const nodeTypes = new Map(
  (Object.keys(wireTypes) as NodeType[]).map((type) => [wireTypes[type], type] as const),
);
export const toType = (type: NodeType): string => wireTypes[type];
/** @throws {NativeRefusal} `invalid` */
export function fromType(text: string): NodeType {
  const type = nodeTypes.get(text);
  if (type === undefined) throw new NativeRefusal("invalid");
  return type;
}

export function toAttributes(found: FileAttributes): AttributesMessage {
  return {
    inode: found.ref.inode,
    home: found.ref.home,
    type: toType(found.type),
    mode: found.mode,
    uid: found.uid,
    gid: found.gid,
    size: BigInt(found.size),
    links: found.links,
    device: found.rdev,
    accessed: found.atime,
    modified: found.mtime,
    changed: found.ctime,
    created: found.btime,
    blocks: BigInt(Math.ceil(found.allocated / blockSize)),
    contentVersion: found.contentVersion,
    generation: found.generation,
  };
}

/** @throws {NativeRefusal} `invalid` */
export function fromInode(n: bigint) {
  if (n === 0n) throw new NativeRefusal("invalid");
  return inodeId(n);
}
/** @throws {NativeRefusal} `invalid` */
export function fromRef(namespace: NamespaceId, message: FileRefMessage): FileRef {
  if (message === undefined) throw new NativeRefusal("invalid");
  const { home, inode, parent, name } = message;
  const ref = { namespace, home, inode: fromInode(inode) };
  return parent === 0n ? ref : { ...ref, hint: { directory: inodeId(parent), name } };
}

/** @throws {NativeRefusal} `invalid` */
export function fromLock(message: LockMessage | undefined): LockRange {
  const isRange = message?.kind === "range";
  if (message === undefined || (!isRange && message.kind !== "whole")) {
    throw new NativeRefusal("invalid");
  }
  const end = message.end === 0n ? lockEndMax : message.end;
  if (message.start >= end || end > lockEndMax) throw new NativeRefusal("invalid");
  return {
    space: isRange ? "posix" : "flock",
    kind: message.isExclusive ? "exclusive" : "shared",
    owner: message.owner,
    start: message.start,
    end,
    pid: message.process,
  };
}
export const toLock = (lock: LockRange) => ({
  kind: lock.space === "posix" ? "range" : "whole",
  isExclusive: lock.kind === "exclusive",
  start: lock.start,
  end: lock.end === lockEndMax ? 0n : lock.end,
  owner: lock.owner,
  process: lock.pid,
});
