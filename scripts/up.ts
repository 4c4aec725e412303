/**
 * Starts a node in the background and says how to reach it; a running one is left alone. Started by `scripts/up`,
 * which has installed and built what is needed.
 */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseSize } from "../libs/node/src/config/setting.ts";
import { describeNode, explain, findScarce, type NodeFacts } from "./starting/describe.ts";
import {
  checkRoom,
  helpText,
  type Plan,
  PlanError,
  planFrom,
  readPlan,
  serverWords,
  writePlan,
} from "./starting/plan.ts";
import { findRunning, isReady, startServer, stopServer, type Running } from "./starting/process.ts";

const program = join(import.meta.dir, "../build/bin/kiseki-server");
const exitCode = { ok: 0, failure: 1, arguments: 2, notRunning: 3 } as const;

/** Runs `act`, then says on standard error what was done and how long it took. */
async function step<T>(what: string, act: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await act();
  console.error(`  ${what.padEnd(44)} ${(performance.now() - started).toFixed(0).padStart(6)} ms`);
  return result;
}

async function show(
  plan: Plan,
  running: Running,
  secrets: { isFirst: boolean; recoveryCode: string | undefined },
) {
  const facts: NodeFacts = await describeNode(plan, running);
  if (!plan.isJson || secrets.recoveryCode !== undefined)
    console.log(explain(plan, facts, { ...secrets, scarce: await findScarce(plan) }));
  if (plan.isJson) console.log(JSON.stringify(facts));
}

const progressMs = 3000;

const sizeOf = (path: string): number | undefined =>
  statSync(path, { throwIfNoEntry: false })?.size;

/** Device files are written whole once, which takes a while: says how far that is until disposed. */
function showDeviceFiles({ devices, deviceSize }: Plan): Disposable {
  const made = devices.filter((path) => !existsSync(path));
  const total = made.length * (parseSize(deviceSize) ?? 0);
  const timer = setInterval(() => {
    const sizes = made.map((path) => sizeOf(path) ?? sizeOf(`${path}.new`) ?? 0);
    const done = sizes.reduce((sum, size) => sum + size, 0);
    if (done >= total) return;
    const share = ((100 * done) / total).toFixed(0);
    console.error(`    device files: ${share} % of ${made.length} x ${deviceSize}`);
  }, progressMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

async function status(plan: Plan): Promise<number> {
  const running = await findRunning(plan);
  if (!running) {
    console.error("The node does not run; scripts/up starts it");
    return exitCode.notRunning;
  }
  const ready = await isReady((await describeNode(plan, running)).metrics_endpoint);
  console.error(ready ? "The node runs and is ready" : "The node runs and is not ready");
  await show(plan, running, { isFirst: false, recoveryCode: undefined });
  return ready ? exitCode.ok : exitCode.failure;
}

async function stop(plan: Plan): Promise<number> {
  const running = await findRunning(plan);
  if (!running) console.error("The node does not run");
  else await step("stop", () => stopServer(plan, running));
  return exitCode.ok;
}

async function up(plan: Plan): Promise<number> {
  const known = await findRunning(plan);
  if (known) {
    const saved = await readPlan(plan);
    if (saved && serverWords(saved).join("\0") !== serverWords(plan).join("\0")) {
      console.error("The node runs with other settings: stop it first (scripts/up --stop)");
      return exitCode.failure;
    }
    await step("already running", async () => undefined);
    await show(plan, known, { isFirst: false, recoveryCode: undefined });
    return exitCode.ok;
  }
  await checkRoom(plan);
  const isFirst = !existsSync(join(plan.configDir, "credentials.json"));
  using _progress = showDeviceFiles(plan);
  const { running, recoveryCode, ended } = await step("start and wait until ready", async () => {
    const started = await startServer(program, plan);
    await writePlan(plan);
    return started;
  });
  await show(plan, running, { isFirst, recoveryCode });
  if (!plan.isForeground) return exitCode.ok;
  return (await ended) ?? exitCode.failure;
}

async function main(words: readonly string[]): Promise<number> {
  const plan = await planFrom(words, process.env);
  if (plan.act === "help") {
    console.log(helpText);
    return exitCode.ok;
  }
  const acts = { status, stop, up } as const;
  return acts[plan.act](plan);
}

try {
  process.exit(await main(process.argv.slice(2)));
} catch (reason) {
  console.error(`up: ${reason instanceof Error ? reason.message : String(reason)}`);
  process.exit(reason instanceof PlanError ? exitCode.arguments : exitCode.failure);
}
