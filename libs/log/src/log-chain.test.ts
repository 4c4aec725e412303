import { expect, test } from "bun:test";
import { openAwsLc } from "@kiseki/aws-lc";
import type { Keyset, LogIndex } from "@kiseki/base";
import {
  chunkId,
  epoch,
  keyset,
  logIndex,
  operationId,
  prngFromSeed,
  sealId,
  sequence,
  shardId,
  tenantId,
} from "@kiseki/base";
import type { DeltaContent, DeltaStamp } from "@kiseki/format";
import { decodeDelta, decodeLogEntry } from "@kiseki/format";
import type { LogEntry } from "@kiseki/ports";
import type { ChainFault, LogChain } from "./log-chain.ts";
import {
  canGoOn,
  checkEntry,
  emptyChain,
  epochDeltasMax,
  packEntry,
  packEpochEntry,
  resumeChain,
} from "./log-chain.ts";
import { openDelta, sealDelta } from "./seal-delta.ts";

const crypto = openAwsLc(`${import.meta.dir}/../../../build/native`);
const prng = prngFromSeed(1);
const shard = shardId(new Uint8Array(16).fill(1));
const logKey = new Uint8Array(32).fill(2);
const chainKey = new Uint8Array(32).fill(3);
const keyOf = (k: Keyset): Uint8Array | undefined => (k === 1 ? chainKey : undefined);

const stampOf = (chain: LogChain, offset = 1n): DeltaStamp => ({
  shard,
  tenant: tenantId(new Uint8Array(16).fill(4)),
  sequence: sequence(chain.sequence + offset),
  hlc: { physical: 1000, logical: 0, node: 1n },
  operationId: operationId(prng.fill(new Uint8Array(16))),
  epoch: chain.epoch,
  keyset: keyset(1),
});
const content: DeltaContent = {
  operation: 7,
  dirKey: new Uint8Array(16).fill(5),
  nameTag: new Uint8Array(16).fill(6),
  chunkRefs: [
    {
      chunkId: chunkId(new Uint8Array(32).fill(7)),
      sealId: sealId(new Uint8Array(16).fill(8)),
      pool: 0,
      profile: 0x0402,
      placementEpoch: 1,
      size: 4096,
    },
  ],
  payload: new TextEncoder().encode("a name"),
};
const sealAt = (chain: LogChain, offset: bigint, change: Partial<DeltaStamp> = {}): Uint8Array =>
  sealDelta(crypto, prng, { logKey, stamp: { ...stampOf(chain, offset), ...change }, content });

function start(at = 1n, from: LogChain = emptyChain(shard)): { entry: LogEntry; chain: LogChain } {
  const packed = packEpochEntry(crypto, chainKey, from, { epoch: epoch(at), keyset: keyset(1) });
  return { entry: { index: packed.next.index, bytes: packed.bytes }, chain: packed.next };
}
function append(chain: LogChain, count: number): { entry: LogEntry; chain: LogChain } {
  const deltas = Array.from({ length: count }, (_, i) => sealAt(chain, BigInt(i + 1)));
  const packed = packEntry(crypto, chainKey, chain, { keyset: keyset(1), deltas });
  return { entry: { index: packed.next.index, bytes: packed.bytes }, chain: packed.next };
}
/** epoch 1, batch of 2, batch of 3, epoch 4, batch of 1. */
function sample(): { entries: LogEntry[]; chains: LogChain[] } {
  const entries: LogEntry[] = [];
  const chains: LogChain[] = [emptyChain(shard)];
  const add = (step: { entry: LogEntry; chain: LogChain }): void => {
    entries.push(step.entry);
    chains.push(step.chain);
  };
  add(start());
  add(append(chains[1]!, 2));
  add(append(chains[2]!, 3));
  add(start(4n, chains[3]!));
  add(append(chains[4]!, 1));
  return { entries, chains };
}
const faultOf = (chain: LogChain, entry: LogEntry, keys = keyOf): ChainFault | "accepted" => {
  const checked = checkEntry(crypto, keys, chain, entry);
  return checked.kind === "halt" ? checked.fault : checked.kind;
};

test("checkEntry() accepts a whole log and arrives at the owner's chain", () => {
  const { entries, chains } = sample();
  let chain = emptyChain(shard);
  const sequences: bigint[] = [];
  for (const entry of entries) {
    const checked = checkEntry(crypto, keyOf, chain, entry);
    if (checked.kind === "halt") throw new Error(checked.fault);
    for (const delta of checked.deltas) {
      sequences.push(delta.header.sequence);
      const opened = openDelta(crypto, logKey, delta);
      if (opened === "bad_tag") throw new Error(opened);
      expect(opened.payload).toEqual(content.payload);
    }
    chain = checked.next;
  }
  expect(chain).toEqual(chains.at(-1)!);
  expect(sequences).toEqual([1n, 2n, 3n, 4n, 5n, 6n]);
  expect(chain.epochDeltas).toBe(1);
});

test("checkEntry() halts at holes, reordering, repeats and splices", () => {
  const { entries, chains } = sample();
  const moved = (entry: LogEntry, index: bigint): LogEntry => ({
    ...entry,
    index: logIndex(index),
  });
  expect(faultOf(chains[1]!, entries[2]!)).toBe("hole");
  expect(faultOf(chains[1]!, moved(entries[2]!, 2n))).toBe("bad_mac");
  expect(faultOf(chains[2]!, moved(entries[1]!, 3n))).toBe("bad_mac");
  const other = append(chains[1]!, 2); // another history from the same point
  expect(faultOf(chains[1]!, other.entry)).toBe("accepted");
  expect(faultOf(other.chain, entries[2]!)).toBe("bad_mac");
  expect(faultOf(emptyChain(shardId(new Uint8Array(16))), entries[0]!)).toBe("foreign_shard");
  expect(faultOf(emptyChain(shard), entries[0]!, () => undefined)).toBe("no_key");
  expect(faultOf(emptyChain(shard), entries[0]!, () => new Uint8Array(32))).toBe("bad_mac");
});

test("checkEntry() halts at every flipped bit and every cut", () => {
  const { entries, chains } = sample();
  const { bytes: source, index } = entries[1]!;
  for (let i = 0; i < source.byteLength; i++) {
    const flipped = source.slice();
    flipped[i]! ^= 1 << (i % 8);
    expect([i, faultOf(chains[1]!, { index, bytes: flipped })]).not.toEqual([i, "accepted"]);
  }
  for (let size = 0; size < source.byteLength; size += 13) {
    expect(faultOf(chains[1]!, { index, bytes: source.slice(0, size) })).not.toBe("accepted");
  }
});

// What an owner with a bug, or one that was fenced, might append: the MAC is right, a rule is broken.
const rules: readonly (readonly [string, (chain: LogChain) => LogEntry, ChainFault])[] = [
  [
    "a sequence is skipped",
    (c) => append({ ...c, sequence: sequence(c.sequence + 1n) }, 1).entry,
    "sequence_jump",
  ],
  [
    "a sequence comes twice",
    (c) => append({ ...c, sequence: sequence(c.sequence - 1n) }, 1).entry,
    "sequence_jump",
  ],
  ["an older epoch goes on", (c) => append({ ...c, epoch: epoch(1n) }, 1).entry, "epoch_back"],
  ["an older epoch begins", (c) => start(3n, { ...c, epoch: epoch(1n) }).entry, "epoch_back"],
  ["the same epoch begins again", (c) => start(4n, { ...c, epoch: epoch(1n) }).entry, "epoch_back"],
  [
    "a new epoch without its entry",
    (c) => append({ ...c, epoch: epoch(9n) }, 1).entry,
    "epoch_unannounced",
  ],
  ["the epoch's count is wrong", (c) => append({ ...c, epochDeltas: 0 }, 1).entry, "epoch_count"],
  ["a delta of another epoch", (c) => mixed(c, { epoch: epoch(1n) }), "delta_mismatch"],
  ["a delta of another keyset", (c) => mixed(c, { keyset: keyset(2) }), "delta_mismatch"],
  [
    "a delta of another shard",
    (c) => mixed(c, { shard: shardId(new Uint8Array(16)) }),
    "foreign_shard",
  ],
  ["a delta with another sequence", (c) => mixed(c, { sequence: sequence(99n) }), "sequence_jump"],
];
function mixed(chain: LogChain, change: Partial<DeltaStamp>): LogEntry {
  const deltas = [sealAt(chain, 1n), sealAt(chain, 2n, change)];
  const packed = packEntry(crypto, chainKey, chain, { keyset: keyset(1), deltas });
  return { index: packed.next.index, bytes: packed.bytes };
}
for (const [claim, entryOf, fault] of rules) {
  test(`checkEntry() halts when ${claim}`, () => {
    const { chains } = sample();
    const chain = chains.at(-1)!;
    expect(faultOf(chain, append(chain, 1).entry)).toBe("accepted");
    expect(faultOf(chain, entryOf(chain))).toBe(fault);
  });
}

test("checkEntry() halts when a keyset goes back", () => {
  const { chains } = sample();
  const chain = { ...chains.at(-1)!, keyset: 2 };
  const entry = append(chains.at(-1)!, 1).entry;
  expect(faultOf(chain, entry)).toBe("keyset_back");
});

test("packEntry() and packEpochEntry() assert what the owner must keep", () => {
  const { chain } = start();
  const deltas = [sealAt(chain, 1n)];
  expect(() =>
    packEntry(crypto, chainKey, emptyChain(shard), { keyset: keyset(1), deltas }),
  ).toThrow();
  expect(() => packEntry(crypto, chainKey, chain, { keyset: keyset(1), deltas: [] })).toThrow();
  const full = { ...chain, epochDeltas: epochDeltasMax };
  expect(canGoOn({ ...chain, epochDeltas: epochDeltasMax - 1 }, 1)).toBe(true);
  expect(canGoOn(full, 1)).toBe(false);
  expect(() => packEntry(crypto, chainKey, full, { keyset: keyset(1), deltas })).toThrow();
  expect(() => start(1n, chain)).toThrow();
  expect(start(2n, full).chain.epochDeltas).toBe(0);
});

test("resumeChain() goes on from the last entry's own words", () => {
  const { entries, chains } = sample();
  for (const [i, entry] of entries.entries()) expect(resumeChain(entry)).toEqual(chains[i + 1]!);
  expect(resumeChain({ index: 1n as LogIndex, bytes: new Uint8Array(3) })).toBe("truncated");
});

test("an append of unknown outcome may be renumbered: the tag does not cover the sequence", () => {
  const { chain } = start();
  const source = sealAt(chain, 1n);
  new DataView(source.buffer).setBigUint64(16, 77n, true);
  const delta = decodeDelta(source);
  if (typeof delta === "string") throw new Error(delta);
  expect(delta.header.sequence).toBe(sequence(77n));
  expect(openDelta(crypto, logKey, delta)).not.toBe("bad_tag");
});

test("openDelta() refuses any other flipped bit, another key and another header", () => {
  const { chain } = start();
  const source = sealAt(chain, 1n);
  for (let i = 0; i < source.byteLength; i++) {
    if (i >= 16 && i < 24) continue; // the sequence
    const flipped = source.slice();
    flipped[i]! ^= 0x10;
    const delta = decodeDelta(flipped);
    if (typeof delta === "string") continue;
    expect([i, openDelta(crypto, logKey, delta)]).toEqual([i, "bad_tag"]);
  }
  const delta = decodeDelta(source);
  if (typeof delta === "string") throw new Error(delta);
  expect(openDelta(crypto, chainKey, delta)).toBe("bad_tag");
});

test("sealDelta() shows no name and never the same bytes twice", () => {
  const { chain } = start();
  const stamp = stampOf(chain);
  const [one, other] = [0, 1].map(() => sealDelta(crypto, prng, { logKey, stamp, content }));
  expect(Buffer.from(one!).includes("a name")).toBe(false);
  expect(one).not.toEqual(other!);
});

test("decodeLogEntry() names an unknown version, of the entry or of a delta", () => {
  const { entries } = sample();
  const source = entries[1]!.bytes.slice();
  source[4] = 2;
  expect(decodeLogEntry(source)).toBe("unknown_version");
  source[4] = 1;
  source[64 + 4] = 2;
  expect(decodeLogEntry(source)).toBe("unknown_version");
});
