/**
 * Bytes that outlive a process: one file per format, each with golden samples beside it and a page
 * in `docs/formats/`. Every format has a version; an unknown one is a fault, never a guess.
 *
 * Decoders are bounded: each size is checked against its limit and its source before it is used,
 * and nothing is allocated by an outsider's word. They answer a value or a named fault and throw
 * nothing. What they return aliases the source unless its comment says otherwise. Encoders assert:
 * a value that does not fit is our own bug. Nothing here knows keys, clocks or chance; sealing and
 * checking of tags and MACs is done by the libs above.
 */
export type {
  ChunkRef,
  DecodedDelta,
  DeltaContent,
  DeltaHeader,
  DeltaStamp,
  Hlc,
} from "./delta.ts";
export {
  decodeDelta,
  deltaAad,
  deltaHeaderSize,
  deltaNonceSize,
  deltaPayloadSizeMax,
  deltaSize,
  encodeDeltaHeader,
} from "./delta.ts";
export type { LogEntryFault, LogEntryHead } from "./log-entry.ts";
export {
  decodeLogEntry,
  encodeLogEntryHead,
  logEntryBodySizeMax,
  logEntryDeltasMax,
  logEntryHeadSize,
  logEntryMacSize,
} from "./log-entry.ts";
export type { ClusterKeyFile, ClusterKeySlot } from "./cluster-key.ts";
export {
  decodeClusterKeyFile,
  encodeClusterKeyFile,
  encodeClusterKeyHeader,
} from "./cluster-key.ts";
export type { NodeSecretFile } from "./cluster-key-node.ts";
export { decodeNodeSecretFile, encodeNodeSecretFile } from "./cluster-key-node.ts";
export type { KeyExport, KeyExportHeader, ScryptCost } from "./key-export.ts";
export { decodeKeyExport, encodeKeyExport, encodeKeyExportHeader } from "./key-export.ts";
export type { RecoveryCodeFault } from "./recovery.ts";
export {
  explainRecoveryCodeFault,
  formatRecoveryCode,
  parseRecoveryCode,
  recoverySecretSize,
  toRecoverySecret,
} from "./recovery.ts";
export type { SealedKeyKind } from "./wrapped-share.ts";
export {
  decodeBoundShare,
  decodeSealedKey,
  encodeBoundShare,
  encodeSealedKey,
  encodeSealedKeyHeader,
  sealedKeyPlaintextSizeMax,
  shareSize,
} from "./wrapped-share.ts";
export type {
  Checksum,
  ChecksumAlgorithm,
  ChunkAddress,
  ChunkExtent,
  ChunkRow,
  ChunkSeal,
  ColdRow,
  Content,
  CountersRow,
  DirectoryEntry,
  DoneRow,
  DropRow,
  Etag,
  Extent,
  HeadNode,
  HeadRow,
  InodeRow,
  LeafExtent,
  ManifestChild,
  ManifestHead,
  NamespaceRow,
  NodeFields,
  NodeType,
  NamespaceSetting,
  ObjectAttributes,
  ObjectEntry,
  PartRow,
  QuotaRow,
  ReclaimRow,
  Retention,
  RowProfile,
  SliceExtent,
  SmallExtent,
  SmallRef,
  UploadRow,
  UsageRow,
  Versioning,
  VersionNumber,
  Xattr,
} from "./rows/types.ts";
export type { EncryptionFacts } from "./rows/encryption.ts";
export { decodeEncryption, encodeEncryption } from "./rows/encryption.ts";
export type { RecordHeader, RecordKind } from "./record.ts";
export {
  decodeRecordHeader,
  deviceBlockSize,
  encodeRecordHeader,
  recordAlignment,
  recordHeaderSize,
  recordSize,
} from "./record.ts";
export type {
  DeviceClass,
  MemberState,
  PoolMember,
  Superblock,
  SuperblockFault,
} from "./superblock.ts";
export {
  decodeSuperblock,
  deviceDataOffset,
  encodeSuperblock,
  foreignSignature,
  hasOwnMagic,
  memberCountMax,
  signatureAreaSize,
  superblockSecondOffset,
  superblockSize,
} from "./superblock.ts";
export type { ZoneFooter, ZoneHeader } from "./zone.ts";
export {
  decodeZoneFooter,
  decodeZoneHeader,
  encodeZoneFooter,
  encodeZoneHeader,
  zoneFooterSize,
  zoneHeaderSize,
} from "./zone.ts";
export type { Hold } from "./rows/holds.ts";
export { decodeHolds, encodeHolds, holdsMax, isHoldId } from "./rows/holds.ts";
export type { FileLock } from "./rows/locks.ts";
export { decodeFileLocks, encodeFileLocks } from "./rows/locks.ts";
export { decodeOutcome, encodeOutcome } from "./rows/outcome.ts";
export type { StorageClass } from "./rows/storage-class.ts";
export { isStorageClass, storageClasses } from "./rows/storage-class.ts";
export type { LockDefault } from "./rows/lock-default.ts";
export { decodeLockDefault, encodeLockDefault, isLockPeriod } from "./rows/lock-default.ts";
export type { RowWrite } from "./rows/change.ts";
export { decodeRowWrites, encodeRowWrites } from "./rows/change.ts";
export { manifestNodeItemsMax, rowExtentsMax } from "./rows/content.ts";
export {
  chunkKey,
  chunkPrefix,
  coldKey,
  coldKeyVersion,
  coldPrefix,
  condemnedKey,
  countersKey,
  doneKey,
  dropKey,
  dropPrefix,
  entryKey,
  entryKeyName,
  expiryKey,
  expiryPrefix,
  headKey,
  hiddenKey,
  inodeKey,
  isChunkKey,
  isManifestNodeKey,
  keyAfterPrefix,
  leaseKey,
  leasePrefix,
  manifestHeadKey,
  manifestNodeKey,
  manifestNodePrefix,
  manifestNodeStart,
  namespaceKey,
  namespaceNameKey,
  namespaceNamePrefix,
  nullPointerKey,
  oldDirectoryPrefix,
  oldKey,
  oldPrefix,
  oldStart,
  parseChunkKey,
  parseDropKey,
  parseExpiryKey,
  parseOldKey,
  parseUploadKey,
  outcomeId,
  partKey,
  partKeyNumber,
  partPrefix,
  pendingKey,
  pendingPrefix,
  profileCode,
  quotaKey,
  reclaimKey,
  reclaimPrefix,
  settingKey,
  settingPrefix,
  table,
  uploadKey,
  uploadPrefix,
  uploadStart,
  uploadSumKey,
  usageKey,
  usagePrefix,
} from "./rows/keys.ts";
export type {
  DeadNotice,
  NoticeEvent,
  NoticePlace,
  NoticeRow,
  NoticeShelf,
} from "./rows/notices.ts";
export {
  decodeDeadNotice,
  decodeNotice,
  encodeDeadNotice,
  encodeNotice,
  isLoggedNoticeKey,
  loggedNoticeKey,
  noticeKey,
  noticePrefix,
  parseNoticeKey,
} from "./rows/notices.ts";
export {
  decodeCold,
  decodeEntry,
  decodeHead,
  decodeInode,
  encodeCold,
  encodeEntry,
  encodeHead,
  encodeInode,
} from "./rows/files.ts";
export {
  decodeChunk,
  decodeCondemned,
  decodeCounters,
  decodeDone,
  decodeDrop,
  decodeHidden,
  decodeLease,
  decodeManifestHead,
  decodeManifestNode,
  decodeNamespace,
  decodeNullPointer,
  decodePart,
  decodeQuota,
  decodeReclaim,
  decodeSum,
  decodeSetting,
  decodeUpload,
  decodeUsage,
  encodeChunk,
  encodeCondemned,
  encodeCounters,
  encodeDone,
  encodeDrop,
  encodeHidden,
  encodeLease,
  encodeManifestHead,
  encodeManifestNode,
  encodeNamespace,
  encodeNullPointer,
  encodePart,
  encodeQuota,
  encodeReclaim,
  encodeSum,
  encodeSetting,
  encodeUpload,
  encodeUsage,
  settingSizeMax,
} from "./rows/values.ts";
export type { BulkEntry } from "./bulk-entries.ts";
export {
  bulkEntriesMax,
  bulkEntrySealedSize,
  bulkEntrySize,
  decodeBulkEntries,
  encodeBulkEntries,
} from "./bulk-entries.ts";
export type { BulkAnswer, BulkRequest, BulkStatus } from "./bulk-frame.ts";
export {
  bulkAnswerSize,
  bulkPayloadMax,
  bulkRequestSize,
  bulkRequestsMax,
  bulkSealedSize,
  bulkStatusesSize,
  decodeBulkAnswer,
  decodeBulkRequest,
  encodeBulkAnswer,
  encodeBulkRequest,
  putBulkStatuses,
  takeBulkStatuses,
} from "./bulk-frame.ts";
export type { ChunkCapability } from "./chunk-capability.ts";
export {
  capabilityMacOf,
  capabilityMacParts,
  capabilitySize,
  decodeCapability,
  encodeCapability,
} from "./chunk-capability.ts";
export type { WriteReceipt } from "./write-receipt.ts";
export { decodeReceipt, encodeReceipt, receiptSize, splitReceipt } from "./write-receipt.ts";
export { segmentAad, segmentNonce } from "./sealed-chunk.ts";
export type { Session } from "./session-token.ts";
export {
  decodeSession,
  decodeSessionToken,
  encodeSession,
  encodeSessionToken,
  sessionTokenHeader,
} from "./session-token.ts";
export type { MemberList } from "./member-list.ts";
export { decodeMemberList, encodeMemberList } from "./member-list.ts";
