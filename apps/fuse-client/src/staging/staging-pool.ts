import { lstat, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { CachePolicy } from "@kiseki/cache";
import { CommandError, exitCode } from "@kiseki/cli";
import { openStagingPool, PoolError, type StagingPool } from "@kiseki/client";
import { replaceFile, systemClock, systemPrng } from "@kiseki/host";
import type { Connected } from "../connect.ts";
import type { StagePlan } from "./plan.ts";

/** In a tenant's folder: which pool staging used last (spec §7.5). */
const lastName = "staging_pool_id";
const idSize = 32;

async function lastPool(folder: string): Promise<string | undefined> {
  const path = join(folder, lastName);
  const status = await lstat(path).catch(() => undefined);
  if (status === undefined || !status.isFile() || status.size > idSize + 1) return undefined;
  const text = (await readFile(path, "utf8")).trim();
  return /^[0-9a-f]{32}$/.test(text) ? text : undefined;
}

/** A new pool, or the one that is named, or that which staging used last if nobody else has it. @throws {CommandError} */
export async function openPoolOf(
  { settings, pool }: Pick<StagePlan, "settings" | "pool">,
  { client, crypto }: Connected,
  { nodeSizeMax }: Pick<CachePolicy, "nodeSizeMax">,
  note: (text: string) => void,
): Promise<StagingPool> {
  const { cacheDirectory: directory, cacheL2Max: sizeMax } = settings;
  const { tenant } = client;
  const folder = join(directory, tenant);
  const open = (adopted?: string): Promise<StagingPool> =>
    openStagingPool(
      { clock: systemClock, crypto, prng: systemPrng },
      {
        ...{ directory, tenant, sizeMax, nodeSizeMax },
        ...(adopted === undefined ? {} : { adopted }),
        onFault: (code) => note(`the cache on disk is not well: ${code}`),
      },
    );
  const last = pool === undefined ? await lastPool(folder) : undefined;
  try {
    const opened = await (last === undefined
      ? open(pool === "new" ? undefined : pool)
      : open(last).catch((reason: unknown) => {
          if (reason instanceof PoolError && reason.code !== "EPERM") return open();
          throw reason;
        }));
    await replaceFile(join(folder, lastName), `${opened.id}\n`);
    return opened;
  } catch (reason) {
    if (reason instanceof PoolError) throw poolFault(reason);
    throw reason;
  }
}

export function poolFault({ code, message }: PoolError): CommandError {
  const advice: Readonly<Partial<Record<PoolError["code"], string>>> = {
    EBUSY: "A mount has it: what is staged there goes when the mount is taken away.",
    EPERM: "Name a folder of your own: --cache-dir, or KISEKI_CACHE_DIR.",
  };
  return new CommandError(exitCode.general, message, advice[code] ?? "");
}
