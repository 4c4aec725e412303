import { type LogIndex, logIndex } from "@kiseki/base";
import { decodeChange } from "@kiseki/composition";
import {
  decodeLogEntry,
  decodeNotice,
  type DecodedDelta,
  isLoggedNoticeKey,
  type NoticeRow,
} from "@kiseki/format";
import { openDelta } from "@kiseki/log";
import type { Crypto, LogEntry } from "@kiseki/ports";
import type { OpenTenant } from "../object/types.ts";
import type { Place } from "./event-record.ts";

export interface PlacedNotice {
  readonly notice: NoticeRow;
  /** As it stands in the log. */
  readonly bytes: Uint8Array;
  readonly place: Place;
}

/** Entries that are opened at once: the loop goes on between steps. */
const entriesPerStep = 64;
const sizePerStep = 1 << 20;
/** Entries that are remembered to hold notices, before all of them are looked through again. */
const marksMax = 65_536;

/** An entry or delta of the log cannot be read: its consumer stops there. */
export class LogDamageError extends Error {
  override readonly name = "LogDamageError";
}

/**
 * Which entries of a shard's log are worth opening: those that were there when it opened, and of later ones those
 * that the owner said hold notices.
 */
export class NoticeMarks {
  /** All up to here are looked through. */
  #scanTo: LogIndex;
  #marks: LogIndex[] = [];

  constructor(head: LogIndex) {
    this.#scanTo = head;
  }
  add(index: LogIndex): void {
    if (this.#marks.at(-1) === index) return;
    if (this.#marks.length >= marksMax) {
      this.#scanTo = index;
      this.#marks = [];
    } else this.#marks.push(index);
  }
  /** The next entry to open behind `after`; `undefined`: none is. */
  next(after: LogIndex): { readonly index: LogIndex; readonly isScan: boolean } | undefined {
    if (after < this.#scanTo) return { index: logIndex(after + 1n), isScan: true };
    const index = this.#marks.find((mark) => mark > after);
    return index === undefined ? undefined : { index, isScan: false };
  }
  /** Nobody asks for what is up to `index` any more. */
  forget(index: LogIndex): void {
    const kept = this.#marks.findIndex((mark) => mark > index);
    if (kept !== 0) this.#marks = kept < 0 ? [] : this.#marks.slice(kept);
  }
}

function openNotices(
  crypto: Crypto,
  tenant: OpenTenant,
  delta: DecodedDelta,
): readonly PlacedNotice[] {
  const { header } = delta;
  const keys = tenant.keys("read").keyset(header.keyset);
  if (keys === undefined) throw new LogDamageError(`Keyset ${header.keyset} of the log is gone`);
  const logKey = keys.logKey(header.shard, header.epoch);
  try {
    const opened = openDelta(crypto, logKey, delta);
    if (opened === "bad_tag") throw new LogDamageError("A delta's tag is wrong");
    const change = decodeChange(opened.payload);
    if (change.kind === "fault") throw new LogDamageError(`A delta cannot be read: ${change.code}`);
    const found = change.rows.filter(({ key }) => isLoggedNoticeKey(key));
    return found.map(({ value = new Uint8Array(0) }, index) => ({
      notice: decodeNotice(value),
      bytes: value,
      place: { sequence: header.sequence, index },
    }));
  } finally {
    crypto.wipe(logKey);
  }
}

/** Operations that write notices: the clear header says which a delta is of. */
const noticing: ReadonlySet<number> = new Set([
  ...[16, 17, 18, 19, 20, 35],
  ...[64, 65, 67, 68, 73, 77, 80, 81, 82, 83, 84],
]);

/** One step behind `after`: what it holds, in order, and up to where it went. `undefined`: there is no more. */
export function readNotices(
  crypto: Crypto,
  tenant: OpenTenant,
  marks: NoticeMarks,
  after: LogIndex,
): { readonly notices: readonly PlacedNotice[]; readonly upTo: LogIndex } | undefined {
  const { store } = tenant;
  const head = store.head();
  const next = marks.next(after);
  if (next === undefined || next.index > head.index) {
    return after < head.index ? { notices: [], upTo: head.index } : undefined;
  }
  const from = next.index < head.first ? head.first : next.index;
  const entries: readonly LogEntry[] = next.isScan
    ? store.read(from, entriesPerStep, sizePerStep)
    : store.read(from, 1, 1);
  const notices: PlacedNotice[] = [];
  for (const { bytes } of entries) {
    const entry = decodeLogEntry(bytes);
    if (typeof entry === "string") throw new LogDamageError(`An entry cannot be read: ${entry}`);
    for (const delta of entry.deltas) {
      if (noticing.has(delta.header.operation)) notices.push(...openNotices(crypto, tenant, delta));
    }
  }
  return { notices, upTo: entries.at(-1)?.index ?? head.index };
}

/** When the first entry behind `after` was appended, and about how large one is. */
export function measureBehind(
  tenant: OpenTenant,
  after: LogIndex,
): { readonly since: number | undefined; readonly size: number } {
  const { index } = tenant.store.head();
  const sample = tenant.store.read(logIndex(after + 1n), 16, sizePerStep);
  let since: number | undefined;
  let size = 0;
  for (const { bytes } of sample) {
    size += bytes.byteLength;
    const entry = decodeLogEntry(bytes);
    if (since === undefined && typeof entry !== "string")
      since = entry.deltas[0]?.header.hlc.physical;
  }
  const average = sample.length === 0 ? 0 : size / sample.length;
  return { since, size: Math.round(average * Number(index - after)) };
}
