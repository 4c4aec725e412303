/**
 * What a mount is made of (layer 3, pure): the type of the file system that FUSE calls, the two ports it stands
 * on (`FileService` for metadata, `ContentStore` for bytes), and the rules of caches, dirty data and errors.
 * Refuses nothing by throwing: errors are values, one table says which errno a refusal is.
 */
export { type BlockCache, RamBlockCache } from "./block-cache.ts";
export type { ContentStore, LendingFile } from "./content-store.ts";
export { pieceSizeMax } from "./content-store.ts";
export { CookieJar } from "./cookie-jar.ts";
export type { DirtyPiece } from "./dirty-ranges.ts";
export type { ErrnoName, FileRefusalCode, ServiceRefusalCode } from "./errno.ts";
export { errno, fail, Failure, failureOf, isFailure, refusalCodeOf } from "./errno.ts";
export { FileBuffer, overlayPieces } from "./file-buffer.ts";
export type {
  AllocatedRange,
  Answered,
  Applied,
  AttributeChanges,
  FileAttributes,
  FileKind,
  FileLock,
  FileOperation,
  FilePage,
  FileRef,
  FileRefusal,
  FileService,
  FileServiceListener,
  FileSystemStatistics,
  Invalidation,
  ListedEntry,
  LockAnswer,
  NameRef,
  NewNode,
  PlacedContent,
  PlanPiece,
  ReadPlan,
  RenameMode,
  StoredContent,
  XattrMode,
} from "./file-service.ts";
export type {
  Absent,
  Attributes,
  Caller,
  Change,
  CopyRange,
  DirectoryEntry,
  Entry,
  Eventually,
  FileSystem,
  HandleNumber,
  KernelCache,
  NodeAttributes,
  NodeNumber,
  Opened,
  OpenFlags,
  Outcome,
} from "./file-system.ts";
export { rootNode } from "./file-system.ts";
export type { LentBlock, LentBlocks } from "./lent-blocks.ts";
export { NameCache, nameKey, nameOfKey } from "./name-cache.ts";
export { type FileNode, NodeTable } from "./node-table.ts";
export { packPieces } from "./pack-pieces.ts";
export { type KnownPiece, type KnownPlan, knownPlan, PlanWindow } from "./plan-window.ts";
export { ReadAhead, readAheadMax, readAheadMin } from "./read-ahead.ts";
export { withoutSetId } from "./set-id.ts";
export type { StagedFiles, StagedImage, StagedView } from "./staged-files.ts";
