/** What the file system is asked for each request, and how its answer goes back. */
import {
  addRow,
  addRowPlus,
  type DirectoryRow,
  directoryReplyFlags,
  type FuseReply,
  type FuseRequest,
  noEntry,
  openModes,
  openReplyFlags,
  type RequestKind,
  type RequestOf,
  Writer,
} from "@kiseki/fuse";
import {
  type Absent,
  type DirectoryEntry,
  type Entry,
  type Eventually,
  errno,
  Failure,
  type FileSystem,
  type Outcome,
} from "@kiseki/vfs";
import {
  absentEntry,
  joinNames,
  toAllocatedRange,
  toChange,
  toFileLock,
  toLockRange,
  toOpenFlags,
  toRenameMode,
  toSeekWord,
  toUsage,
  toWireAttributes,
  toWireEntry,
  toXattrMode,
  typeOf,
} from "./convert.ts";

/** What one request is answered with. */
export interface Asking {
  readonly fileSystem: FileSystem;
  /** Memory that content is read into, as large as any request asks for. */
  readonly memory: Uint8Array;
  /** Aborted when the asking process is interrupted. */
  readonly signal: AbortSignal;
}

/** The first `size` bytes of the memory are the answer; else it is said whole. */
export type Answer =
  | Exclude<FuseReply, { readonly kind: "opened" }>
  | (Extract<FuseReply, { readonly kind: "opened" }> & {
      /** Of a file that the kernel may read in place of this one. */
      readonly descriptor?: number;
    })
  | { readonly kind: "memory"; readonly size: number };
type Answerer<Kind extends RequestKind> = (
  request: RequestOf<Kind>,
  asking: Asking,
) => Eventually<Answer>;

const failed = (number: number): FuseReply => ({ kind: "error", errno: number });
const done: FuseReply = { kind: "done" };

/** The answer to what became of an operation, now if it is known. */
function settle<T>(outcome: Outcome<T>, succeed: (value: T) => Answer): Eventually<Answer> {
  const finish = (value: T | Failure): Answer =>
    value instanceof Failure ? failed(value.errno) : succeed(value);
  return outcome instanceof Promise ? outcome.then(finish) : finish(outcome);
}
const settleDone = (outcome: Outcome<undefined>): Eventually<Answer> => settle(outcome, () => done);

function entryReply(entry: Entry | Absent): FuseReply {
  if ("attributes" in entry) return { kind: "entry", entry: toWireEntry(entry) };
  if (entry.entryTtlMs === 0) return failed(errno.ENOENT);
  return { kind: "entry", entry: absentEntry(entry.entryTtlMs) };
}
const settleEntry = (outcome: Outcome<Entry | Absent>): Eventually<Answer> =>
  settle(outcome, entryReply);

function open(request: RequestOf<"open">, { fileSystem }: Asking): Eventually<Answer> {
  const { node, flags, endsPrivileges } = request;
  const act = () =>
    settle(fileSystem.open(node, toOpenFlags(flags)), ({ handle, isCacheValid, descriptor }) => ({
      kind: "opened",
      handle,
      flags: openReplyFlags(flags, isCacheValid),
      ...(descriptor !== undefined && { descriptor }),
    }));
  if (!endsPrivileges) return act();
  const ended = fileSystem.setattr(node, { isKillingPrivileges: true });
  const goOn = (value: unknown) => (value instanceof Failure ? failed(value.errno) : act());
  return ended instanceof Promise ? ended.then(goOn) : goOn(ended);
}

function create(request: RequestOf<"create">, { fileSystem }: Asking): Eventually<Answer> {
  const { node, name, mode, umask, flags } = request;
  const options = {
    mode: mode & 0o7777 & ~umask,
    isExclusive: (flags & openModes.exclusive) !== 0,
    flags: toOpenFlags(flags),
  };
  return settle(fileSystem.create(node, name, options, request), (made) => ({
    kind: "created",
    entry: toWireEntry(made),
    handle: made.handle,
    flags: openReplyFlags(flags, made.isCacheValid),
  }));
}

function readDirectory(isPlus: boolean): Answerer<"readdir"> {
  return (request, { fileSystem, memory }) => {
    const writer = new Writer(memory.subarray(0, request.size));
    const take = ({ name, kind, inode, entry, cookie }: DirectoryEntry): boolean => {
      const row: DirectoryRow = { name, inode: BigInt(inode), cookie, mode: typeOf(kind) };
      if (!isPlus) return addRow(writer, row);
      return addRowPlus(writer, row, entry === undefined ? noEntry : toWireEntry(entry));
    };
    const outcome = fileSystem.readdir(request.handle, request.offset, isPlus, take);
    return settle(outcome, () => ({ kind: "memory", size: writer.size }));
  };
}

/** A value for who has room for `size` bytes, or asks with 0 how much it needs. */
function sized(value: Uint8Array, size: number): FuseReply {
  if (size === 0) return { kind: "xattr_size", size: value.byteLength };
  return value.byteLength > size ? failed(errno.ERANGE) : { kind: "bytes", bytes: value };
}

/** ACLs and what else the kernel keeps in `system.`: there is none. */
const systemPrefix = new TextEncoder().encode("system.");
const isSystem = (name: Uint8Array): boolean =>
  systemPrefix.every((byte, index) => name[index] === byte);

function setLock(
  request: RequestOf<"setlk" | "setlkw">,
  { fileSystem, signal }: Asking,
): Eventually<Answer> {
  const { type, ...lock } = toFileLock(request);
  const { handle } = request;
  if (type === "unlock") return settleDone(fileSystem.unlock(handle, lock));
  const wait = request.kind === "setlkw" ? signal : undefined;
  return settleDone(fileSystem.setlk(handle, { ...lock, type }, wait));
}
function getLock(request: RequestOf<"getlk">, { fileSystem }: Asking): Eventually<Answer> {
  const { type, ...lock } = toFileLock(request);
  if (type === "unlock") return failed(errno.EINVAL);
  const outcome = fileSystem.getlk(request.handle, { ...lock, type });
  return settle(outcome, (found) => ({ kind: "lock", lock: toLockRange(found) }));
}

const answerers = {
  lookup: ({ node, name }, { fileSystem }) => settleEntry(fileSystem.lookup(node, name)),
  getattr: ({ node, handle }, { fileSystem }) =>
    settle(fileSystem.getattr(node, handle), ({ attributes, ttlMs }) => ({
      kind: "attributes",
      attributes: toWireAttributes(attributes),
      validity: ttlMs,
    })),
  setattr: ({ node, handle, change }, { fileSystem }) =>
    settle(fileSystem.setattr(node, toChange(change), handle), ({ attributes, ttlMs }) => ({
      kind: "attributes",
      attributes: toWireAttributes(attributes),
      validity: ttlMs,
    })),
  readlink: ({ node }, { fileSystem }) =>
    settle(fileSystem.readlink(node), (bytes) => ({ kind: "bytes", bytes })),
  symlink: (request, { fileSystem }) =>
    settleEntry(fileSystem.symlink(request.node, request.name, request.target, request)),
  mknod: (request, { fileSystem }) => {
    const { node, name, mode, umask, device } = request;
    return settleEntry(fileSystem.mknod(node, name, { mode: mode & ~umask, device }, request));
  },
  mkdir: (request, { fileSystem }) => {
    const { node, name, mode, umask } = request;
    return settleEntry(fileSystem.mkdir(node, name, mode & 0o7777 & ~umask, request));
  },
  unlink: ({ node, name }, { fileSystem }) => settleDone(fileSystem.unlink(node, name)),
  rmdir: ({ node, name }, { fileSystem }) => settleDone(fileSystem.rmdir(node, name)),
  rename: ({ node, name, newParent, newName, flags }, { fileSystem }) => {
    const mode = toRenameMode(flags);
    if (mode === undefined) return failed(errno.EINVAL);
    const target = { parent: newParent, name: newName };
    return settleDone(fileSystem.rename({ parent: node, name }, target, mode));
  },
  link: ({ node, name, target }, { fileSystem }) =>
    settleEntry(fileSystem.link(target, node, name)),
  open,
  create,
  read: ({ handle, offset, size }, { fileSystem, memory }) =>
    settle(fileSystem.read(handle, offset, memory.subarray(0, size)), (count) => ({
      kind: "memory",
      size: count,
    })),
  write: ({ handle, offset, data, endsPrivileges }, { fileSystem }) => {
    const options = endsPrivileges ? { isKillingPrivileges: true } : undefined;
    return settle(fileSystem.write(handle, offset, data, options), (size) => ({
      kind: "written",
      size,
    }));
  },
  statfs: (_, { fileSystem }) =>
    settle(fileSystem.statfs(), (statistics) => ({ kind: "usage", usage: toUsage(statistics) })),
  flush: ({ handle, owner }, { fileSystem }) => settleDone(fileSystem.flush(handle, owner)),
  release: ({ handle, endsFlock, owner }, { fileSystem }) =>
    settleDone(fileSystem.release(handle, endsFlock ? owner : undefined)),
  fsync: ({ handle, isDataOnly }, { fileSystem }) =>
    settleDone(fileSystem.fsync(handle, isDataOnly)),
  fsyncdir: ({ handle }, { fileSystem }) => settleDone(fileSystem.fsyncdir(handle)),
  setxattr: ({ node, name, value, flags }, { fileSystem }) => {
    const mode = toXattrMode(flags);
    if (isSystem(name)) return failed(errno.EOPNOTSUPP);
    if (mode === undefined) return failed(errno.EINVAL);
    return settleDone(fileSystem.setxattr(node, name, value, mode));
  },
  getxattr: ({ node, name, size }, { fileSystem }) =>
    isSystem(name)
      ? failed(errno.EOPNOTSUPP)
      : settle(fileSystem.getxattr(node, name), (value) => sized(value, size)),
  listxattr: ({ node, size }, { fileSystem }) =>
    settle(fileSystem.listxattr(node), (names) => sized(joinNames(names), size)),
  removexattr: ({ node, name }, { fileSystem }) =>
    isSystem(name) ? failed(errno.EOPNOTSUPP) : settleDone(fileSystem.removexattr(node, name)),
  opendir: ({ node }, { fileSystem }) =>
    settle(fileSystem.opendir(node), ({ handle, isCacheValid }) => ({
      kind: "opened",
      handle,
      flags: directoryReplyFlags(true, isCacheValid),
    })),
  readdir: readDirectory(false),
  readdirplus: readDirectory(true) as unknown as Answerer<"readdirplus">,
  releasedir: ({ handle }, { fileSystem }) => {
    fileSystem.releasedir(handle);
    return done;
  },
  getlk: getLock,
  setlk: setLock,
  setlkw: setLock,
  fallocate: (request, { fileSystem }) => {
    const range = toAllocatedRange(request);
    if (range === undefined) return failed(errno.EOPNOTSUPP);
    return settleDone(fileSystem.fallocate(request.handle, range));
  },
  lseek: ({ handle, offset, whence }, { fileSystem }) => {
    const word = toSeekWord(whence);
    if (word === undefined) return failed(errno.EINVAL);
    return settle(fileSystem.lseek(handle, offset, word), (at) => ({ kind: "offset", offset: at }));
  },
  copy_file_range: (request, { fileSystem }) => {
    const { handle, offset, targetHandle, targetOffset, length, isWide } = request;
    const range = {
      source: handle,
      sourceOffset: offset,
      target: targetHandle,
      targetOffset,
      length: isWide ? length : Math.min(length, 0xffff_f000),
    };
    return settle(fileSystem.copyFileRange(range), (size) => ({ kind: "copied", size, isWide }));
  },
  destroy: () => done,
  access: () => failed(errno.ENOSYS),
  syncfs: () => failed(errno.ENOSYS),
  tmpfile: () => failed(errno.ENOSYS),
  unserved: () => failed(errno.ENOSYS),
} as const satisfies {
  [Kind in Exclude<RequestKind, "init" | "forget" | "batch_forget" | "interrupt">]: Answerer<Kind>;
};
export type AnsweredKind = keyof typeof answerers;

/** Asks the file system. May throw or reject only where the file system breaks its promise. */
export function answer(
  request: Extract<FuseRequest, { readonly kind: AnsweredKind }>,
  asking: Asking,
): Eventually<Answer> {
  return (answerers[request.kind] as Answerer<RequestKind>)(request, asking);
}

/** What changes something: refused on a mount for reading. */
const changing: ReadonlySet<RequestKind> = new Set<RequestKind>([
  ...(["setattr", "symlink", "mknod", "mkdir", "unlink", "rmdir", "rename", "link"] as const),
  ...(["create", "write", "setxattr", "removexattr", "fallocate", "copy_file_range"] as const),
]);
export const isChanging = (kind: RequestKind): boolean => changing.has(kind);
