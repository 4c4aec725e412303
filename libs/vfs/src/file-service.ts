import type { ChunkId, InodeId } from "@kiseki/base";
import type { FileRefusalCode } from "./errno.ts";

/** A file, a directory or what else has an inode, within the one namespace that a service serves. */
export interface FileRef {
  readonly inode: InodeId;
  /** Inode of the directory of creation, which never changes; `0n` for directories. */
  readonly home: bigint;
  /** A name it had, for rows older than handles. Never part of what it is. */
  readonly hint?: { readonly parent: InodeId; readonly name: Uint8Array };
}
export interface NameRef {
  /** Inode of a directory. */
  readonly parent: InodeId;
  /** One component: 1 to 255 bytes without `/` and NUL. */
  readonly name: Uint8Array;
}

export type FileKind =
  "file" | "directory" | "symlink" | "fifo" | "socket" | "character_device" | "block_device";

/** Times are nanoseconds since 1970. */
export interface FileAttributes {
  readonly ref: FileRef;
  readonly kind: FileKind;
  /** The lower 12 bits: permissions, set-user, set-group, sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly size: number;
  /** Bytes of it that take room: holes do not. */
  readonly allocated: number;
  /** As Linux packs it into 32 bits; 0 for what is no device. */
  readonly device: number;
  readonly accessed: bigint;
  readonly modified: bigint;
  /** The node's clock at the last change of anything but `accessed`: of two answers the newer has the higher one. */
  readonly changed: bigint;
  readonly born: bigint;
  /** Changes with bytes or size: what was cached of another version is not believed. */
  readonly contentVersion: bigint;
  /** Of a directory: changes when its name or parent does (DESIGN §8). 0 for others. */
  readonly generation: number;
}

/** The act came to nothing; what changed nothing at the node changed nothing here. */
export interface FileRefusal {
  readonly kind: "refused";
  readonly code: FileRefusalCode;
}
export type Answered<T> = Promise<T | FileRefusal>;

/** New content that is synced where it lies; it is part of no file before an operation names it. */
export interface StoredContent {
  readonly length: number;
  /** What the service tells the node of it. The file system passes it on unread. */
  readonly stored: object;
}
/** All of `content`, or `length` bytes of it from `start` on, at `offset` of a file. */
export interface PlacedContent {
  readonly offset: number;
  readonly content: StoredContent;
  readonly start?: number;
  readonly length?: number;
}

export type NewNode =
  | { readonly kind: "file" | "directory" | "fifo" | "socket" }
  | { readonly kind: "symlink"; readonly target: Uint8Array }
  | { readonly kind: "character_device" | "block_device"; readonly device: number };

/** `now`: the node's clock at the operation. Absent: unchanged, but that `changed` becomes now. */
export interface AttributeChanges {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly accessed?: bigint | "now";
  readonly modified?: bigint | "now";
}

/**
 * One change, all of it or nothing. Durable when it is answered. Set-user and set-group bits stay when content changes:
 * taking them away is the caller's.
 */
export type FileOperation =
  /** A setgid directory hands down its group, and to directories the bit. */
  | (NameRef & {
      readonly kind: "create";
      readonly node: NewNode;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
      /** False: a file that is there is the answer. */
      readonly isExclusive: boolean;
    })
  | (NameRef & { readonly kind: "link"; readonly file: FileRef })
  /** Answers the file as it is now, or anything of another inode when nothing is left of it. */
  | (NameRef & { readonly kind: "unlink" })
  | (NameRef & { readonly kind: "remove_directory" })
  /** Answers what was moved. */
  | {
      readonly kind: "rename";
      readonly source: NameRef;
      readonly target: NameRef;
      readonly mode: RenameMode;
    }
  | {
      readonly kind: "set_attributes";
      readonly file: FileRef;
      readonly changes: AttributeChanges;
    }
  | {
      readonly kind: "set_xattr";
      readonly file: FileRef;
      readonly name: Uint8Array;
      readonly value: Uint8Array;
      readonly mode: XattrMode;
    }
  | { readonly kind: "remove_xattr"; readonly file: FileRef; readonly name: Uint8Array }
  /** Pieces are ordered and disjoint, at most 1024; the size becomes at least the end of the last. */
  | { readonly kind: "write"; readonly file: FileRef; readonly pieces: readonly PlacedContent[] }
  /** At the end, wherever that is when the node decides; `offset` of the answer says where. */
  | { readonly kind: "append"; readonly file: FileRef; readonly content: StoredContent }
  /** Cuts, or extends by a hole. */
  | { readonly kind: "truncate"; readonly file: FileRef; readonly size: number }
  | ({ readonly kind: "allocate"; readonly file: FileRef } & AllocatedRange)
  /** By reference; `length` of the answer is what was copied: less at the source's end. */
  | {
      readonly kind: "copy_range";
      readonly source: FileRef;
      readonly sourceOffset: number;
      readonly target: FileRef;
      readonly targetOffset: number;
      readonly length: number;
    }
  /** The inode outlives its last name until `release` or the session's end. */
  | { readonly kind: "open"; readonly file: FileRef }
  | { readonly kind: "release"; readonly file: FileRef };

export type RenameMode = "replace" | "no_replace" | "exchange";
export type XattrMode = "set" | "create" | "replace";
/** `punch`: a hole, size kept; `zero`: reads as zeros; `allocate`: room, bytes unchanged. */
export interface AllocatedRange {
  readonly mode: "allocate" | "punch" | "zero";
  readonly offset: number;
  readonly length: number;
  readonly isSizeKept: boolean;
}

export interface Applied {
  readonly kind: "applied";
  /** The file or directory that the operation was about, after it. */
  readonly attributes: FileAttributes;
  /** Directories whose entries changed, after the operation. */
  readonly directories: readonly FileAttributes[];
  /** `append`: where the content lies. */
  readonly offset?: number;
  /** `copy_range`: bytes copied. */
  readonly length?: number;
}

export interface ListedEntry {
  readonly name: Uint8Array;
  readonly attributes: FileAttributes;
  /** Goes on after this entry, and stays good when entries come and go. Opaque. */
  readonly cookie: Uint8Array;
}
export interface FilePage {
  readonly kind: "page";
  readonly entries: readonly ListedEntry[];
  /** Where to go on; `undefined`: the directory ends with `entries`. */
  readonly next: Uint8Array | undefined;
}

/** A range of a file as it was at one moment, in order and without gaps. */
export type PlanPiece =
  | { readonly kind: "hole"; readonly offset: number; readonly length: number }
  | {
      readonly kind: "chunk";
      readonly offset: number;
      readonly length: number;
      /** With `chunkOffset`, the name of these bytes for ever: what a block cache keys by. */
      readonly chunkId: ChunkId;
      readonly chunkOffset: number;
      /** What the content store needs to open it. The file system passes it on unread. */
      readonly access: object;
    };
export interface ReadPlan {
  readonly kind: "plan";
  /** Of the whole file. Size, version and pieces are of one moment. */
  readonly size: number;
  readonly contentVersion: bigint;
  /** Covers `[start, end)` of the question, cut at the size; may end before, then ask again from there. */
  readonly pieces: readonly PlanPiece[];
  /** For so long from the question on the pieces can be read. */
  readonly leaseMs: number;
}

export interface FileSystemStatistics {
  readonly kind: "statistics";
  readonly bytesTotal: number;
  readonly bytesFree: number;
  /** To the caller, by thresholds and quotas. */
  readonly bytesAvailable: number;
  readonly filesTotal: number;
  readonly filesFree: number;
}

/** `[start, end)`; `end` `undefined`: everything from `start` on. `whole` locks are those of flock(2). */
export interface FileLock {
  readonly kind: "range" | "whole";
  readonly type: "read" | "write";
  readonly start: bigint;
  readonly end: bigint | undefined;
  /** The kernel's word for the owner, unique within the session. */
  readonly owner: bigint;
  readonly pid: number;
}
export type LockAnswer =
  { readonly kind: "granted" } | { readonly kind: "held"; readonly by: FileLock };

/** Something that somebody changed, or that the node can no longer vouch for. */
export type Invalidation =
  /**
   * Attributes or content of an inode, or names in a directory that came, went or moved. `isOwn`: by an operation of this
   * service's client, so that who has its answer knows already.
   */
  | { readonly kind: "inode" | "directory"; readonly inode: InodeId; readonly isOwn: boolean }
  | { readonly kind: "everything" };

export interface FileServiceListener {
  invalidated(change: Invalidation): void;
  /**
   * The node ended the session: locks and held files are gone, operations of it are refused with
   * `session_expired`. The service goes on under a fresh session.
   */
  sessionEnded(): void;
}

/**
 * Metadata of one namespace, as a node serves it to one client: driven by RPC in `libs/client`, in memory in tests.
 * Never throws and never rejects: what fails is a refusal, in bounded time. The service repeats what may be
 * repeated (operations carry ids); `unreachable` says that an operation's fate is unknown to the end.
 */
export interface FileService {
  readonly root: FileRef;
  listen(listener: FileServiceListener): void;
  apply(operation: FileOperation): Answered<Applied>;
  lookup(name: NameRef): Answered<FileAttributes>;
  attributes(file: FileRef): Answered<FileAttributes>;
  /** At most `countMax` entries behind a cookie; `.` and `..` are not among them. */
  list(directory: InodeId, cookie: Uint8Array | undefined, countMax: number): Answered<FilePage>;
  readlink(file: FileRef): Answered<{ readonly kind: "target"; readonly target: Uint8Array }>;
  getXattr(
    file: FileRef,
    name: Uint8Array,
  ): Answered<{ readonly kind: "value"; readonly value: Uint8Array }>;
  listXattrs(
    file: FileRef,
  ): Answered<{ readonly kind: "names"; readonly names: readonly Uint8Array[] }>;
  statistics(): Answered<FileSystemStatistics>;
  plan(file: FileRef, start: number, end: number): Answered<ReadPlan>;
  /** First byte at or after `offset` that is data or hole; a hole begins at the size. `no_data`: none. */
  seek(
    file: FileRef,
    offset: number,
    what: "data" | "hole",
  ): Answered<{ readonly kind: "at"; readonly offset: number }>;
  /** Never waits for a lock: who wants it asks again. */
  lock(file: FileRef, lock: FileLock): Answered<LockAnswer>;
  testLock(file: FileRef, lock: FileLock): Answered<LockAnswer>;
  /** Ends what `owner` has locked of the kind in the range. */
  unlock(file: FileRef, lock: Omit<FileLock, "type">): Answered<{ readonly kind: "unlocked" }>;
}
