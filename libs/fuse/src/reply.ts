import type { Negotiated } from "./init.ts";
import type { LockRange } from "./request.ts";

/** Attributes as the kernel takes them. Times are nanoseconds since 1970. */
export interface NodeAttributes {
  readonly inode: bigint;
  readonly size: number;
  /** Of 512 bytes, as stat(2) counts. */
  readonly blocks: number;
  readonly accessedAt: bigint;
  readonly modifiedAt: bigint;
  readonly changedAt: bigint;
  /** Type and permissions: `S_IFREG | 0o644`. */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  /** As the kernel encodes a device in 32 bits; 0 when it is none. */
  readonly device: number;
  readonly blockSize: number;
}

/** How long the kernel may believe an answer, in milliseconds. */
export interface Validity {
  readonly name: number;
  readonly attributes: number;
}

/** What a name leads to. */
export interface NodeEntry {
  /** 0: the name is not there, and may be remembered as that. */
  readonly node: number;
  readonly generation: number;
  readonly attributes: NodeAttributes;
  readonly validity: Validity;
}

export interface FileSystemUsage {
  readonly blocks: number;
  readonly blocksFree: number;
  readonly blocksAvailable: number;
  readonly files: number;
  readonly filesFree: number;
  readonly blockSize: number;
  readonly nameSizeMax: number;
}

/** An answer to one request. */
export type FuseReply =
  | { readonly kind: "error"; readonly errno: number }
  | { readonly kind: "done" }
  | { readonly kind: "init"; readonly negotiated: Negotiated | "again" }
  | { readonly kind: "entry"; readonly entry: NodeEntry }
  | { readonly kind: "attributes"; readonly attributes: NodeAttributes; readonly validity: number }
  | {
      readonly kind: "opened";
      readonly handle: number;
      readonly flags: number;
      /** With the flag of `passThrough`: the number by which the kernel knows the file that it reads. */
      readonly backing?: number;
    }
  | {
      readonly kind: "created";
      readonly entry: NodeEntry;
      readonly handle: number;
      readonly flags: number;
    }
  /** Of READ, READLINK, GETXATTR and LISTXATTR with room, and pages of a directory. */
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "written"; readonly size: number }
  | { readonly kind: "copied"; readonly size: number; readonly isWide: boolean }
  /** Of GETXATTR and LISTXATTR that ask how much room they need. */
  | { readonly kind: "xattr_size"; readonly size: number }
  | { readonly kind: "usage"; readonly usage: FileSystemUsage }
  | { readonly kind: "lock"; readonly lock: LockRange }
  | { readonly kind: "offset"; readonly offset: number };
