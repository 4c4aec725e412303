import type { ChunkId, DeviceId, Epoch, SealId, ShardId } from "@kiseki/base";
import { bytes, sameBytes, toUuid } from "@kiseki/base";
import type { Profile } from "@kiseki/ports";
import type { Candidate, ChunkStore } from "./chunk-store.ts";
import type {
  ChunkInspection,
  ChunkPlacement,
  DevicePath,
  Evacuation,
  GetOutcome,
  GetRequest,
  GetSealedRequest,
  PutRequest,
  PutSealedRequest,
  PutSignal,
  RepairOutcome,
  RepairProgress,
  ScrubOutcome,
  SealRef,
  StoreStatus,
} from "./types.ts";
import { ChunkStoreError } from "./types.ts";

/** One of a node's pools; without a store none of its devices could be opened, for `reason`. */
export interface NodePool {
  /** As superblocks and references have it; 0 is the default pool. */
  readonly number: number;
  readonly name: string;
  readonly store: ChunkStore | undefined;
  readonly reason?: string;
}
export interface PoolStatus extends Pick<NodePool, "number" | "name" | "reason"> {
  readonly status: StoreStatus | undefined;
}
interface MatchOutcome {
  readonly kept: number;
  readonly removed: number;
  readonly left: number;
}

/**
 * A node's pools as one store: what names a pool goes to it, what names a seal to the pool that has it, the rest to
 * all, one after another. Pools share nothing: one that is full, damaged or absent leaves the others as they are.
 */
export class ChunkPools implements AsyncDisposable {
  readonly #pools: readonly NodePool[];
  readonly #stores: readonly ChunkStore[];
  readonly #first: ChunkStore;

  /** @throws {ChunkStoreError} when the default pool, number 0, has no store. */
  constructor(pools: readonly NodePool[]) {
    const first = pools.find(({ number }) => number === 0)?.store;
    if (first === undefined) throw unavailable("default", "it is not open");
    this.#pools = pools;
    this.#stores = pools.flatMap(({ store }) => store ?? []);
    this.#first = first;
  }

  // --- by pool

  /** As `ChunkStore.put`, in the pool named. */
  put(
    request: PutRequest & { readonly pool: number },
    signal?: PutSignal,
  ): Promise<ChunkPlacement> {
    return this.#of(request.pool).put(request, signal);
  }
  get(request: GetRequest & { readonly pool: number }): Promise<GetOutcome> {
    return this.#of(request.pool).get(request);
  }
  getNow(request: GetRequest & { readonly pool: number }): GetOutcome | undefined {
    return this.#find(request.pool)?.getNow(request); // `get` says why a pool is absent
  }
  putSealed(
    request: PutSealedRequest & { readonly pool: number },
    signal?: AbortSignal,
  ): Promise<ChunkPlacement> {
    return this.#of(request.pool).putSealed(request, signal);
  }
  getSealed(
    request: GetSealedRequest & { readonly pool: number },
  ): Promise<"read" | "not_found" | "lost"> {
    return this.#of(request.pool).getSealed(request);
  }
  getSealedNow(request: GetSealedRequest & { readonly pool: number }): boolean {
    return this.#find(request.pool)?.getSealedNow(request) === true; // `getSealed` says why a pool is absent
  }
  /** As `ChunkStore.profile`; none where the pool is absent. */
  profileOf(pool: number): Profile | undefined {
    return this.#find(pool)?.profile;
  }
  /** As `ChunkStore.takesWhole`. */
  takesWhole(pool: number): boolean {
    return this.#find(pool)?.takesWhole === true;
  }
  /** In ascending order of their numbers. */
  pools(): readonly PoolStatus[] {
    return this.#pools.map(({ number, name, store, reason }) => ({
      number,
      name,
      status: store?.status(),
      ...(reason === undefined ? {} : { reason }),
    }));
  }

  // --- by seal

  has(chunkId: ChunkId, sealId: SealId): boolean {
    return this.#stores.some((store) => store.has(chunkId, sealId));
  }
  isNarrow(chunkId: ChunkId, sealId: SealId): boolean {
    return this.#stores.some((store) => store.isNarrow(chunkId, sealId));
  }
  inspect(chunkId: ChunkId, sealId: SealId): ChunkInspection | undefined {
    for (const store of this.#stores) {
      const inspection = store.inspect(chunkId, sealId);
      if (inspection !== undefined) return inspection;
    }
    return undefined;
  }
  /** See `ChunkStore.remove`. What an absent pool holds is found there as an orphan once it is back. */
  remove(refs: readonly SealRef[]): void {
    for (const store of this.#stores) store.remove(refs);
  }

  // --- all of them

  async countNarrow(signal?: AbortSignal): Promise<number> {
    let count = 0;
    for (const store of this.#stores) count += await store.countNarrow(signal);
    return count;
  }
  async matchCandidates(
    isLive: (candidate: Candidate) => boolean | undefined,
    options: { readonly all?: boolean; readonly signal?: AbortSignal } = {},
  ): Promise<MatchOutcome> {
    const total = { kept: 0, removed: 0, left: 0 };
    for (const store of this.#stores) {
      const { kept, removed, left } = await store.matchCandidates(isLive, options);
      total.kept += kept;
      total.removed += removed;
      total.left += left;
    }
    return total;
  }
  async repair(
    refs?: Iterable<SealRef>,
    progress?: (progress: RepairProgress) => void,
    signal?: AbortSignal,
  ): Promise<RepairOutcome> {
    if (this.#stores.length === 1) return this.#first.repair(refs, progress, signal);
    const all = refs === undefined ? undefined : [...refs];
    const total = { repaired: 0, skipped: 0, lost: [] as SealRef[], waiting: [] as SealRef[] };
    let done = 0;
    for (const store of this.#stores) {
      const own = all?.filter((ref) => this.#holder(ref) === store);
      if (own?.length === 0) continue;
      const [doneBefore, { repaired, lost }] = [done, { ...total, lost: total.lost.length }];
      const outcome = await store.repair(
        own,
        (step) => {
          done = doneBefore + step.done;
          progress?.({
            done,
            total: all?.length ?? doneBefore + step.total,
            repaired: repaired + step.repaired,
            lost: lost + step.lost,
            completed: step.completed,
          });
        },
        signal,
      );
      total.repaired += outcome.repaired;
      total.skipped += outcome.skipped;
      total.lost.push(...outcome.lost);
      total.waiting.push(...outcome.waiting);
    }
    return total;
  }
  repairQueue(): readonly SealRef[] {
    return this.#stores.flatMap((store) => store.repairQueue());
  }
  async scrub(
    options: {
      readonly bytesPerSecond?: number;
      readonly progress?: (done: number, total: number) => void;
      readonly signal?: AbortSignal;
    } = {},
  ): Promise<ScrubOutcome> {
    const { progress, ...rest } = options;
    const counts = this.#stores.map((store) => store.status().chunks);
    const total = { records: 0, bytes: 0, faults: 0 };
    let before = 0;
    for (const [i, store] of this.#stores.entries()) {
      const after = counts.slice(i + 1).reduce((sum, count) => sum + count, 0);
      let own = 0;
      const outcome = await store.scrub({
        ...rest,
        progress: (done, all) => progress?.(before + done, before + (own = all) + after),
      });
      before += own;
      total.records += outcome.records;
      total.bytes += outcome.bytes;
      total.faults += outcome.faults;
    }
    return { ...total, bytes: bytes(total.bytes) };
  }
  async compact(
    options: { readonly deadShareMin?: number; readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly zones: number; readonly bytesMoved: number }> {
    const total = { zones: 0, bytesMoved: 0 };
    for (const store of this.#stores) {
      const { zones, bytesMoved } = await store.compact(options);
      total.zones += zones;
      total.bytesMoved += bytesMoved;
    }
    return total;
  }
  checkpoint(): void {
    for (const store of this.#stores) store.checkpoint();
  }
  shardEpoch(shard: ShardId): Epoch | undefined {
    let highest: Epoch | undefined;
    for (const store of this.#stores) {
      const seen = store.shardEpoch(shard);
      if (seen !== undefined && (highest === undefined || seen > highest)) highest = seen;
    }
    return highest;
  }
  /** The highest that any pool has noted. */
  get notedEpoch(): Epoch {
    let highest = this.#first.notedEpoch;
    for (const { notedEpoch } of this.#stores) if (notedEpoch > highest) highest = notedEpoch;
    return highest;
  }
  async noteEpoch(epoch: Epoch): Promise<void> {
    for (const store of this.#stores) await store.noteEpoch(epoch);
  }
  /** Devices and counts of all pools; profile, capacity and placement epoch of the default one. */
  status(): StoreStatus {
    const [first, ...others] = [
      this.#first.status(),
      ...this.#stores.filter((store) => store !== this.#first).map((store) => store.status()),
    ] as const;
    const sum = (field: "chunks" | "narrow" | "candidates" | "repairQueued" | "damaged") =>
      others.reduce((total, status) => total + status[field], first[field]);
    return {
      ...first,
      devices: [first, ...others].flatMap(({ devices }) => devices),
      chunks: sum("chunks"),
      narrow: sum("narrow"),
      candidates: sum("candidates"),
      repairQueued: sum("repairQueued"),
      damaged: sum("damaged"),
      tornTails: others.reduce((total, status) => total + status.tornTails, first.tornTails),
    };
  }

  // --- by device

  replaceDevice(
    old: DeviceId,
    replacement: DevicePath & { readonly force?: boolean },
  ): Promise<DeviceId> {
    return this.#withDevice(old).replaceDevice(old, replacement);
  }
  /** See `ChunkStore.addDevice`; to the pool of that number. */
  addDevice(pool: number, device: DevicePath & { readonly force?: boolean }): Promise<DeviceId> {
    return this.#of(pool).addDevice(device);
  }
  evacuateDevice(id: DeviceId, options?: { readonly mayLoseRedundancy?: boolean }): Promise<void> {
    return this.#withDevice(id).evacuateDevice(id, options);
  }
  keepDevice(id: DeviceId): Promise<void> {
    return this.#withDevice(id).keepDevice(id);
  }
  removeDevice(id: DeviceId): Promise<void> {
    return this.#withDevice(id).removeDevice(id);
  }
  /** See `ChunkStore.moveLeaving`; of the pool that has the device. */
  moveLeaving(
    id: DeviceId,
    progress?: (now: Evacuation) => void,
    signal?: AbortSignal,
  ): Promise<Evacuation> {
    return this.#withDevice(id).moveLeaving(progress, signal);
  }
  resyncDevice(device: DevicePath): Promise<void> {
    const isKnown = (store: ChunkStore): boolean =>
      store.status().devices.some(({ path }) => path === device.path);
    return (this.#stores.find(isKnown) ?? this.#first).resyncDevice(device);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const store of this.#stores.toReversed()) await store[Symbol.asyncDispose]();
  }

  /** @throws {ChunkStoreError} `unknown_device` when no pool has it. */
  #withDevice(device: DeviceId): ChunkStore {
    const store = this.#stores.find((one) =>
      one.status().devices.some(({ id }) => sameBytes(id, device)),
    );
    if (store !== undefined) return store;
    throw new ChunkStoreError("unknown_device", `Cannot use ${toUuid(device)}: no pool has it`);
  }
  #find(pool: number): ChunkStore | undefined {
    if (pool === 0) return this.#first;
    return this.#pools.find(({ number }) => number === pool)?.store;
  }
  /** @throws {ChunkStoreError} `unavailable` for one that is not there. */
  #of(pool: number): ChunkStore {
    const store = this.#find(pool);
    if (store !== undefined) return store;
    const known = this.#pools.find(({ number }) => number === pool);
    throw unavailable(known?.name ?? String(pool), known?.reason ?? "no such pool is configured");
  }
  /** The one that knows of it; the default one for what none knows. */
  #holder({ chunkId, sealId }: SealRef): ChunkStore {
    const holds = (store: ChunkStore): boolean => store.inspect(chunkId, sealId) !== undefined;
    return this.#stores.find(holds) ?? this.#first;
  }
}

const unavailable = (pool: string, reason: string): ChunkStoreError =>
  new ChunkStoreError("unavailable", `Cannot use pool ${pool}: ${reason}`);
