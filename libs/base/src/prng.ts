import { assert } from "./assert.ts";

/** Source of chance. Two drivers: the system's secure source in `host`, a seeded one in tests and `sim`. */
export interface Prng {
  /** Uniform in `[0, bound)`. `bound` is an integer in `[1, 2^32]`. */
  below(bound: number): number;
  /** Fills `target` with random bytes and returns it. */
  fill<T extends Uint8Array>(target: T): T;
  /** True `numerator` times out of `denominator`. */
  chance(numerator: number, denominator: number): boolean;
}

/** A seeded generator (sfc32 of Doty-Humphrey's PractRand): equal seeds give equal runs. Never for keys. */
export function prngFromSeed(seed: number): Prng {
  let a = seed >>> 0;
  let b = Math.floor(seed / 2 ** 32) >>> 0;
  let c = 0x9e3779b9;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) >>> 0) + counter) >>> 0;
    counter = (counter + 1) >>> 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) >>> 0;
    c = (((c << 21) | (c >>> 11)) + sum) >>> 0;
    return sum;
  };
  for (let i = 0; i < 12; i++) next();
  const prng: Prng = {
    below(bound) {
      assert(Number.isInteger(bound) && bound >= 1 && bound <= 2 ** 32, "bound is in [1, 2^32]");
      const limit = 2 ** 32 - (2 ** 32 % bound); // values at or above it would favour the low residues
      let value = next();
      while (value >= limit) value = next();
      return value % bound;
    },
    fill(target) {
      for (let i = 0; i < target.byteLength; i++) target[i] = next() & 0xff;
      return target;
    },
    chance: (numerator, denominator) => prng.below(denominator) < numerator,
  };
  return prng;
}
