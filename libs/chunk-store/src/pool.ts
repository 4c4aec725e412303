import { LRUCache } from "lru-cache";
import type { DeviceId, Epoch } from "@kiseki/base";
import {
  assert,
  AssertionError,
  concatBytes,
  fromHex,
  newBytes,
  sameBytes,
  toHex,
} from "@kiseki/base";
import type { MemberState } from "@kiseki/format";
import { encodeSuperblock, superblockSecondOffset, superblockSize } from "@kiseki/format";
import type { ArenaLease } from "@kiseki/ports";
import { DatapathError } from "@kiseki/ports";
import type { Device } from "./device.ts";
import { GroupWriter, type WriterResume } from "./group-writer.ts";
import type { Fragment, Row } from "./row.ts";
import { decodeRow, encodeRow, rowKey, rowName, rowVersion } from "./row.ts";
import type { ChunkStorePorts, OpenOptions, Safeties, SealRef } from "./types.ts";
import { allSafeties, ChunkStoreError } from "./types.ts";
import { encodeTail } from "./zone-tail.ts";

/** More waiting repairs than this are found again by scrub. */
const repairQueueMax = 100_000;
const shardEntrySize = 24;
const never = new AbortController().signal;

/** About a KiB each; most of a small read's time in the store would go into looking its row up again. */
const rowsReadMax = 16_384;

/** What put, get, repair, scrub and compaction share: devices, rows, counts, the member list. */
export class Pool {
  readonly ports: ChunkStorePorts;
  readonly safeties: Safeties;
  readonly allowSingleCopy: boolean;
  readonly clusterId: Uint8Array;
  /** Among the node's pools. */
  readonly number: number;
  nodeId: Uint8Array = newBytes(16);
  /** Members in the order of the list. */
  devices: Device[] = [];
  readonly byOrdinal: (Device | undefined)[] = [];
  /** Ids by ordinal, as the index's device table has them. */
  readonly deviceTable: DeviceId[] = [];
  membersVersion = 0;
  epoch = 0n as Epoch;
  rows = 0;
  candidates = 0;
  /** Sealings of a narrower profile than the pool's, when they were counted last, and those put since. */
  narrow = 0;
  damaged = 0;
  tornTails = 0;
  /** Every device that is there has been looked at: what the index is given now is whole. */
  ready = false;
  closed = false;
  superblockLease: ArenaLease | undefined;
  readonly repairQueue = new Map<string, SealRef>();
  readonly shardEpochs = new Map<string, bigint>();
  /** Ids of devices that the index knows to have failed. */
  readonly failuresNoted = new Set<string>();
  /** Rows as `setRow` left them, of chunks that were read or written of late. */
  readonly #rowsRead = new LRUCache<string, Row>({ max: rowsReadMax });
  #lastShard: Uint8Array | undefined;
  #lastShardEpoch = -1n;
  #shardsChanged = false;
  #membersWork: Promise<void> = Promise.resolve();
  #reclaiming: Promise<number> | undefined;
  /** Set by the store: frees zones with dead records; answers how many. */
  reclaim: () => Promise<number> = async () => 0;

  constructor(ports: ChunkStorePorts, options: OpenOptions) {
    this.ports = ports;
    this.safeties = options.safeties ?? allSafeties;
    this.allowSingleCopy = options.allowSingleCopy;
    this.clusterId = options.clusterId;
    this.number = options.pool ?? 0;
  }
  checkOpen(): void {
    if (this.closed)
      throw new ChunkStoreError("closed", "Cannot use the chunk store: it is closed");
  }

  // --- rows

  /** Never changed, only replaced. */
  row(key: Uint8Array): Row | undefined {
    const name = toHex(key);
    return this.#rowsRead.get(name) ?? this.#readRow(name, key);
  }
  /** As `row`. `name`: of `rowName`, where it is known. */
  rowOf(ref: SealRef, name = rowName(ref)): Row | undefined {
    return this.#rowsRead.get(name) ?? this.#readRow(name, rowKey(ref.chunkId, ref.sealId));
  }
  #readRow(name: string, key: Uint8Array): Row | undefined {
    const value = this.ports.index.get(key);
    if (value === undefined) return undefined;
    const row = decodeRow(value);
    this.#rowsRead.set(name, row);
    return row;
  }
  /** Writes, changes or deletes a row and keeps count of rows, candidates and living bytes. */
  setRow(key: Uint8Array, before: Row | undefined, after: Row | undefined): void {
    const name = toHex(key);
    this.#rowsRead.delete(name);
    if (before !== undefined) {
      this.rows -= 1;
      if (before.candidate) this.candidates -= 1;
      for (const fragment of before.fragments)
        this.byOrdinal[fragment.device]?.dropLiving(fragment, before.plainSize);
    }
    if (after === undefined) {
      this.ports.index.delete(key);
      return;
    }
    assert(after.fragments.length > 0, "a row has a fragment");
    this.rows += 1;
    if (after.candidate) this.candidates += 1;
    for (const fragment of after.fragments)
      this.byOrdinal[fragment.device]?.addLiving(fragment, after.plainSize);
    this.ports.index.put(key, encodeRow(after));
    this.#rowsRead.set(name, after); // what was written is often read soon
  }
  /** A fragment that counts: on a device that is here and believed, and not known to be bad. */
  readonly usable = (fragment: Fragment): boolean =>
    !fragment.bad && this.isTrusted(fragment.device);
  /** The device of this ordinal is here and believed. */
  readonly isTrusted = (device: number): boolean => this.byOrdinal[device]?.trusted === true;

  queueRepair(ref: SealRef): void {
    if (this.repairQueue.size >= repairQueueMax) return;
    this.repairQueue.set(toHex(rowKey(ref.chunkId, ref.sealId)), {
      chunkId: ref.chunkId.slice() as SealRef["chunkId"],
      sealId: ref.sealId.slice() as SealRef["sealId"],
    });
  }
  noteShard(shard: Uint8Array, epoch: bigint): void {
    if (shard === this.#lastShard && epoch === this.#lastShardEpoch) return;
    this.#lastShard = shard;
    this.#lastShardEpoch = epoch;
    const name = toHex(shard);
    const known = this.shardEpochs.get(name);
    if (known === undefined || known < epoch) {
      this.shardEpochs.set(name, epoch);
      this.#shardsChanged = true;
    }
  }

  // --- devices

  ordinalOf(id: DeviceId): number {
    const known = this.deviceTable.findIndex((other) => sameBytes(other, id));
    if (known >= 0) return known;
    return this.deviceTable.push(id) - 1;
  }
  add(device: Device): void {
    this.devices.push(device);
    this.byOrdinal[device.ordinal] = device;
  }
  async startWriter(
    device: Device,
    groupLast: number,
    resume: WriterResume | undefined,
  ): Promise<void> {
    const { clock, datapath, crypto } = this.ports;
    const staging = await datapath.arena.borrow(GroupWriter.stagingSize, never);
    device.writer = new GroupWriter({
      device,
      datapath,
      crypto,
      clock,
      staging,
      sync: this.safeties.syncBeforeAcknowledge,
      groupLast,
      resume,
      failed: (reason) => this.failDevice(device, reason, writeFault(reason)),
      rolled: () => this.#onRoll(device),
      timed: (work) => this.#timeSync(work),
    });
  }
  async #timeSync<T>(work: Promise<T>): Promise<T> {
    const { clock, metrics } = this.ports;
    const started = clock.monotonic();
    const result = await work;
    metrics.observe("kiseki_device_sync_seconds", (clock.monotonic() - started) / 1000);
    return result;
  }
  #onRoll(device: Device): void {
    this.flush();
    if (device.zones.freeCount <= 3) void this.reclaimOnce();
  }
  /** Runs `reclaim` unless it runs already; never rejects. */
  reclaimOnce(): Promise<number> {
    this.#reclaiming ??= this.reclaim()
      .catch(() => 0) // counted where it happened; the caller sees that nothing came free
      .finally(() => {
        this.#reclaiming = undefined;
      });
    return this.#reclaiming;
  }
  /** Resolves when no `reclaim` runs, which needs the devices. */
  async reclaimSettled(): Promise<void> {
    await this.#reclaiming;
  }
  /**
   * Takes a device out: by `write` until it is replaced (STORE §5), by `read` until it is resynced: what it shows is
   * what it has. The others note it before anything else is answered, the index at once.
   */
  failDevice(device: Device, reason: unknown, by: "read" | "write"): void {
    const isOut = device.state === "failed";
    if (isOut && (by === "read" || device.mustReplace)) return;
    device.mustReplace ||= by === "write";
    device.state = "failed";
    device.reason = reason instanceof Error ? reason.message : String(reason);
    if (!isOut) this.ports.metrics.add("kiseki_device_failed_total", 1);
    this.changeMembers();
    if (device.mustReplace) this.#noteFailures();
  }
  /** A restart must find it: where no other device takes the list, and before one has, in the index. */
  #noteFailures(): void {
    if (!this.ready) return; // the end of the opening notes them
    try {
      this.flush();
      this.ports.index.checkpoint();
    } catch (reason) {
      if (reason instanceof AssertionError) throw reason;
      // An index that takes no writes says so at its next flush.
    }
  }
  /** Writes a new version of the member list; `membersSettled` waits for it. */
  changeMembers(): void {
    this.membersVersion += 1;
    this.writeMembers();
  }
  /** Writes the superblocks again, with the list as it is. */
  writeMembers(): void {
    this.#membersWork = this.#membersWork.then(() => this.#writeSuperblocks());
  }
  /** Runs `work` while no superblock is being written. */
  betweenMembers<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#membersWork.then(work);
    this.#membersWork = done.then(
      () => undefined,
      () => undefined,
    );
    return done;
  }
  /** Resolves when the newest member list is on every believed device. */
  async membersSettled(): Promise<void> {
    let work;
    do {
      work = this.#membersWork;
      await work;
    } while (work !== this.#membersWork);
  }
  async #writeSuperblocks(): Promise<void> {
    const members = this.devices.map((device) => ({
      id: device.id,
      class: device.class,
      state: memberState(device),
      size: device.size,
    }));
    const { datapath, crypto } = this.ports;
    const lease = this.superblockLease; // its own, so that full arenas cannot hold it up
    assert(lease !== undefined, "superblocks are written between open and close");
    for (const device of this.devices) {
      if (device.superblock === undefined || device.slot === undefined) continue;
      if (!device.trusted) continue;
      const block = {
        ...device.superblock,
        node: this.nodeId,
        generation: device.superblock.generation + 1,
        epoch: this.epoch,
        membersVersion: this.membersVersion,
        members,
      };
      encodeSuperblock(block, lease.bytes, (source) => crypto.sha256(source));
      const ranges = [{ lease, offset: 0, size: superblockSize }];
      const slot = device.slot;
      try {
        await datapath.append({ device: slot, offset: 0, ranges, sync: true });
        await datapath.append({
          device: slot,
          offset: superblockSecondOffset,
          ranges,
          sync: true,
        });
        device.superblock = block;
      } catch (reason) {
        if (!(reason instanceof DatapathError)) throw reason;
        this.failDevice(device, reason, writeFault(reason));
      }
    }
  }

  // --- what lies beside the rows

  /** Rows, marks and zone tables as they are now survive a killed process. */
  flush(): void {
    const { index } = this.ports;
    for (const device of this.devices) {
      if (!device.trusted || device.writer === undefined) continue;
      const name = toHex(device.id);
      for (const page of device.zones.dirtyPages())
        index.putMeta(`zones:${name}:${page}`, device.zones.encodePage(page));
      device.zones.cleanPages();
      index.putMeta(`mark:${name}`, numbers(device.writer.indexMark));
      index.putMeta(`tail:${name}`, encodeTail(device.writer.tail));
    }
    index.putMeta("devices", concatBytes(...this.deviceTable));
    index.putMeta("epoch", numbers(Number(this.epoch)));
    index.putMeta("failed", concatBytes(...this.#failures()));
    index.putMeta("counts", numbers(this.rows, this.candidates));
    index.putMeta("pool", concatBytes(numbers(rowVersion), this.clusterId));
    if (this.#shardsChanged) index.putMeta("shards", this.#encodeShards());
    this.#shardsChanged = false;
    index.flush();
  }
  #failures(): DeviceId[] {
    return this.devices.filter(({ mustReplace }) => mustReplace).map(({ id }) => id);
  }
  /** Shard id ‖ epoch, 24 bytes each. */
  #encodeShards(): Uint8Array {
    const target = newBytes(this.shardEpochs.size * shardEntrySize);
    const view = new DataView(target.buffer);
    let at = 0;
    for (const [shard, epoch] of this.shardEpochs) {
      target.set(fromHex(shard), at);
      view.setBigUint64(at + 16, epoch, true);
      at += shardEntrySize;
    }
    return target;
  }
  loadShards(source: Uint8Array): void {
    const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
    for (let at = 0; at + shardEntrySize <= source.byteLength; at += shardEntrySize)
      this.noteShard(source.slice(at, at + 16), view.getBigUint64(at + 16, true));
  }
}

/** Without space nothing was written, so nothing is in doubt. */
export const writeFault = (reason: unknown): "read" | "write" =>
  reason instanceof DatapathError && reason.code === "no_space" ? "read" : "write";
export function memberState(device: Device): MemberState {
  if (device.trusted) return device.isLeaving ? "leaving" : "active";
  return device.mustReplace ? "failed" : "away";
}
/** Doubles, little-endian: exact for counts below 2^53. */
export function numbers(...values: readonly number[]): Uint8Array {
  const target = newBytes(values.length * 8);
  const view = new DataView(target.buffer);
  values.forEach((value, i) => view.setFloat64(i * 8, value, true));
  return target;
}
export function readNumber(source: Uint8Array, at = 0): number {
  return new DataView(source.buffer, source.byteOffset).getFloat64(at * 8, true);
}
