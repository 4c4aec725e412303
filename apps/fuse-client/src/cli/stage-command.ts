import { CommandError, type ExitCode, exitCode, formatSize } from "@kiseki/cli";
import { type Command, Option } from "commander";
import {
  addCacheOptions,
  planStage,
  readCacheSettings,
  readPool,
  type StageFlags,
  throwFaults,
} from "../staging/plan.ts";
import { findPools, findStaged, wipeFound } from "../staging/pools.ts";
import { exitOfFailure, startInBackground } from "./background.ts";
import type { Run } from "./command.ts";
import { addConnectionOptions } from "./connection.ts";
import { Console } from "./console.ts";
import { openStagingView, type StagingView } from "./progress.ts";

interface Flags extends StageFlags {
  readonly daemon?: boolean;
  readonly detached?: boolean;
  readonly status?: boolean;
  readonly releaseAll?: boolean;
}
const stageHelp = `
Stages all files below a path: whole, verified copies on this machine's disk, as they are now. Once that is done the pool is kept
for the mount that is started with KISEKI_CACHE_POOL_ID; with --daemon in another process, which this one does not wait for.
The same command again fetches what has changed, and goes on where a killed one ended.`;

type Act = (flags: Flags, run: Run, console: Console) => Promise<ExitCode>;

const stage: Act = async (flags, run, console) => {
  const plan = planStage(flags, flags.dataset!, run.environment);
  // The client is large.
  const { runStaging, stagedText } = await import("../staging/run-staging.ts");
  const isJson = flags.json ?? false;
  if (flags.detached) {
    const onProgress = everySoOften((progress) => console.emit(progress));
    return runStaging(plan, { console, isDetached: true, onProgress });
  }
  using view = openStagingView(plan.dataset, isJson);
  if (!flags.daemon) {
    const onProgress = (progress: Progress): void => view.update(progress);
    const onReady = (): void => view[Symbol.dispose]();
    return runStaging(plan, { console, isDetached: false, onProgress, onReady });
  }
  const words = [...run.words.filter((word) => word !== "--daemon"), "--detached"];
  const started = await startInBackground(words, (said) =>
    view.update(said as unknown as Progress),
  );
  view[Symbol.dispose]();
  if (started.kind === "failed") return exitOfFailure(started);
  const { pid, said } = started;
  console.say(stagedText(said), { ...said, pid });
  return exitCode.ok;
};
type Progress = Parameters<StagingView["update"]>[0];

const saidEveryMs = 200;
function everySoOften(tell: (progress: Progress) => void): (progress: Progress) => void {
  let next = 0;
  return (progress) => {
    const now = performance.now();
    if (now < next) return;
    next = now + saidEveryMs;
    tell(progress);
  };
}

/** Exit code 1 when the dataset that is named is not staged, or not all of it. */
const status: Act = async (flags, { environment }, console) => {
  const directory = cacheDirectory(flags, environment, "tell what is staged");
  const all = await findStaged(directory);
  const wanted = flags.dataset === undefined ? undefined : normal(flags.dataset);
  const found = all.filter(({ dataset }) => wanted === undefined || dataset === wanted);
  const datasets = found.map((each) => ({
    dataset: each.dataset,
    namespace: each.namespace,
    pool: each.pool.id,
    use: each.pool.use,
    files: each.filesCount,
    bytes: each.size,
    is_complete: each.isComplete,
    staged_at: new Date(each.stagedAt).toISOString(),
  }));
  const lines = datasets.map(
    ({ dataset, pool, use, files, bytes, is_complete: isComplete, staged_at: at }) =>
      `${dataset}  ${files} files, ${formatSize(bytes)}${isComplete ? "" : " (not all of it)"}, ${at}, pool ${pool} (${use})`,
  );
  console.say(lines.length === 0 ? "nothing is staged" : lines.join("\n"), { datasets });
  const isThere = wanted === undefined || found.some(({ isComplete }) => isComplete);
  return isThere ? exitCode.ok : exitCode.general;
};
const normal = (dataset: string): string =>
  `/${dataset
    .split("/")
    .filter((name) => name !== "")
    .join("/")}`;

function cacheDirectory(flags: Flags, environment: Run["environment"], what: string): string {
  const faults: string[] = [];
  const { cacheDirectory: directory } = readCacheSettings(flags, environment, faults);
  throwFaults(what, faults);
  return directory;
}

/** Erases the pools in which something is staged. One that a mount has goes with the mount. */
const releaseAll: Act = async (flags, { environment }, console) => {
  const faults: string[] = [];
  const { cacheDirectory: directory } = readCacheSettings(flags, environment, faults);
  const id = readPool(flags.pool, environment, faults);
  if (id === "new") faults.push("--pool needs a pool's id here");
  throwFaults("release", faults);
  const staged = new Set((await findStaged(directory)).map(({ pool }) => pool.id));
  const pools = (await findPools(directory)).filter((pool) =>
    id === undefined ? staged.has(pool.id) : pool.id === id,
  );
  let released = 0;
  for (const pool of pools) if (await wipeFound(directory, pool)) released += 1;
  const left = pools.length - released;
  console.say(`${released} pools released`, { released, in_use: left });
  if (left === 0) return exitCode.ok;
  throw new CommandError(
    exitCode.general,
    `${left} pools are in use by mounts`,
    "They are erased when the mounts are taken away.",
  );
};

const release: Act = async (flags, run, console) => {
  const plan = planStage(flags, flags.release!, run.environment);
  const { runRelease } = await import("../staging/run-release.ts");
  if (flags.detached) return runRelease(plan, console);
  const started = await startInBackground([...run.words, "--detached"]);
  if (started.kind === "failed") return exitOfFailure(started);
  const { left } = started.said;
  console.say(`${plan.dataset} is released`, { released: plan.dataset, left });
  return exitCode.ok;
};

async function act(flags: Flags, run: Run): Promise<ExitCode> {
  const console = new Console(run.name, flags.json ?? false);
  try {
    const isNamed = flags.dataset !== undefined && !flags.status;
    const wanted: (Act | false | undefined)[] = [
      isNamed && stage,
      flags.status && status,
      flags.release !== undefined && release,
      flags.releaseAll && releaseAll,
    ];
    const [only, ...others] = wanted.filter((each) => each !== undefined && each !== false);
    if (only === undefined || others.length > 0)
      throw new CommandError(
        exitCode.arguments,
        "Say one of --dataset, --status, --release and --release-all",
      );
    return await only(flags, run, console);
  } catch (reason) {
    return console.fail(reason);
  }
}

/** `stage` and what becomes of it. */
export function addStage(program: Command, run: Run): void {
  const command = program
    .command("stage")
    .description("fetch a dataset to this machine's disk ahead of a job, or give it up")
    .option(
      "--dataset <path>",
      "file or folder of the namespace to stage; with --status: to look for",
    )
    .option("--daemon", "keep the pool in the background, and end once all is staged")
    .option("--timeout <seconds>", "fail when it takes longer; what is there by then stays")
    .option("--pool <id>", "go on with this pool, or with a new one (KISEKI_CACHE_POOL_ID)")
    .option("--status", "tell what is staged on this machine")
    .option("--release <path>", "erase a dataset")
    .option("--release-all", "erase all that is staged, or the pool that --pool names")
    .addHelpText("after", stageHelp);
  addCacheOptions(addConnectionOptions(command)).addOption(new Option("--detached").hideHelp());
  command.action(async () => {
    run.onEnd(await act(command.optsWithGlobals<Flags>(), run));
  });
}
