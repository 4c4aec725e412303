import type { InodeId } from "@kiseki/base";
import type { Refusal } from "../operation.ts";
import type { FileAttributes, LockRange } from "./operation.ts";

/** `no_such_namespace`, `no_such_file`, `stale_file`, `not_a_directory` and so on. */
export type FoundFile = { readonly kind: "file"; readonly attributes: FileAttributes } | Refusal;

export interface DirectoryItem {
  /** As POSIX shows it. */
  readonly name: Uint8Array;
  readonly attributes: FileAttributes;
  /** Where to go on behind this item: stays good whatever comes and goes. */
  readonly cookie: Uint8Array;
}
export interface DirectoryPage {
  readonly kind: "page";
  /** In an order of their own; without `.` and `..`. */
  readonly items: readonly DirectoryItem[];
  /** Undefined: this was the last. May be set though fewer than asked came. */
  readonly next: Uint8Array | undefined;
}

/** What `statfs` tells of a namespace. */
export interface NamespaceStatus {
  readonly kind: "status";
  readonly root: InodeId;
  /** Files, objects and old versions, and their bytes. */
  readonly objects: number;
  readonly bytes: number;
  /** What may still be added by the tighter of the namespace's and the tenant's quota; undefined: no limit. */
  readonly objectsLeft: number | undefined;
  readonly bytesLeft: number | undefined;
  readonly isReadOnly: boolean;
  readonly isLockEnabled: boolean;
}

/** What F_GETLK tells: the first lock that is in the way. */
export type FoundLock =
  | { readonly kind: "free" }
  | { readonly kind: "lock"; readonly client: Uint8Array; readonly lock: LockRange };
