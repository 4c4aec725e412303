import type { DeviceId } from "@kiseki/base";
import type { Crc32c } from "./record.ts";
import { deviceBlockSize, recordHeaderSize } from "./record.ts";

/** First block of a zone that has been begun: which generation its records must name. */
export interface ZoneHeader {
  readonly device: DeviceId;
  readonly zone: number;
  /** From 1; grows each time the zone is begun anew. */
  readonly generation: number;
  /** First write group in it. */
  readonly groupFirst: number;
  readonly zoneSize: number;
}
/** Last block of a full zone: where the summary lies. */
export interface ZoneFooter {
  readonly device: DeviceId;
  readonly zone: number;
  readonly generation: number;
  readonly groupFirst: number;
  readonly groupLast: number;
  /** Offset in the zone of `count` record headers, one after another. */
  readonly summaryOffset: number;
  readonly count: number;
  readonly summaryCrc: number;
}

const headerMagic = 0x4e4f5a4b; // "KZON"
const footerMagic = 0x54465a4b; // "KZFT"
const version = 1;
const headerCrc = 60;
const footerCrc = 124;
export const zoneHeaderSize = 64;
export const zoneFooterSize = 128;

function start(target: Uint8Array, size: number, magic: number): DataView {
  target.fill(0, 0, size);
  const view = new DataView(target.buffer, target.byteOffset, size);
  view.setUint32(0, magic, true);
  view.setUint8(4, version);
  return view;
}
function putU53(view: DataView, offset: number, n: number): void {
  view.setBigUint64(offset, BigInt(n), true);
}
function u53(view: DataView, offset: number): number {
  return Number(view.getBigUint64(offset, true)); // checked against 2^53 by the callers
}
function checked(
  source: Uint8Array,
  size: number,
  magic: number,
  crcOffset: number,
  crc32c: Crc32c,
): DataView | undefined {
  if (source.byteLength < size) return undefined;
  const view = new DataView(source.buffer, source.byteOffset, size);
  if (view.getUint32(0, true) !== magic || view.getUint8(4) !== version) return undefined;
  const sum = crc32c(source.subarray(0, crcOffset)) >>> 0;
  return sum === view.getUint32(crcOffset, true) ? view : undefined;
}
const idAt = (source: Uint8Array, offset: number): DeviceId => {
  const id = new Uint8Array(new ArrayBuffer(16));
  id.set(source.subarray(offset, offset + 16));
  return id as Uint8Array as DeviceId;
};

/** Writes 64 bytes to the start of `target`. */
export function encodeZoneHeader(header: ZoneHeader, target: Uint8Array, crc32c: Crc32c): void {
  const view = start(target, zoneHeaderSize, headerMagic);
  view.setUint32(8, header.zone, true);
  view.setUint32(12, header.generation, true);
  putU53(view, 16, header.groupFirst);
  target.set(header.device, 24);
  putU53(view, 40, header.zoneSize);
  view.setUint32(headerCrc, crc32c(target.subarray(0, headerCrc)), true);
}

/** `undefined` when no valid zone header of this version starts `source`. */
export function decodeZoneHeader(source: Uint8Array, crc32c: Crc32c): ZoneHeader | undefined {
  const view = checked(source, zoneHeaderSize, headerMagic, headerCrc, crc32c);
  if (view === undefined) return undefined;
  const header: ZoneHeader = {
    device: idAt(source, 24),
    zone: view.getUint32(8, true),
    generation: view.getUint32(12, true),
    groupFirst: u53(view, 16),
    zoneSize: u53(view, 40),
  };
  const sane =
    Number.isSafeInteger(header.groupFirst) &&
    Number.isSafeInteger(header.zoneSize) &&
    header.generation >= 1 &&
    header.groupFirst >= 1 &&
    header.zoneSize % deviceBlockSize === 0;
  return sane ? header : undefined;
}

/** Writes 128 bytes to the start of `target`. */
export function encodeZoneFooter(footer: ZoneFooter, target: Uint8Array, crc32c: Crc32c): void {
  const view = start(target, zoneFooterSize, footerMagic);
  view.setUint32(8, footer.zone, true);
  view.setUint32(12, footer.generation, true);
  putU53(view, 16, footer.groupFirst);
  putU53(view, 24, footer.groupLast);
  target.set(footer.device, 32);
  view.setUint32(48, footer.summaryOffset, true);
  view.setUint32(52, footer.count, true);
  view.setUint32(56, footer.summaryCrc, true);
  view.setUint32(footerCrc, crc32c(target.subarray(0, footerCrc)), true);
}

/** `undefined` when no valid footer starts `source`, or its summary cannot lie in a zone of `zoneSize`. */
export function decodeZoneFooter(
  source: Uint8Array,
  zoneSize: number,
  crc32c: Crc32c,
): ZoneFooter | undefined {
  const view = checked(source, zoneFooterSize, footerMagic, footerCrc, crc32c);
  if (view === undefined) return undefined;
  const footer: ZoneFooter = {
    device: idAt(source, 32),
    zone: view.getUint32(8, true),
    generation: view.getUint32(12, true),
    groupFirst: u53(view, 16),
    groupLast: u53(view, 24),
    summaryOffset: view.getUint32(48, true),
    count: view.getUint32(52, true),
    summaryCrc: view.getUint32(56, true),
  };
  const end = footer.summaryOffset + footer.count * recordHeaderSize;
  const sane =
    Number.isSafeInteger(footer.groupLast) &&
    footer.generation >= 1 &&
    footer.groupFirst >= 1 &&
    footer.groupFirst <= footer.groupLast &&
    footer.summaryOffset % deviceBlockSize === 0 &&
    footer.summaryOffset >= deviceBlockSize &&
    end <= zoneSize - deviceBlockSize;
  return sane ? footer : undefined;
}
