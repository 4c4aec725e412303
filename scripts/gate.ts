/**
 * Runs every check and every test, counts what each runner says, and ends with one line:
 * `N passed, N failed, N skipped`. Started by `scripts/test`, which has installed and built what is needed.
 *
 *   bun scripts/gate.ts          the gate
 *   bun scripts/gate.ts --full   long variants too; writes docs/full-run.md
 */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import skips from "../tests/skips.json" with { type: "json" };
import { type Expected, type Report, readJunit, skipFaults } from "./gate/report.ts";

const root = join(import.meta.dir, "..");
const isFull = process.argv.includes("--full");

interface Runner {
  readonly name: string;
  readonly words: readonly string[];
  /** Whether the runner writes JUnit; a check without it counts as one test. */
  readonly countsTests: boolean;
  /** In the full run beside the runner that follows: the minutes of fuzzing leave room for tests that wait for disks. */
  readonly isBeside?: boolean;
}

const tests = (name: string, ...words: string[]): Runner => ({
  name,
  words: ["bun", "test", "--timeout", "20000", ...words],
  countsTests: true,
});
const check = (name: string, ...words: string[]): Runner => ({ name, words, countsTests: false });

const runners: readonly Runner[] = [
  check("format", "bun", "fmt", "--check"),
  check("types", "bun", "check"),
  check("lint", "bun", "run", "lint"),
  tests("beside the code", "--parallel=2", "libs", "ffi", "apps"),
  { ...tests("house", "--isolate", "scripts"), isBeside: true },
  // One after the other: they start servers, kill them and measure; two at once would disturb each other.
  tests("real processes", "--isolate", "tests"),
];

interface Outcome extends Report {
  readonly name: string;
  readonly seconds: number;
}

/** `isQuiet`: prints only when it is done. */
async function runOne(runner: Runner, work: string, isQuiet: boolean): Promise<Outcome> {
  const { name, words, countsTests } = runner;
  const junit = join(work, `${name.replaceAll(" ", "-")}.xml`);
  const report = countsTests ? ["--reporter=junit", `--reporter-outfile=${junit}`] : [];
  console.log(`\n=== ${name}: ${words.join(" ")}`);
  const started = performance.now();
  const child = Bun.spawn([...words, ...report], {
    cwd: root,
    env: { ...process.env, ...(isFull ? { KISEKI_TEST_FULL: "1" } : {}) },
    stdin: "ignore",
    stdout: isQuiet ? Bun.file(join(work, "output")) : "inherit",
    stderr: isQuiet ? Bun.file(join(work, "errors")) : "inherit",
  });
  const code = await child.exited;
  if (isQuiet) {
    for (const part of ["output", "errors"])
      console.log(`=== ${name}\n${await Bun.file(join(work, part)).text()}`);
  }
  const seconds = (performance.now() - started) / 1000;
  const isGood = code === 0;
  if (!countsTests) {
    return { name, seconds, passed: isGood ? 1 : 0, failed: isGood ? [] : [name], skipped: [] };
  }
  const text = existsSync(junit) ? await Bun.file(junit).text() : "";
  const counted = readJunit(text);
  // A runner that died, or met an error outside any test, failed even if each test that it got to passed.
  const isSilent = !isGood && counted.failed.length === 0;
  const failed = isSilent ? [`${name}: exit status ${code}`] : counted.failed;
  return { name, seconds, passed: counted.passed, failed, skipped: counted.skipped };
}

/** Facts about the machine that a committed skip may hang on. */
const machine: Readonly<Record<string, boolean>> = {
  root: process.getuid?.() === 0,
  fuse: existsSync("/dev/fuse"),
  loop: process.getuid?.() === 0 && existsSync("/dev/loop-control"),
  systemd: Bun.which("systemd-analyze") !== null,
  full: isFull,
};

const started = performance.now();

async function writeFullRun(outcomes: readonly Outcome[], last: string): Promise<void> {
  const git = Bun.spawnSync(["git", "rev-parse", "HEAD"], { cwd: root });
  const rows = outcomes.map(
    ({ name, passed, failed, skipped, seconds }) =>
      `| ${name} | ${passed} | ${failed.length} | ${skipped.length} | ${seconds.toFixed(0)} |`,
  );
  const page = `# The last full run

\`scripts/test --full\`, ${new Date().toISOString().slice(0, 10)}, commit \`${git.stdout.toString().trim()}\`, ${cpus().length} cores, ${((performance.now() - started) / 60_000).toFixed(0)} minutes.

| runner | passed | failed | skipped | seconds |
| --- | --- | --- | --- | --- |
${rows.join("\n")}

Beside what the gate does: the simulator over 2,000 seeds of 2,000 operations, 102 kills of the built server under load,
5 GiB through aws-cli up and down, each fuzz target for 5 minutes (three at a time), and some 200 power cuts.

${last}
`;
  await Bun.write(join(root, "docs/full-run.md"), page);
  Bun.spawnSync(["bun", "fmt", "docs/full-run.md"], { cwd: root });
}

const work = await mkdtemp(join(tmpdir(), "kiseki-gate-"));
const outcomes: Outcome[] = [];
try {
  const beside: Promise<Outcome>[] = [];
  for (const runner of runners) {
    const isQuiet = isFull && runner.isBeside === true;
    const run = runOne(runner, work, isQuiet);
    if (isQuiet) beside.push(run);
    else outcomes.push(await run);
  }
  outcomes.push(...(await Promise.all(beside)));
} finally {
  await rm(work, { recursive: true });
}
const skipped = outcomes.flatMap((outcome) => outcome.skipped);
const faults = skipFaults(skipped, skips as readonly Expected[], machine);
const failed = [...outcomes.flatMap((outcome) => outcome.failed), ...faults];
console.log("");
for (const { name, seconds } of outcomes)
  console.log(`${name.padEnd(18)} ${seconds.toFixed(1).padStart(8)} s`);
for (const fault of failed) console.log(`failed: ${fault}`);
for (const name of skipped) console.log(`skipped: ${name}`);
const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
const last = `${passed} passed, ${failed.length} failed, ${skipped.length} skipped`;
if (isFull) await writeFullRun(outcomes, last);
console.log(last);
process.exit(failed.length === 0 ? 0 : 1);
