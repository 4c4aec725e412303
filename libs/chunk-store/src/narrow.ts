import { customerKeyset } from "@kiseki/base";
import { countStaying, defaultProfile, fragmentCount, lossesSurvived } from "@kiseki/placement";
import type { Profile } from "@kiseki/ports";
import type { Pool } from "./pool.ts";
import { bestSet, decodeRow, keysetOf, profileOf, rowKey, wholeProfile } from "./row.ts";
import { scanRows } from "./scan-rows.ts";
import type { SealRef } from "./types.ts";

/**
 * A complete chunk of `profile` survives fewer losses than one of the pool's own profile, or is for more devices than
 * stay in it, and can be sealed anew: what is under a customer's key cannot, and stays as it was written.
 */
export function isNarrow(pool: Pool, profile: Profile, keyset: number): boolean {
  if (keyset === customerKeyset) return false;
  const own = ownProfile(pool);
  return lossesSurvived(profile) < lossesSurvived(own) || isTooWide(pool, profile);
}
const ownProfile = (pool: Pool): Profile => defaultProfile(Math.max(1, countStaying(pool.devices)));
/** Its fragments find no devices of their own while one leaves. */
const isTooWide = (pool: Pool, profile: Profile): boolean =>
  fragmentCount(profile) > countStaying(pool.devices) &&
  pool.devices.some(({ isLeaving }) => isLeaving);

/** False for what the index does not know. */
export function isNarrowSeal(pool: Pool, ref: SealRef): boolean {
  const row = pool.row(rowKey(ref.chunkId, ref.sealId));
  return row !== undefined && isNarrow(pool, bestSet(row, pool.usable).profile, row.keyset);
}

/** A put would find a device for every fragment of the pool's own profile. */
export function takesWhole(pool: Pool): boolean {
  const writable = pool.devices.filter((device) => device.writable).length;
  return writable >= fragmentCount(ownProfile(pool));
}

/** Walks all rows and notes the count in `pool.narrow`. */
export async function countNarrow(pool: Pool, signal?: AbortSignal): Promise<number> {
  let narrow = 0;
  await scanRows(
    pool,
    (_, value) => {
      const whole = wholeProfile(value, pool.isTrusted);
      const profile = whole ? profileOf(whole) : bestSet(decodeRow(value), pool.usable).profile;
      if (isNarrow(pool, profile, keysetOf(value))) narrow += 1;
    },
    signal,
  );
  pool.narrow = narrow;
  return narrow;
}
