import { expect, test } from "bun:test";
import { type Epoch, newBytes, operationId, prngFromSeed, shardId, tenantId } from "@kiseki/base";
import {
  bestSet,
  decodeRow,
  encodeRow,
  type Fragment,
  lacking,
  profileOf,
  type Row,
  wholeProfile,
} from "./row.ts";

const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 1e9));
const profiles = [
  ...([
    [0, 1],
    [0, 2],
    [0, 3],
    [2, 1],
    [3, 2],
    [4, 2],
    [8, 3],
  ] as const),
];

function rowOf(fragments: readonly Fragment[]): Row {
  return {
    candidate: false,
    plainSize: 100_000,
    keyset: 1,
    tenant: tenantId(newBytes(16)),
    shard: shardId(newBytes(16)),
    epoch: 3n as Epoch,
    operationId: operationId(newBytes(16)),
    fragments,
  };
}
const fragment = (data: number, parity: number, index: number): Fragment => ({
  ...{ device: index + 300, index, data, parity, bad: false },
  ...{ zone: 4, generation: 2, offset: 8192, group: 77, durable: 76, crc: 5 },
});

test("wholeProfile() knows every profile that is complete", () => {
  for (const [data, parity] of profiles) {
    const row = rowOf(Array.from({ length: data + parity }, (_, at) => fragment(data, parity, at)));
    expect(wholeProfile(encodeRow(row), () => true)).toEqual({ data, parity });
    expect(wholeProfile(encodeRow(row), (device) => device !== 300)).toBeUndefined();
  }
});

test(`wholeProfile() says nothing of a row that lacks anything (KISEKI_SIM_SEED=${seed})`, () => {
  const prng = prngFromSeed(seed);
  let whole = 0;
  for (let round = 0; round < 3000; round++) {
    const [data, parity] = profiles[prng.below(profiles.length)]!;
    const fragments = Array.from({ length: data + parity }, (_, at) => {
      const one = fragment(data, parity, at);
      if (prng.below(12) > 0) return one;
      const other = profiles[prng.below(profiles.length)]!;
      const changes: Partial<Fragment>[] = [
        ...[{ bad: true }, { device: 300 }, { index: prng.below(12) }, { device: 299 }],
        { data: other[0], parity: other[1] },
      ];
      return { ...one, ...changes[prng.below(changes.length)] };
    });
    if (prng.below(8) === 0) fragments.pop();
    if (fragments.length === 0) continue;
    const isTrusted = (device: number): boolean => device !== 299;
    const usable = (one: Fragment): boolean => !one.bad && isTrusted(one.device);
    const bytes = encodeRow(rowOf(fragments));
    const found = wholeProfile(bytes, isTrusted);
    if (found === undefined) continue;
    whole += 1;
    const best = bestSet(decodeRow(bytes), usable);
    expect(best.profile).toEqual(profileOf(found));
    expect(lacking(best.profile, best.fragments, usable)).toEqual([]);
  }
  expect(whole).toBeGreaterThan(100);
});
