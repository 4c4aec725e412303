/**
 * Units, ids, assertions, byte helpers, bounded queues and seeded chance: what every lib leans on.
 * Pure; imports nothing.
 */
export { assert, AssertionError, unreachable } from "./assert.ts";
export {
  compareBytes,
  concatBytes,
  fromHex,
  fromUtf8,
  newBytes,
  sameBytes,
  toHex,
  toUtf8,
} from "./bytes.ts";
export type {
  ChunkId,
  DeviceId,
  InodeId,
  NamespaceId,
  OperationId,
  SealId,
  ShardId,
  TenantId,
} from "./ids.ts";
export {
  chunkId,
  deviceId,
  fromUuid,
  idText,
  inodeId,
  namespaceId,
  operationId,
  sealId,
  shardId,
  tenantId,
  toUuid,
} from "./ids.ts";
export type { Prng } from "./prng.ts";
export { prngFromSeed } from "./prng.ts";
export { armFailpoints, failpoint } from "./failpoint.ts";
export { BoundedQueue } from "./queue.ts";
export type { Bytes, Epoch, Keyset, LogIndex, Millis, Sequence, WallTime } from "./units.ts";
export {
  bytes,
  epoch,
  GiB,
  KiB,
  customerKeyset,
  keyset,
  storedKeyset,
  logIndex,
  MiB,
  millis,
  sequence,
  TiB,
  wallTime,
} from "./units.ts";
