/**
 * Sealed chunks on devices (STORE §4–6): zones written append-only, group commit per device, an
 * index of where fragments lie, capacity, repair, scrub, compaction, recovery.
 *
 * States of a device: healthy, degraded, failed, missing, resyncing; of a zone: free,
 * open, full. A put is answered when its groups and all earlier ones of those devices are synced;
 * a removed fragment may reappear after a power cut and is then a candidate. Old generations of a
 * zone and devices that come back are never believed. Content leaves only as plaintext in the arena,
 * and only when its checksum and tag are right. Refuses foreign and unknown superblocks, puts below
 * k+1 fragments, and writes past the thresholds; never deletes.
 */
export { ChunkPools, type NodePool, type PoolStatus } from "./chunk-pools.ts";
export { ChunkStore } from "./chunk-store.ts";
export { createDeviceFile } from "./device-file.ts";
export { formatDevices } from "./format-devices.ts";
export type { FragmentIndex } from "./fragment-index.ts";
export { MemoryIndex } from "./memory-index.ts";
export { DamagedIndexError, openSqliteIndex } from "./sqlite-index.ts";
export { poolOfDevice } from "./superblocks.ts";
export type {
  ChunkStoreErrorCode,
  DeviceStatus,
  Evacuation,
  GetRequest,
  OpenOptions,
  PutSignal,
  RepairProgress,
  Safeties,
  SealRef,
} from "./types.ts";
export { allSafeties, ChunkStoreError } from "./types.ts";
export { roomFor } from "./ranges.ts";
export { rowName } from "./row.ts";
