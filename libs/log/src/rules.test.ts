import { expect, test } from "bun:test";
import { bytes, GiB, KiB, logIndex, MiB, millis, TiB, wallTime } from "@kiseki/base";
import { admitBatches } from "./admission.ts";
import { advanceHlc, compareHlc, firstHlc, mergeHlc } from "./hlc.ts";
import type { ConsumerLag } from "./truncation.ts";
import {
  consumerBehindAgeMax,
  consumerBehindSizeMax,
  mustSpool,
  planTruncation,
  truncationTarget,
} from "./truncation.ts";

test("advanceHlc() is later each time, whatever the wall clock does", () => {
  let clock = firstHlc(5n);
  for (const now of [10, 10, 10, 9, 3, 11, 11, 0]) {
    const next = advanceHlc(clock, wallTime(now));
    expect(compareHlc(next, clock)).toBeGreaterThan(0);
    expect(next.physical).toBeGreaterThanOrEqual(now);
    clock = next;
  }
  expect(clock).toEqual({ physical: 11, logical: 2, node: 5n });
  const full = { physical: 20, logical: 0xffff_ffff, node: 5n };
  expect(advanceHlc(full, wallTime(1))).toEqual({ physical: 21, logical: 0, node: 5n });
});

test("mergeHlc() is after both, keeps its node, and does not believe a clock far ahead", () => {
  const local = { physical: 100, logical: 3, node: 1n };
  const remote = { physical: 100, logical: 8, node: 2n };
  const merge = (now: number) => mergeHlc(local, remote, wallTime(now), millis(50));
  expect(merge(90)).toEqual({ physical: 100, logical: 9, node: 1n });
  expect(mergeHlc(remote, local, wallTime(90), millis(50))).toEqual({
    physical: 100,
    logical: 9,
    node: 2n,
  });
  expect(merge(200)).toEqual({ physical: 200, logical: 0, node: 1n });
  expect(merge(50)).toBeDefined();
  expect(merge(49)).toBeUndefined();
});

test("compareHlc() orders by physical, logical, node", () => {
  const at = (physical: number, logical: number, node: bigint) => ({ physical, logical, node });
  const ordered = [at(1, 0, 9n), at(1, 1, 0n), at(1, 1, 2n), at(2, 0, 0n)];
  for (const [i, a] of ordered.entries()) {
    for (const [j, b] of ordered.entries())
      expect(Math.sign(compareHlc(a, b))).toBe(Math.sign(i - j));
  }
});

test("truncationTarget() keeps the head and what a consumer needs", () => {
  for (const [index, first, marks, expected] of [
    [0n, 1n, [], undefined],
    [1n, 1n, [], undefined],
    [2n, 1n, [], 1n],
    [10n, 1n, [], 9n],
    [10n, 1n, [10n, 4n, 7n], 4n],
    [10n, 5n, [4n], undefined],
    [10n, 5n, [5n], 5n],
    [10n, 10n, [10n], undefined],
    [10n, 11n, [], undefined],
    [10n, 1n, [0n], undefined],
  ] as const) {
    const head = { index: logIndex(index), first: logIndex(first) };
    const target = truncationTarget(head, marks.map(logIndex));
    expect([index, first, marks, target as bigint | undefined]).toEqual([
      index,
      first,
      marks,
      expected,
    ]);
  }
});

const now = wallTime(1_000_000_000);
const lag = (change: Partial<ConsumerLag>): ConsumerLag => ({
  name: "audit",
  mark: logIndex(3n),
  behindSize: bytes(0),
  behindSince: undefined,
  ...change,
});

test("mustSpool() waits for more than 1 GiB or more than a day", () => {
  for (const [change, expected] of [
    [{}, false],
    [{ behindSize: consumerBehindSizeMax }, false],
    [{ behindSize: bytes(consumerBehindSizeMax + 1) }, true],
    [{ behindSince: wallTime(now - consumerBehindAgeMax) }, false],
    [{ behindSince: wallTime(now - consumerBehindAgeMax - 1) }, true],
    [{ behindSince: wallTime(now + 10 * consumerBehindAgeMax) }, false],
  ] as const) {
    expect([change, mustSpool(lag(change), now)]).toEqual([change, expected]);
  }
});

test("planTruncation() spools the slow and cuts behind the lowest mark", () => {
  const head = { index: logIndex(10n), first: logIndex(2n) };
  const slow = lag({ name: "backup", behindSize: bytes(2 * GiB), mark: logIndex(2n) });
  expect(planTruncation(head, [lag({}), slow], now)).toEqual({
    spool: ["backup"],
    truncateTo: logIndex(2n),
  });
  expect(planTruncation(head, [lag({ mark: logIndex(1n) })], now)).toEqual({
    spool: [],
    truncateTo: undefined,
  });
});

test("admitBatches() refuses what adds below 5 % or 1 GiB, everything below 256 MiB", () => {
  for (const [free, total, expected] of [
    [TiB, 10 * TiB, "all"],
    [GiB, 10 * GiB, "all"],
    [GiB - 1, 10 * GiB, "deletes"],
    [GiB, 20 * GiB, "all"],
    [GiB, 20 * GiB + KiB, "deletes"],
    [49 * GiB, TiB, "deletes"],
    [52 * GiB, TiB, "all"],
    [256 * MiB, 10 * GiB, "deletes"],
    [256 * MiB - 1, 10 * GiB, "none"],
    [0, TiB, "none"],
  ] as const) {
    expect([free, total, admitBatches({ free: bytes(free), total: bytes(total) })]).toEqual([
      free,
      total,
      expected,
    ]);
  }
});
