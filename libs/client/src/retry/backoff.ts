import type { Prng } from "@kiseki/base";

const firstMs = 25;
const lastMs = 2000;

/**
 * How long to wait before attempt `number`, from 1: doubled each time up to two seconds, of which the upper half is
 * left to chance so that clients which failed together do not come back together.
 */
export function backoffMs(number: number, prng: Prng): number {
  const whole = Math.min(lastMs, firstMs * 2 ** Math.min(number - 1, 16));
  return whole / 2 + prng.below(Math.floor(whole / 2) + 1);
}
