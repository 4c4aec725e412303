import type { Pool } from "./pool.ts";
import type { Fragment } from "./row.ts";
import { bestSet, decodeRow } from "./row.ts";
import { scanRows } from "./scan-rows.ts";

/** A zone is kept for compaction; with no more than that neither puts nor repair can go on. */
const isFull = (pool: Pool, ordinal: number): boolean => {
  const device = pool.byOrdinal[ordinal];
  return device?.trusted === true && device.zones.freeCount <= 1;
};

/**
 * Takes bad fragments on full devices out of the rows of sealings that have enough good ones: bad ones are kept while
 * they may help, but they keep their zones from being emptied, and repair would wait for ever for the room that they
 * take. How many.
 */
export async function dropBad(pool: Pool, signal: AbortSignal): Promise<number> {
  if (!pool.devices.some(({ ordinal }) => isFull(pool, ordinal))) return 0;
  let dropped = 0;
  const stays = (one: Fragment): boolean => !one.bad || !isFull(pool, one.device);
  await scanRows(
    pool,
    (key, value) => {
      const row = decodeRow(value);
      const fragments = row.fragments.filter(stays);
      const count = row.fragments.length - fragments.length;
      if (count === 0 || bestSet(row, pool.usable).spare < 0) return;
      pool.setRow(key, row, { ...row, fragments });
      dropped += count;
    },
    signal,
  );
  return dropped;
}
