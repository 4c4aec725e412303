import { CommandError, type ExitCode, exitCode, formatSize } from "@kiseki/cli";
import { scavenge, stageDataset, type StagingFault, type StagingPool } from "@kiseki/client";
import { systemClock } from "@kiseki/host";
import type { Console } from "../cli/console.ts";
import { exitOf } from "../cli/fates.ts";
import type { StagingView } from "../cli/progress.ts";
import { type Connected, connect } from "../connect.ts";
import { nativeDirectory } from "../native-directory.ts";
import { keepPool } from "./keep-pool.ts";
import type { StagePlan } from "./plan.ts";
import { openPoolOf } from "./staging-pool.ts";
import { guardStaging, stageUnderPolicy, WipeError } from "./staging-policy.ts";

/** How long an operation waits for nodes, if the whole may take so long. */
const nodesWaitMs = 30_000;

type Progress = Parameters<StagingView["update"]>[0];

/** Ends what is under way: a signal, too much time, or that whoever started this process has gone. */
class Ending implements Disposable {
  readonly controller = new AbortController();
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  isLate = false;

  constructor(timeoutMs: number | undefined) {
    if (timeoutMs !== undefined)
      this.#timer = setTimeout(() => {
        this.isLate = true;
        this.controller.abort();
      }, timeoutMs);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      process.on(signal, () => this.controller.abort());
  }
  get signal(): AbortSignal {
    return this.controller.signal;
  }
  /** Until `[Symbol.dispose]`. */
  withStarter(): Disposable {
    const leave = (): void => this.controller.abort();
    process.stdin.on("end", leave).on("error", leave).resume();
    return {
      [Symbol.dispose]: () => {
        process.stdin.off("end", leave).off("error", leave).destroy();
      },
    };
  }
  /** From here on time does not count. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

export interface StagingWays {
  readonly console: Console;
  /** In the background, for the process that started this one. */
  readonly isDetached: boolean;
  readonly onProgress: (progress: Progress) => void;
  /** Before it is said that all is staged. */
  readonly onReady?: () => void;
}

/** Stages, says so, and keeps the pool until another process takes it over. A signal gives it up and erases it. */
export async function runStaging(wanted: StagePlan, ways: StagingWays): Promise<ExitCode> {
  const { console, isDetached } = ways;
  using ending = new Ending(wanted.timeoutMs);
  const starter = isDetached ? ending.withStarter() : undefined;
  await using connected = await connect(
    { ...wanted.connection, timeoutMs: Math.min(nodesWaitMs, wanted.timeoutMs ?? nodesWaitMs) },
    nativeDirectory,
  );
  const note = (text: string): void => console.note(text);
  const { plan, policy } = await stageUnderPolicy(wanted, connected, note);
  const pool = await openPoolOf(plan, connected, policy, note);
  guardStaging(connected, policy, ending.controller);
  try {
    await stage(plan, ways, connected, pool, ending);
  } catch (reason) {
    // What is whole stays for the next try; a pool without anything is not worth keeping.
    const isWorth = pool.images.manifests.some(({ files }) => files.length > 0);
    if (isWorth && !(ending.signal.reason instanceof WipeError)) pool.handOver();
    else await pool.close();
    ending.controller.abort();
    throw reason;
  }
  ending[Symbol.dispose]();
  starter?.[Symbol.dispose]();
  return keepPool(pool, ending.controller);
}

async function stage(
  plan: StagePlan,
  { console, isDetached, onProgress, onReady }: StagingWays,
  { client }: Connected,
  pool: StagingPool,
  ending: Ending,
): Promise<void> {
  const { dataset, names, settings } = plan;
  const started = performance.now();
  const erased = scavenge(settings.cacheDirectory, ending.signal, () => undefined);
  let last: Progress | undefined;
  const outcome = await stageDataset(
    { clock: systemClock, client, images: pool.images },
    {
      ...{ dataset, names, sizeMax: settings.cacheL2Max, signal: ending.signal },
      onProgress: (progress) => onProgress((last = progress)),
    },
  );
  await erased;
  if (outcome.kind !== "staged") throw faultOf(plan, outcome, ending.isLate, last);
  const seconds = (performance.now() - started) / 1000;
  const { filesCount, size, keptCount, keptSize, chunksCount, othersCount } = outcome;
  const said = {
    dataset,
    pool: pool.id,
    files: filesCount,
    bytes: size,
    kept_files: keptCount,
    kept_bytes: keptSize,
    chunks: chunksCount,
    others: othersCount,
    seconds: Math.round(seconds * 1000) / 1000,
  };
  onReady?.();
  if (isDetached) console.emit({ ready: true, ...said });
  else console.say(stagedText(said), { ready: true, ...said });
}

/** What is said of a dataset that is staged. */
export function stagedText(said: Readonly<Record<string, unknown>>): string {
  const { dataset, pool, files, bytes, kept_files: kept, seconds } = said;
  const parts = [
    `${String(dataset)} is staged: ${String(files)} files, ${formatSize(Number(bytes))}`,
    ...(Number(kept) > 0 ? [`${String(kept)} of them were here`] : []),
    `${String(seconds)} s`,
  ];
  return `${parts.join(", ")}\nKISEKI_CACHE_POOL_ID=${String(pool)}`;
}

function faultOf(
  { dataset, connection, timeoutMs }: StagePlan,
  fault: StagingFault,
  isLate: boolean,
  last: Progress | undefined,
): CommandError {
  const cannot = (why: string, advice = "", exit: ExitCode = exitCode.general): CommandError =>
    new CommandError(exit, `Cannot stage ${dataset}: ${why}`, advice);
  switch (fault.kind) {
    case "too_many_files":
      return cannot(
        `it has ${fault.count} files, more than 100000`,
        "Stage its folders one by one.",
      );
    case "too_deep":
      return cannot(`folders lie deeper than 10 levels: ${fault.path}`, "Stage folders below it.");
    case "no_room":
      return cannot(
        `it needs ${formatSize(fault.size)}, and the cache has ${formatSize(fault.sizeMax)} for all that is staged, less on a full disk`,
        "Give it more room (--cache-l2-max), or release another dataset.",
      );
    case "changing":
      return cannot(`${fault.path} is being written`, "Stage it when its writer has ended.");
    case "interrupted": {
      const done = last === undefined ? "" : ` (${last.filesDone} of ${last.filesTotal} files)`;
      const why = isLate ? `not done within ${timeoutMs! / 1000} s${done}` : `interrupted${done}`;
      return cannot(why, "The same command goes on from there.");
    }
    case "refused": {
      const isMissing = fault.path === dataset.slice(1);
      if (isMissing && ["no_such_key", "no_such_file"].includes(fault.code))
        return cannot(`namespace ${connection.namespace} has no such path`);
      return cannot(`${fault.path}: ${fault.code}`, "", exitOf(fault.code));
    }
  }
}
