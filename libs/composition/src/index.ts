/**
 * The shard's state machine over the ordered map (STORE §3, §4): names, versions, multipart, content
 * and chunk counts. Pure and synchronous.
 *
 * Writing: `decide` checks one operation against the map, which already holds what the batch did before,
 * and answers a change, an answer or a refusal; a refused operation leaves no trace. `apply` puts a
 * change into the map and asks for nothing else, so a replay gives the same rows. Reading: look-ups,
 * listings and content, on any `MapReader`, every call bounded in rows.
 *
 * Invariants: a chunk's count is the number of extents that name it; a seal is named by exactly one of
 * chunk row, drop row, small content; a directory's `live`, `total` and `hidden` are exact; an entry
 * row exists if and only if the newest version is not a delete marker.
 */
export { findChunk, lookupChunk } from "./chunks.ts";
export { etagText } from "./conditions.ts";
export { apply, decide, decodeChange, encodeChange } from "./decide.ts";
export { lookupHolds } from "./holds.ts";
export { defaultLimits } from "./limits.ts";
export { listObjects, listVersions } from "./list-objects.ts";
export { listParts, listUploads } from "./list-uploads.ts";
export { changedAt } from "./inodes.ts";
export { lookupObject } from "./lookup.ts";
export { listNamespaces, lookupNamespace } from "./namespaces.ts";
export type {
  Answer,
  Change,
  Conditions,
  Decision,
  DirKeys,
  ExtrasChanges,
  Limits,
  NewContent,
  NewExtent,
  Operation,
  Origin,
  RefusalCode,
  VersionRef,
} from "./operation.ts";
export type {
  ContentPage,
  ContentPiece,
  Drop,
  Found,
  FoundObject,
  PartListPage,
  Reference,
  VersionListItem,
  VersionListQuery,
} from "./reading.ts";
export type { WritePiece } from "./posix/content-operation.ts";
export { findMerge, mergeWindow } from "./posix/content-merge.ts";
export { readFileContent, seekFile } from "./posix/content-read.ts";
export type { DirectoryQuery } from "./posix/list-directory.ts";
export { listDirectory } from "./posix/list-directory.ts";
export { findLock } from "./posix/locks.ts";
export { getFile, lookupName } from "./posix/lookup.ts";
export type {
  ClientId,
  FileAttributes,
  FileRef,
  LockRange,
  NewTime,
  PlaceName,
  PosixAnswer,
  PosixOperation,
} from "./posix/operation.ts";
export type {
  DirectoryItem,
  DirectoryPage,
  FoundFile,
  FoundLock,
  NamespaceStatus,
} from "./posix/reading.ts";
export { listSessions, lookupSession } from "./posix/sessions.ts";
export { statNamespace } from "./posix/status.ts";
export { getXattr, listXattrs, readLink } from "./posix/xattrs.ts";
export { lookupQuota } from "./quotas.ts";
export { type ContentPart, readContent, readParts } from "./read-content.ts";
export type { EncryptedRow } from "./encryption.ts";
export { isUnderCustomerKey, listEncryptions } from "./encryption.ts";
export { hasReclaim } from "./reclaim.ts";
export { listDrops, listReferences } from "./references.ts";
export { isMovable } from "./transition.ts";
export { lookupSetting } from "./settings.ts";
export { lookupUsage } from "./step.ts";
