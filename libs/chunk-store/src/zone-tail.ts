import { sameBytes } from "@kiseki/base";
import {
  decodeRecordHeader,
  decodeZoneFooter,
  decodeZoneHeader,
  deviceBlockSize,
  recordHeaderSize,
  recordSize,
} from "@kiseki/format";
import type { ArenaLease } from "@kiseki/ports";
import { toBlock } from "./group-writer.ts";
import type { ScanSource, ZoneFindings } from "./zone-scan.ts";
import { scanRecords, ZoneWindow } from "./zone-scan.ts";

/**
 * Where the last group of an open zone begins that the index knows: a start reads the zone from there on, however
 * many records lie before. Kept beside the mark, in the same transaction.
 */
export interface ZoneTail {
  readonly zone: number;
  readonly generation: number;
  /** At or below the mark. */
  readonly group: number;
  /** Of the group in the zone. */
  readonly start: number;
  /** Headers of the zone before it, resume marks included. */
  readonly headersBefore: number;
}

const fieldCount = 5;

export function encodeTail(tail: ZoneTail | undefined): Uint8Array {
  const size = tail === undefined ? 0 : fieldCount * 8;
  const target = new Uint8Array(new ArrayBuffer(size));
  if (tail === undefined) return target;
  const view = new DataView(target.buffer);
  const fields = [tail.zone, tail.generation, tail.group, tail.start, tail.headersBefore];
  fields.forEach((field, at) => view.setFloat64(at * 8, field, true));
  return target;
}
export function decodeTail(source: Uint8Array | undefined): ZoneTail | undefined {
  if (source?.byteLength !== fieldCount * 8) return undefined;
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  const field = (at: number): number => view.getFloat64(at * 8, true);
  return {
    zone: field(0),
    generation: field(1),
    group: field(2),
    start: field(3),
    headersBefore: field(4),
  };
}

/**
 * Reads an open zone from `tail` on. `undefined` when it is not as the index remembers it: begun anew, ended, or
 * without that group; then the whole zone is to be read. @throws {DatapathError}
 */
export async function readTail(
  source: ScanSource,
  tail: ZoneTail,
  room: ArenaLease,
): Promise<ZoneFindings | undefined> {
  if (!source.checkGeneration) return undefined;
  const { zone, generation, start } = tail;
  const crc = (piece: Uint8Array): number => source.crypto.crc32c(0, piece);
  const read = async (offset: number, size: number): Promise<Uint8Array> => {
    const target = { lease: room, offset: 0, size };
    await source.datapath.read(source.slot, source.offsetOf(zone, offset), target);
    return room.bytes.subarray(0, size);
  };
  const header = decodeZoneHeader(await read(0, 2 * deviceBlockSize), crc);
  if (header?.zone !== zone || header.generation !== generation) return undefined;
  if (!sameBytes(header.device, source.device)) return undefined;
  const block = await read(source.zoneSize - deviceBlockSize, deviceBlockSize);
  const footer = decodeZoneFooter(block, source.zoneSize, crc);
  if (footer?.generation === generation && sameBytes(footer.device, source.device)) {
    return undefined;
  }
  const findings = await scanRecords(source, zone, generation, room, start);
  const { last } = findings;
  const isThere = findings.groupFirst === tail.group && findings.generation === generation;
  if (!isThere || last === undefined || findings.start !== start) return undefined;
  return {
    ...findings,
    headersBefore: tail.headersBefore,
    last: { ...last, headersBefore: tail.headersBefore + last.headersBefore },
  };
}

/**
 * The record headers of a zone before a tail, read through `room`, payloads unseen; `undefined` when they are not
 * as many as there were, one behind the other. @throws {DatapathError}
 */
export async function readHeadersBefore(
  source: ScanSource,
  tail: Omit<ZoneTail, "group">,
  room: ArenaLease,
): Promise<Uint8Array | undefined> {
  const window = new ZoneWindow(source, tail.zone, room);
  const crc = (piece: Uint8Array): number => source.crypto.crc32c(0, piece);
  const headers = new Uint8Array(new ArrayBuffer(tail.headersBefore * recordHeaderSize));
  let at: number = deviceBlockSize;
  let count = 0;
  while (at < tail.start) {
    if (!(await window.hold(at, recordHeaderSize))) return undefined;
    const inside = at - window.start;
    const record = decodeRecordHeader(window.bytes, inside, crc);
    const isOwn =
      record?.offset === at &&
      record.zone === tail.zone &&
      record.generation === tail.generation &&
      sameBytes(record.device, source.device);
    if (!isOwn) {
      if (at % deviceBlockSize === 0) return undefined;
      at = toBlock(at); // padding behind a group
      continue;
    }
    if (count === tail.headersBefore) return undefined; // one of them is of a torn record
    headers.set(window.bytes.subarray(inside, inside + recordHeaderSize), count * recordHeaderSize);
    count += 1;
    at += recordSize(record.payloadSize);
  }
  return count === tail.headersBefore && toBlock(at) === tail.start ? headers : undefined;
}
