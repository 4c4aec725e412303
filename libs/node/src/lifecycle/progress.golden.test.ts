import { expect, test } from "bun:test";
import { fromUtf8, toUtf8, wallTime } from "@kiseki/base";
import { decodeProgress, encodeProgress, type Progress } from "./progress.ts";

const before = { looked: 6, expired: 5, removed: 4, aborted: 3, changed: 2, held: 1 };
const counts = { ...before, moved: 0, skipped: 0 };
const countsText = '{"looked":6,"expired":5,"removed":4,"aborted":3,"changed":2,"held":1}';

// Append only: a row that is edited is a round that begins anew after an upgrade.
const golden: readonly (readonly [Progress, string])[] = [
  [
    {
      started: wallTime(1_764_500_000_000),
      finished: undefined,
      phase: "versions",
      after: Uint8Array.of(0x61, 0xff),
      counts,
    },
    `{"version":1,"started":1764500000000,"phase":"versions","after":"61ff","counts":${countsText}}`,
  ],
  [
    {
      started: wallTime(1_764_500_000_000),
      finished: wallTime(1_764_500_000_001),
      phase: "uploads",
      after: undefined,
      counts,
    },
    `{"version":1,"started":1764500000000,"finished":1764500000001,"phase":"uploads","counts":${countsText}}`,
  ],
  [
    {
      started: wallTime(1_764_500_000_000),
      finished: undefined,
      phase: "versions",
      after: undefined,
      counts: { ...before, moved: 7, skipped: 8 },
    },
    `{"version":1,"started":1764500000000,"phase":"versions","counts":${countsText.slice(0, -1)},"moved":7,"skipped":8}}`,
  ],
];
test.each(golden)("a round's progress is kept as %o", (progress, text) => {
  expect(fromUtf8(encodeProgress(progress))).toBe(text);
  expect(decodeProgress(toUtf8(text))).toEqual(progress);
});

test.each([
  "",
  "{",
  "[]",
  golden[0]![1].replace('"version":1', '"version":2'),
  golden[0]![1].replace('"versions"', '"parts"'),
  golden[0]![1].replace('"61ff"', '"61f"'),
  golden[0]![1].replace('"looked":6', '"looked":-1'),
  golden[0]![1].replace('"looked":6,', ""),
])("decodeProgress() takes nothing from %p", (text) => {
  expect(decodeProgress(toUtf8(text))).toBeUndefined();
});
