import { readFile, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "@kiseki/ports";
import { listPools, type Pool } from "./pool.ts";

/** Share of the file system from which on nothing is stored, whoever filled it (spec §7.9). */
const usedShareMax = 0.9;
/** Share of it that all pools together may have, where policy does not say. */
const poolsShareUsual = 0.8;
/** What other processes have is looked at so often, and told to them. */
const ageMax = 1000;
/** The disk itself is looked at after so many milliseconds, or so many bytes. */
const diskAgeMax = 100;
const sizeSinceMax = 64 * 1024 ** 2;
const sizeName = "pool.size";

/** Whether there is room on the disk beyond what this process may take: of the node's pools, and of the disk. */
export class Room {
  readonly #clock: Clock;
  readonly #directory: string;
  readonly #pool: Pool;
  readonly #nodeSizeMax: number | undefined;
  #others = 0;
  #lookedAt = -Infinity;
  #looking: Promise<void> | undefined;
  #diskKnown: { readonly at: number; readonly total: number; readonly free: number } | undefined;
  /** What was let in after the last look at the disk. */
  #sizeSince = 0;

  constructor(
    clock: Clock,
    pool: Pool,
    options: { readonly directory: string; readonly nodeSizeMax?: number | undefined },
  ) {
    this.#clock = clock;
    this.#pool = pool;
    this.#directory = options.directory;
    this.#nodeSizeMax = options.nodeSizeMax;
  }

  /** Room for `size` bytes of the `sizeAll` that the pool will have with them. @throws when the disk does not say. */
  async has(size: number, sizeAll: number): Promise<boolean> {
    if (this.#clock.monotonic() - this.#lookedAt >= ageMax)
      await (this.#looking ??= this.#look(sizeAll).finally(() => (this.#looking = undefined)));
    const { total, free } = await this.#disk();
    const nodeSizeMax = this.#nodeSizeMax ?? total * poolsShareUsual;
    this.#sizeSince += size;
    const isOnDisk = free - this.#sizeSince >= total * (1 - usedShareMax);
    return isOnDisk && this.#others + sizeAll <= nodeSizeMax;
  }

  /** Many small files come between two looks. */
  async #disk(): Promise<{ readonly total: number; readonly free: number }> {
    const now = this.#clock.monotonic();
    const known = this.#diskKnown;
    if (known !== undefined && now - known.at < diskAgeMax && this.#sizeSince < sizeSinceMax)
      return known;
    const { blocks, bavail, bsize } = await statfs(this.#pool.path);
    this.#sizeSince = 0;
    this.#diskKnown = { at: now, total: blocks * bsize, free: bavail * bsize };
    return this.#diskKnown;
  }
  async #look(sizeAll: number): Promise<void> {
    await writeFile(join(this.#pool.path, sizeName), String(sizeAll), { mode: 0o600 });
    let others = 0;
    for (const path of await listPools(this.#directory)) {
      if (path !== this.#pool.path) others += await poolSize(path);
    }
    this.#others = others;
    this.#lookedAt = this.#clock.monotonic();
  }
}

/** Bytes of a pool, as its process told them last; 0 where it is not known. */
async function poolSize(path: string): Promise<number> {
  const text = await readFile(join(path, sizeName), "utf8").catch(() => "");
  const size = Number(text.slice(0, 20));
  return Number.isSafeInteger(size) && size > 0 ? size : 0;
}
