/**
 * The native client (layer 7): everything between a mount's file system and the wire.
 *
 * `openClient` finds the nodes from seeds, opens a session, and answers the two ports of `vfs`: `FileService` over RPC,
 * `ContentStore` over the bulk port. Invariants: plaintext and keys are in no bulk frame; a key seals once, what is sent again is
 * the same bytes; an operation keeps its id however often it is sent, and is done in the session in which it was begun
 * or not at all; nothing waits beyond the deadline; memory under way is bounded by the arena. Refused: TLS that does
 * not show the node that was asked for, nodes of another cluster, answers that the protocol does not allow.
 */
export type { Client, ClientFault, ClientOptions, ClientPorts } from "./open-client.ts";
export { openClient } from "./open-client.ts";
export { type DiskCache, openDiskCache } from "./cache/disk-cache.ts";
export { guardCache } from "./cache/guard-cache.ts";
export { readManifests } from "./cache/image-store.ts";
export { resolvePolicy } from "./cache/persisted-policy.ts";
export { listPools, PoolError, type PoolUse, poolUse, scavenge, wipePool } from "./cache/pool.ts";
export { openStagingPool, type StagingPool } from "./cache/staging-pool.ts";
export type { ClientWorkflows, WorkflowRefusal } from "./service/workflows.ts";
export type { Identity } from "./discovery/node-link.ts";
export type { FileSystemOptions } from "./files/mount.ts";
export { type MountedFiles, openFileSystem } from "./files/open-file-system.ts";
export { stageDataset, type StagingFault, type StagingProgress } from "./staging/stage.ts";
export { datasetNames } from "./staging/walk.ts";
