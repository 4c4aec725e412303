import { inodeId } from "@kiseki/base";
import type { AttributesMessage, LockMessage } from "@kiseki/rpc";
import type { FileAttributes, FileKind, FileLock, FileRef, NameRef } from "@kiseki/vfs";

const kinds: ReadonlySet<string> = new Set<FileKind>([
  ...(["file", "directory", "symlink", "fifo", "socket"] as const),
  ...(["character_device", "block_device"] as const),
]);
const isKind = (text: string): text is FileKind => kinds.has(text);
/** What `blocks` counts. */
const blockSize = 512;

/** As the wire has it; a hint goes along where there is one. */
export function refMessage({ home, inode, hint }: FileRef) {
  return { home, inode, ...(hint ? { parent: hint.parent, name: hint.name } : {}) };
}

/** `undefined`: not as the protocol has it. `name`: by what it was reached. */
export function readAttributes(
  message: AttributesMessage | undefined,
  name?: NameRef,
): FileAttributes | undefined {
  if (message === undefined || message.inode === 0n) return undefined;
  const kind = message.type;
  const size = Number(message.size);
  if (!isKind(kind) || !Number.isSafeInteger(size)) return undefined;
  const hint = name && message.home !== 0n ? { hint: name } : {};
  return {
    ref: { home: message.home, inode: inodeId(message.inode), ...hint },
    kind,
    mode: message.mode,
    uid: message.uid,
    gid: message.gid,
    links: message.links,
    size,
    allocated: Number(message.blocks) * blockSize,
    device: message.device,
    accessed: message.accessed,
    modified: message.modified,
    changed: message.changed,
    born: message.created,
    contentVersion: message.contentVersion,
    generation: message.generation,
  };
}

/** What is left of a file when its last name or holder has gone, where the node says no more. */
export function goneAttributes(ref: FileRef): FileAttributes {
  const none = { mode: 0, uid: 0, gid: 0, links: 0, size: 0, allocated: 0, device: 0 };
  const never = { accessed: 0n, modified: 0n, changed: 0n, born: 0n, contentVersion: 0n };
  return { ref, kind: "file", ...none, ...never, generation: 0 };
}

export function lockMessage(lock: Omit<FileLock, "type"> & { readonly type?: FileLock["type"] }) {
  return {
    kind: lock.kind,
    isExclusive: lock.type === "write",
    start: lock.start,
    end: lock.end ?? 0n,
    owner: lock.owner,
    process: lock.pid,
  };
}
export function readLock(message: LockMessage): FileLock {
  return {
    kind: message.kind === "whole" ? "whole" : "range",
    type: message.isExclusive ? "write" : "read",
    start: message.start,
    end: message.end === 0n ? undefined : message.end,
    owner: message.owner,
    pid: message.process,
  };
}
