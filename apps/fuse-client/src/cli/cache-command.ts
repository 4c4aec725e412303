import { CommandError, type ExitCode, exitCode, formatSize } from "@kiseki/cli";
import type { Command } from "commander";
import {
  addCacheOptions,
  type CacheFlags,
  readCacheSettings,
  throwFaults,
} from "../staging/plan.ts";
import { liveLatencies, liveStats, wipeLive } from "../process/pool-control.ts";
import type { LatencyRows } from "../process/cache-calls.ts";
import { countPools, findPools, type FoundPool, usedShare, wipeFound } from "../staging/pools.ts";
import type { Run } from "./command.ts";
import { Console } from "./console.ts";

interface Flags extends CacheFlags {
  readonly stats?: boolean;
  readonly wipe?: boolean;
}

async function stats(directory: string, console: Console): Promise<ExitCode> {
  const pools = await countPools(directory);
  const share = await usedShare(directory);
  const rows = await Promise.all(
    pools.map(async (pool) => ({
      pool: pool.id,
      tenant: pool.tenant,
      use: pool.use,
      l2_files: pool.blocksCount,
      l2_bytes: pool.blocksSize,
      staged_files: pool.imagesCount,
      staged_bytes: pool.imagesSize,
      staged_datasets: pool.datasets,
      live: pool.use === "in_use" ? await liveRow(pool) : null,
    })),
  );
  const lines = rows.map(
    ({ pool, use, live, ...row }) =>
      `pool ${pool} (${use}): ${row.l2_files} blocks, ${formatSize(row.l2_bytes)}; ` +
      `${row.staged_files} staged files, ${formatSize(row.staged_bytes)}` +
      (live === null
        ? ""
        : `\n  ${live.l1_hits} hits in memory (${formatSize(live.l1_bytes)}), ${live.l2_hits} on disk, ` +
          `${live.misses} misses; ${live.wipes} wipes, ${live.errors} errors` +
          latencyText("reads", live.l2_read_latency_us) +
          latencyText("writes", live.l2_write_latency_us)),
  );
  const used = share === undefined ? "is not there" : `${(share * 100).toFixed(0)} % used`;
  console.say([`${directory}: file system ${used}`, ...lines].join("\n"), {
    cache_dir: directory,
    used_share: share,
    pools: rows,
  });
  return exitCode.ok;
}
/** What a mount or a library counts by itself. */
async function liveRow(pool: FoundPool) {
  const stats = await liveStats(pool);
  if (stats === undefined) return null;
  const latencies = await liveLatencies(pool);
  return {
    l1_hits: stats.l1Hits,
    l2_hits: stats.l2Hits,
    misses: stats.misses,
    bypasses: stats.bypasses,
    errors: stats.errors,
    l1_bytes: stats.l1Bytes,
    meta_hits: stats.metaHits,
    meta_misses: stats.metaMisses,
    wipes: stats.wipes,
    l2_read_latency_us: latencies?.read ?? null,
    l2_write_latency_us: latencies?.write ?? null,
  };
}
function latencyText(what: string, row: LatencyRows["read"] | null): string {
  if (row === null || row.count === 0) return "";
  return `\n  ${row.count} ${what} of blocks on disk: half within ${row.p50} µs, 99 % within ${row.p99} µs`;
}

/** Clients that live empty their own pools and go on; all others go. */
async function wipe(directory: string, console: Console): Promise<ExitCode> {
  const pools = await findPools(directory);
  const ended = await Promise.all(pools.map((pool) => wipeOne(directory, pool)));
  const wiped = ended.filter((left) => left !== undefined);
  const leftBytes = wiped.reduce((sum, left) => sum + left, 0);
  const said = { wiped: wiped.length, in_use: pools.length - wiped.length, left_bytes: leftBytes };
  const more = leftBytes === 0 ? "" : `; ${formatSize(leftBytes)} were read since, or are in use`;
  console.say(`${said.wiped} pools wiped${more}`, said);
  if (said.in_use === 0) return exitCode.ok;
  throw new CommandError(
    exitCode.general,
    `${said.in_use} pools are in use by clients that do not answer`,
    "They are erased when the mounts are taken away.",
  );
}
/** Bytes that are on the disk after it; `undefined`: who has the pool does not answer. */
async function wipeOne(directory: string, pool: FoundPool): Promise<number | undefined> {
  const left = pool.use === "in_use" ? await wipeLive(pool) : undefined;
  return left?.l2Bytes ?? ((await wipeFound(directory, pool)) ? 0 : undefined);
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
    .option("--wipe", "erase all of it; mounts go on with an empty cache");
  addCacheOptions(command).action(async () => {
    run.onEnd(await act(command.optsWithGlobals<Flags>(), run));
  });
}
