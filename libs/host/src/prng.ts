import { randomFillSync, randomInt } from "node:crypto";
import { assert, type Prng } from "@kiseki/base";

/** A call of the system's source costs as much for 16 bytes as for this many. */
const poolSize = 4096;
const pooledSizeMax = 64;
const pool = new Uint8Array(new ArrayBuffer(poolSize));
let used = poolSize;

/** Each byte of the pool is given once, and nothing of it stays behind. */
function fillFromPool(target: Uint8Array): void {
  const size = target.byteLength;
  if (used + size > poolSize) {
    randomFillSync(pool);
    used = 0;
  }
  for (let i = 0; i < size; i++) {
    target[i] = pool[used + i]!;
    pool[used + i] = 0;
  }
  used += size;
}

/** The system's secure source: fit for keys. */
export const systemPrng: Prng = {
  below(bound) {
    assert(Number.isInteger(bound) && bound >= 1 && bound <= 2 ** 32, "bound is in [1, 2^32]");
    return randomInt(bound);
  },
  fill(target) {
    if (target.byteLength <= pooledSizeMax) fillFromPool(target);
    else randomFillSync(target);
    return target;
  },
  chance: (numerator, denominator) => systemPrng.below(denominator) < numerator,
};
