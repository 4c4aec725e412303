import type { Bytes, Epoch, Keyset, Sequence, ShardId } from "@kiseki/base";
import { assert, bytes, epoch, KiB, keyset, MiB, sequence, shardId } from "@kiseki/base";
import type { DecodedDelta, DeltaFault } from "./delta.ts";
import { decodeDelta, deltaSizeMax } from "./delta.ts";

/** One append to a shard's log, drawn in `docs/formats/log-entry.md`: head, deltas of one batch, chain MAC. */
export const logEntryVersion = 1;
export const logEntryHeadSize = 64;
export const logEntryMacSize = 32;
/** Deltas of one append. */
export const logEntryDeltasMax = 4 * KiB;
/** Bytes of all deltas of one append. The owner ends a batch before it passes this. */
export const logEntryBodySizeMax = 16 * MiB;

const magic = 0x676f6c6b; // "klog" in file order

/** `deltas`: a batch. `epoch`: the first append of an epoch, which names it and has no deltas. */
export type LogEntryKind = "deltas" | "epoch";
const kindCodes: Readonly<Record<LogEntryKind, number>> = { deltas: 1, epoch: 2 };
const kinds: ReadonlyMap<number, LogEntryKind> = new Map([
  [1, "deltas"],
  [2, "epoch"],
]);

export interface LogEntryHead {
  readonly kind: LogEntryKind;
  readonly shard: ShardId;
  readonly epoch: Epoch;
  /** Whose chain key made the MAC, and whose root the deltas' log key comes from. */
  readonly keyset: Keyset;
  /** Sequence of the first delta; of the next one where there is none. */
  readonly sequenceFirst: Sequence;
  /** Deltas of this epoch in earlier entries, in `[0, 2^32)`. */
  readonly epochDeltas: number;
  readonly deltaCount: number;
  readonly bodySize: Bytes;
}

export type LogEntryFault = "wrong_size" | "wrong_count" | "bad_kind" | DeltaFault;

/** Views into the source: they live and change with it. */
export interface DecodedLogEntry {
  readonly kind: "entry";
  readonly head: LogEntryHead;
  readonly deltas: readonly DecodedDelta[];
  /** Everything before the MAC: what the MAC is over. */
  readonly signed: Uint8Array;
  readonly mac: Uint8Array;
}

/** Writes the head at the start of `target`. */
export function encodeLogEntryHead(head: LogEntryHead, target: Uint8Array): void {
  assert(head.deltaCount <= logEntryDeltasMax, "an entry has few enough deltas");
  assert(head.bodySize <= logEntryBodySizeMax, "an entry is small enough");
  const view = new DataView(target.buffer, target.byteOffset, logEntryHeadSize);
  view.setUint32(0, magic, true);
  view.setUint16(4, logEntryVersion, true);
  view.setUint16(6, kindCodes[head.kind], true);
  view.setBigUint64(8, head.epoch, true);
  view.setBigUint64(16, head.sequenceFirst, true);
  view.setUint32(24, head.keyset, true);
  view.setUint32(28, head.epochDeltas, true);
  view.setUint32(32, head.deltaCount, true);
  view.setUint32(36, head.bodySize, true);
  view.setBigUint64(40, 0n, true);
  target.set(head.shard, 48);
}

/** Reads the head alone; `source` may go on or end anywhere behind it. */
export function decodeLogEntryHead(source: Uint8Array): LogEntryHead | LogEntryFault {
  if (source.byteLength < logEntryHeadSize) return "truncated";
  const view = new DataView(source.buffer, source.byteOffset, logEntryHeadSize);
  if (view.getUint32(0, true) !== magic) return "bad_magic";
  if (view.getUint16(4, true) !== logEntryVersion) return "unknown_version";
  const kind = kinds.get(view.getUint16(6, true));
  if (kind === undefined) return "bad_kind";
  const deltaCount = view.getUint32(32, true);
  const bodySize = view.getUint32(36, true);
  if (deltaCount > logEntryDeltasMax || bodySize > logEntryBodySizeMax) return "too_large";
  if ((kind === "epoch") !== (deltaCount === 0)) return "wrong_count";
  const keysetNumber = view.getUint32(24, true);
  if (keysetNumber === 0 || view.getBigUint64(40, true) !== 0n) return "bad_field";
  return {
    kind,
    shard: shardId(source.subarray(48, 64)),
    epoch: epoch(view.getBigUint64(8, true)),
    keyset: keyset(keysetNumber),
    sequenceFirst: sequence(view.getBigUint64(16, true)),
    epochDeltas: view.getUint32(28, true),
    deltaCount,
    bodySize: bytes(bodySize),
  };
}

/** Reads one whole entry with its deltas' headers. Nothing is copied, nothing is believed: the MAC is the caller's to check. */
export function decodeLogEntry(source: Uint8Array): DecodedLogEntry | LogEntryFault {
  const head = decodeLogEntryHead(source);
  if (typeof head === "string") return head;
  const end = logEntryHeadSize + head.bodySize;
  if (source.byteLength !== end + logEntryMacSize) return "wrong_size";
  const deltas: DecodedDelta[] = [];
  let offset = logEntryHeadSize;
  for (let i = 0; i < head.deltaCount; i++) {
    const delta = decodeDelta(source.subarray(offset, end));
    if (typeof delta === "string") return delta;
    deltas.push(delta);
    offset += delta.size;
  }
  if (offset !== end) return "wrong_size";
  const signed = source.subarray(0, end);
  return { kind: "entry", head, deltas, signed, mac: source.subarray(end) };
}

assert(deltaSizeMax <= logEntryBodySizeMax, "one delta fits one entry");
