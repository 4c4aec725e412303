import { assert, millis, type Millis, type Prng } from "@kiseki/base";

/** Range and default of a tenant's TTL (KEYS §3). */
export const ttlMin = millis(5_000);
export const ttlMax = millis(300_000);
export const ttlDefault = millis(60_000);
/** Oldest validation that a write may lean on. */
const writeAgeMax = millis(30_000);

/** Ages of the last validation at which something ends or begins. */
export interface TtlLimits {
  /** From here on a call starts a validation in the background. */
  readonly refresh: Millis;
  /** Writes need an age below it. */
  readonly write: Millis;
  /** Reads need an age below it; then the keys are wiped. */
  readonly read: Millis;
}

/** Limits of one opening: `ttl` ± 10 % by chance, so that tenants do not ask all at once; never above the maximum. */
export function ttlLimits(prng: Prng, ttl: Millis): TtlLimits {
  assert(ttl >= ttlMin && ttl <= ttlMax, "a TTL is in [5 s, 300 s]");
  const jittered = Math.round((ttl * (9_000 + prng.below(2_001))) / 10_000);
  const read = Math.min(jittered, ttlMax);
  const write = Math.min(read, writeAgeMax);
  return { refresh: millis(Math.floor(write / 2)), write: millis(write), read: millis(read) };
}
