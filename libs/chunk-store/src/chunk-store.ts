import type { ChunkId, DeviceId, Epoch, SealId, ShardId } from "@kiseki/base";
import type {
  ChunkInspection,
  ChunkPlacement,
  ChunkStorePorts,
  DevicePath,
  GetOutcome,
  GetRequest,
  OpenOptions,
  PutRequest,
  RepairOutcome,
  RepairProgress,
  ScrubOutcome,
  SealRef,
  StoreStatus,
} from "./types.ts";

/** A sealing found on the devices that no shard has vouched for since. */
export interface Candidate extends SealRef {
  readonly inspection: ChunkInspection;
}

const pending = (): never => {
  throw new Error("Cannot do it: not written");
};

/** One node's devices as one pool of sealed chunks. One per process; used from one thread. */
export class ChunkStore implements AsyncDisposable {
  private constructor() {}

  /**
   * Checks superblocks, loads the index and brings it up to date from the zones behind its marks.
   * Members that are absent or unusable are counted as missing; the store opens with what is there.
   * @throws {ChunkStoreError} `foreign_cluster`, `unavailable` when no device is usable.
   */
  static open(_ports: ChunkStorePorts, _options: OpenOptions): Promise<ChunkStore> {
    return pending();
  }
  /**
   * Seals, codes and stores a chunk; resolves when it is durable as STORE §4 asks.
   * @throws {ChunkStoreError} `no_space`, `unavailable`, `closed`. `signal` only ends the wait for arena memory.
   */
  put(_request: PutRequest, _signal?: AbortSignal): Promise<ChunkPlacement> {
    return pending();
  }
  /** Opens a range of a chunk into `target`. Faults met are counted and queued for repair. */
  get(_request: GetRequest): Promise<GetOutcome> {
    return pending();
  }
  /** True when the index has it with enough usable fragments to open it. */
  has(_chunkId: ChunkId, _sealId: SealId): boolean {
    return pending();
  }
  /** What the index knows of it. */
  inspect(_chunkId: ChunkId, _sealId: SealId): ChunkInspection | undefined {
    return pending();
  }
  /** Forgets sealings; unknown ones are ignored. Survives a killed process when it returns, a power cut later. */
  remove(_refs: readonly SealRef[]): void {
    return pending();
  }
  /**
   * Sealings that are to be matched with the shards: those found by recovery; with `all`, every one.
   * What `isLive` keeps is no candidate any more; the rest is removed. Waits between batches.
   * `isLive` is asked once per candidate: true keeps, false removes, `undefined` leaves it for later.
   */
  matchCandidates(
    _isLive: (candidate: Candidate) => boolean | undefined,
    _options?: { readonly all?: boolean; readonly signal?: AbortSignal },
  ): Promise<{ readonly kept: number; readonly removed: number; readonly left: number }> {
    return pending();
  }
  /** Completes the given sealings; without `refs`, those in the repair queue and all that lack fragments. */
  repair(
    _refs?: Iterable<SealRef>,
    _progress?: (progress: RepairProgress) => void,
    _signal?: AbortSignal,
  ): Promise<RepairOutcome> {
    return pending();
  }
  /** Sealings queued for repair, and clears the queue's flag for none. */
  repairQueue(): readonly SealRef[] {
    return pending();
  }
  /** Reads and checks every record of every usable device; at most `bytesPerSecond` (0: no limit). */
  scrub(_options?: {
    readonly bytesPerSecond?: number;
    readonly progress?: (done: number, total: number) => void;
    readonly signal?: AbortSignal;
  }): Promise<ScrubOutcome> {
    return pending();
  }
  /** Empties zones with much dead in them while they are needed; answers how many became free. */
  compact(_options?: {
    /** Zones with at least this share of dead bytes are taken; 0.5 by default. */
    readonly deadShareMin?: number;
    readonly signal?: AbortSignal;
  }): Promise<{ readonly zones: number; readonly bytesMoved: number }> {
    return pending();
  }
  /** Puts a formatted device in the place of a member that is gone; then `repair` fills it. */
  replaceDevice(_old: DeviceId, _replacement: DevicePath): Promise<void> {
    return pending();
  }
  /** Takes a device that was missing or failed back: what it holds is checked before it counts. */
  resyncDevice(_path: DevicePath): Promise<void> {
    return pending();
  }
  /** No new fragments go to it, its own are moved by `repair`. */
  evacuateDevice(_id: DeviceId): Promise<void> {
    return pending();
  }
  /** Highest owner epoch seen in the records of `shard`; an older shard file is an old copy (STORE §2). */
  shardEpoch(_shard: ShardId): Epoch | undefined {
    return pending();
  }
  /** Highest node epoch noted in the superblocks. */
  get notedEpoch(): Epoch {
    return pending();
  }
  /** Writes `epoch` into every superblock, synced. */
  noteEpoch(_epoch: Epoch): Promise<void> {
    return pending();
  }
  /** Makes the index survive a power cut, with a mark per device: the next open scans less. */
  checkpoint(): Promise<void> {
    return pending();
  }
  status(): StoreStatus {
    return pending();
  }
  /** Resolves after the groups in flight; refuses new work meanwhile; checkpoints. */
  [Symbol.asyncDispose](): Promise<void> {
    return pending();
  }
}
