import type { SmallRef } from "@kiseki/format";
import type { NewExtent } from "../operation.ts";
import type { FileRef, Posix } from "./operation.ts";

/** Of every operation that changes what a regular file holds. Answers `file`. */
interface OnContent extends Posix {
  readonly file: FileRef;
  /** Refused with `precondition_failed` unless the file is at this revision still. */
  readonly ifRevision?: number;
  /** Else the setuid bit goes, and setgid where the group may execute: what writing by other than root does. */
  readonly isKeepingSetId?: boolean;
}

/** New content in a file. Extents of one chunk carry the same `seal`. */
export type WritePiece =
  | (NewExtent & { readonly kind: "chunk" })
  /** The one range of a chunk of at most one segment, stored as copies. */
  | {
      readonly kind: "small";
      readonly offset: number;
      readonly length: number;
      readonly chunkOffset: number;
      readonly ref: SmallRef;
    };

/**
 * In a namespace whose versions may be locked each of these makes a version and keeps the one before; elsewhere the current
 * version changes where it is, whatever the versioning (STORE §3). Refused with `wrong_type` for what is no regular
 * file, and with `customer_key` for content under a key that S3's client alone has.
 */
export type ContentOperation =
  /**
   * Pieces are ordered and disjoint, at most 1024; what lies between them stays. The size becomes at least the end of the
   * last. Refused with `chunk_gone` as S3's writes.
   */
  | (OnContent & {
      readonly kind: "write_file";
      readonly pieces: readonly WritePiece[];
      /** Nanoseconds; absent: the operation's time. */
      readonly mtime?: bigint;
    })
  /** As `write_file`, with offsets from the end of the file, wherever that is now: `offset` of the answer. */
  | (OnContent & { readonly kind: "append_file"; readonly pieces: readonly WritePiece[] })
  /** Cuts, or extends by a hole. */
  | (OnContent & { readonly kind: "truncate_file"; readonly size: number })
  /**
   * `punch`: `[start, end)` becomes a hole, the size stays; `zero`: the same, but the size becomes at least `end` unless
   * `isSizeKept`; `allocate`: no byte changes, the size as with `zero`. No room is set aside: nothing here is ever written
   * in place, so it could not be promised.
   */
  | (OnContent & {
      readonly kind: "allocate_file";
      readonly mode: "allocate" | "punch" | "zero";
      readonly start: number;
      readonly end: number;
      readonly isSizeKept?: boolean;
    })
  /**
   * `[sourceStart, sourceStart + length)` of a file of the namespace by reference, cut at the source's end: `length` of the
   * answer. Refused with `invalid_argument` where the two ranges of one file meet, with `too_many_extents` where it must be
   * read and written instead.
   */
  | (OnContent & {
      readonly kind: "copy_range";
      readonly source: FileRef;
      readonly sourceStart: number;
      readonly start: number;
      readonly length: number;
    })
  /**
   * `[start, end)` in fewer pieces, which cover it: the same bytes, so that neither times nor revision change. Refused with
   * `precondition_failed` unless the range is made of what `before` (of `findMerge`) tells still. Answers `none`.
   */
  | {
      readonly kind: "merge_extents";
      readonly namespace: Posix["namespace"];
      readonly file: FileRef;
      readonly before: Uint8Array;
      readonly start: number;
      readonly end: number;
      readonly pieces: readonly WritePiece[];
    };
