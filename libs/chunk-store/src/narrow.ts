import { customerKeyset } from "@kiseki/base";
import { defaultProfile, fragmentCount, lossesSurvived } from "@kiseki/placement";
import type { Profile } from "@kiseki/ports";
import type { Pool } from "./pool.ts";
import { bestSet, decodeRow, keysetOf, profileOf, rowKey, wholeProfile } from "./row.ts";
import { scanRows } from "./scan-rows.ts";
import type { SealRef } from "./types.ts";

/**
 * A complete chunk of `profile` survives fewer losses than one of the pool's own profile, and can be sealed anew: what
 * is under a customer's key cannot, and stays as it was written.
 */
export const isNarrow = (pool: Pool, profile: Profile, keyset: number): boolean =>
  keyset !== customerKeyset &&
  lossesSurvived(profile) < lossesSurvived(defaultProfile(pool.devices.length));

/** False for what the index does not know. */
export function isNarrowSeal(pool: Pool, ref: SealRef): boolean {
  const row = pool.row(rowKey(ref.chunkId, ref.sealId));
  return row !== undefined && isNarrow(pool, bestSet(row, pool.usable).profile, row.keyset);
}

/** A put would find a device for every fragment of the pool's own profile. */
export function takesWhole(pool: Pool): boolean {
  const writable = pool.devices.filter((device) => device.writable).length;
  return writable >= fragmentCount(defaultProfile(pool.devices.length));
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
