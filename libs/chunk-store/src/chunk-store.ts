import type { ChunkId, DeviceId, Epoch, SealId, ShardId } from "@kiseki/base";
import type {
  ChunkInspection,
  ChunkPlacement,
  ChunkStorePorts,
  DevicePath,
  Evacuation,
  GetOutcome,
  GetRequest,
  GetSealedRequest,
  OpenOptions,
  PutRequest,
  PutSealedRequest,
  PutSignal,
  RepairOutcome,
  RepairProgress,
  ScrubOutcome,
  SealRef,
  StoreStatus,
} from "./types.ts";
import { assert, toHex } from "@kiseki/base";
import { planProfile } from "@kiseki/placement";
import type { Profile } from "@kiseki/ports";
import { compactPool } from "./compact.ts";
import { getChunk, getChunkNow } from "./get.ts";
import { getSealedChunk, getSealedNow } from "./get-sealed.ts";
import { beginEvacuation, endEvacuation, moveLeaving } from "./evacuate.ts";
import { addMember, findMember, removeMember, replaceMember, resyncMember } from "./members.ts";
import { closeAll, openPool } from "./open-pool.ts";
import { countNarrow, isNarrowSeal, takesWhole } from "./narrow.ts";
import type { Pool } from "./pool.ts";
import { putChunk } from "./put.ts";
import { findThin, repairAll } from "./repair.ts";
import { bestSet, isCandidate, keyChunkId, keySealId, rowKey } from "./row.ts";
import { scanRows } from "./scan-rows.ts";
import { scrubRecords } from "./scrub.ts";
import { inspectRow, statusOf } from "./status.ts";

/** When a device runs out of zones, any zone with a little dead in it is worth emptying. */
const reclaimDeadShareMin = 0.02;
const reclaimZones = 5;

/** A sealing found on the devices that no shard has vouched for since. */
export interface Candidate extends SealRef {
  readonly inspection: ChunkInspection;
}

/** One node's devices as one pool of sealed chunks. One per process; used from one thread. */
export class ChunkStore implements AsyncDisposable {
  readonly #pool: Pool;
  #flights = 0;
  #landed: (() => void) | undefined;

  private constructor(pool: Pool) {
    this.#pool = pool;
    pool.reclaim = async () => {
      const { zones } = await compactPool(pool, reclaimDeadShareMin, reclaimZones);
      return zones;
    };
  }

  /**
   * Checks superblocks, loads the index and brings it up to date from the zones behind its marks.
   * Members that are absent or unusable are counted as missing; the store opens with what is there.
   * @throws {ChunkStoreError} `foreign_cluster`, `bad_superblock`, `unknown_version`, `bad_size` or `unavailable` when
   * no device is usable.
   */
  static async open(ports: ChunkStorePorts, options: OpenOptions): Promise<ChunkStore> {
    return new ChunkStore(await openPool(ports, options));
  }
  async #fly<T>(work: Promise<T>): Promise<T> {
    this.#flights += 1;
    try {
      return await work;
    } finally {
      this.#flights -= 1;
      if (this.#flights === 0) this.#landed?.();
    }
  }

  /**
   * Seals, codes and stores a chunk; resolves when it is durable as STORE §4 asks.
   * @throws {ChunkStoreError} `no_space`, `unavailable`, `closed`. `signal` only ends the wait for arena memory.
   */
  put(request: PutRequest, signal?: PutSignal): Promise<ChunkPlacement> {
    return this.#fly(putChunk(this.#pool, request, signal));
  }
  /** Opens a range of a chunk into `target`. Faults met are counted and queued for repair. @throws {ChunkStoreError} `closed`. */
  get(request: GetRequest): Promise<GetOutcome> {
    return this.#fly(getChunk(this.#pool, request));
  }
  /** As `put`, of a chunk that somebody else has sealed. @throws {ChunkStoreError} also `bad_checksum`. */
  putSealed(request: PutSealedRequest, signal?: AbortSignal): Promise<ChunkPlacement> {
    return this.#fly(putChunk(this.#pool, request, signal));
  }
  /** Sealed segments into the start of `target`. Faults met are counted and queued for repair. @throws {ChunkStoreError} `closed`. */
  getSealed(request: GetSealedRequest): Promise<"read" | "not_found" | "lost"> {
    return this.#fly(getSealedChunk(this.#pool, request));
  }
  /** As `getSealed`, at once; false when that takes waiting or anything is wrong: `getSealed` it. @throws {ChunkStoreError} `closed`. */
  getSealedNow(request: GetSealedRequest): boolean {
    return getSealedNow(this.#pool, request);
  }
  /** As `get`, at once; `undefined` when that takes waiting or anything is wrong: `get` it. @throws {ChunkStoreError} `closed`. */
  getNow(request: GetRequest): GetOutcome | undefined {
    return getChunkNow(this.#pool, request);
  }
  /** What a chunk that is not small would be written with now; `undefined` while none is taken. */
  get profile(): Profile | undefined {
    const { devices, allowSingleCopy } = this.#pool;
    return planProfile(devices, { small: false, allowSingleCopy });
  }
  /** True when the index has it with enough usable fragments to open it. */
  has(chunkId: ChunkId, sealId: SealId): boolean {
    const row = this.#pool.row(rowKey(chunkId, sealId));
    return row !== undefined && bestSet(row, this.#pool.usable).spare >= 0;
  }
  /** True when it survives fewer losses than a new chunk of this pool would; false for what is not known. */
  isNarrow(chunkId: ChunkId, sealId: SealId): boolean {
    return isNarrowSeal(this.#pool, { chunkId, sealId });
  }
  /** Whether a put would be complete by the pool's own profile: narrow content can be written anew then. */
  get takesWhole(): boolean {
    return takesWhole(this.#pool);
  }
  /** Counts narrow sealings by a walk over the index, in turns; `status` holds the count from then on. */
  countNarrow(signal?: AbortSignal): Promise<number> {
    this.#pool.checkOpen();
    return this.#fly(countNarrow(this.#pool, signal));
  }
  /** What the index knows of it. */
  inspect(chunkId: ChunkId, sealId: SealId): ChunkInspection | undefined {
    const row = this.#pool.row(rowKey(chunkId, sealId));
    return row === undefined ? undefined : inspectRow(this.#pool, row);
  }
  /**
   * Forgets sealings; unknown ones are ignored. Survives a killed process when it returns, a power cut
   * after the next `checkpoint`: until then a forgotten one may be back after a start.
   */
  remove(refs: readonly SealRef[]): void {
    const pool = this.#pool;
    pool.checkOpen();
    for (const ref of refs) {
      const key = rowKey(ref.chunkId, ref.sealId);
      const row = pool.row(key);
      if (row !== undefined) pool.setRow(key, row, undefined);
    }
    pool.flush();
  }
  /**
   * Sealings that are to be matched with the shards: those found by recovery; with `all`, every one.
   * `isLive` is asked once per candidate: true keeps it and it is no candidate any more, false removes
   * it, `undefined` leaves it for later. Waits between batches.
   */
  async matchCandidates(
    isLive: (candidate: Candidate) => boolean | undefined,
    options: { readonly all?: boolean; readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly kept: number; readonly removed: number; readonly left: number }> {
    const pool = this.#pool;
    const result = { kept: 0, removed: 0, left: 0 };
    if (pool.candidates === 0 && options.all !== true) return result;
    const visit = (key: Uint8Array, value: Uint8Array): void => {
      if (pool.closed || (options.all !== true && !isCandidate(value))) return;
      const row = pool.row(key);
      if (row === undefined) return;
      const ref = { chunkId: keyChunkId(key), sealId: keySealId(key) };
      const verdict = isLive({ ...ref, inspection: inspectRow(pool, row) });
      if (verdict === undefined) {
        result.left += 1;
      } else if (verdict) {
        result.kept += 1;
        if (row.candidate) pool.setRow(key, row, { ...row, candidate: false });
      } else {
        result.removed += 1;
        pool.setRow(key, row, undefined);
      }
    };
    await this.#fly(scanRows(pool, visit, options.signal));
    if (!pool.closed) pool.flush();
    return result;
  }
  /** Completes the given sealings; without `refs`, all that lack fragments. What faulty devices hold counts as lack. */
  async repair(
    refs?: Iterable<SealRef>,
    progress?: (progress: RepairProgress) => void,
    signal?: AbortSignal,
  ): Promise<RepairOutcome> {
    const pool = this.#pool;
    pool.checkOpen();
    const list = refs === undefined ? await this.#fly(findThin(pool, signal)) : [...refs];
    return await this.#fly(repairAll(pool, list, progress, signal));
  }
  /** Sealings that a put, a read or a scrub left incomplete; `repair` takes them off. */
  repairQueue(): readonly SealRef[] {
    return [...this.#pool.repairQueue.values()];
  }
  /** Reads and checks every record that the index names; at most `bytesPerSecond` (0: no limit). */
  scrub(
    options: {
      readonly bytesPerSecond?: number;
      readonly progress?: (done: number, total: number) => void;
      readonly signal?: AbortSignal;
    } = {},
  ): Promise<ScrubOutcome> {
    return this.#fly(scrubRecords(this.#pool, options));
  }
  /** Empties full zones with at least `deadShareMin` (0.5 by default) of dead bytes. */
  compact(
    options: { readonly deadShareMin?: number; readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly zones: number; readonly bytesMoved: number }> {
    this.#pool.checkOpen();
    const share = options.deadShareMin ?? 0.5;
    return this.#fly(compactPool(this.#pool, share, Number.POSITIVE_INFINITY, options.signal));
  }
  /**
   * Formats `replacement` and puts it in the place of a member that is gone; then `repair` fills it.
   * @throws {ChunkStoreError} `unknown_device`, and what `formatDevices` throws.
   */
  replaceDevice(
    old: DeviceId,
    replacement: DevicePath & { readonly force?: boolean },
  ): Promise<DeviceId> {
    this.#pool.checkOpen();
    return this.#fly(replaceMember(this.#pool, old, replacement));
  }
  /** Formats a blank device and makes it one more member. @throws {ChunkStoreError} what `formatDevices` throws. */
  addDevice(device: DevicePath & { readonly force?: boolean }): Promise<DeviceId> {
    this.#pool.checkOpen();
    return this.#fly(addMember(this.#pool, device));
  }
  /**
   * The device takes nothing new from now on, over restarts too, and no profile counts on it; `moveLeaving` empties it.
   * @throws {ChunkStoreError} `less_redundancy` unless that may be, `no_space`, `unavailable` while others are out.
   */
  evacuateDevice(
    id: DeviceId,
    options: { readonly mayLoseRedundancy?: boolean } = {},
  ): Promise<void> {
    const pool = this.#pool;
    pool.checkOpen();
    const device = findMember(pool, id);
    return this.#fly(beginEvacuation(pool, device, options.mayLoseRedundancy === true));
  }
  /** It stays after all. @throws {ChunkStoreError} `unknown_device` */
  keepDevice(id: DeviceId): Promise<void> {
    this.#pool.checkOpen();
    return this.#fly(endEvacuation(this.#pool, findMember(this.#pool, id)));
  }
  /** One walk that moves what devices that leave hold to others, each record synced there before it is forgotten here. */
  moveLeaving(progress?: (now: Evacuation) => void, signal?: AbortSignal): Promise<Evacuation> {
    this.#pool.checkOpen();
    return this.#fly(moveLeaving(this.#pool, progress, signal));
  }
  /**
   * Takes a device that was evacuated, or is out, from the pool's members.
   * @throws {ChunkStoreError} `not_empty` while a chunk needs what it holds.
   */
  removeDevice(id: DeviceId): Promise<void> {
    this.#pool.checkOpen();
    return this.#fly(removeMember(this.#pool, id));
  }
  /**
   * Takes a member that was missing, or failed to be read, back: what it holds is read and compared before it counts.
   * @throws {ChunkStoreError} `unknown_device` when it is no member; the reasons of `open` when it is not usable;
   * `unavailable` when a write or sync of it failed.
   */
  resyncDevice(device: DevicePath): Promise<void> {
    this.#pool.checkOpen();
    return this.#fly(resyncMember(this.#pool, device));
  }
  /** Highest owner epoch seen in the records of `shard`; an older shard file is an old copy (STORE §2). */
  shardEpoch(shard: ShardId): Epoch | undefined {
    return this.#pool.shardEpochs.get(toHex(shard)) as Epoch | undefined;
  }
  /** Highest node epoch noted in the superblocks. */
  get notedEpoch(): Epoch {
    return this.#pool.epoch;
  }
  /** Writes `epoch` into the index and then into every superblock, synced. It never goes back. */
  async noteEpoch(epoch: Epoch): Promise<void> {
    const pool = this.#pool;
    pool.checkOpen();
    assert(epoch >= pool.epoch, "a noted epoch only grows");
    pool.epoch = epoch;
    this.checkpoint(); // first: an index behind the devices is one that somebody put back
    pool.writeMembers();
    await this.#fly(pool.membersSettled());
  }
  /** Makes the index survive a power cut, with a mark per device: the next open scans less. */
  checkpoint(): void {
    this.#pool.checkOpen();
    this.#pool.flush();
    this.#pool.ports.index.checkpoint();
  }
  status(): StoreStatus {
    return statusOf(this.#pool);
  }
  /** Refuses new work, resolves when what is in flight has ended; checkpoints and closes devices and index. */
  async [Symbol.asyncDispose](): Promise<void> {
    const pool = this.#pool;
    if (pool.closed) return;
    pool.closed = true;
    if (this.#flights > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#landed = resolve;
      await promise;
    }
    await pool.reclaimSettled();
    await pool.membersSettled();
    for (const device of pool.devices) await device.writer?.idle();
    pool.flush();
    pool.ports.index.checkpoint();
    await closeAll(pool);
    pool.ports.index[Symbol.dispose]();
  }
}
