import type { InodeId, NamespaceId, OperationId } from "@kiseki/base";
import type { NodeType } from "@kiseki/format";
import type { ContentOperation } from "./content-operation.ts";

/**
 * Stable name of a file or directory (STORE §3): survives renames, and the node's restart.
 * Small enough to be a handle without `hint`.
 */
export interface FileRef {
  readonly namespace: NamespaceId;
  /** Inode of the directory in which the file was made; 0 for a directory, which is its own home. */
  readonly home: bigint;
  readonly inode: InodeId;
  /** Where it was seen last. Needed for objects written before handles were kept; never believed. */
  readonly hint?: { readonly directory: InodeId; readonly name: Uint8Array };
}

/** A name in a directory: bytes without slash and NUL, at most 255. `.` and `..` are the client's to resolve. */
export interface PlaceName {
  readonly directory: InodeId;
  readonly name: Uint8Array;
}

/** What `stat` tells. Times are nanoseconds since 1970. */
export interface FileAttributes {
  /** With a hint when it was reached by name. */
  readonly ref: FileRef;
  readonly type: NodeType | "directory";
  /** The lower 12 bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of a symlink the length of its target, of a directory the number of its names. */
  readonly size: number;
  /** Bytes that take room: holes do not. */
  readonly allocated: number;
  /** 1 for a directory whose children were never counted. */
  readonly links: number;
  readonly rdev: number;
  readonly atime: bigint;
  readonly mtime: bigint;
  readonly ctime: bigint;
  readonly btime: bigint;
  /** Grows with each change of the file's content or attributes; of a directory, with each change of its names too. */
  readonly revision: number;
  /** Another one whenever the content is another: what was cached of it is not believed then. 0 but for files. */
  readonly contentVersion: bigint;
  /** Of a directory: grows when its name or parent does. 0 for others. */
  readonly generation: number;
  /** Its name is one that S3 alone can have made, shown as `.s3~` and 32 hex digits. */
  readonly isHidden: boolean;
  /** Of a directory: where it lies; undefined for the root of a namespace. */
  readonly parent?: InodeId | undefined;
}

/** 16 random bytes of a native client or NFS session. */
export type ClientId = Uint8Array;

/** Of every operation of a file protocol. */
export interface Posix {
  readonly namespace: NamespaceId;
  /** Nanoseconds that become ctime and what follows from it; absent: the decision's time. */
  readonly time?: bigint;
  /**
   * Present: the sender may repeat the operation under this id, and is told what came of it the first time. Kept for an
   * hour. A repetition after a refusal is tried anew.
   */
  readonly once?: OperationId;
}

export interface LockRange {
  /** `posix`: fcntl, by byte ranges; `flock`: whole files. They do not meet. */
  readonly space: "posix" | "flock";
  /** `unlock` is the range to give up. */
  readonly kind: "shared" | "exclusive";
  /** Process or open file that holds it, as the client numbers them. */
  readonly owner: bigint;
  /** `[start, end)`; an `end` of 2^63 is the end of the file, wherever it is. */
  readonly start: bigint;
  readonly end: bigint;
  /** What F_GETLK tells others. */
  readonly pid: number;
}

/** A time to set: nanoseconds, or the operation's own. */
export type NewTime = bigint | "now";

export type PosixOperation =
  | ContentOperation
  /**
   * Makes a file, directory (mkdir), symlink or special file. A directory with the setgid bit gives its group, and to
   * directories the bit. Answers `file`. When the name is there: refused with `file_exists`, or without `isExclusive`,
   * for a regular file over a regular file, answers that one (`isMade` false), whatever the rest says.
   */
  | (Posix &
      PlaceName & {
        readonly kind: "make_node";
        readonly type: NodeType | "directory";
        readonly isExclusive: boolean;
        /** The umask is taken off already. */
        readonly mode: number;
        readonly uid: number;
        readonly gid: number;
        readonly rdev?: number;
        /** Of a symlink: 1 … 4095 bytes. */
        readonly target?: Uint8Array;
        /** Opens the file for this session in the same step. */
        readonly client?: ClientId;
      })
  /**
   * The name goes; not for directories (`is_a_directory`). Where versions are kept it does what S3 DELETE does.
   * `client`: this session has the file open, so it lives on without a name until that is over. Answers `file`: as it
   * is now, with `links` 0 when this was its last name.
   */
  | (Posix & PlaceName & { readonly kind: "unlink"; readonly client?: ClientId })
  /** Answers `file`: what was removed. */
  | (Posix & PlaceName & { readonly kind: "rmdir" })
  /**
   * Within a namespace. `noreplace`: refused with `file_exists` when the target is there; `exchange`: both must be there
   * and change places. What the target names goes as by `unlink` or `rmdir`. Answers `file`: what was moved.
   */
  | (Posix & {
      readonly kind: "rename";
      readonly from: PlaceName;
      readonly to: PlaceName;
      readonly flag?: "noreplace" | "exchange";
      /** As of `unlink`, for what the target names. */
      readonly client?: ClientId;
    })
  /** Another name for a file; not for directories, and not where versions are locked or no more made (`links_not_kept`). Answers `file`. */
  | (Posix & PlaceName & { readonly kind: "link"; readonly file: FileRef })
  /** What is absent stays. The size is changed by the content's `truncate`. Answers `file`. */
  | (Posix & {
      readonly kind: "set_attributes";
      readonly file: FileRef;
      readonly mode?: number;
      readonly uid?: number;
      readonly gid?: number;
      readonly atime?: NewTime;
      readonly mtime?: NewTime;
      /** The setuid bit goes, and setgid where the group may execute: what chown by other than root does. */
      readonly isDroppingSetId?: boolean;
    })
  /** Refused with `attribute_exists` (`create`) or `no_such_attribute` (`replace`). Answers `file`. */
  | (Posix & {
      readonly kind: "set_xattr";
      readonly file: FileRef;
      /** 1 … 255 bytes, with its class: `user.…`, `trusted.…`, `security.…`. Who may is the client's kernel to say. */
      readonly attribute: Uint8Array;
      readonly value: Uint8Array;
      readonly flag?: "create" | "replace";
    })
  | (Posix & {
      readonly kind: "remove_xattr";
      readonly file: FileRef;
      readonly attribute: Uint8Array;
    })
  /** The session holds the file open: it outlives its last name. Once per session and file, however often. Answers `file`. */
  | (Posix & { readonly kind: "open_file"; readonly file: FileRef; readonly client: ClientId })
  /** Frees the file when it has no name and nobody else holds it; locks of the session on it go. Answers `none`. */
  | (Posix & { readonly kind: "close_file"; readonly file: FileRef; readonly client: ClientId })
  /** Answers `none`, or refused with `lock_conflict`; waiting is the client's. Replaces what the owner had in the range. */
  | (Posix & {
      readonly kind: "lock";
      readonly file: FileRef;
      readonly client: ClientId;
      readonly lock: LockRange;
    })
  | (Posix & {
      readonly kind: "unlock";
      readonly file: FileRef;
      readonly client: ClientId;
      readonly lock: Pick<LockRange, "space" | "owner" | "start" | "end">;
    })
  /** Grants a session, or moves its end in the log; renewals between are the owner's, in memory. Answers `none`. */
  | {
      readonly kind: "open_session";
      readonly client: ClientId;
      /** Milliseconds. */
      readonly expires: number;
    }
  /** The session is over: locks go, files that it alone held open are freed, in bounded steps. Answers `reclaimed`. */
  | { readonly kind: "close_session"; readonly client: ClientId };

export type PosixRefusalCode =
  | "no_such_file"
  | "file_exists"
  | "not_a_directory"
  | "is_a_directory"
  | "directory_not_empty"
  /** A directory would come to lie in itself. */
  | "directory_loop"
  /** A directory that is not empty, where versions may be locked. */
  | "directory_locked"
  /** The file behind a reference is gone, or is now an old version. */
  | "stale_file"
  /** Empty, `.`, `..`, or with slash or NUL. */
  | "invalid_name"
  | "name_too_long"
  /** `.s3~` and 32 hex digits: shown, never made. */
  | "name_reserved"
  | "too_many_links"
  | "links_not_kept"
  /** Content of a directory or special file, or a target of what is no symlink. */
  | "wrong_type"
  /** Content under a key that S3's client alone has. */
  | "customer_key"
  | "no_such_attribute"
  | "attribute_exists"
  /** Of a namespace that nobody may set, such as `user.s3.`. */
  | "attribute_read_only"
  | "lock_conflict"
  | "too_many_locks"
  | "no_such_session"
  | "invalid_argument";

export interface PosixAnswer {
  readonly kind: "file";
  /** What the operation was about, after it. */
  readonly attributes: FileAttributes;
  /** Of `make_node`: it was not there before. */
  readonly isMade?: boolean;
  /** Of `append_file` and `copy_range`: where the content lies, and how many bytes it is. */
  readonly offset?: number;
  readonly length?: number;
  /** Directories whose names changed, after it. */
  readonly directories?: readonly FileAttributes[];
}
