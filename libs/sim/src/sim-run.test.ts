import { expect, test } from "bun:test";
import { runSeed } from "./index.ts";
import { isFull, seedChosen, testSeeds } from "./many-seeds.test-helper.ts";

// Goal: whatever strikes within STORE §6, nothing acknowledged is lost, changed or made up. Method: whole
// nodes on simulated ports, a plain model beside them; each seed is one run of 2,000 operations.
const first = seedChosen === undefined ? 1 : Number(seedChosen);
testSeeds(first, seedChosen !== undefined ? 1 : isFull ? 1000 : 100);

test("runSeed() does the same again for the same seed", async () => {
  const runs = [await runSeed({ seed: first }), await runSeed({ seed: first })];
  expect(runs[0]!.hash).toBe(runs[1]!.hash);
  expect(runs[0]!.counts).toEqual(runs[1]!.counts);
}, 120_000);
