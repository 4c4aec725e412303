// Goal: no bytes from a disk make a decoder throw, hang or take memory on trust, and what is accepted is within limits.
// Method: the targets of format.fuzz.ts; KISEKI_FUZZ_EVENTS makes it longer, the same KISEKI_FUZZ_SEED replays a run.
import { expect, test } from "bun:test";
import { fuzz } from "@kiseki/base/contract";
import { formatTargets } from "./format.fuzz.ts";

const seed = Number(process.env["KISEKI_FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const events = Number(process.env["KISEKI_FUZZ_EVENTS"] ?? 3000);

test.each([...formatTargets])(`$name keeps its promises (KISEKI_FUZZ_SEED=${seed})`, (target) => {
  const { words } = fuzz(target, seed, (executions) => executions < events);
  // Else all is refused before it is looked at, or nothing is.
  const accepted = ["accepted", "header", "footer"].map((word) => words.get(word) ?? 0);
  expect(accepted.reduce((sum, count) => sum + count)).toBeGreaterThan(events / 50);
  expect(words.size).toBeGreaterThan(1);
});
