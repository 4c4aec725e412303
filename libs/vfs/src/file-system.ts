import type { Failure } from "./errno.ts";
import type { LentBlocks } from "./lent-blocks.ts";
import type {
  AllocatedRange,
  FileKind,
  FileLock,
  FileSystemStatistics,
  RenameMode,
  XattrMode,
} from "./file-service.ts";

/** Answered at once when nothing has to be asked of a node: then no turn of the event loop is spent. */
export type Eventually<T> = T | Promise<T>;
export type Outcome<T> = Eventually<T | Failure>;

/** A 64-bit inode number of the store as a safe integer, but for the root, which is `rootNode`. */
export type NodeNumber = number;
/** FUSE_ROOT_ID. */
export const rootNode: NodeNumber = 1;
export type HandleNumber = number;

export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** What stat(2) shows. Times are nanoseconds since 1970. */
export interface NodeAttributes {
  /** `st_ino`: the store's number, that of the root too. */
  readonly inode: number;
  readonly kind: FileKind;
  /** Lower 12 bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly size: number;
  /** Of 512 bytes. */
  readonly blocks: number;
  readonly device: number;
  readonly accessed: bigint;
  readonly modified: bigint;
  readonly changed: bigint;
}
export interface Attributes {
  readonly attributes: NodeAttributes;
  /** How long the kernel may show them without asking. */
  readonly ttlMs: number;
}
/** The kernel now holds `node` once more: see `forget`. */
export interface Entry extends Attributes {
  readonly node: NodeNumber;
  readonly entryTtlMs: number;
}
/** The name is not there, and the kernel may remember that. `entryTtlMs` 0: it is told ENOENT. */
export interface Absent {
  readonly node: 0;
  readonly entryTtlMs: number;
}

export interface OpenFlags {
  readonly isReading: boolean;
  readonly isWriting: boolean;
  readonly isAppending: boolean;
  /** O_TRUNC, where the kernel leaves it to the open. */
  readonly isTruncating: boolean;
  /** O_DIRECT, O_SYNC and O_DSYNC: a write is durable when it is answered. */
  readonly isSynchronous: boolean;
}
export interface Opened {
  readonly handle: HandleNumber;
  /** The kernel's pages of the file are still right: FOPEN_KEEP_CACHE. */
  readonly isCacheValid: boolean;
  /** Of a file on this machine that has all the bytes: the kernel may read it by itself. */
  readonly descriptor?: number | undefined;
}

export interface Change {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  readonly accessed?: bigint | "now";
  readonly modified?: bigint | "now";
  /** Set-user and set-group bits go, as at a write of somebody without CAP_FSETID. */
  readonly isKillingPrivileges?: boolean;
}

export interface DirectoryEntry {
  readonly name: Uint8Array;
  readonly kind: FileKind;
  readonly inode: number;
  /** Of `.` and `..` `undefined`: the kernel does not count them. Absent without `isPlus` too. */
  readonly entry: Entry | undefined;
  /** Where to go on after it; good for as long as the handle is open. */
  readonly cookie: number;
}

export interface CopyRange {
  readonly source: HandleNumber;
  readonly sourceOffset: number;
  readonly target: HandleNumber;
  readonly targetOffset: number;
  readonly length: number;
}

/** What the file system has to tell the kernel, and who stands before it, unasked. */
export interface KernelCache {
  /** Reads may be answered unasked out of blocks that are lent; absent where they may not, or not yet. */
  readonly blocks?: LentBlocks | undefined;
  /**
   * Attributes and, from `offset` on, pages. The kernel hears of it, and of entries, a little later: after the answer that whoever
   * calls this may be about to give.
   */
  invalidateNode(node: NodeNumber, offset: number, length: number): void;
  invalidateEntry(parent: NodeNumber, name: Uint8Array): void;
  /**
   * For so long, or until it is withdrawn, opening the node for reading succeeds, and the kernel's pages of it are right: it
   * need not be asked for, and may be asked for later, when something is done with the handle.
   */
  vouchOpens(node: NodeNumber, milliseconds: number): void;
  /** Nothing is opened unasked any more once this returns. */
  withdrawOpens(node: NodeNumber): void;
  /**
   * Lets handles fail (EIO) by which the kernel reads the node out of a file of this machine. `paths`: where in the mount it may be.
   * False: they could not be made to.
   */
  revoke?(node: NodeNumber, paths: readonly string[]): Promise<boolean>;
}

/**
 * A mounted namespace, one method per operation of the kernel. Nothing throws or rejects; errors are values.
 * Names are single components. Permissions are the kernel's business (`default_permissions`), the meaning of
 * names, links and bytes is here. `source` and `target` buffers are borrowed until the answer.
 */
export interface FileSystem {
  lookup(parent: NodeNumber, name: Uint8Array): Outcome<Entry | Absent>;
  /** The kernel gives back `count` of the entries that it was given. */
  forget(node: NodeNumber, count: number): void;
  getattr(node: NodeNumber, handle?: HandleNumber): Outcome<Attributes>;
  setattr(node: NodeNumber, change: Change, handle?: HandleNumber): Outcome<Attributes>;
  readlink(node: NodeNumber): Outcome<Uint8Array>;
  /** Files too. `mode` with the bits of the type, as mknod(2) takes it; the umask is applied already. */
  mknod(
    parent: NodeNumber,
    name: Uint8Array,
    node: { readonly mode: number; readonly device: number },
    caller: Caller,
  ): Outcome<Entry>;
  mkdir(parent: NodeNumber, name: Uint8Array, mode: number, caller: Caller): Outcome<Entry>;
  symlink(parent: NodeNumber, name: Uint8Array, target: Uint8Array, caller: Caller): Outcome<Entry>;
  link(node: NodeNumber, parent: NodeNumber, name: Uint8Array): Outcome<Entry>;
  unlink(parent: NodeNumber, name: Uint8Array): Outcome<undefined>;
  rmdir(parent: NodeNumber, name: Uint8Array): Outcome<undefined>;
  rename(
    source: { readonly parent: NodeNumber; readonly name: Uint8Array },
    target: { readonly parent: NodeNumber; readonly name: Uint8Array },
    mode: RenameMode,
  ): Outcome<undefined>;

  open(node: NodeNumber, flags: OpenFlags): Outcome<Opened>;
  create(
    parent: NodeNumber,
    name: Uint8Array,
    options: { readonly mode: number; readonly isExclusive: boolean; readonly flags: OpenFlags },
    caller: Caller,
  ): Outcome<Entry & Opened>;
  /** Bytes put at the start of `target`; fewer than it holds only at the end of the file. */
  read(handle: HandleNumber, offset: number, target: Uint8Array): Outcome<number>;
  /** Bytes taken: all. Of an appending handle `offset` is not looked at. */
  write(
    handle: HandleNumber,
    offset: number,
    source: Uint8Array,
    options?: { readonly isKillingPrivileges?: boolean },
  ): Outcome<number>;
  /** Each close(2). Reports what a write in the background met; ends the POSIX locks of `owner`. */
  flush(handle: HandleNumber, owner?: bigint): Outcome<undefined>;
  /** The last close. `flockOwner`: its flock(2) ends. */
  release(handle: HandleNumber, flockOwner?: bigint): Outcome<undefined>;
  fsync(handle: HandleNumber, isDataOnly: boolean): Outcome<undefined>;
  fallocate(handle: HandleNumber, range: AllocatedRange): Outcome<undefined>;
  lseek(handle: HandleNumber, offset: number, what: "data" | "hole"): Outcome<number>;
  /** Bytes copied; 0 at the source's end. */
  copyFileRange(range: CopyRange): Outcome<number>;

  opendir(node: NodeNumber): Outcome<Opened>;
  /**
   * Shows entries from `cookie` (0: the first) on until `take` answers false or the directory ends. An entry for
   * which `take` answered false was not taken; one with `entry` that was taken counts for `forget`.
   */
  readdir(
    handle: HandleNumber,
    cookie: number,
    isPlus: boolean,
    take: (entry: DirectoryEntry) => boolean,
  ): Outcome<undefined>;
  releasedir(handle: HandleNumber): void;
  fsyncdir(handle: HandleNumber): Outcome<undefined>;

  statfs(): Outcome<FileSystemStatistics>;
  getxattr(node: NodeNumber, name: Uint8Array): Outcome<Uint8Array>;
  setxattr(
    node: NodeNumber,
    name: Uint8Array,
    value: Uint8Array,
    mode: XattrMode,
  ): Outcome<undefined>;
  listxattr(node: NodeNumber): Outcome<readonly Uint8Array[]>;
  removexattr(node: NodeNumber, name: Uint8Array): Outcome<undefined>;

  /** The lock that is in the way, or `undefined`. */
  getlk(handle: HandleNumber, lock: FileLock): Outcome<FileLock | undefined>;
  /** `wait` absent: EAGAIN where another holds it. Aborted: EINTR. */
  setlk(handle: HandleNumber, lock: FileLock, wait?: AbortSignal): Outcome<undefined>;
  unlock(handle: HandleNumber, lock: Omit<FileLock, "type">): Outcome<undefined>;

  /** Makes everything durable and gives the session back. No other method is called after it. */
  close(): Promise<Failure | undefined>;
}
