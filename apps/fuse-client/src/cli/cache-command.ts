import { CommandError, type ExitCode, exitCode, formatSize } from "@kiseki/cli";
import type { Command } from "commander";
import {
  addCacheOptions,
  type CacheFlags,
  readCacheSettings,
  throwFaults,
} from "../staging/plan.ts";
import { countPools, findPools, usedShare, wipeFound } from "../staging/pools.ts";
import type { Run } from "./command.ts";
import { Console } from "./console.ts";

interface Flags extends CacheFlags {
  readonly stats?: boolean;
  readonly wipe?: boolean;
}

async function stats(directory: string, console: Console): Promise<ExitCode> {
  const pools = await countPools(directory);
  const share = await usedShare(directory);
  const rows = pools.map((pool) => ({
    pool: pool.id,
    tenant: pool.tenant,
    use: pool.use,
    l2_files: pool.blocksCount,
    l2_bytes: pool.blocksSize,
    staged_files: pool.imagesCount,
    staged_bytes: pool.imagesSize,
    staged_datasets: pool.datasets,
  }));
  const lines = rows.map(
    (row) =>
      `pool ${row.pool} (${row.use}): ${row.l2_files} blocks, ${formatSize(row.l2_bytes)}; ` +
      `${row.staged_files} staged files, ${formatSize(row.staged_bytes)}`,
  );
  const used = share === undefined ? "is not there" : `${(share * 100).toFixed(0)} % used`;
  console.say([`${directory}: file system ${used}`, ...lines].join("\n"), {
    cache_dir: directory,
    used_share: share,
    pools: rows,
  });
  return exitCode.ok;
}

async function wipe(directory: string, console: Console): Promise<ExitCode> {
  const pools = await findPools(directory);
  let wiped = 0;
  for (const pool of pools) if (await wipeFound(directory, pool)) wiped += 1;
  const left = pools.length - wiped;
  console.say(`${wiped} pools wiped`, { wiped, in_use: left });
  if (left === 0) return exitCode.ok;
  throw new CommandError(
    exitCode.general,
    `${left} pools are in use by mounts`,
    "They are erased when the mounts are taken away.",
  );
}

async function act(flags: Flags, run: Run): Promise<ExitCode> {
  const console = new Console(run.name, flags.json ?? false);
  try {
    const faults: string[] = [];
    const { cacheDirectory } = readCacheSettings(flags, run.environment, faults);
    if (flags.stats === flags.wipe) faults.push("one of --stats and --wipe is required");
    throwFaults("look after the cache", faults);
    return await (flags.stats ? stats : wipe)(cacheDirectory, console);
  } catch (reason) {
    return console.fail(reason);
  }
}

/** `cache`: what this user has on the machine's disk. */
export function addCache(program: Command, run: Run): void {
  const command = program
    .command("cache")
    .description("look at, or erase, what this user's mounts and stagings keep on disk")
    .option("--stats", "count what is there")
    .option("--wipe", "erase the pools that no mount has");
  addCacheOptions(command).action(async () => {
    run.onEnd(await act(command.optsWithGlobals<Flags>(), run));
  });
}
