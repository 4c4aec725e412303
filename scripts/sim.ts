/** Runs whole simulated nodes, seed after seed: `bun scripts/sim.ts [--seed N] [--minutes M] [--operations K] [--mutant NAME]`. */
import { parseArgs } from "node:util";
import { runSeed, SimFailure, simMutants, type SimMutantName } from "../libs/sim/src/index.ts";

const usage = `usage: scripts/sim [--seed N] [--minutes M] [--operations K] [--mutant NAME]
  --seed N        the first seed; alone, the only one (default: a random one)
  --minutes M     goes on with the next seeds for so long
  --operations K  per seed (default 2000)
  --mutant NAME   breaks one rule, to see it found: ${Object.keys(simMutants).join(", ")}`;

interface Wanted {
  readonly seed: number;
  readonly minutes: number;
  readonly operations: number;
  readonly mutant: SimMutantName | undefined;
}

const isMutant = (name: string): name is SimMutantName => Object.hasOwn(simMutants, name);

function readNumber(text: string, name: string, max: number): number {
  const number = Number(text);
  if (!/^[0-9]+(\.[0-9]+)?$/.test(text) || number > max)
    throw new RangeError(`Cannot use --${name} ${text}: it is a number up to ${max}`);
  return number;
}
function readWanted(): Wanted {
  const { values } = parseArgs({
    options: {
      seed: { type: "string" },
      minutes: { type: "string", default: "0" },
      operations: { type: "string", default: "2000" },
      mutant: { type: "string" },
    },
  });
  const { mutant } = values;
  if (mutant !== undefined && !isMutant(mutant))
    throw new RangeError(`Cannot use --mutant ${mutant}`);
  const random = crypto.getRandomValues(new Uint32Array(1))[0]!;
  return {
    seed: values.seed === undefined ? random : readNumber(values.seed, "seed", 2 ** 32 - 1),
    minutes: readNumber(values.minutes, "minutes", 100_000),
    operations: readNumber(values.operations, "operations", 1_000_000),
    mutant,
  };
}

function printCounts(counts: ReadonlyMap<string, number>): void {
  for (const [name, count] of [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    console.log(`${String(count).padStart(9)}  ${name}`);
}
function printFailure(failure: SimFailure): void {
  for (const line of failure.last) console.log(`  ${line}`);
  console.log(failure.message);
  console.log(`replay: scripts/sim --seed ${failure.seed}`);
}

async function main(): Promise<number> {
  let wanted: Wanted;
  try {
    wanted = readWanted();
  } catch (reason) {
    console.log(reason instanceof Error ? reason.message : String(reason));
    console.log(usage);
    return 2;
  }
  const { operations, mutant } = wanted;
  const total = new Map<string, number>();
  const end = performance.now() + wanted.minutes * 60_000;
  let seed = wanted.seed;
  let done = 0;
  do {
    const started = performance.now();
    try {
      const report = await runSeed({ seed, operations, ...(mutant && { mutant }) });
      for (const [name, count] of report.counts) total.set(name, (total.get(name) ?? 0) + count);
      done += report.operations;
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      console.log(
        `seed ${seed}: ${report.operations} operations, ${seconds} s, hash ${report.hash}`,
      );
    } catch (reason) {
      if (!(reason instanceof SimFailure)) throw reason;
      printCounts(total);
      printFailure(reason);
      return 1;
    }
    seed += 1;
  } while (performance.now() < end);
  printCounts(total);
  console.log(`${seed - wanted.seed} seeds, ${done} operations: every promise held`);
  return 0;
}
process.exit(await main());
