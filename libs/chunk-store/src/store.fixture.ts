import type { Millis, Prng, WallTime } from "@kiseki/base";
import {
  chunkId,
  epoch,
  keyset,
  newBytes,
  operationId,
  prngFromSeed,
  sealId,
  shardId,
  tenantId,
} from "@kiseki/base";
import { openCrypto } from "@kiseki/host";
import type { Clock, Crypto, Datapath, Metrics } from "@kiseki/ports";
import { SimDatapath, SimDisk } from "@kiseki/sim";
import type { FragmentIndex, OpenOptions, Safeties, SealRef } from "./index.ts";
import { allSafeties, ChunkStore, formatDevices, MemoryIndex, roomFor } from "./index.ts";

/** A pool on simulated disks that can be crashed and opened again, for the tests of this lib. */
export const crypto: Crypto = openCrypto();
export const seedOfRun = Number(
  process.env["KISEKI_SIM_SEED"] ?? globalThis.crypto.getRandomValues(new Uint32Array(1))[0],
);
const noMetrics: Metrics = { add() {}, set() {}, observe() {} };
/** Time that passes only when someone sleeps. */
export function stillClock(): Clock {
  let now = 0;
  return {
    monotonic: () => now as Millis,
    realtime: () => now as WallTime,
    async sleep(duration, signal) {
      signal.throwIfAborted();
      now += duration;
      await Promise.resolve();
    },
  };
}
export interface Chunk extends SealRef {
  readonly plain: Uint8Array;
  readonly dek: Uint8Array;
}

export class TestPool {
  readonly prng: Prng;
  readonly disks = new Map<string, SimDisk>();
  readonly cluster = newBytes(16).fill(7);
  index: FragmentIndex & Partial<Pick<MemoryIndex, "crash">> = new MemoryIndex();
  datapath!: Datapath & { crash?(): void };
  store!: ChunkStore;
  safeties: Safeties = allSafeties;
  allowSingleCopy = false;
  readonly clock = stillClock();

  /** Among a node's pools. */
  readonly number: number;

  constructor(seed: number, number = 0) {
    this.prng = prngFromSeed(seed);
    this.number = number;
  }
  static async make(
    seed: number,
    devices: number,
    options: { size?: number; zoneSize?: number; number?: number } = {},
  ): Promise<TestPool> {
    const pool = new TestPool(seed, options.number);
    for (let i = 0; i < devices; i++)
      pool.disks.set(`disk${i}`, new SimDisk(pool.prng, options.size ?? 2 * 1024 * 1024));
    pool.connect();
    await formatDevices(pool.ports, {
      devices: pool.paths.map((path) => ({ path })),
      clusterId: pool.cluster,
      nodeId: newBytes(16),
      zoneSize: options.zoneSize ?? 128 * 1024,
      pool: pool.number,
    });
    await pool.open();
    return pool;
  }
  get paths(): string[] {
    return [...this.disks.keys()].filter((path) => path.startsWith("disk"));
  }
  get ports() {
    return {
      clock: this.clock,
      prng: this.prng,
      crypto,
      datapath: this.datapath,
      metrics: noMetrics,
      index: this.index,
    };
  }
  connect(): void {
    this.datapath = new SimDatapath(this.prng, crypto, this.disks, 32 * 1024 * 1024);
  }
  async open(options: Partial<OpenOptions> = {}): Promise<void> {
    this.connect();
    this.store = await ChunkStore.open(this.ports, {
      devices: this.paths.map((path) => ({ path })),
      clusterId: this.cluster,
      allowSingleCopy: this.allowSingleCopy,
      safeties: this.safeties,
      pool: this.number,
      ...options,
    });
  }
  /** The process dies; with `power`, the disks lose what was not synced and the index its unsynced part. */
  async crash(kind: "kill" | "power", index: "kept" | "lost" = "kept"): Promise<void> {
    this.datapath.crash?.();
    if (kind === "power") for (const disk of this.disks.values()) disk.crash();
    const kept = kind === "power" ? "checkpointed" : "flushed";
    if (this.index.crash !== undefined)
      this.index = this.index.crash(index === "lost" ? "nothing" : kept);
    await this.open();
  }
  chunk(size: number): Chunk {
    return {
      chunkId: chunkId(this.prng.fill(newBytes(32))),
      sealId: sealId(this.prng.fill(newBytes(16))),
      plain: this.prng.fill(newBytes(size)),
      dek: this.prng.fill(newBytes(32)),
    };
  }
  async put(chunk: Chunk, small = false, ownerEpoch = 1n) {
    using lease = await this.datapath.arena.borrow(chunk.plain.byteLength, never);
    lease.bytes.set(chunk.plain);
    return await this.store.put({
      ...chunk,
      tenant: tenantId(newBytes(16).fill(1)),
      shard: shardId(newBytes(16).fill(2)),
      epoch: epoch(ownerEpoch),
      operationId: operationId(this.prng.fill(newBytes(16))),
      keyset: keyset(1),
      source: { lease, offset: 0, size: chunk.plain.byteLength },
      small,
    });
  }
  /** The plaintext, or the outcome that is none. */
  async get(
    chunk: Chunk,
    range?: { start: number; end: number },
  ): Promise<Uint8Array | "not_found" | "lost" | "tampered"> {
    const size = chunk.plain.byteLength;
    const room = roomFor(range ?? { start: 0, end: size }, size);
    using lease = await this.datapath.arena.borrow(room, never);
    const outcome = await this.store.get({
      ...chunk,
      size,
      ...(range === undefined ? {} : { range }),
      target: { lease, offset: 0, size: room },
    });
    if (outcome.kind !== "read") return outcome.kind;
    return lease.bytes.slice(outcome.offset, outcome.offset + outcome.size);
  }
  disk(number: number): SimDisk {
    return this.disks.get(`disk${number}`)!;
  }
}
const never = new AbortController().signal;
