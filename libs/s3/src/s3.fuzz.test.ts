// Goal: no bytes from outside make this lib throw or hang, and what it accepts keeps its promises.
// Method: sound inputs, cut, repeated and with bytes changed, 10,000 per target. KISEKI_FUZZ_EVENTS
// makes it longer; the same KISEKI_FUZZ_SEED replays a run.
import { expect, test } from "bun:test";
import { fuzz } from "@kiseki/base/contract";
import { s3Targets } from "./s3.fuzz.ts";

const seed = Number(process.env["KISEKI_FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const events = Number(process.env["KISEKI_FUZZ_EVENTS"] ?? 10_000);

test.each([...s3Targets])(`$name keeps its promises (KISEKI_FUZZ_SEED=${seed})`, (target) => {
  const { words } = fuzz(target, seed, (executions) => executions < events);
  expect(words.size).toBeGreaterThan(1);
  // Else the mutations are too coarse to test anything.
  if (words.has("accepted")) expect(words.get("accepted")).toBeGreaterThan(events / 100);
});
