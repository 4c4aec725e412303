import { expect, test } from "bun:test";
import { runSeed, SimFailure, simMutants, type SimMutantName } from "./index.ts";

// Goal: the checkers see what follows from each rule that is broken. Method: the first seed from 1 on that
// finds it, as `bun scripts/sim.ts --seed 1 --minutes 30 --mutant NAME` found it; when code has changed
// what a seed does, the others up to 100 are tried.
const foundBy: Record<SimMutantName, number> = {
  content_synced_after_commit: 1,
  answer_before_commit: 1,
  shard_stored_after_answer: 1,
  count_off_by_one: 1,
  second_seal_kept: 1,
  directory_removed_with_old_versions: 1,
  hold_ignored: 1,
  notice_not_logged: 1,
  notices_not_resumed: 1,
  lock_ended_early: 1,
  newest_not_compared: 1,
  pin_ignored: 13,
  reader_ignored: 12,
  stale_index_believed: 1,
  old_zone_generation_believed: 1,
  returning_device_believed: 4,
  returning_mirror_believed: 2,
  living_not_copied: 1,
  thin_put_accepted: 8,
  old_shard_file_believed: 1,
};
const seedsMax = 100;

async function isFound(seed: number, mutant: SimMutantName): Promise<boolean> {
  try {
    await runSeed({ seed, mutant });
    return false;
  } catch (reason) {
    if (reason instanceof SimFailure) return true;
    throw reason;
  }
}

for (const mutant of Object.keys(simMutants) as SimMutantName[]) {
  test(`runSeed() finds the mutant ${mutant} within ${seedsMax} seeds`, async () => {
    let found = (await isFound(foundBy[mutant], mutant)) ? foundBy[mutant] : undefined;
    for (let seed = 1; seed <= seedsMax && found === undefined; seed++) {
      if (await isFound(seed, mutant)) found = seed;
    }
    expect(found).toBeDefined();
  }, 240_000);
}
