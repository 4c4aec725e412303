/** Number of a slot that holds one file's keys in locked native memory. Never used twice in a process. */
export type SlotNumber = number;

/** Both 32 bytes; copied into locked memory, so that the caller wipes its own. */
export interface SlotKeys {
  /** Key of this file's pages (`keys`: `pageKey(fileId)`). */
  readonly pageKey: Uint8Array;
  /** Key that masks the WAL's frame checksums (`keys`: `walMaskKey(fileId)`). */
  readonly maskKey: Uint8Array;
}

/**
 * `older_list`: the config directory has noted a newer member list than any member holds, so what is
 * here is an old copy; only `acceptLoss` opens it. `no_member`: no directory can be used, or the last
 * one was lost: the process ends. `foreign`: a directory belongs to another set, or holds files and
 * no list. `in_use`: another process has it open. `missing`: no such file. `exists`: `create` over a file.
 * `damaged`: bytes that no member can show whole. `slot_closed`: the keys are gone. `io`: anything else.
 */
export type SealedSqliteErrorCode =
  | "older_list"
  | "no_member"
  | "foreign"
  | "in_use"
  | "missing"
  | "exists"
  | "damaged"
  | "slot_closed"
  | "io";

export class SealedSqliteError extends Error {
  override readonly name = "SealedSqliteError";
  readonly code: SealedSqliteErrorCode;
  constructor(code: SealedSqliteErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A member was written out of the list while the process ran; with `left` 0 the process has to end. */
export interface LostMember {
  readonly directory: string;
  readonly reason: "error" | "silent";
  readonly left: number;
}

export interface MemberSetOptions {
  /** In the order of reading; 1 to 8, existing. The first is the data directory, the rest its mirrors. */
  readonly directories: readonly string[];
  /** File in the config directory in which the highest list version is noted; made when missing. */
  readonly versionNote: string;
  /** A member that has not answered a write for so long is lost; milliseconds. */
  readonly silentMax: number;
  /** Opens though the note knows a newer list: what was acknowledged since then is lost. */
  readonly acceptLoss?: boolean;
  /** Called in the thread that opened the set, some time after the loss. Must not throw. */
  readonly onLost?: (lost: LostMember) => void;
}

export type MemberState = "good" | "copied" | "absent" | "lost";
/** `copied`: good, and made anew from another member when the set was opened. `absent`: never in this run. */
export interface MemberStatus {
  readonly directory: string;
  /** Hex of 16 bytes; empty when absent. */
  readonly id: string;
  readonly state: MemberState;
}
/** Counters grow from the opening of the set; for metrics. */
export interface MemberSetStatus {
  readonly version: bigint;
  readonly members: readonly MemberStatus[];
  /** Pages and WAL frames that were taken from another member and written back. */
  readonly healedPages: number;
  readonly healedFrames: number;
  /** Files copied anew because a member held an older or shorter state of them. */
  readonly healedFiles: number;
  /** Pages and frames that no member could show whole. */
  readonly damagedPages: number;
  readonly seals: number;
}

/** What another Worker needs to open files of a set that this process has open; may be posted. */
export interface MemberSetHandle {
  readonly number: number;
}

/** `directories` opened and locked for this process. */
export interface MemberSet extends MemberSetHandle {
  status(): MemberSetStatus;
  /** Names of the database files, of the form that `fileName` makes, that any good member has. Each is whole. */
  listFiles(): readonly string[];
  /** Deletes a closed file with its WAL on all members; a crash may leave it on some. */
  deleteFile(file: string): void;
  /** Deletes what creations of files for `name` left that did not end. None may be under way. */
  deleteUnfinished(name: string): void;
  /** Closes directories and stops threads. Every database must be closed before. */
  close(): void;
}

export interface DatabaseOptions {
  /** `[a-z0-9-]`, 1 to 64 characters: what the file is for. */
  readonly name: string;
  /** 16 random bytes, new for each created file. */
  readonly fileId: Uint8Array;
  /** Keyset that the slot's keys belong to; stands in the file's name. */
  readonly keyset: number;
  readonly slot: SlotNumber;
  /** Makes the file; refused when it is there. It appears whole or not at all. */
  readonly create?: boolean;
  readonly readOnly?: boolean;
  /** `full`: a COMMIT that returned survives a power cut. `normal`: it survives the process. */
  readonly synchronous: "full" | "normal";
  /** Page cache of this connection in KiB; default 2048. */
  readonly cacheKib?: number;
}
