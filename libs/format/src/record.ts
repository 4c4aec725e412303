import type {
  ChunkId,
  DeviceId,
  Epoch,
  OperationId,
  SealId,
  ShardId,
  TenantId,
} from "@kiseki/base";

/**
 * The header in front of every record on a device (STORE §5), and the same bytes again in the summary
 * of a full zone. It says what the payload is and where it must lie, so that a torn, lost, misdirected
 * or stale write is recognised by one look. `docs/formats/device.md` draws it.
 */
export const recordHeaderSize = 192;
/** Records start at multiples of it within a group. */
export const recordAlignment = 64;
/** Groups, zone headers and footers start at multiples of it. */
export const deviceBlockSize = 4096;
/** Largest payload: a sealed chunk of 4 MiB as one copy. */
export const recordPayloadMax = 4 * 1024 * 1024 + 64 * 28;

/** CRC-32C of `source` from 0. */
export type Crc32c = (source: Uint8Array) => number;

/** `resume` has no payload: what lies between `plainSize` and it is a torn tail that recovery dropped. */
export type RecordKind = "fragment" | "copy" | "snapshot" | "resume";
const kindNumbers: Record<RecordKind, number> = { fragment: 1, copy: 2, snapshot: 3, resume: 4 };
const kinds: readonly (RecordKind | undefined)[] = [
  undefined,
  "fragment",
  "copy",
  "snapshot",
  "resume",
];

export interface RecordHeader {
  readonly kind: RecordKind;
  readonly device: DeviceId;
  /** Number of the zone and how often it was begun; from 1. */
  readonly zone: number;
  readonly generation: number;
  /** Of this header, from the start of the zone; a multiple of 64. */
  readonly offset: number;
  /** Write group, counted per device from 1. */
  readonly group: number;
  /** Highest write group of the device whose sync had returned when this was written; below `group`. */
  readonly durable: number;
  readonly tenant: TenantId;
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly operationId: OperationId;
  readonly chunkId: ChunkId;
  readonly sealId: SealId;
  /** Fragment or copy number in the profile. */
  readonly index: number;
  /** Data fragments of the profile; 0 for copies. */
  readonly data: number;
  /** Parity fragments of the profile, or the number of copies. */
  readonly parity: number;
  /** Bytes of payload after the header. */
  readonly payloadSize: number;
  /** Plaintext bytes of the whole chunk. */
  readonly plainSize: number;
  readonly keyset: number;
  readonly payloadCrc: number;
}

const magic = 0x4345524b; // "KREC"
const version = 1;
const crcOffset = recordHeaderSize - 4;

/** Bytes that a record takes on the device: header and payload, rounded up to 64. */
export function recordSize(payloadSize: number): number {
  return Math.ceil((recordHeaderSize + payloadSize) / recordAlignment) * recordAlignment;
}

/** 64-bit unsigned, of which JS numbers hold 53 bits; a group per microsecond lasts 285 years. */
function putU53(view: DataView, offset: number, n: number): void {
  view.setUint32(offset, n >>> 0, true);
  view.setUint32(offset + 4, Math.floor(n / 0x1_0000_0000), true);
}
function u53(view: DataView, offset: number): number | undefined {
  const high = view.getUint32(offset + 4, true);
  return high > 0x1f_ffff ? undefined : high * 0x1_0000_0000 + view.getUint32(offset, true);
}

/** Writes `header` to `target[offset, offset + 192)`; reserved bytes become zero. `view` is over `target`'s bytes. */
export function encodeRecordHeader(
  header: RecordHeader,
  target: Uint8Array,
  view: DataView,
  offset: number,
  crc32c: Crc32c,
): void {
  view.setUint32(offset, magic, true);
  target[offset + 4] = version;
  target[offset + 5] = kindNumbers[header.kind];
  target[offset + 6] = header.index;
  target[offset + 7] = header.data;
  target[offset + 8] = header.parity;
  target[offset + 9] = 0;
  view.setUint16(offset + 10, 0, true);
  view.setUint32(offset + 12, header.zone, true);
  view.setUint32(offset + 16, header.generation, true);
  view.setUint32(offset + 20, header.offset, true);
  putU53(view, offset + 24, header.group);
  putU53(view, offset + 32, header.durable);
  target.set(header.device, offset + 40);
  target.set(header.tenant, offset + 56);
  target.set(header.shard, offset + 72);
  view.setBigUint64(offset + 88, header.epoch, true);
  target.set(header.operationId, offset + 96);
  target.set(header.chunkId, offset + 112);
  target.set(header.sealId, offset + 144);
  view.setUint32(offset + 160, header.payloadSize, true);
  view.setUint32(offset + 164, header.plainSize, true);
  view.setUint32(offset + 168, header.keyset, true);
  view.setUint32(offset + 172, header.payloadCrc, true);
  view.setUint32(offset + 176, 0, true);
  view.setUint32(offset + 180, 0, true);
  view.setUint32(offset + 184, 0, true);
  view.setUint32(offset + crcOffset, crc32c(target.subarray(offset, offset + crcOffset)), true);
}

/** True when a record's magic stands at `offset`: the cheap first look of a scan. */
export function looksLikeRecord(view: DataView, offset: number): boolean {
  return view.getUint32(offset, true) === magic;
}

/**
 * Reads the header at `offset` of `source`; ids are copies, owned by the caller. `undefined` when it is
 * no header of this version, its checksum is wrong or a field is out of range. Where it lies, and
 * whose device it names, is for the caller to compare.
 */
export function decodeRecordHeader(
  source: Uint8Array,
  offset: number,
  crc32c: Crc32c,
): RecordHeader | undefined {
  if (offset < 0 || offset + recordHeaderSize > source.byteLength) return undefined;
  const view = new DataView(source.buffer, source.byteOffset + offset, recordHeaderSize);
  if (!looksLikeRecord(view, 0) || view.getUint8(4) !== version) return undefined;
  const sum = crc32c(source.subarray(offset, offset + crcOffset));
  if (sum >>> 0 !== view.getUint32(crcOffset, true)) return undefined;
  const kind = kinds[view.getUint8(5)];
  const group = u53(view, 24);
  const durable = u53(view, 32);
  const payloadSize = view.getUint32(160, true);
  const zoneOffset = view.getUint32(20, true);
  if (kind === undefined || group === undefined || durable === undefined) return undefined;
  if (group < 1 || durable >= group || payloadSize > recordPayloadMax) return undefined;
  if (zoneOffset % recordAlignment !== 0 || !profileHolds(view, kind)) return undefined;
  const piece = (from: number, size: number): Uint8Array => {
    const copy = new Uint8Array(new ArrayBuffer(size));
    copy.set(source.subarray(offset + from, offset + from + size));
    return copy;
  };
  return {
    kind,
    device: piece(40, 16) as DeviceId,
    zone: view.getUint32(12, true),
    generation: view.getUint32(16, true),
    offset: zoneOffset,
    group,
    durable,
    tenant: piece(56, 16) as TenantId,
    shard: piece(72, 16) as ShardId,
    epoch: view.getBigUint64(88, true) as Epoch,
    operationId: piece(96, 16) as OperationId,
    chunkId: piece(112, 32) as ChunkId,
    sealId: piece(144, 16) as SealId,
    index: view.getUint8(6),
    data: view.getUint8(7),
    parity: view.getUint8(8),
    payloadSize,
    plainSize: view.getUint32(164, true),
    keyset: view.getUint32(168, true),
    payloadCrc: view.getUint32(172, true),
  };
}

/** Profiles of spec §2.11: 1–5 copies, 2–16 data, 1–8 parity; the index lies in it. */
function profileHolds(view: DataView, kind: RecordKind): boolean {
  const index = view.getUint8(6);
  const data = view.getUint8(7);
  const parity = view.getUint8(8);
  switch (kind) {
    case "fragment":
      return data >= 2 && data <= 16 && parity >= 1 && parity <= 8 && index < data + parity;
    case "copy":
      return data === 0 && parity >= 1 && parity <= 9 && index < parity;
    case "snapshot":
      return true;
    case "resume":
      return view.getUint32(160, true) === 0;
  }
}
