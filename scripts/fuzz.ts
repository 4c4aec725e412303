/**
 * Throws damaged and random bytes at every parser of what comes from outside.
 *
 *   bun run fuzz                         all targets, one after the other, until ctrl-C
 *   bun run fuzz NAME... --seconds N     these, N seconds each
 *   bun run fuzz NAME --seed S           the execution that failed, and on from there
 *   bun run fuzz --list                  names
 *
 * Each execution makes its input of one seed, S, S + 1, …: a failure prints target, seed and input, and status 1 follows.
 * `canary` is not run unless named: it fails always.
 */
import { parseArgs } from "node:util";
import { sealedTargets } from "../ffi/sealed-sqlite/src/sealed.fuzz.ts";
import { processTargets } from "../apps/fuse-client/src/process/process.fuzz.ts";
import { authTargets } from "../libs/auth/src/auth.fuzz.ts";
import { fuzz, FuzzFailure, type FuzzTarget, must } from "../libs/base/src/contract.ts";
import { formatTargets } from "../libs/format/src/format.fuzz.ts";
import { fuseTargets } from "../libs/fuse/src/fuse.fuzz.ts";
import { httpTargets } from "../libs/http/src/http.fuzz.ts";
import { s3Targets } from "../libs/s3/src/s3.fuzz.ts";
import { stsTargets } from "../libs/sts/src/sts.fuzz.ts";

const canary: FuzzTarget = {
  name: "canary",
  run(prng, note) {
    const input = prng.fill(new Uint8Array(4));
    note(input);
    must(input[0] !== 0xca, "no input begins with the canary's byte");
    return "accepted";
  },
};

/** Every target there is. */
const targets: readonly FuzzTarget[] = [
  ...httpTargets,
  ...authTargets,
  ...s3Targets,
  ...stsTargets,
  ...formatTargets,
  ...fuseTargets,
  ...processTargets,
  ...sealedTargets,
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string" },
    seed: { type: "string" },
    list: { type: "boolean", default: false },
  },
});

function fail(text: string, code: number): never {
  console.error(text);
  process.exit(code);
}

function chosen(): readonly FuzzTarget[] {
  const byName = new Map([...targets, canary].map((target) => [target.name, target]));
  return positionals.length === 0
    ? targets
    : positionals.map((name) => byName.get(name) ?? fail(`No target is called ${name}`, 2));
}

/** Fuzzes for `seconds`, with a line of progress each five. */
function runTarget(target: FuzzTarget, seed: number, seconds: number): void {
  const started = performance.now();
  let shown = started;
  const line = (executions: number): string => {
    const elapsed = (performance.now() - started) / 1000;
    const rate = Math.round(executions / elapsed);
    return `${target.name.padEnd(16)} ${executions} executions, ${rate}/s, seed ${seed}`;
  };
  const { executions, words } = fuzz(target, seed, (count) => {
    if (count % 16 !== 0) return true;
    const now = performance.now();
    if (now - shown > 5000) {
      shown = now;
      console.log(line(count));
    }
    return now - started < seconds * 1000;
  });
  const most = [...words].toSorted(([, a], [, b]) => b - a).slice(0, 4);
  console.log(`${line(executions)}: ${most.map(([word, times]) => `${word} ${times}`).join(", ")}`);
}

if (values.list) {
  for (const { name } of targets) console.log(name);
  process.exit(0);
}
const seconds = values.seconds === undefined ? Number.POSITIVE_INFINITY : Number(values.seconds);
if (!(seconds > 0)) fail(`Cannot fuzz for ${values.seconds} seconds`, 2);
const first = values.seed === undefined ? undefined : Number(values.seed);
if (first !== undefined && !Number.isSafeInteger(first)) fail(`No seed: ${values.seed}`, 2);
const all = chosen();
const isEndless = seconds === Number.POSITIVE_INFINITY;
const turn = isEndless && all.length > 1 ? 60 : seconds;
try {
  do {
    for (const target of all) runTarget(target, first ?? Math.floor(Math.random() * 2 ** 48), turn);
  } while (isEndless);
} catch (reason) {
  if (!(reason instanceof FuzzFailure)) throw reason;
  fail(reason.message, 1);
}
