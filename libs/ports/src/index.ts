/**
 * What the store asks of the world. Pure layers name these types and nothing else of it; drivers
 * live in `host`, `shard-store`, `kms`, `ffi/datapath` and, simulated, in `sim`. Each port has a
 * contract (`*.contract.ts`) that every driver runs.
 */
export { type Clock, whileMoreCome } from "./clock.ts";
export type { Crypto, RunningSha256 } from "./crypto.ts";
export type {
  AppendJob,
  Arena,
  ArenaLease,
  ArenaRange,
  CodedChunk,
  CodeJob,
  Datapath,
  DeviceOpenOptions,
  DeviceSlot,
  FetchJob,
  FetchOutcome,
  FragmentFault,
  FragmentReport,
  FragmentSource,
  HashAlgorithm,
  HashState,
  OpenJob,
  OpenOutcome,
  Profile,
  RebuildJob,
  RebuildOutcome,
  SealedFragment,
  SealIdentity,
  SealJob,
  UnsealJob,
} from "./datapath.ts";
export {
  chunkSizeMax,
  DatapathError,
  fragmentSize,
  fragmentStoredSize,
  fragmentStride,
  sealedSize,
  segmentOverhead,
  segmentSize,
} from "./datapath.ts";
export type { Kms, KmsErrorCode } from "./kms.ts";
export { KmsError } from "./kms.ts";
export type { MetricName } from "./metric-table.ts";
export { metricTable } from "./metric-table.ts";
export type { Metrics } from "./metrics.ts";
export type { MapReader, MapWriter } from "./ordered-map.ts";
export type { CommitOutcome, LogEntry, ShardHead, ShardStore, ShardTx } from "./shard-store.ts";
