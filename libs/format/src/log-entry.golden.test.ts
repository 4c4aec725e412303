import { expect, test } from "bun:test";
import { bytes, epoch, keyset, sequence, shardId, toHex } from "@kiseki/base";
import type { LogEntryHead } from "./log-entry.ts";
import {
  decodeLogEntry,
  decodeLogEntryHead,
  encodeLogEntryHead,
  logEntryBodySizeMax,
  logEntryDeltasMax,
  logEntryHeadSize,
  logEntryMacSize,
} from "./log-entry.ts";

const deltas: LogEntryHead = {
  kind: "deltas",
  shard: shardId(Uint8Array.from({ length: 16 }, (_, i) => 0xa0 + i)),
  epoch: epoch(0x1112131415161718n),
  keyset: keyset(0x31323334),
  sequenceFirst: sequence(0x2122232425262728n),
  epochDeltas: 0x3fffffff,
  deltaCount: 0x0fff,
  bodySize: bytes(0x00abcdef),
};
const started: LogEntryHead = {
  ...deltas,
  kind: "epoch",
  epochDeltas: 0,
  deltaCount: 0,
  bodySize: bytes(0),
};

// One row per head that ever shipped. Append only: an edited row is a broken upgrade.
const golden = [
  [
    "v1 deltas",
    deltas,
    "6b6c6f67 0100 0100 1817161514131211 2827262524232221 34333231 ffffff3f ff0f0000 efcdab00 0000000000000000 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
  ],
  [
    "v1 epoch",
    started,
    "6b6c6f67 0100 0200 1817161514131211 2827262524232221 34333231 00000000 00000000 00000000 0000000000000000 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
  ],
] as const;
for (const [name, head, hex] of golden) {
  test(`encodeLogEntryHead() keeps the bytes of ${name}`, () => {
    const target = new Uint8Array(logEntryHeadSize).fill(0xaa); // dirty on purpose
    encodeLogEntryHead(head, target);
    expect(toHex(target)).toBe(hex.replaceAll(" ", ""));
    expect(decodeLogEntryHead(target)).toEqual(head);
  });
}

test("decodeLogEntry() reads an epoch entry and refuses other sizes", () => {
  const source = new Uint8Array(logEntryHeadSize + logEntryMacSize).fill(0xbb);
  encodeLogEntryHead(started, source);
  const entry = decodeLogEntry(source);
  if (typeof entry === "string") throw new Error(entry);
  expect(entry.head).toEqual(started);
  expect(entry.deltas).toEqual([]);
  expect(entry.signed.byteLength).toBe(logEntryHeadSize);
  expect(toHex(entry.mac)).toBe("bb".repeat(32));
  expect(decodeLogEntry(source.subarray(0, 95))).toBe("wrong_size");
  expect(decodeLogEntry(new Uint8Array(63))).toBe("truncated");
});

test("decodeLogEntryHead() names each fault, and takes no size on trust", () => {
  const withWord = (offset: number, word: number): Uint8Array => {
    const source = new Uint8Array(logEntryHeadSize);
    encodeLogEntryHead(deltas, source);
    new DataView(source.buffer).setUint32(offset, word, true);
    return source;
  };
  expect(decodeLogEntryHead(withWord(0, 0))).toBe("bad_magic");
  expect(decodeLogEntryHead(withWord(4, 0x0001_0002))).toBe("unknown_version");
  expect(decodeLogEntryHead(withWord(4, 0x0003_0001))).toBe("bad_kind");
  expect(decodeLogEntryHead(withWord(24, 0))).toBe("bad_field");
  expect(decodeLogEntryHead(withWord(32, 0))).toBe("wrong_count");
  expect(decodeLogEntryHead(withWord(32, logEntryDeltasMax + 1))).toBe("too_large");
  expect(decodeLogEntryHead(withWord(36, logEntryBodySizeMax + 1))).toBe("too_large");
  expect(decodeLogEntryHead(withWord(40, 1))).toBe("bad_field");
  expect(decodeLogEntry(withWord(36, 0xffff_ffff))).toBe("too_large");
});
