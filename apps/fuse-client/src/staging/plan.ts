/** What the words of a command about caches and staging ask for, checked before anything is done. */
import { CommandError, exitCode } from "@kiseki/cli";
import { datasetNames } from "@kiseki/client";
import type { Command } from "commander";
import type { Environment } from "../cli/command.ts";
import { type Connection, type ConnectionFlags, readConnection } from "../cli/connection.ts";
import { type MountSettings, policyUsual, resolveSettings } from "../cli/settings.ts";

export interface CacheFlags {
  readonly cacheDir?: string;
  readonly cacheL2Max?: string;
  readonly json?: boolean;
}
export interface StageFlags extends CacheFlags, ConnectionFlags {
  readonly dataset?: string;
  readonly pool?: string;
  readonly timeout?: string;
  readonly release?: string;
}

/** A dataset of a namespace, and the pool in which it is or will be. */
export interface StagePlan {
  readonly connection: Connection;
  /** From the namespace's root, with one `/` before each name. */
  readonly dataset: string;
  readonly names: readonly string[];
  readonly settings: MountSettings;
  /** `new`: a pool of its own; an id: that one; `undefined`: the one that staging used last. */
  readonly pool: string | undefined;
  readonly timeoutMs: number | undefined;
}

export const poolVariable = "KISEKI_CACHE_POOL_ID";
const poolPattern = /^(new|[0-9a-f]{32})$/;
const timeoutMax = 604_800;

export const addCacheOptions = (command: Command): Command =>
  command
    .option("--cache-dir <dir>", "folder of the cache on disk (KISEKI_CACHE_DIR)")
    .option("--cache-l2-max <size>", "bytes of content on disk, such as 50G (KISEKI_CACHE_L2_MAX)");

/** Faults are added to `faults`. */
export function readCacheSettings(
  { cacheDir, cacheL2Max }: CacheFlags,
  environment: Environment,
  faults: string[],
): MountSettings {
  const values = new Map<string, string>();
  if (cacheDir !== undefined) values.set("cache_dir", cacheDir);
  if (cacheL2Max !== undefined) values.set("cache_l2_max", cacheL2Max);
  const found = resolveSettings(values, environment, policyUsual);
  const named = (fault: string): string =>
    fault.replace(/^-o (\w+)/, (_, option: string) => `--${option.replaceAll("_", "-")}`);
  faults.push(...found.faults.map(named));
  return found.settings;
}

/** @throws {CommandError} that tells every fault. */
export function throwFaults(what: string, faults: readonly string[]): void {
  if (faults.length === 0) return;
  const lines = faults.map((fault) => `  ${fault}`).join("\n");
  throw new CommandError(exitCode.arguments, `Cannot ${what} with these words:\n${lines}`);
}

export function readPool(
  given: string | undefined,
  environment: Environment,
  faults: string[],
): string | undefined {
  const pool = given ?? (environment[poolVariable] || undefined);
  if (pool === undefined || poolPattern.test(pool)) return pool;
  const where = given === undefined ? poolVariable : "--pool";
  faults.push(`${where} cannot be ${JSON.stringify(pool)}: it takes a pool's id or "new"`);
  return undefined;
}

/** @throws {CommandError} naming every fault, not the first. */
export function planStage(flags: StageFlags, dataset: string, environment: Environment): StagePlan {
  const faults: string[] = [];
  const connection = readConnection(flags, new Map(), environment, faults);
  const settings = readCacheSettings(flags, environment, faults);
  const pool = readPool(flags.pool, environment, faults);
  const names = datasetNames(dataset);
  if (names === undefined) faults.push(`${JSON.stringify(dataset)} is no path of a namespace`);
  const timeout = flags.timeout === undefined ? undefined : Number(flags.timeout);
  const isTimeout =
    timeout === undefined ||
    (Number.isSafeInteger(timeout) && timeout >= 1 && timeout <= timeoutMax);
  if (!isTimeout) faults.push(`--timeout is an integer from 1 to ${timeoutMax}`);
  if (settings.cacheMode === "bypass")
    faults.push("cache_mode is bypass (KISEKI_CACHE_MODE): nothing is kept, so nothing is staged");
  throwFaults("stage", faults);
  return {
    connection,
    dataset: `/${names!.join("/")}`,
    names: names!,
    settings,
    pool,
    timeoutMs: timeout === undefined ? undefined : timeout * 1000,
  };
}
