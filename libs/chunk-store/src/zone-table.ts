import { assert, newBytes } from "@kiseki/base";

/** free → open → full → (emptied) free; `draining`: emptied, but a read still looks at it. */
export type ZoneState = "free" | "open" | "full" | "draining";
const stateNames: readonly ZoneState[] = ["free", "open", "full", "draining"];
const stateNumber = (state: ZoneState): number => stateNames.indexOf(state);
const entrySize = 40;
const zonesPerPage = 64;

/** State of every zone of one device. All numbers are of the device's own; offsets count from the zone's start. */
export class ZoneTable {
  readonly count: number;
  readonly zoneSize: number;
  readonly #states: Uint8Array;
  readonly #floors: Uint32Array;
  /** Generation on the device now; 0 before the first. */
  readonly generations: Uint32Array;
  /** Where the next group goes. */
  readonly ends: Uint32Array;
  /** Bytes of records that the index names. */
  readonly living: Float64Array;
  readonly groupsFirst: Float64Array;
  readonly groupsLast: Float64Array;
  /** Reads under way. */
  readonly readers: Uint32Array;
  #free: number;
  #cursor = 0;
  #livingTotal = 0;
  readonly #dirty = new Set<number>();

  constructor(count: number, zoneSize: number) {
    this.count = count;
    this.zoneSize = zoneSize;
    this.#states = new Uint8Array(count);
    this.#floors = new Uint32Array(count);
    this.generations = new Uint32Array(count);
    this.ends = new Uint32Array(count);
    this.living = new Float64Array(count);
    this.groupsFirst = new Float64Array(count);
    this.groupsLast = new Float64Array(count);
    this.readers = new Uint32Array(count);
    this.#free = count;
    for (let page = 0; page < this.pageCount; page++) this.#dirty.add(page); // an older table may lie in the index
  }
  state(zone: number): ZoneState {
    return stateNames[this.#states[zone]!]!;
  }
  set(zone: number, state: ZoneState): void {
    if (this.state(zone) === "free") this.#free -= 1;
    if (state === "free") this.#free += 1;
    this.#states[zone] = stateNumber(state);
    this.touch(zone);
  }
  /** Must follow each change made through the arrays. */
  touch(zone: number): void {
    this.#dirty.add(Math.floor(zone / zonesPerPage));
  }
  get freeCount(): number {
    return this.#free;
  }
  /** A free zone when more than `keep` are, else `undefined`. Round robin, so that wear spreads. */
  takeFree(keep: number): number | undefined {
    if (this.#free <= keep) return undefined;
    for (let i = 0; i < this.count; i++) {
      const zone = (this.#cursor + i) % this.count;
      if (this.state(zone) !== "free") continue;
      this.#cursor = (zone + 1) % this.count;
      return zone;
    }
    return undefined;
  }
  /** Generations of `other` are not given again. */
  keepAbove(other: ZoneTable): void {
    const count = Math.min(this.count, other.count);
    for (let zone = 0; zone < count; zone++)
      this.#floors[zone] = Math.max(other.generations[zone]!, other.#floors[zone]!);
  }
  begin(zone: number, group: number): void {
    assert(this.state(zone) === "free", "only a free zone is begun");
    this.set(zone, "open");
    this.generations[zone] = Math.max(this.generations[zone]!, this.#floors[zone]!) + 1;
    this.groupsFirst[zone] = group;
    this.groupsLast[zone] = group;
    this.addLiving(zone, -this.living[zone]!);
    this.ends[zone] = 4096;
  }
  addLiving(zone: number, size: number): void {
    this.living[zone]! += size;
    this.#livingTotal += size;
    this.touch(zone);
  }
  get livingTotal(): number {
    return this.#livingTotal;
  }
  /** Pages of the table that changed since `cleanPages`, to be kept beside the index's rows. */
  dirtyPages(): readonly number[] {
    return [...this.#dirty];
  }
  cleanPages(): void {
    this.#dirty.clear();
  }
  get pageCount(): number {
    return Math.ceil(this.count / zonesPerPage);
  }
  encodePage(page: number): Uint8Array {
    const first = page * zonesPerPage;
    const zones = Math.min(zonesPerPage, this.count - first);
    const target = newBytes(zones * entrySize);
    const view = new DataView(target.buffer);
    for (let i = 0, at = 0; i < zones; i++, at += entrySize) {
      const zone = first + i;
      target[at] = this.#states[zone]!;
      view.setUint32(at + 4, this.generations[zone]!, true);
      view.setUint32(at + 8, this.ends[zone]!, true);
      view.setFloat64(at + 16, this.living[zone]!, true);
      view.setFloat64(at + 24, this.groupsFirst[zone]!, true);
      view.setFloat64(at + 32, this.groupsLast[zone]!, true);
    }
    return target;
  }
  /** False when `source` is of a table cut otherwise. */
  decodePage(page: number, source: Uint8Array): boolean {
    const first = page * zonesPerPage;
    const zones = Math.min(zonesPerPage, this.count - first);
    if (source.byteLength !== zones * entrySize) return false;
    const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
    for (let i = 0, at = 0; i < zones; i++, at += entrySize) {
      const zone = first + i;
      const state = stateNames[source[at]!];
      if (state === undefined) return false;
      this.set(zone, state === "draining" ? "free" : state);
      this.generations[zone] = view.getUint32(at + 4, true);
      this.ends[zone] = view.getUint32(at + 8, true);
      this.addLiving(zone, view.getFloat64(at + 16, true) - this.living[zone]!);
      this.groupsFirst[zone] = view.getFloat64(at + 24, true);
      this.groupsLast[zone] = view.getFloat64(at + 32, true);
    }
    return true;
  }
}
