// Goal: bytes mean the same however they are cut, whatever they are; nothing throws; memory stays bounded.
// Method: good dialogues, mutated at random, decoded whole, byte by byte, split at every position, and in random pieces.
import { expect, test } from "bun:test";
import { fuzz } from "@kiseki/base/contract";
import { httpTargets, meaningOf, samples } from "./http.fuzz.ts";

const seed = Number(process.env["KISEKI_FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const rounds = Number(process.env["KISEKI_FUZZ_EVENTS"] ?? 1500);

test("RequestDecoder means the same at every split of good requests", () => {
  const all = Uint8Array.from(samples.flatMap((sample) => [...sample]));
  const whole = meaningOf([all]);
  expect(whole.match(/"kind":"end"/g)).toHaveLength(samples.length);
  for (let at = 0; at <= all.byteLength; at++) {
    expect(meaningOf([all.slice(0, at), all.slice(at)])).toBe(whole);
  }
});

test.each([...httpTargets])(`$name keeps its promises (KISEKI_FUZZ_SEED=${seed})`, (target) => {
  const { words } = fuzz(target, seed, (executions) => executions < rounds);
  // The mutations reach many faults, and spare enough to be accepted.
  if (target.name === "http-request") expect(words.size).toBeGreaterThan(8);
  if (target.name === "http-target") expect(words.get("accepted")).toBeGreaterThan(rounds / 100);
});
