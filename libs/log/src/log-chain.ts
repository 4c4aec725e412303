import type { Bytes, Epoch, Keyset, LogIndex, Sequence, ShardId } from "@kiseki/base";
import {
  assert,
  bytes,
  epoch,
  logIndex,
  newBytes,
  sameBytes,
  sequence,
  unreachable,
} from "@kiseki/base";
import type { DecodedDelta, LogEntryFault, LogEntryHead } from "@kiseki/format";
import {
  decodeLogEntry,
  encodeLogEntryHead,
  logEntryBodySizeMax,
  logEntryDeltasMax,
  logEntryHeadSize,
  logEntryMacSize,
} from "@kiseki/format";
import type { Crypto, LogEntry } from "@kiseki/ports";

/** Deltas under one log key: random 96-bit nonces stay safe up to 2^32, and this is far below (KEYS §3). */
export const epochDeltasMax = 2 ** 30;

/** Where a shard's log stands after its last entry. A value: `packEntry` and `checkEntry` answer a new one. */
export interface LogChain {
  readonly shard: ShardId;
  /** Of the last append; 0 for an empty log. */
  readonly index: LogIndex;
  /** Of the last delta; 0 before the first. */
  readonly sequence: Sequence;
  /** 0 before the first epoch entry. */
  readonly epoch: Epoch;
  /** 0 before the first entry. */
  readonly keyset: number;
  /** Deltas appended under `epoch`. */
  readonly epochDeltas: number;
  /** MAC of the last entry; zeros before the first. */
  readonly mac: Uint8Array;
}

/** The chain of a shard that has no entry yet. */
export function emptyChain(shard: ShardId): LogChain {
  return {
    shard,
    index: logIndex(0n),
    sequence: sequence(0n),
    epoch: epoch(0n),
    keyset: 0,
    epochDeltas: 0,
    mac: newBytes(logEntryMacSize),
  };
}

/**
 * Whether the next batch of `deltaCount` deltas may go on under the chain's epoch. False: append an epoch
 * entry of a higher epoch first, since one log key seals at most `epochDeltasMax` deltas.
 */
export function canGoOn(chain: LogChain, deltaCount: number): boolean {
  return chain.epochDeltas + deltaCount <= epochDeltasMax;
}

/** HMAC(chain key, previous MAC ‖ index as 8 bytes, little-endian ‖ entry without its MAC): KEYS §3. */
function entryMac(
  crypto: Crypto,
  chainKey: Uint8Array,
  previous: Uint8Array,
  index: LogIndex,
  signed: Uint8Array,
): Uint8Array {
  const number = newBytes(8);
  new DataView(number.buffer).setBigUint64(0, index, true);
  return crypto.hmacSha256(chainKey, previous, number, signed);
}

/** What an entry of `deltaCount` deltas and `bodySize` bytes adds to the chain, its MAC apart. */
function entryHead(
  chain: LogChain,
  keyset: Keyset,
  kind: LogEntryHead["kind"],
  body: { readonly epoch: Epoch; readonly deltaCount: number; readonly bodySize: Bytes },
): LogEntryHead {
  return {
    kind,
    shard: chain.shard,
    keyset,
    sequenceFirst: sequence(chain.sequence + 1n),
    epochDeltas: kind === "epoch" ? 0 : chain.epochDeltas,
    ...body,
  };
}

function finishEntry(
  crypto: Crypto,
  chainKey: Uint8Array,
  chain: LogChain,
  head: LogEntryHead,
  target: Uint8Array,
): PackedEntry {
  encodeLogEntryHead(head, target);
  const signed = target.subarray(0, target.byteLength - logEntryMacSize);
  const mac = entryMac(crypto, chainKey, chain.mac, logIndex(chain.index + 1n), signed);
  assert(mac.byteLength === logEntryMacSize, "a MAC fills its place");
  target.set(mac, signed.byteLength);
  return { bytes: target, next: chainAfter(head, logIndex(chain.index + 1n), mac) };
}

function chainAfter(head: LogEntryHead, index: LogIndex, mac: Uint8Array): LogChain {
  return {
    shard: head.shard.slice() as ShardId,
    index,
    sequence: sequence(head.sequenceFirst - 1n + BigInt(head.deltaCount)),
    epoch: head.epoch,
    keyset: head.keyset,
    epochDeltas: head.epochDeltas + head.deltaCount,
    mac: mac.slice(),
  };
}

/** An entry ready to be appended at index `next.index`, and the chain once it is committed. */
export interface PackedEntry {
  readonly bytes: Uint8Array;
  /** Take it only after the commit: an entry that was not appended leaves the chain as it was. */
  readonly next: LogChain;
}

/**
 * The first append of epoch `started`: at each start of the owner, and when `canGoOn` says no.
 * `chainKey` is that of (shard, `keyset`), borrowed.
 */
export function packEpochEntry(
  crypto: Crypto,
  chainKey: Uint8Array,
  chain: LogChain,
  started: { readonly epoch: Epoch; readonly keyset: Keyset },
): PackedEntry {
  assert(started.epoch > chain.epoch, "a new epoch is higher than all before");
  assert(started.keyset >= chain.keyset, "keysets only grow");
  const head = entryHead(chain, started.keyset, "epoch", {
    epoch: started.epoch,
    deltaCount: 0,
    bodySize: bytes(0),
  });
  const target = newBytes(logEntryHeadSize + logEntryMacSize);
  return finishEntry(crypto, chainKey, chain, head, target);
}

/**
 * Packs the deltas of one batch, sealed with sequences from `chain.sequence + 1` on and stamped with the
 * chain's epoch and `keyset`. `chainKey` is that of (shard, `keyset`), borrowed.
 */
export function packEntry(
  crypto: Crypto,
  chainKey: Uint8Array,
  chain: LogChain,
  batch: { readonly keyset: Keyset; readonly deltas: readonly Uint8Array[] },
): PackedEntry {
  const { deltas } = batch;
  assert(chain.epoch > 0n, "an epoch entry comes first");
  assert(deltas.length >= 1 && deltas.length <= logEntryDeltasMax, "a batch fits one entry");
  assert(canGoOn(chain, deltas.length), "the epoch's key may seal this batch");
  assert(batch.keyset >= chain.keyset, "keysets only grow");
  let bodySize = 0;
  for (const delta of deltas) bodySize += delta.byteLength;
  assert(bodySize <= logEntryBodySizeMax, "a batch's bytes fit one entry");
  const head = entryHead(chain, batch.keyset, "deltas", {
    epoch: chain.epoch,
    deltaCount: deltas.length,
    bodySize: bytes(bodySize),
  });
  const target = newBytes(logEntryHeadSize + bodySize + logEntryMacSize);
  let offset = logEntryHeadSize;
  for (const delta of deltas) {
    target.set(delta, offset);
    offset += delta.byteLength;
  }
  return finishEntry(crypto, chainKey, chain, head, target);
}

/**
 * Why an entry is not the next of its chain; the view stops at it. `hole`: its index is not the next.
 * `no_key`: the caller has no chain key of its keyset. The rest say which rule its head or a delta breaks.
 */
export type ChainFault =
  | LogEntryFault
  | "hole"
  | "no_key"
  | "bad_mac"
  | "foreign_shard"
  | "sequence_jump"
  | "epoch_back"
  | "epoch_unannounced"
  | "epoch_count"
  | "keyset_back"
  | "delta_mismatch";

export type CheckedEntry =
  | {
      readonly kind: "accepted";
      readonly head: LogEntryHead;
      /** Views into the entry's bytes. */
      readonly deltas: readonly DecodedDelta[];
      readonly next: LogChain;
    }
  | { readonly kind: "halt"; readonly fault: ChainFault; readonly index: LogIndex };

/**
 * Whether `entry` is what the owner appended right after `chain`: no hole, splice, reordering, foreign
 * delta or fallen epoch. `chainKeyOf` gives the chain key of a keyset, or `undefined` when there is none.
 */
export function checkEntry(
  crypto: Crypto,
  chainKeyOf: (keyset: Keyset) => Uint8Array | undefined,
  chain: LogChain,
  entry: LogEntry,
): CheckedEntry {
  const halt = (fault: ChainFault): CheckedEntry => ({ kind: "halt", fault, index: entry.index });
  if (entry.index !== chain.index + 1n) return halt("hole");
  const decoded = decodeLogEntry(entry.bytes);
  if (typeof decoded === "string") return halt(decoded);
  const { head, deltas, signed, mac } = decoded;
  const chainKey = chainKeyOf(head.keyset);
  if (chainKey === undefined) return halt("no_key");
  const expected = entryMac(crypto, chainKey, chain.mac, entry.index, signed);
  if (!crypto.equal(expected, mac)) return halt("bad_mac");
  const fault = headFault(chain, head) ?? deltasFault(head, deltas);
  if (fault !== undefined) return halt(fault);
  return { kind: "accepted", head, deltas, next: chainAfter(head, entry.index, mac) };
}

function headFault(chain: LogChain, head: LogEntryHead): ChainFault | undefined {
  if (!sameBytes(head.shard, chain.shard)) return "foreign_shard";
  if (head.sequenceFirst !== chain.sequence + 1n) return "sequence_jump";
  if (head.keyset < chain.keyset) return "keyset_back";
  switch (head.kind) {
    case "epoch":
      if (head.epoch <= chain.epoch) return "epoch_back";
      return head.epochDeltas === 0 ? undefined : "epoch_count";
    case "deltas":
      if (head.epoch < chain.epoch) return "epoch_back";
      if (head.epoch > chain.epoch || head.epoch === 0n) return "epoch_unannounced";
      if (head.epochDeltas !== chain.epochDeltas) return "epoch_count";
      return canGoOn(chain, head.deltaCount) ? undefined : "epoch_count";
    default:
      return unreachable(head.kind);
  }
}

function deltasFault(head: LogEntryHead, deltas: readonly DecodedDelta[]): ChainFault | undefined {
  let expected = head.sequenceFirst as bigint;
  for (const { header } of deltas) {
    if (header.sequence !== expected) return "sequence_jump";
    if (!sameBytes(header.shard, head.shard)) return "foreign_shard";
    if (header.epoch !== head.epoch || header.keyset !== head.keyset) return "delta_mismatch";
    expected += 1n;
  }
  return undefined;
}

/**
 * The chain right after `entry`, taken from its own words: where a check begins whose predecessor was
 * truncated, and where an owner goes on whose file is itself the truth. `truncationTarget` keeps the last entry for it.
 */
export function resumeChain(entry: LogEntry): LogChain | LogEntryFault {
  const decoded = decodeLogEntry(entry.bytes);
  if (typeof decoded === "string") return decoded;
  return chainAfter(decoded.head, entry.index, decoded.mac);
}
