/**
 * SQLite files that are sealed page by page and mirrored write by write (KEYS §3, STORE §1).
 *
 * `loadSealedSqlite` once per Worker; `openMembers` opens the data directory and its mirrors for this
 * process; `openSlot` puts a file's keys into locked memory; `openDatabase` gives a bun:sqlite
 * `Database` on them. A member is good, copied, absent or lost; a lost one never comes back within
 * the process. Invariants: nothing readable on disk; a page whose tag is wrong is healed from another
 * member or refused, never answered; an act is answered when all listed members have done it; the list
 * that drops a member is durable before work goes on. With the last member gone every call fails and
 * the caller ends the process. Refused: files of other processes, journals, temporary files, page
 * sizes other than 4096, older member lists, a slot once closed.
 */
export {
  createFilledDatabase,
  fileName,
  openDatabase,
  parseFileName,
  scrubFile,
} from "./database.ts";
export { type Committer, openCommitter } from "./committer.ts";
export { openMembers } from "./members.ts";
export { loadSealedSqlite } from "./native.ts";
export { closeSlot, openSlot } from "./slots.ts";
export type { MemberSet, SlotNumber } from "./types.ts";
export { SealedSqliteError } from "./types.ts";
