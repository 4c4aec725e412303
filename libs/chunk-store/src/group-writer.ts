import type { ChunkId, Epoch, OperationId, SealId, ShardId, TenantId } from "@kiseki/base";
import { assert, concatBytes } from "@kiseki/base";
import type { RecordKind } from "@kiseki/format";
import {
  deviceBlockSize,
  encodeRecordHeader,
  encodeZoneFooter,
  encodeZoneHeader,
  recordHeaderSize,
  recordSize,
} from "@kiseki/format";
import type { ArenaLease, ArenaRange, Clock, Crypto, Datapath } from "@kiseki/ports";
import { DatapathError, whileMoreCome } from "@kiseki/ports";
import type { Device } from "./device.ts";
import type { ZoneTail } from "./zone-tail.ts";

/** Groups are bounded so that one does not delay the next for long. */
const groupRecordsMax = 512;
const groupSizeMax = 16 * 1024 * 1024;
/** Zones that puts leave alone, so that compaction and repair work on a full device (STORE §5). */
export const zonesKeptBack = 2;

const zoneBlockOffset = 0;
const zerosOffset = deviceBlockSize;
const headersOffset = 2 * deviceBlockSize;
/** Header, summary of one record and padding, footer: what an empty zone cannot give to a record. */
const zoneOverhead = 4 * deviceBlockSize;
const stagingSize = headersOffset + groupRecordsMax * recordHeaderSize;

/** What record headers say of a chunk, whatever the device. */
export interface RecordChunk {
  readonly tenant: TenantId;
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly operationId: OperationId;
  readonly chunkId: ChunkId;
  readonly sealId: SealId;
  readonly plainSize: number;
  readonly keyset: number;
}
export interface RecordPlace {
  readonly zone: number;
  readonly generation: number;
  readonly offset: number;
  readonly group: number;
  readonly durable: number;
}
/** One record on its way to one device. The lease is borrowed until `settle`. */
export interface RecordJob {
  readonly chunk: RecordChunk;
  readonly kind: RecordKind;
  readonly index: number;
  readonly data: number;
  readonly parity: number;
  readonly lease: ArenaLease;
  /** Room for up to 63 zeros follows the payload. */
  readonly payloadOffset: number;
  readonly payloadSize: number;
  readonly payloadCrc: number;
  /** The 192 bytes before the payload are free for the header and no other device uses them. */
  readonly headerInPlace: boolean;
  /** Free zones that it leaves alone: puts `zonesKeptBack`, repair one, compaction none. */
  readonly zonesLeft: number;
  /** Called once: where it lies, synced; or why it does not. After a place, `indexed` must follow. */
  settle(outcome: RecordPlace | "no_space" | "failed"): void;
}

/** A zone that recovery found open, and what of it was read. */
export interface WriterResume {
  readonly zone: number;
  /** Where its torn tail may begin. */
  readonly from: number;
  readonly headers: Uint8Array;
  /** Headers before those, that were not read. */
  readonly headersBefore: number;
  readonly last: ZoneTail | undefined;
  /** Reads them through `room`; `undefined` when they are not what they were. */
  readonly readBefore: (room: ArenaLease) => Promise<Uint8Array | undefined>;
}

/**
 * Writes records to one device: one group in flight, the next collects meanwhile (group commit). A
 * group is one write and one sync; it is answered when both have returned, so all earlier ones have.
 */
export class GroupWriter {
  readonly #device: Device;
  readonly #datapath: Datapath;
  readonly #crypto: Crypto;
  readonly #clock: Pick<Clock, "turn">;
  readonly #sync: boolean;
  readonly #staging: ArenaLease;
  readonly #view: DataView;
  readonly #crc32c: (source: Uint8Array) => number;
  readonly #failed: (reason: unknown) => void;
  readonly #rolled: () => void;
  readonly #timed: <T>(work: Promise<T>) => Promise<T>;
  #queue: RecordJob[] = [];
  #running: Promise<void> | undefined;
  #open: number | undefined;
  /** A zone that recovery found open: where its torn tail may begin. */
  #resumeFrom: number | undefined;
  /** A zone to be left before the next group. */
  #leaving: number | undefined;
  /** Headers of the open zone, for its summary. */
  #headers = new Uint8Array(new ArrayBuffer(64 * recordHeaderSize));
  #headerCount = 0;
  /** Headers of the open zone before those, that this run has not read, and how they are read. */
  #headersBefore = 0;
  #readBefore: WriterResume["readBefore"] | undefined;
  /** Beginnings of the open zone's groups, from the last one at or below the mark. */
  #groups: ZoneTail[] = [];
  #groupNext: number;
  /** Highest group whose sync has returned. */
  durable: number;
  /** Records per synced or flying group whose rows are not in the index yet. */
  readonly #unindexed = new Map<number, number>();

  constructor(options: {
    readonly device: Device;
    readonly datapath: Datapath;
    readonly crypto: Crypto;
    readonly clock: Pick<Clock, "turn">;
    readonly staging: ArenaLease;
    readonly sync: boolean;
    /** Highest group seen on the device. */
    readonly groupLast: number;
    readonly resume: WriterResume | undefined;
    /** Called once, when a write or sync failed: the device is then failed for good. */
    readonly failed: (reason: unknown) => void;
    /** Wraps each write and sync of a group, to time it. */
    readonly timed: <T>(work: Promise<T>) => Promise<T>;
    /** Called when a zone has been ended and another begun. */
    readonly rolled: () => void;
  }) {
    this.#device = options.device;
    this.#datapath = options.datapath;
    this.#crypto = options.crypto;
    this.#clock = options.clock;
    this.#sync = options.sync;
    this.#staging = options.staging;
    this.#failed = options.failed;
    this.#rolled = options.rolled;
    this.#timed = options.timed;
    this.#view = new DataView(
      options.staging.bytes.buffer,
      options.staging.bytes.byteOffset,
      stagingSize,
    );
    this.#crc32c = (source) => this.#crypto.crc32c(0, source);
    this.durable = options.groupLast;
    this.#groupNext = options.groupLast + 1;
    if (options.resume !== undefined) {
      this.#open = options.resume.zone;
      this.#resumeFrom = options.resume.from;
      this.#keepHeaders(options.resume.headers);
      this.#headersBefore = options.resume.headersBefore;
      this.#readBefore = options.resume.readBefore;
      if (options.resume.last) this.#groups.push(options.resume.last);
    }
    options.staging.bytes.fill(0, zerosOffset, zerosOffset + deviceBlockSize);
  }
  static readonly stagingSize = stagingSize;

  /** Queues a record; groups form of what is queued when the one before is done. */
  enqueue(job: RecordJob): void {
    assert(this.#device.trusted, "only a healthy device is written");
    this.#queue.push(job);
    this.#running ??= this.#run();
  }
  /** The row of a record of `group` is in the index, or will never be. */
  indexed(group: number): void {
    const left = this.#unindexed.get(group)! - 1;
    if (left === 0) this.#unindexed.delete(group);
    else this.#unindexed.set(group, left);
  }
  /** Every record of groups up to here that was answered is in the index. */
  get indexMark(): number {
    for (const group of this.#unindexed.keys()) return Math.min(group - 1, this.durable);
    return this.durable;
  }
  /** Where the next start may begin to read the open zone: of the last group at or below the mark. */
  get tail(): ZoneTail | undefined {
    const mark = this.indexMark;
    const at = this.#groups.findLastIndex(({ group }) => group <= mark);
    if (at > 0) this.#groups.splice(0, at);
    return at < 0 ? undefined : this.#groups[0];
  }
  /** Resolves when nothing is queued or in flight. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }
  /** No more is written to `zone`, whose beginning is gone: without it a recovery does not look into the zone. */
  leaveZone(zone: number): void {
    if (zone === this.#open) this.#leaving = zone;
  }
  dispose(): void {
    this.#staging[Symbol.dispose]();
  }

  async #run(): Promise<void> {
    await Promise.resolve(); // what arrives in this turn goes together
    while (this.#queue.length > 0 && this.#device.trusted) {
      const coming = whileMoreCome(this.#clock, () => this.#queue.length);
      if (coming !== undefined) {
        await coming;
        if (!this.#device.trusted) break;
      }
      try {
        await this.#writeNext();
      } catch (reason) {
        if (!(reason instanceof DatapathError)) throw reason;
        this.#failed(reason);
      }
    }
    const rest = this.#queue;
    this.#queue = [];
    this.#running = undefined;
    for (const job of rest) job.settle("failed");
  }
  /** Writes one group, or settles the first job when the device has no zone for it. */
  async #writeNext(): Promise<void> {
    if (this.#leaving !== undefined && this.#leaving === this.#open) {
      this.#device.zones.set(this.#open, "full");
      this.#open = undefined;
    }
    this.#leaving = undefined;
    const first = this.#queue[0]!;
    const size = recordSize(first.payloadSize);
    const isTooLarge = size > this.#device.zones.zoneSize - zoneOverhead;
    if (
      isTooLarge ||
      this.#isReserved(first) ||
      (!this.#fits(size, 1) && !(await this.#roll(first.zonesLeft)))
    ) {
      this.#queue.shift();
      first.settle("no_space");
      return;
    }
    assert(this.#fits(size, 1), "a record fits an empty zone");
    const jobs: RecordJob[] = [];
    let sum = this.#resumeFrom === undefined ? 0 : recordHeaderSize;
    for (const job of this.#queue) {
      const next = sum + recordSize(job.payloadSize);
      if (jobs.length >= groupRecordsMax - 1 || this.#isReserved(job)) break;
      if (jobs.length > 0 && (next > groupSizeMax || !this.#fits(next, jobs.length + 1))) break;
      jobs.push(job);
      sum = next;
    }
    this.#queue.splice(0, jobs.length);
    await this.#writeGroup(jobs);
  }
  /** Without a free zone the rest of the open one is compaction's: it could make no room any more. */
  #isReserved({ zonesLeft }: RecordJob): boolean {
    return zonesLeft > 0 && this.#device.zones.freeCount === 0;
  }
  #fits(size: number, count: number): boolean {
    const zone = this.#open;
    if (zone === undefined) return false;
    const room = this.#resumeFrom === undefined ? 0 : recordHeaderSize;
    const headers = this.#headersBefore + this.#headerCount + count + 1;
    const summary = headers * recordHeaderSize;
    const end = toBlock(this.#device.zones.ends[zone]! + size + room);
    return end + toBlock(summary) + deviceBlockSize <= this.#device.zones.zoneSize;
  }
  /** Ends the open zone and begins a free one; false when there is none. */
  async #roll(zonesLeft: number): Promise<boolean> {
    const { zones } = this.#device;
    if (zones.freeCount <= zonesLeft) return false;
    if (this.#open !== undefined) await this.#finish(this.#open);
    const zone = zones.takeFree(0);
    assert(zone !== undefined, "a free zone was counted");
    zones.begin(zone, this.#groupNext);
    this.#open = zone;
    this.#resumeFrom = undefined;
    this.#headerCount = 0;
    this.#headersBefore = 0;
    this.#readBefore = undefined;
    this.#groups = [];
    this.#rolled();
    return true;
  }

  async #writeGroup(jobs: readonly RecordJob[]): Promise<void> {
    const zone = this.#open!;
    const { zones } = this.#device;
    const group = this.#groupNext++;
    const start = zones.ends[zone]!;
    const ranges: ArenaRange[] = [];
    const isFirst = start === deviceBlockSize;
    const headersBefore = this.#headersBefore + this.#headerCount;
    this.#groups.push({ zone, generation: zones.generations[zone]!, group, start, headersBefore });
    if (isFirst) ranges.push(this.#zoneHeader(zone, group));
    let at = start;
    if (this.#resumeFrom !== undefined) at = this.#addResume(zone, group, at, ranges);
    const places = jobs.map((job, slot) => {
      const place = {
        zone,
        generation: zones.generations[zone]!,
        offset: at,
        group,
        durable: this.durable,
      };
      this.#addRecord(job, slot + 1, place, ranges);
      at += recordSize(job.payloadSize);
      return place;
    });
    const end = toBlock(at);
    if (end > at) ranges.push({ lease: this.#staging, offset: zerosOffset, size: end - at });
    zones.ends[zone] = end;
    zones.groupsLast[zone] = group;
    zones.touch(zone);
    this.#unindexed.set(group, jobs.length);
    try {
      const written = this.#datapath.append({
        device: this.#device.slot!,
        offset: this.#device.offsetOf(zone, isFirst ? 0 : start),
        ranges,
        sync: this.#sync,
      });
      await this.#timed(written);
    } catch (reason) {
      this.#unindexed.delete(group);
      this.#failAll(jobs, reason);
      throw reason;
    }
    this.durable = group;
    for (let i = 0; i < jobs.length; i++) jobs[i]!.settle(places[i]!);
  }
  /** The device is marked failed before anyone is told, so that no one tries it again. */
  #failAll(jobs: readonly RecordJob[], reason: unknown): void {
    this.#failed(reason);
    for (const job of jobs) job.settle("failed");
  }
  #zoneHeader(zone: number, group: number): ArenaRange {
    const block = this.#staging.bytes.subarray(zoneBlockOffset, zoneBlockOffset + deviceBlockSize);
    block.fill(0);
    const { zones, id } = this.#device;
    encodeZoneHeader(
      {
        device: id,
        zone,
        generation: zones.generations[zone]!,
        groupFirst: group,
        zoneSize: zones.zoneSize,
      },
      block,
      this.#crc32c,
    );
    return { lease: this.#staging, offset: zoneBlockOffset, size: deviceBlockSize };
  }
  #addResume(zone: number, group: number, at: number, ranges: ArenaRange[]): number {
    const from = this.#resumeFrom!;
    this.#resumeFrom = undefined;
    const none = new Uint8Array(32);
    encodeRecordHeader(
      {
        kind: "resume",
        device: this.#device.id,
        zone,
        generation: this.#device.zones.generations[zone]!,
        offset: at,
        group,
        durable: this.durable,
        tenant: none.subarray(0, 16) as TenantId,
        shard: none.subarray(0, 16) as ShardId,
        epoch: 0n as Epoch,
        operationId: none.subarray(0, 16) as OperationId,
        chunkId: none as Uint8Array as ChunkId,
        sealId: none.subarray(0, 16) as SealId,
        index: 0,
        data: 0,
        parity: 0,
        payloadSize: 0,
        plainSize: from,
        keyset: 0,
        payloadCrc: 0,
      },
      this.#staging.bytes,
      this.#view,
      headersOffset,
      this.#crc32c,
    );
    this.#keepHeaders(
      this.#staging.bytes.subarray(headersOffset, headersOffset + recordHeaderSize),
    );
    ranges.push({ lease: this.#staging, offset: headersOffset, size: recordHeaderSize });
    return at + recordHeaderSize;
  }
  #addRecord(job: RecordJob, slot: number, place: RecordPlace, ranges: ArenaRange[]): void {
    const { chunk, lease, payloadOffset, payloadSize } = job;
    const bytes = lease.bytes;
    const inPlace = job.headerInPlace;
    const target = inPlace ? bytes : this.#staging.bytes;
    const view = inPlace ? new DataView(bytes.buffer, bytes.byteOffset) : this.#view;
    const offset = inPlace
      ? payloadOffset - recordHeaderSize
      : headersOffset + slot * recordHeaderSize;
    encodeRecordHeader(
      {
        kind: job.kind,
        device: this.#device.id,
        zone: place.zone,
        generation: place.generation,
        offset: place.offset,
        group: place.group,
        durable: place.durable,
        tenant: chunk.tenant,
        shard: chunk.shard,
        epoch: chunk.epoch,
        operationId: chunk.operationId,
        chunkId: chunk.chunkId,
        sealId: chunk.sealId,
        index: job.index,
        data: job.data,
        parity: job.parity,
        payloadSize,
        plainSize: chunk.plainSize,
        keyset: chunk.keyset,
        payloadCrc: job.payloadCrc,
      },
      target,
      view,
      offset,
      this.#crc32c,
    );
    this.#keepHeaders(target.subarray(offset, offset + recordHeaderSize));
    const whole = recordSize(payloadSize) - recordHeaderSize;
    bytes.fill(0, payloadOffset + payloadSize, payloadOffset + whole);
    if (inPlace) {
      ranges.push({ lease, offset, size: recordHeaderSize + whole });
      return;
    }
    ranges.push({ lease: this.#staging, offset, size: recordHeaderSize });
    if (whole > 0) ranges.push({ lease, offset: payloadOffset, size: whole });
  }
  #keepHeaders(headers: Uint8Array): void {
    const used = this.#headerCount * recordHeaderSize;
    const needed = used + headers.byteLength;
    if (needed > this.#headers.byteLength) {
      const larger = new Uint8Array(
        new ArrayBuffer(Math.max(needed, 2 * this.#headers.byteLength)),
      );
      larger.set(this.#headers.subarray(0, used));
      this.#headers = larger;
    }
    this.#headers.set(headers, used);
    this.#headerCount += headers.byteLength / recordHeaderSize;
  }

  /** All headers of the open zone, read again where this run has not; `undefined` when they are not what they were. */
  async #allHeaders(): Promise<Uint8Array | undefined> {
    const own = this.#headers.subarray(0, this.#headerCount * recordHeaderSize);
    if (this.#headersBefore === 0 || this.#readBefore === undefined) return own;
    const before = await this.#readBefore(this.#staging);
    this.#staging.bytes.fill(0, zerosOffset, zerosOffset + deviceBlockSize);
    return before && concatBytes(before, own);
  }
  /** Writes summary and footer, in pieces through the staging room so that no arena has to be waited for. */
  async #finish(zone: number): Promise<void> {
    const device = this.#device;
    const { zones } = device;
    const summaryOffset = zones.ends[zone]!;
    const summary = await this.#allHeaders();
    if (summary === undefined) {
      zones.set(zone, "full"); // damaged: without a summary its records speak for themselves
      return;
    }
    const piece = stagingSize - headersOffset;
    for (let at = 0; at < summary.byteLength; at += piece) {
      const part = summary.subarray(at, at + piece);
      const size = toBlock(part.byteLength);
      this.#staging.bytes.fill(0, headersOffset, headersOffset + size);
      this.#staging.bytes.set(part, headersOffset);
      await this.#datapath.append({
        device: device.slot!,
        offset: device.offsetOf(zone, summaryOffset + at),
        ranges: [{ lease: this.#staging, offset: headersOffset, size }],
        sync: false,
      });
    }
    const footer = this.#staging.bytes.subarray(zoneBlockOffset, deviceBlockSize);
    footer.fill(0);
    encodeZoneFooter(
      {
        device: device.id,
        zone,
        generation: zones.generations[zone]!,
        groupFirst: zones.groupsFirst[zone]!,
        groupLast: zones.groupsLast[zone]!,
        summaryOffset,
        count: summary.byteLength / recordHeaderSize,
        summaryCrc: this.#crc32c(summary),
      },
      footer,
      this.#crc32c,
    );
    await this.#datapath.append({
      device: device.slot!,
      offset: device.offsetOf(zone, zones.zoneSize - deviceBlockSize),
      ranges: [{ lease: this.#staging, offset: zoneBlockOffset, size: deviceBlockSize }],
      sync: true,
    });
    zones.set(zone, "full");
  }
}

export const toBlock = (size: number): number =>
  Math.ceil(size / deviceBlockSize) * deviceBlockSize;
