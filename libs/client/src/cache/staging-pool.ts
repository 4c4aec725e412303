import type { Prng } from "@kiseki/base";
import type { Clock, Crypto } from "@kiseki/ports";
import { CacheFiles } from "./cache-files.ts";
import { ImageStore } from "./image-store.ts";
import { adoptPool, adoptWaitMs, openPool, type Pool, type PoolPlace } from "./pool.ts";
import { Room } from "./room.ts";

export interface StagingPoolOptions {
  readonly directory: string;
  /** Of the tenant, in hex. */
  readonly tenant: string;
  /** A pool to go on with; else a new one is made. */
  readonly adopted?: string;
  /** Bytes on the disk of this process. */
  readonly sizeMax: number;
  /** Bytes of all pools of this machine; absent: 80 % of the file system. */
  readonly nodeSizeMax?: number | undefined;
  /** Told once for each code. */
  readonly onFault: (code: string) => void;
}

/** A pool that is filled with images for a process that adopts it. */
export interface StagingPool {
  readonly id: string;
  readonly images: ImageStore;
  /** Settles when another process waits for the pool, or `signal` ends the watch. */
  wanted(signal: AbortSignal): Promise<void>;
  /** Lets go of it, with all that is in it. */
  handOver(): void;
  /** Erases all that is in it. */
  close(): Promise<void>;
}

/** @throws {PoolError} when the pool cannot be had; other errors when the disk fails. */
export async function openStagingPool(
  ports: { readonly clock: Clock; readonly crypto: Crypto; readonly prng: Prng },
  options: StagingPoolOptions,
): Promise<StagingPool> {
  const { directory, tenant, adopted, sizeMax } = options;
  const told = new Set<string>();
  const tell = (code: string): void => {
    if (!told.has(code)) options.onFault(code);
    told.add(code);
  };
  const place: PoolPlace = { directory, tenant, isYielding: true };
  const pool: Pool =
    adopted === undefined
      ? await openPool(place, ports.prng)
      : await adoptPool(place, adopted, ports.clock, adoptWaitMs);
  try {
    const { nodeSizeMax } = options;
    const room = new Room(ports.clock, pool, { directory, nodeSizeMax });
    const files = new CacheFiles(pool, { mode: "pinned", sizeMax, room, tell });
    const images = await ImageStore.open(ports, files);
    return {
      id: pool.id,
      images,
      wanted: (signal) => pool.wanted(ports.clock, signal),
      handOver: () => pool.handOver(),
      close: async () => {
        await files.wipe();
        await files.idle();
        await pool.close();
      },
    };
  } catch (reason) {
    pool.handOver();
    throw reason;
  }
}
