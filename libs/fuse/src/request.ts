import type { InitRequest } from "./init.ts";
import type { Opcode } from "./opcodes.ts";

/** Who asks what of which node. Ids are safe integers. */
export interface RequestHead {
  /** Number of this request; its answer carries it. */
  readonly unique: number;
  /** Node that it is about, as an answer of ours named it; 0 for none. */
  readonly node: number;
  readonly uid: number;
  readonly gid: number;
  /** 0 when the asking process is not of our namespace. */
  readonly pid: number;
}

/** A time to set: nanoseconds since 1970, or the time of the change. */
export type TimeChange = bigint | "now";

/** What a SETATTR changes; what is left out stays. */
export interface AttributeChange {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  readonly accessedAt?: TimeChange;
  readonly modifiedAt?: TimeChange;
  readonly changedAt?: bigint;
  /** Set-id bits fall with the change. */
  readonly endsPrivileges: boolean;
}

/** Of fcntl and flock. `[start, end]`, both within; a whole file ends at the largest offset. */
export interface LockRange {
  readonly start: bigint;
  readonly end: bigint;
  readonly type: "read" | "write" | "unlock";
  readonly pid: number;
}

interface Making {
  readonly name: Uint8Array;
  readonly mode: number;
  readonly umask: number;
}
interface Reading {
  readonly handle: number;
  readonly offset: number;
  readonly size: number;
}
interface Locking {
  readonly handle: number;
  readonly owner: bigint;
  readonly lock: LockRange;
  readonly isFlock: boolean;
}
interface Releasing {
  readonly handle: number;
  readonly flags: number;
  readonly owner: bigint;
  /** flock locks of the handle end with it. */
  readonly endsFlock: boolean;
}

interface Bodies {
  lookup: { readonly name: Uint8Array };
  forget: { readonly lookups: bigint };
  batch_forget: { readonly forgotten: readonly { node: number; lookups: bigint }[] };
  getattr: { readonly handle: number | undefined };
  setattr: { readonly handle: number | undefined; readonly change: AttributeChange };
  readlink: unknown;
  symlink: { readonly name: Uint8Array; readonly target: Uint8Array };
  mknod: Making & { readonly device: number };
  mkdir: Making;
  unlink: { readonly name: Uint8Array };
  rmdir: { readonly name: Uint8Array };
  rename: {
    readonly name: Uint8Array;
    readonly newParent: number;
    readonly newName: Uint8Array;
    /** `RENAME_NOREPLACE` 1, `RENAME_EXCHANGE` 2, `RENAME_WHITEOUT` 4. */
    readonly flags: number;
  };
  link: { readonly target: number; readonly name: Uint8Array };
  open: { readonly flags: number; readonly endsPrivileges: boolean };
  create: Making & { readonly flags: number; readonly endsPrivileges: boolean };
  tmpfile: { readonly mode: number; readonly umask: number; readonly flags: number };
  read: Reading & { readonly flags: number };
  write: {
    readonly handle: number;
    readonly offset: number;
    readonly flags: number;
    /** Aliases the request's memory. */
    readonly data: Uint8Array;
    readonly endsPrivileges: boolean;
  };
  statfs: unknown;
  flush: { readonly handle: number; readonly owner: bigint };
  release: Releasing;
  fsync: { readonly handle: number; readonly isDataOnly: boolean };
  fsyncdir: { readonly handle: number; readonly isDataOnly: boolean };
  setxattr: {
    readonly name: Uint8Array;
    /** Aliases the request's memory. */
    readonly value: Uint8Array;
    /** `XATTR_CREATE` 1, `XATTR_REPLACE` 2. */
    readonly flags: number;
  };
  /** `size` 0 asks how large the value is. */
  getxattr: { readonly name: Uint8Array; readonly size: number };
  listxattr: { readonly size: number };
  removexattr: { readonly name: Uint8Array };
  init: { readonly init: InitRequest };
  opendir: { readonly flags: number };
  readdir: Reading;
  readdirplus: Reading;
  releasedir: Releasing;
  getlk: Locking;
  setlk: Locking;
  setlkw: Locking;
  access: { readonly mask: number };
  interrupt: { readonly target: number };
  destroy: unknown;
  fallocate: {
    readonly handle: number;
    readonly offset: number;
    readonly length: number;
    /** `FALLOC_FL_*`. */
    readonly mode: number;
  };
  lseek: { readonly handle: number; readonly offset: number; readonly whence: number };
  copy_file_range: {
    readonly handle: number;
    readonly offset: number;
    readonly targetNode: number;
    readonly targetHandle: number;
    readonly targetOffset: number;
    readonly length: number;
    /** The answer has 64 bits for the count. */
    readonly isWide: boolean;
  };
  syncfs: unknown;
  /** Known, and not served. */
  unserved: { readonly opcode: Opcode };
}
export type RequestKind = keyof Bodies;
/** One request; `kind` tells which. Names and data alias the memory that it was read into. */
export type FuseRequest = {
  [Kind in RequestKind]: RequestHead & { readonly kind: Kind } & Bodies[Kind];
}[RequestKind];
export type RequestOf<Kind extends RequestKind> = Extract<FuseRequest, { readonly kind: Kind }>;

/** What is no request; `unique` 0: there is nothing to answer. */
export interface RequestFault {
  readonly kind: "fault";
  /** `too_long`: a name that somebody asked for, which no fault of the kernel's is. */
  readonly code: "short" | "length" | "unknown_opcode" | "malformed" | "too_long";
  readonly unique: number;
  readonly errno: number;
  readonly detail: string;
}
