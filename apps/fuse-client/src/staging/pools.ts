/** Pools of this machine, as commands see them that talk to no node. */
import { lstat, readdir, statfs } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Manifest } from "@kiseki/cache";
import {
  listPools,
  PoolError,
  type PoolUse,
  poolUse,
  readManifests,
  wipePool,
} from "@kiseki/client";
import { systemClock } from "@kiseki/host";

/** Who holds a pool for others may take so long to give it up. */
const wipeWaitMs = 10_000;

export interface FoundPool {
  readonly id: string;
  /** Id in hex. */
  readonly tenant: string;
  readonly path: string;
  readonly use: PoolUse;
}

/** Of this user; root sees those of all. */
export async function findPools(directory: string): Promise<readonly FoundPool[]> {
  const uid = process.getuid?.();
  const found: FoundPool[] = [];
  for (const path of await listPools(directory).catch(() => [])) {
    const status = await lstat(path).catch(() => undefined);
    if (!status?.isDirectory() || status.uid !== uid) continue;
    const tenant = basename(dirname(path));
    found.push({ id: basename(path), tenant, path, use: poolUse(path) });
  }
  return found;
}

export interface StagedDataset extends Omit<Manifest, "files"> {
  readonly pool: FoundPool;
  readonly filesCount: number;
  readonly size: number;
}
export async function findStaged(directory: string): Promise<readonly StagedDataset[]> {
  const found: StagedDataset[] = [];
  for (const pool of await findPools(directory))
    for (const { files, ...manifest } of await readManifests(pool.path)) {
      const size = files.reduce((sum, file) => sum + file.size, 0);
      found.push({ ...manifest, pool, filesCount: files.length, size });
    }
  return found;
}

/** Erases a pool. False: a mount has it. */
export async function wipeFound(directory: string, { id, tenant }: FoundPool): Promise<boolean> {
  try {
    await wipePool({ directory, tenant }, id, systemClock, wipeWaitMs);
    return true;
  } catch (reason) {
    if (!(reason instanceof PoolError)) throw reason;
    return reason.code === "ENOENT"; // somebody was quicker
  }
}

export interface PoolUsage extends FoundPool {
  /** Blocks that were read and kept. */
  readonly blocksCount: number;
  readonly blocksSize: number;
  readonly imagesCount: number;
  readonly imagesSize: number;
  readonly datasets: readonly string[];
}
/** What lies in the pools, counted. */
export async function countPools(directory: string): Promise<readonly PoolUsage[]> {
  const counted: PoolUsage[] = [];
  for (const pool of await findPools(directory)) {
    const blocks = await countFolder(join(pool.path, "chunks"));
    const images = await countFolder(join(pool.path, "images"));
    const datasets = (await readManifests(pool.path)).map(({ dataset }) => dataset);
    counted.push({
      ...pool,
      blocksCount: blocks.count,
      blocksSize: blocks.size,
      imagesCount: images.count,
      imagesSize: images.size,
      datasets,
    });
  }
  return counted;
}
async function countFolder(path: string): Promise<{ count: number; size: number }> {
  const sum = { count: 0, size: 0 };
  for (const entry of await readdir(path, { withFileTypes: true }).catch(() => [])) {
    const inside = join(path, entry.name);
    if (entry.isDirectory()) {
      const { count, size } = await countFolder(inside);
      sum.count += count;
      sum.size += size;
    } else {
      sum.count += 1;
      sum.size += (await lstat(inside).catch(() => undefined))?.size ?? 0; // erased meanwhile
    }
  }
  return sum;
}

/** Share of the file system that is used, as the cache counts it. `undefined`: there is no such folder. */
export async function usedShare(directory: string): Promise<number | undefined> {
  const status = await statfs(directory).catch(() => undefined);
  return status === undefined ? undefined : 1 - status.bavail / Math.max(1, status.blocks);
}
