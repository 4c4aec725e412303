import { randomFillSync, randomInt } from "node:crypto";
import { assert, type Prng } from "@kiseki/base";

/** The system's secure source: fit for keys. */
export const systemPrng: Prng = {
  below(bound) {
    assert(Number.isInteger(bound) && bound >= 1 && bound <= 2 ** 32, "bound is in [1, 2^32]");
    return randomInt(bound);
  },
  fill(target) {
    randomFillSync(target);
    return target;
  },
  chance: (numerator, denominator) => systemPrng.below(denominator) < numerator,
};
