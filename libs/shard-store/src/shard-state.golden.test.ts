import { expect, test } from "bun:test";
import { epoch, fromHex, logIndex, toHex } from "@kiseki/base";
import { rowHasher } from "./row-sums.ts";
import { decodeShardState, encodeShardState } from "./shard-state.ts";
import { testCrypto } from "./place.test-helper.ts";

const filled = Uint8Array.from({ length: 16 }, (_, i) => 0xf0 + i);
const empty = { index: logIndex(0n), first: logIndex(1n), epoch: epoch(0n), tables: [] };
const full = {
  index: logIndex(0x0102030405n),
  first: logIndex(0x0102030401n),
  epoch: epoch(0x1112n),
  tables: [
    { table: 0, rowCount: 1, sum: new Uint8Array(16) },
    { table: 255, rowCount: 0x0203040506, sum: filled },
  ],
};

// One row per state that ever shipped. Append only: an edited row is a broken upgrade.
const golden = [
  ["v1 empty", empty, "0100000000000000 0000000000000000 0100000000000000 0000000000000000"],
  [
    "v1 with two tables",
    full,
    "0100020000000000 0504030201000000 0104030201000000 1211000000000000 0000000000000000 0100000000000000 00000000000000000000000000000000 ff00000000000000 0605040302000000 f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
  ],
] as const;
for (const [name, state, hex] of golden) {
  test(`encodeShardState() keeps the bytes of ${name}`, () => {
    expect(toHex(encodeShardState(state))).toBe(hex.replaceAll(" ", ""));
    expect(decodeShardState(fromHex(hex.replaceAll(" ", "")))).toEqual(state);
  });
}

test("decodeShardState() names each fault", () => {
  const source = encodeShardState(full);
  for (let size = 0; size < source.byteLength; size++) {
    expect(decodeShardState(source.subarray(0, size))).toBe("damaged");
  }
  expect(decodeShardState(Uint8Array.of(2, ...source.slice(1)))).toBe("unknown_version");
  expect(decodeShardState(encodeShardState({ ...full, first: logIndex(0n) }))).toBe("damaged");
  const after = logIndex(full.index + 2n);
  expect(decodeShardState(encodeShardState({ ...full, first: after }))).toBe("damaged");
});

test("rowHasher() keeps its bytes: the sums of old files depend on it", () => {
  const hash = rowHasher(testCrypto, new Uint8Array(32).fill(1));
  expect(toHex(hash(fromHex("0102"), fromHex("03")).subarray(0, 16))).toBe(
    "5eb8488f0b9d15e1c2a4f99686ed2815",
  );
  expect(hash(fromHex("01"), fromHex("0203"))).not.toEqual(hash(fromHex("0102"), fromHex("03")));
  expect(hash(new Uint8Array(9000), new Uint8Array(1)).byteLength).toBeGreaterThanOrEqual(16);
});
