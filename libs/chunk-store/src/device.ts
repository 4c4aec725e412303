import type { DeviceId } from "@kiseki/base";
import { toUuid } from "@kiseki/base";
import type { DeviceClass, Superblock } from "@kiseki/format";
import { deviceBlockSize, deviceDataOffset, recordHeaderSize, recordSize } from "@kiseki/format";
import type { CapacityState, PlacementDevice } from "@kiseki/placement";
import { acceptsFragments, acceptsRepair, capacityState } from "@kiseki/placement";
import type { DeviceSlot, FragmentFault } from "@kiseki/ports";
import type { GroupWriter } from "./group-writer.ts";
import { zonesKeptBack } from "./group-writer.ts";
import type { Fragment } from "./row.ts";
import { payloadSizeOf } from "./row.ts";
import type { DeviceState } from "./types.ts";
import { ZoneTable } from "./zone-table.ts";

/** Read errors in a row after which a device counts as failed. */
const readErrorsMax = 8;

/** A member of the pool: what it is, how it does, which zones it has. */
export class Device implements PlacementDevice {
  readonly id: DeviceId;
  /** Number in the index's device table; stable over restarts while the index lives. */
  readonly ordinal: number;
  readonly class: DeviceClass;
  readonly size: number;
  path: string | undefined;
  slot: DeviceSlot | undefined;
  superblock: Superblock | undefined;
  state: DeviceState;
  reason: string | undefined;
  zones: ZoneTable;
  writer: GroupWriter | undefined;
  /**
   * A write or sync of it failed. The kernel then shows pages as written that never were: whatever is read may not be
   * on the device, and nothing it shows makes it count again. Over restarts too, until it is replaced.
   */
  mustReplace = false;
  /** It is being emptied: what it holds counts, it takes nothing new, and no profile counts on it. */
  isLeaving = false;
  readonly faults: Record<FragmentFault, number> = { io: 0, header: 0, crc: 0, tag: 0 };
  #readErrors = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: {
    readonly id: DeviceId;
    readonly ordinal: number;
    readonly class: DeviceClass;
    readonly size: number;
    readonly state: DeviceState;
    readonly reason: string | undefined;
  }) {
    this.id = options.id;
    this.ordinal = options.ordinal;
    this.class = options.class;
    this.size = options.size;
    this.state = options.state;
    this.reason = options.reason;
    this.zones = new ZoneTable(0, 8192);
  }
  get label(): string {
    return this.path ?? toUuid(this.id);
  }
  /** Its fragments count as present, and it takes repaired and moved records, threshold or not. */
  get trusted(): boolean {
    return this.state === "healthy" || this.state === "degraded";
  }
  /** It may be asked for bytes; headers and checksums decide. */
  get readable(): boolean {
    return this.slot !== undefined && (this.trusted || this.state === "resyncing");
  }
  /** It failed and may still show what no other device holds: headers and checksums decide. */
  get isLastResort(): boolean {
    return this.slot !== undefined && this.state === "failed";
  }
  /** What living records can take at most: two zones are kept back, one is open, zones have ends. */
  get usable(): number {
    const { count, zoneSize } = this.zones;
    return Math.max(0, count - zonesKeptBack - 1) * (zoneSize - 2 * deviceBlockSize);
  }
  get capacity(): CapacityState {
    return capacityState(this.class, this.zones.livingTotal, this.usable);
  }
  get writable(): boolean {
    return this.trusted && !this.isLeaving && acceptsFragments(this.capacity);
  }
  /** It takes repaired and moved records, up to a later threshold. */
  get takesRepair(): boolean {
    return this.trusted && !this.isLeaving && acceptsRepair(this.capacity);
  }
  offsetOf(zone: number, offset: number): number {
    return deviceDataOffset + zone * this.zones.zoneSize + offset;
  }
  addLiving(fragment: Fragment, plainSize: number): void {
    if (!this.#holds(fragment)) return;
    this.zones.addLiving(fragment.zone, takenBy(payloadSizeOf(fragment, plainSize)));
  }
  dropLiving(fragment: Fragment, plainSize: number): void {
    if (!this.#holds(fragment)) return;
    this.zones.addLiving(fragment.zone, -takenBy(payloadSizeOf(fragment, plainSize)));
  }
  /** False when the zone was begun anew since, or the device is not here. */
  #holds(fragment: Fragment): boolean {
    return (
      fragment.zone < this.zones.count &&
      this.zones.generations[fragment.zone] === fragment.generation
    );
  }
  /** Zones are emptied one after another: of two who empty one, the second would free it when it was begun anew. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }
  /** Notes a fault of a read. True when the device should now be failed. */
  noteFault(fault: FragmentFault): boolean {
    this.faults[fault] += 1;
    if (fault !== "io") return false;
    this.#readErrors += 1;
    if (this.state === "healthy") {
      this.state = "degraded";
      this.reason = "read errors";
    }
    return this.#readErrors >= readErrorsMax;
  }
  noteGoodRead(): void {
    this.#readErrors = 0;
  }
}

/** On the device: the record and its header once more in the zone's summary. */
export const takenBy = (payloadSize: number): number => recordSize(payloadSize) + recordHeaderSize;
