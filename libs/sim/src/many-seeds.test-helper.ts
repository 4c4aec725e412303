import { afterAll, expect, test } from "bun:test";
import { runSeed, SimFailure } from "./index.ts";

/** A long run is made in two files, side by side on two cores. */
export const isFull: boolean = process.env["KISEKI_TEST_FULL"] === "1";
/** The one seed that is asked for. */
export const seedChosen: string | undefined = process.env["KISEKI_SIM_SEED"];
const seedsPerTest = 4;
const total = new Map<string, number>();
let seedsDone = 0;

function explain(reason: unknown): never {
  if (!(reason instanceof SimFailure)) throw reason;
  const lines = [reason.message, ...reason.last, `replay: scripts/sim --seed ${reason.seed}`];
  throw new Error(lines.join("\n"), { cause: reason });
}

/** Tests over `count` seeds, and after them, when they were a hundred or more: that no fault was missing. */
export function testSeeds(first: number, count: number): void {
  for (let from = first; from < first + count; from += seedsPerTest) {
    const to = Math.min(from + seedsPerTest, first + count);
    test(`runSeed() keeps every promise on seeds ${from} to ${to - 1} (one of them: KISEKI_SIM_SEED)`, async () => {
      for (let seed = from; seed < to; seed++) {
        const report = await runSeed({ seed }).catch(explain);
        seedsDone += 1;
        expect(report.operations).toBeGreaterThanOrEqual(2000);
        for (const [name, n] of report.counts) total.set(name, (total.get(name) ?? 0) + n);
      }
    }, 120_000);
  }
  // Tests come in any order, so what all of them did together is looked at when they are over.
  afterAll(() => {
    if (seedsDone < 100) return;
    for (const name of [...total.keys()].toSorted())
      console.log(`${String(total.get(name)).padStart(9)}  ${name}`);
    const missed = [...faults, ...crashes, ...struck, ...done].filter((name) => !total.get(name));
    if (missed.length > 0) throw new Error(`Must strike at least once: ${missed.join(", ")}`);
  });
}

/** What has to strike at least once in a hundred seeds. */
const faults = [
  ...["lost_write", "late_write", "torn_write", "misdirected_write", "lying_sync", "bit_rot"],
  ...["read_error", "write_error", "sync_error", "no_space", "gone", "zeroed", "old_content"],
  ...["crash_before_commit", "crash_between_members", "crash_after_commit"],
  ...["member_lost", "member_returned", "data directory lost", "index lost"],
  ...["power cut", "process killed", "clock set", "devices swapped", "device returned"],
  ...["old shard file put back", "old index put back"],
  ...["receiver away", "notice refused", "notice's answer lost"],
].map((name) => `fault: ${name}`);
const crashes = [
  ...["write_begins", "written", "synced"],
  ...["index_flush_begins", "index_flush_done", "index_checkpoint_begins"],
].map((name) => `crash at ${name}`);
const done = [
  ...["notices delivered again", "dead letters sent again"],
  "chunks moved off devices",
];
const struck = [
  "put",
  "complete",
  "collect",
  "compact",
  "repair",
  "copy",
  "put part",
  "delete",
].map((name) => `crash during ${name}`);
