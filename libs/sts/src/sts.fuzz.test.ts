// Goal: no parameters make the parser of STS throw, and what is accepted is within limits.
import { expect, test } from "bun:test";
import { fuzz } from "@kiseki/base/contract";
import { stsTargets } from "./sts.fuzz.ts";

const seed = Number(process.env["KISEKI_FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const rounds = Number(process.env["KISEKI_FUZZ_EVENTS"] ?? 3000);

test.each([...stsTargets])(`$name keeps its promises (KISEKI_FUZZ_SEED=${seed})`, (target) => {
  const { words } = fuzz(target, seed, (executions) => executions < rounds);
  expect(words.get("accepted")).toBeGreaterThan(rounds / 50);
  expect(words.size).toBeGreaterThan(3);
});
