import { expect, test } from "bun:test";
import { fuzz } from "@kiseki/base/contract";
import { fuseTargets } from "./fuse.fuzz.ts";

const seed = Number(process.env["KISEKI_FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const rounds = Number(process.env["KISEKI_FUZZ_EVENTS"] ?? 3000);

test.each([...fuseTargets])(`$name keeps its promises (KISEKI_FUZZ_SEED=${seed})`, (target) => {
  const { words } = fuzz(target, seed, (executions) => executions < rounds);
  expect(words.get("malformed")).toBeGreaterThan(rounds / 100);
  expect(words.size).toBeGreaterThan(25);
});
