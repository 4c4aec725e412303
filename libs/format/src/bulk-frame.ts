import { assert, type ChunkId, chunkId, newBytes, type SealId, sealId } from "@kiseki/base";
import { bulkEntriesMax, bulkEntrySize } from "./bulk-entries.ts";
import { capabilitySize } from "./chunk-capability.ts";
import { type Crc32c, recordPayloadMax } from "./record.ts";

/**
 * Frames of the bulk port, in which sealed content goes between native clients and those who keep it, outside RPC.
 * A header, then its payload; many requests may be under way on one connection, answered in any order. Little-endian; drawn
 * in `docs/formats/bulk-frame.md`.
 */
export const bulkRequestSize = 192;
export const bulkAnswerSize = 64;
/** Sealed bytes of one chunk; also the largest payload. */
export const bulkPayloadMax = recordPayloadMax;
/** Requests that one connection may have under way. */
export const bulkRequestsMax = 64;

const requestMagic = 0x4251424b; // "KBQB"
const answerMagic = 0x4141424b; // "KBAA"
const version = 1;
const chunkSizeMax = 4 * 1024 * 1024;
/** Numbers are on the wire: append only. */
const kinds = { write: 1, read: 2, read_many: 3 } as const;
type Kind = keyof typeof kinds;
const kindNames: ReadonlyMap<number, Kind> = new Map(
  Object.entries(kinds).map(([name, number]) => [number, name as Kind]),
);
const flags = { small: 1, verify: 2 } as const;
const statuses = {
  /** A write's payload is its receipt, a read's the sealed bytes. */
  ok: 0,
  /** The frame is none; the connection is closed behind this answer. */
  malformed: 1,
  /** The capability is not for this, or over. */
  forbidden: 2,
  /** The capability is of another epoch: lease or plan again. */
  stale: 3,
  /** Too much is under way; the same again later. */
  busy: 4,
  no_space: 5,
  /** Other bytes were stored under this seal already. */
  conflict: 6,
  not_found: 7,
  /** Too few fragments are left. */
  lost: 8,
  /** The payload arrived with another checksum; the same again. */
  checksum: 9,
  /** Too few devices, or the node is stopping; the same again later. */
  unavailable: 10,
  internal: 11,
} as const;

export type BulkStatus = keyof typeof statuses;
const statusNames: ReadonlyMap<number, BulkStatus> = new Map(
  Object.entries(statuses).map(([name, number]) => [number, name as BulkStatus]),
);

interface BulkFrame {
  /** The client's, unique among those under way on the connection; `[0, 2^53)`. */
  readonly requestId: number;
}
interface BulkTarget extends BulkFrame {
  readonly chunkId: ChunkId;
  readonly sealId: SealId;
  /** 80 bytes, see `ChunkCapability`. */
  readonly capability: Uint8Array;
}
export type BulkRequest =
  | (BulkTarget & {
      readonly kind: "write";
      /** Plaintext bytes of the chunk, `[1, 4 MiB]`; the payload is all of it sealed. */
      readonly size: number;
      /** Stored as copies: one segment at most. */
      readonly isSmall: boolean;
      readonly payloadCrc: number;
    })
  | (BulkTarget & {
      readonly kind: "read";
      readonly size: number;
      /** `[segmentFirst, segmentEnd)`, sealed. */
      readonly segmentFirst: number;
      readonly segmentEnd: number;
      /** What came before did not open: read whole fragments with their checksums, and repair. */
      readonly isVerifying: boolean;
    })
  | (BulkFrame & {
      /** Whole chunks of one segment each; the payload is a `BulkEntry` for each. */
      readonly kind: "read_many";
      /** `[1, bulkEntriesMax]` */
      readonly count: number;
      readonly payloadCrc: number;
    });

/** The header of an answer; its payload follows. */
export interface BulkAnswer {
  readonly requestId: number;
  readonly kind: BulkRequest["kind"];
  readonly status: BulkStatus;
  readonly payloadSize: number;
  readonly payloadCrc: number;
  /** For those that may be tried again; 0: as the client likes. */
  readonly retryAfterMs: number;
}

const segmentSize = 64 * 1024;
const segmentOverhead = 28;
const sealedBytes = (size: number): number =>
  size + Math.ceil(size / segmentSize) * segmentOverhead;

/** Sealed bytes that a request brings (`write`) or asks for (`read`). */
export function bulkSealedSize(request: Exclude<BulkRequest, { kind: "read_many" }>): number {
  if (request.kind === "write") return sealedBytes(request.size);
  const { segmentFirst, segmentEnd, size } = request;
  return sealedBytes(Math.min(size, segmentEnd * segmentSize) - segmentFirst * segmentSize);
}

function putU53(view: DataView, offset: number, n: number): void {
  view.setUint32(offset, n >>> 0, true);
  view.setUint32(offset + 4, Math.floor(n / 0x1_0000_0000), true);
}
function u53(view: DataView, offset: number): number | undefined {
  const high = view.getUint32(offset + 4, true);
  return high > 0x1f_ffff ? undefined : high * 0x1_0000_0000 + view.getUint32(offset, true);
}

export function encodeBulkRequest(request: BulkRequest, crc32c: Crc32c): Uint8Array {
  const target = newBytes(bulkRequestSize);
  const view = new DataView(target.buffer);
  view.setUint32(0, requestMagic, true);
  view.setUint8(4, version);
  view.setUint8(5, kinds[request.kind]);
  putU53(view, 8, request.requestId);
  if (request.kind === "read_many") {
    view.setUint32(16, request.count * bulkEntrySize, true);
    view.setUint32(20, request.payloadCrc, true);
    view.setUint32(24, request.count, true);
  } else {
    putTarget(view, target, request);
  }
  view.setUint32(bulkRequestSize - 4, crc32c(target.subarray(0, bulkRequestSize - 4)), true);
  return target;
}
function putTarget(
  view: DataView,
  target: Uint8Array,
  request: Exclude<BulkRequest, { kind: "read_many" }>,
): void {
  assert(request.capability.byteLength === capabilitySize, "a capability has its size");
  view.setUint32(24, request.size, true);
  if (request.kind === "write") {
    view.setUint16(6, request.isSmall ? flags.small : 0, true);
    view.setUint32(16, bulkSealedSize(request), true);
    view.setUint32(20, request.payloadCrc, true);
  } else {
    view.setUint16(6, request.isVerifying ? flags.verify : 0, true);
    view.setUint32(28, request.segmentFirst, true);
    view.setUint32(32, request.segmentEnd, true);
  }
  target.set(request.chunkId, 40);
  target.set(request.sealId, 72);
  target.set(request.capability, 88);
}

/**
 * Reads the header at the start of `source`, at least `bulkRequestSize` bytes; what it holds are copies. `undefined`: it
 * is no request of this version, or damaged; nothing behind it can be understood.
 */
export function decodeBulkRequest(source: Uint8Array, crc32c: Crc32c): BulkRequest | undefined {
  const view = new DataView(source.buffer, source.byteOffset, bulkRequestSize);
  if (!holdsUp(view, source, bulkRequestSize, requestMagic, crc32c)) return undefined;
  const requestId = u53(view, 8);
  if (requestId === undefined) return undefined;
  if (view.getUint8(5) === kinds.read_many) return decodeMany(view, requestId);
  const size = view.getUint32(24, true);
  if (size < 1 || size > chunkSizeMax) return undefined;
  const target = {
    requestId,
    size,
    chunkId: chunkId(source.slice(40, 72)),
    sealId: sealId(source.slice(72, 88)),
    capability: source.slice(88, 88 + capabilitySize),
  };
  const [kind, bits, payloadSize] = [
    view.getUint8(5),
    view.getUint16(6, true),
    view.getUint32(16, true),
  ];
  if (kind === kinds.write) {
    const isSmall = bits === flags.small;
    const isRight = (bits === 0 || isSmall) && payloadSize === sealedBytes(size);
    if (!isRight || (isSmall && size > segmentSize)) return undefined;
    return { kind: "write", ...target, isSmall, payloadCrc: view.getUint32(20, true) };
  }
  const [segmentFirst, segmentEnd] = [view.getUint32(28, true), view.getUint32(32, true)];
  const isVerifying = bits === flags.verify;
  const isRight = kind === kinds.read && (bits === 0 || isVerifying) && payloadSize === 0;
  const isRange = segmentFirst < segmentEnd && segmentEnd <= Math.ceil(size / segmentSize);
  if (!isRight || !isRange) return undefined;
  return { kind: "read", ...target, segmentFirst, segmentEnd, isVerifying };
}

function decodeMany(view: DataView, requestId: number): BulkRequest | undefined {
  const [payloadSize, count] = [view.getUint32(16, true), view.getUint32(24, true)];
  if (count < 1 || count > bulkEntriesMax || payloadSize !== count * bulkEntrySize)
    return undefined;
  if (view.getUint16(6, true) !== 0) return undefined;
  return { kind: "read_many", requestId, count, payloadCrc: view.getUint32(20, true) };
}

export function encodeBulkAnswer(answer: BulkAnswer, crc32c: Crc32c): Uint8Array {
  const target = newBytes(bulkAnswerSize);
  const view = new DataView(target.buffer);
  view.setUint32(0, answerMagic, true);
  view.setUint8(4, version);
  view.setUint8(5, kinds[answer.kind]);
  view.setUint16(6, statuses[answer.status], true);
  putU53(view, 8, answer.requestId);
  view.setUint32(16, answer.payloadSize, true);
  view.setUint32(20, answer.payloadCrc, true);
  view.setUint32(24, answer.retryAfterMs, true);
  view.setUint32(bulkAnswerSize - 4, crc32c(target.subarray(0, bulkAnswerSize - 4)), true);
  return target;
}

/** As `decodeBulkRequest`, of the header of an answer. */
export function decodeBulkAnswer(source: Uint8Array, crc32c: Crc32c): BulkAnswer | undefined {
  const view = new DataView(source.buffer, source.byteOffset, bulkAnswerSize);
  if (!holdsUp(view, source, bulkAnswerSize, answerMagic, crc32c)) return undefined;
  const requestId = u53(view, 8);
  const kind = kindNames.get(view.getUint8(5));
  const status = statusNames.get(view.getUint16(6, true));
  const payloadSize = view.getUint32(16, true);
  if (requestId === undefined || kind === undefined || status === undefined) return undefined;
  if (payloadSize > bulkPayloadMax) return undefined;
  const [payloadCrc, retryAfterMs] = [view.getUint32(20, true), view.getUint32(24, true)];
  return { requestId, kind, status, payloadSize, payloadCrc, retryAfterMs };
}

/** Before the sealed chunks of an answer to `read_many`: how each of them fared, in two bytes. */
export const bulkStatusesSize = (count: number): number => 2 * count;

export function putBulkStatuses(given: readonly BulkStatus[], target: Uint8Array): void {
  const view = new DataView(target.buffer, target.byteOffset, bulkStatusesSize(given.length));
  for (let i = 0; i < given.length; i++) view.setUint16(2 * i, statuses[given[i]!], true);
}
/** Of the first `count` entries; `undefined`: there are too few, or one that nobody knows. */
export function takeBulkStatuses(
  source: Uint8Array,
  count: number,
): readonly BulkStatus[] | undefined {
  if (source.byteLength < bulkStatusesSize(count)) return undefined;
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  const found: BulkStatus[] = [];
  for (let i = 0; i < count; i++) {
    const status = statusNames.get(view.getUint16(2 * i, true));
    if (status === undefined) return undefined;
    found.push(status);
  }
  return found;
}

function holdsUp(
  view: DataView,
  source: Uint8Array,
  size: number,
  magic: number,
  crc32c: Crc32c,
): boolean {
  assert(source.byteLength >= size, "a whole header is here");
  if (view.getUint32(0, true) !== magic || view.getUint8(4) !== version) return false;
  return crc32c(source.subarray(0, size - 4)) >>> 0 === view.getUint32(size - 4, true);
}
