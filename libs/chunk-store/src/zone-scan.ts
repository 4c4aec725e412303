import { sameBytes } from "@kiseki/base";
import type { RecordHeader } from "@kiseki/format";
import {
  decodeRecordHeader,
  decodeZoneFooter,
  decodeZoneHeader,
  deviceBlockSize,
  recordAlignment,
  recordHeaderSize,
  recordSize,
} from "@kiseki/format";
import type { ArenaLease, Crypto, Datapath, DeviceSlot } from "@kiseki/ports";
import { toBlock } from "./group-writer.ts";
import type { ZoneTail } from "./zone-tail.ts";

/**
 * Reads what a zone says of itself after a start: its summary when it is full, else every record. A
 * bad spot at or below a durable group is damage, above it a torn tail; the caller judges, since
 * `durable` counts over all zones of the device.
 */
export interface ZoneFindings {
  readonly zone: number;
  /** 0: never begun, or nothing of it can be believed. */
  readonly generation: number;
  readonly full: boolean;
  /** Its header is not that of this generation: the write that began it was torn, or it is damaged. */
  readonly headless: boolean;
  /** In order of place; resume marks left out. */
  readonly records: readonly RecordHeader[];
  /** Of the records above, one after another, resume marks included. */
  readonly headers: Uint8Array;
  /** Headers of the zone before those; more than none when only its tail was read. */
  readonly headersBefore: number;
  /** Of the first record, and where writing may go on. */
  readonly start: number;
  readonly end: number;
  /** Where the last group begins; only of an open zone. */
  readonly last: ZoneTail | undefined;
  readonly groupFirst: number;
  readonly groupLast: number;
  /** Highest `durable` of its records. */
  readonly durable: number;
  /** Groups (at the latest) of spots that hold no good record where one must have been. */
  readonly badGroups: readonly number[];
}

export interface ScanSource {
  readonly datapath: Datapath;
  readonly crypto: Crypto;
  readonly slot: DeviceSlot;
  readonly device: Uint8Array;
  readonly zoneSize: number;
  /** Start of a zone on the device. */
  offsetOf(zone: number, offset: number): number;
  /** Off only for a mutant. */
  readonly checkGeneration: boolean;
}

/** Room that a scan needs: the largest record and a block on either side, at least. */
export const scanWindowMin = 8 * 1024 * 1024;
const magicBytes = new Uint8Array([0x4b, 0x52, 0x45, 0x43]); // "KREC"

/** Reads header, footer and what follows of one zone through `room`. @throws {DatapathError} */
export async function readZone(
  source: ScanSource,
  zone: number,
  room: ArenaLease,
): Promise<ZoneFindings> {
  const { datapath, crypto, zoneSize } = source;
  const crc = (piece: Uint8Array): number => crypto.crc32c(0, piece);
  const read = async (offset: number, size: number): Promise<Uint8Array> => {
    await datapath.read(source.slot, source.offsetOf(zone, offset), {
      lease: room,
      offset: 0,
      size,
    });
    return room.bytes.subarray(0, size);
  };
  const head = await read(0, 2 * deviceBlockSize);
  const header = decodeZoneHeader(head, crc);
  const own =
    header !== undefined && header.zone === zone && sameBytes(header.device, source.device)
      ? header
      : undefined;
  const blank = own === undefined && head.every((byte) => byte === 0);
  const begun = generationAt(source, zone, head);
  const footerBlock = await read(zoneSize - deviceBlockSize, deviceBlockSize);
  const footer = decodeZoneFooter(footerBlock, zoneSize, crc);
  const ends =
    footer !== undefined && footer.zone === zone && sameBytes(footer.device, source.device)
      ? footer
      : undefined;
  if (blank && ends === undefined) return nothing(zone);
  const current = begun === 0 || !source.checkGeneration || ends?.generation === begun;
  if (ends !== undefined && current) {
    const full = await readSummary(source, zone, ends, room);
    if (full !== undefined) return full;
  }
  const findings = await scanRecords(source, zone, begun, room);
  return { ...findings, headless: own?.generation !== findings.generation };
}
/**
 * The generation that the first two blocks of a zone show, 0 when none: of the header or, where that is of an earlier
 * use or damaged, of the first record.
 */
export function generationAt(
  source: Pick<ScanSource, "crypto" | "device">,
  zone: number,
  head: Uint8Array,
): number {
  const crc = (piece: Uint8Array): number => source.crypto.crc32c(0, piece);
  const header = decodeZoneHeader(head, crc);
  const first = decodeRecordHeader(head, deviceBlockSize, crc);
  const shown = [header, first?.offset === deviceBlockSize ? first : undefined].map((one) =>
    one?.zone === zone && sameBytes(one.device, source.device) ? one.generation : 0,
  );
  return Math.max(...shown);
}

const nothing = (zone: number): ZoneFindings => ({
  zone,
  generation: 0,
  full: false,
  headless: false,
  records: [],
  headers: new Uint8Array(0),
  headersBefore: 0,
  start: deviceBlockSize,
  end: deviceBlockSize,
  last: undefined,
  groupFirst: 0,
  groupLast: 0,
  durable: 0,
  badGroups: [],
});

/** `undefined` when the summary is damaged: then the records speak for themselves. */
async function readSummary(
  source: ScanSource,
  zone: number,
  footer: NonNullable<ReturnType<typeof decodeZoneFooter>>,
  room: ArenaLease,
): Promise<ZoneFindings | undefined> {
  const size = footer.count * recordHeaderSize;
  const headers = new Uint8Array(new ArrayBuffer(size));
  const window = Math.floor(room.bytes.byteLength / deviceBlockSize) * deviceBlockSize;
  for (let at = 0; at < size; at += window) {
    const part = Math.min(size - at, window);
    await source.datapath.read(source.slot, source.offsetOf(zone, footer.summaryOffset + at), {
      lease: room,
      offset: 0,
      size: toBlock(part),
    });
    headers.set(room.bytes.subarray(0, part), at);
  }
  if (source.crypto.crc32c(0, headers) >>> 0 !== footer.summaryCrc) return undefined;
  const records: RecordHeader[] = [];
  let durable = 0;
  let end = deviceBlockSize;
  const crc = (piece: Uint8Array): number => source.crypto.crc32c(0, piece);
  for (let at = 0; at < size; at += recordHeaderSize) {
    const record = decodeRecordHeader(headers, at, crc);
    if (record === undefined || !isOf(source, zone, record)) return undefined;
    // The checksum above is the same for all summaries of as many headers, since each of these ends with its own:
    // one of an older generation, where this one's write was lost, would pass.
    if (record.generation !== footer.generation || record.offset < end) return undefined;
    end = record.offset + recordSize(record.payloadSize);
    durable = Math.max(durable, record.durable);
    if (record.kind !== "resume") records.push(record);
  }
  return {
    zone,
    generation: footer.generation,
    full: true,
    headless: false,
    records,
    headers,
    headersBefore: 0,
    start: deviceBlockSize,
    end: footer.summaryOffset,
    last: undefined,
    groupFirst: footer.groupFirst,
    groupLast: footer.groupLast,
    durable,
    badGroups: [],
  };
}
const isOf = (source: ScanSource, zone: number, record: RecordHeader): boolean =>
  record.zone === zone && sameBytes(record.device, source.device);

/** A window over the zone that moves forward. */
export class ZoneWindow {
  readonly #source: ScanSource;
  readonly #zone: number;
  readonly #room: ArenaLease;
  readonly size: number;
  start = 0;
  bytes: Uint8Array;
  constructor(source: ScanSource, zone: number, room: ArenaLease) {
    this.#source = source;
    this.#zone = zone;
    this.#room = room;
    this.size = Math.min(
      Math.floor(room.bytes.byteLength / deviceBlockSize) * deviceBlockSize,
      source.zoneSize,
    );
    this.bytes = room.bytes.subarray(0, 0);
  }
  /** Makes `[from, from + size)` readable; false when the zone ends before. */
  async hold(from: number, size: number): Promise<boolean> {
    if (from + size > this.#source.zoneSize || size > this.size) return false;
    if (from >= this.start && from + size <= this.start + this.bytes.byteLength) return true;
    this.start = Math.floor(from / deviceBlockSize) * deviceBlockSize;
    const take = Math.min(this.size, this.#source.zoneSize - this.start);
    if (from + size > this.start + take) return false;
    await this.#source.datapath.read(
      this.#source.slot,
      this.#source.offsetOf(this.#zone, this.start),
      { lease: this.#room, offset: 0, size: take },
    );
    this.bytes = this.#room.bytes.subarray(0, take);
    return true;
  }
}

interface Found {
  readonly record: RecordHeader;
  readonly raw: Uint8Array;
  readonly good: boolean;
}

/** What the records from `from` on say, where a group begins. @throws {DatapathError} */
export async function scanRecords(
  source: ScanSource,
  zone: number,
  generationKnown: number,
  room: ArenaLease,
  from: number = deviceBlockSize,
): Promise<ZoneFindings> {
  const window = new ZoneWindow(source, zone, room);
  const crc = (piece: Uint8Array): number => source.crypto.crc32c(0, piece);
  const found: Found[] = [];
  let at = from;
  while (at !== -1 && (await window.hold(at, recordHeaderSize))) {
    const inside = at - window.start;
    const record = decodeRecordHeader(window.bytes, inside, crc);
    const fits = record !== undefined && record.offset === at && isOf(source, zone, record);
    const stale = fits && source.checkGeneration && record.generation < generationKnown;
    if (!fits || stale) {
      at = await nextMagic(window, at + recordAlignment, source.zoneSize);
      continue;
    }
    const raw = window.bytes.slice(inside, inside + recordHeaderSize);
    const good = await payloadHolds(window, record, at, source.crypto);
    found.push({ record, raw, good });
    at += recordSize(record.payloadSize);
    if (at % deviceBlockSize !== 0 && !(await magicAt(window, at))) at = toBlock(at);
  }
  const { checkGeneration } = source;
  return judge({ zone, from, checkGeneration, generationKnown }, found);
}
async function magicAt(window: ZoneWindow, at: number): Promise<boolean> {
  if (!(await window.hold(at, recordHeaderSize))) return false;
  const inside = at - window.start;
  return magicBytes.every((byte, i) => window.bytes[inside + i] === byte);
}
async function payloadHolds(
  window: ZoneWindow,
  record: RecordHeader,
  at: number,
  crypto: Crypto,
): Promise<boolean> {
  if (!(await window.hold(at, recordHeaderSize + record.payloadSize))) return false;
  const inside = at - window.start + recordHeaderSize;
  const payload = window.bytes.subarray(inside, inside + record.payloadSize);
  return crypto.crc32c(0, payload) >>> 0 === record.payloadCrc;
}
/** The next place from `from` on where a record's magic stands, or -1. */
async function nextMagic(window: ZoneWindow, from: number, zoneSize: number): Promise<number> {
  let at = from;
  while (at + recordHeaderSize <= zoneSize) {
    if (!(await window.hold(at, recordHeaderSize))) return -1;
    const rest = Buffer.from(
      window.bytes.buffer,
      window.bytes.byteOffset + (at - window.start),
      window.bytes.byteLength - (at - window.start),
    );
    let hit = rest.indexOf(magicBytes);
    while (hit >= 0 && (at + hit) % recordAlignment !== 0) hit = rest.indexOf(magicBytes, hit + 1);
    if (hit >= 0) return at + hit;
    at = window.start + window.bytes.byteLength;
  }
  return -1;
}

/**
 * Groups are counted over the device and tell what was written last. Generations do not, once an index was lost that knew
 * of a zone whose beginning is gone: they begin anew, below what an earlier use left in the zone.
 */
function generationOfNewest(found: readonly Found[]): number {
  let newest: RecordHeader | undefined;
  for (const { record } of found)
    if (newest === undefined || record.group > newest.group) newest = record;
  return newest?.generation ?? 0;
}

/** Leaves out other generations and leftovers, and names the bad spots between. */
function judge(
  scan: {
    readonly zone: number;
    readonly from: number;
    readonly checkGeneration: boolean;
    readonly generationKnown: number;
  },
  found: readonly Found[],
): ZoneFindings {
  const { zone, from, checkGeneration, generationKnown } = scan;
  const generation = Math.max(generationKnown, generationOfNewest(found));
  const records: RecordHeader[] = [];
  const kept: Uint8Array[] = [];
  const badGroups: number[] = [];
  let start = from;
  let end = from;
  let last: ZoneTail | undefined;
  let groupFirst = 0;
  let groupLast = 0;
  let durable = 0;
  for (const { record, raw, good } of found) {
    if (checkGeneration && record.generation !== generation) continue;
    if (record.group < groupLast) continue; // left over from a tail that was written over
    const expected = record.group === groupLast ? end : toBlock(end);
    const excused = record.kind === "resume" && record.plainSize <= expected;
    const skipped = groupLast > 0 && record.group > groupLast + 1;
    if ((record.offset > expected || skipped) && !excused)
      badGroups.push(
        record.group === groupLast ? groupLast : Math.min(groupLast + 1, record.group),
      );
    if (!good) badGroups.push(record.group);
    end = record.offset + recordSize(record.payloadSize);
    if (groupFirst === 0) {
      groupFirst = record.group;
      start = record.offset;
    }
    if (record.group !== groupLast) {
      const { group, offset } = record;
      last = { zone, generation, group, start: offset, headersBefore: kept.length };
    }
    groupLast = record.group;
    durable = Math.max(durable, record.durable);
    if (!good) continue;
    kept.push(raw);
    if (record.kind !== "resume") records.push(record);
  }
  return {
    zone,
    generation,
    full: false,
    headless: false,
    records,
    headers: joinHeaders(kept),
    headersBefore: 0,
    start,
    end: toBlock(end),
    last,
    groupFirst,
    groupLast,
    durable,
    badGroups,
  };
}
function joinHeaders(kept: readonly Uint8Array[]): Uint8Array {
  const target = new Uint8Array(new ArrayBuffer(kept.length * recordHeaderSize));
  kept.forEach((raw, i) => target.set(raw, i * recordHeaderSize));
  return target;
}
