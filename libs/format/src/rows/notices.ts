import type { NamespaceId, WallTime } from "@kiseki/base";
import { concatBytes, namespaceId, toUtf8 } from "@kiseki/base";
import { RowError, RowReader, RowWriter } from "./codec.ts";
import { readEtag, writeEtag } from "./content.ts";
import { escapeName, table, unescapeName } from "./keys.ts";
import type { Etag } from "./types.ts";

/**
 * What happened to an object, for those who subscribed. In a delta's payload it is a row that `apply` passes over;
 * in the map it waits for a target (`queued`), or lies where a target would not take it (`dead`).
 */
export interface NoticeRow {
  readonly event: NoticeEvent;
  readonly namespace: NamespaceId;
  /** Name of the namespace then. */
  readonly bucket: string;
  readonly key: Uint8Array;
  readonly version: bigint;
  readonly isNull: boolean;
  /** The namespace kept versions then. */
  readonly isVersioned: boolean;
  readonly size: number;
  readonly etag: Etag;
  readonly time: WallTime;
  /** Who did it, from where, by which request; empty when the node did. */
  readonly principal: string;
  readonly address: string;
  readonly requestId: string;
}

/** Codes are stored: append only. */
const eventCodes = {
  "created:put": 1,
  "created:post": 2,
  "created:copy": 3,
  "created:complete": 4,
  "removed:delete": 5,
  "removed:marker": 6,
  "tagging:put": 7,
  "tagging:delete": 8,
  "acl:put": 9,
  "expired:delete": 10,
  "expired:marker": 11,
  transition: 12,
} as const;
export type NoticeEvent = keyof typeof eventCodes;
const eventNames: ReadonlyMap<number, NoticeEvent> = new Map(
  Object.entries(eventCodes).map(([name, code]) => [code, name as NoticeEvent]),
);

/** A notice that a target would not take. */
export interface DeadNotice {
  readonly time: WallTime;
  readonly reason: string;
  /** An encoded `NoticeRow`. */
  readonly notice: Uint8Array;
}

const textSizeMax = 256;
const keySizeMax = 64 * 1024;
const noticeSizeMax = 80 * 1024;
const writer = (): RowWriter => new RowWriter().u8(1);

export function encodeNotice(row: NoticeRow): Uint8Array {
  const flags = (row.isNull ? 1 : 0) | (row.isVersioned ? 2 : 0);
  const to = writer().u8(eventCodes[row.event]).u8(flags).raw(row.namespace);
  to.text(row.bucket).bytes(row.key).big(row.version).number(row.size);
  writeEtag(to, row.etag);
  to.signed(row.time).text(row.principal).text(row.address).text(row.requestId);
  return to.done();
}
export function decodeNotice(source: Uint8Array): NoticeRow {
  const from = new RowReader(source, "a notice");
  const event = eventNames.get(from.u8()) ?? from.fail("bad_field");
  const flags = from.flags(3);
  const row: NoticeRow = {
    event,
    isNull: (flags & 1) !== 0,
    isVersioned: (flags & 2) !== 0,
    namespace: namespaceId(from.raw(16)),
    bucket: from.text(textSizeMax),
    key: from.bytes(keySizeMax),
    version: from.big(),
    size: from.number(),
    etag: readEtag(from),
    time: from.time(),
    principal: from.text(textSizeMax),
    address: from.text(textSizeMax),
    requestId: from.text(textSizeMax),
  };
  from.end();
  return row;
}
export const encodeDeadNotice = ({ time, reason, notice }: DeadNotice): Uint8Array =>
  writer().signed(time).text(reason).bytes(notice).done();
export function decodeDeadNotice(source: Uint8Array): DeadNotice {
  const from = new RowReader(source, "a dead notice");
  const row = { time: from.time(), reason: from.text(1024), notice: from.bytes(noticeSizeMax) };
  from.end();
  return row;
}

/** Notice number `index` of a delta: never a row of the map. */
export const loggedNoticeKey = (index: number): Uint8Array =>
  Uint8Array.of(table.notice, 0, index >> 8, index);
export const isLoggedNoticeKey = (key: Uint8Array): boolean =>
  key[0] === table.notice && key[1] === 0;

const placeSize = 10;
const shelves = { queued: 1, dead: 2 } as const;
export type NoticeShelf = keyof typeof shelves;
export const noticePrefix = (shelf: NoticeShelf, target: string): Uint8Array =>
  concatBytes(Uint8Array.of(table.notice, shelves[shelf]), escapeName(toUtf8(target), true));
/** In the order of the log: `sequence` of the delta, `index` of the notice in it. */
export function noticeKey(
  shelf: NoticeShelf,
  target: string,
  { sequence, index }: NoticePlace,
): Uint8Array {
  const place = new Uint8Array(placeSize);
  const view = new DataView(place.buffer);
  view.setBigUint64(0, sequence);
  view.setUint16(8, index);
  return concatBytes(noticePrefix(shelf, target), place);
}
export interface NoticePlace {
  readonly sequence: bigint;
  readonly index: number;
}
/** @throws {RowError} */
export function parseNoticeKey(key: Uint8Array): NoticePlace {
  const { next } = unescapeName(key, 2);
  if (key.byteLength !== next + placeSize) throw new RowError("bad_field", "a notice's key");
  const view = new DataView(key.buffer, key.byteOffset + next, key.byteLength - next);
  return { sequence: view.getBigUint64(0), index: view.getUint16(8) };
}
