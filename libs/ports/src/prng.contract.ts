import { expect, test } from "bun:test";
import { newBytes, type Prng } from "@kiseki/base";

/** What every `Prng` promises. The bounds are wide: a good source fails them less than once in a million runs. */
export function prngContract(name: string, openPrng: () => Prng): void {
  test(`${name}: below() reaches every number under its bound and none other`, () => {
    const prng = openPrng();
    for (const bound of [1, 2, 7, 10]) {
      const counts = Array.from({ length: bound }, () => 0);
      for (let draw = 0; draw < bound * 1000; draw++) counts[prng.below(bound)]! += 1;
      expect(counts).toHaveLength(bound); // a number at or above the bound would have made it longer
      expect(Math.min(...counts)).toBeGreaterThan(bound === 1 ? 999 : 800);
    }
    expect(prng.below(2 ** 32)).toBeLessThan(2 ** 32);
  });
  test(`${name}: below() asserts on a bound outside [1, 2^32]`, () => {
    const prng = openPrng();
    for (const bound of [0, -1, 1.5, 2 ** 32 + 1, Number.NaN]) {
      expect(() => prng.below(bound)).toThrow("bound is in [1, 2^32]");
    }
  });
  test(`${name}: fill() returns its target, filled to both ends`, () => {
    const prng = openPrng();
    const target = newBytes(64);
    let seen = newBytes(64);
    for (let round = 0; round < 8; round++) {
      expect(prng.fill(target)).toBe(target);
      seen = seen.map((byte, index) => byte | target[index]!);
    }
    expect(seen.every((byte) => byte !== 0)).toBe(true);
  });
  test(`${name}: fill() gives nothing twice, whatever sizes are asked for`, () => {
    const prng = openPrng();
    const seen = new Set<string>();
    const sizes = [16, 12, 32, 63, 64, 65, 4096];
    for (let round = 0; round < 700; round++) {
      const filled = prng.fill(newBytes(sizes[round % sizes.length]!)).toHex();
      for (let at = 0; at + 24 <= filled.length; at += 24) seen.add(filled.slice(at, at + 24));
    }
    const pieces = sizes.reduce((sum, size) => sum + Math.floor(size / 12), 0);
    expect(seen.size).toBe(100 * pieces); // equal ones are less likely than 2^-60
  });
  test(`${name}: chance() holds as often as asked`, () => {
    const prng = openPrng();
    expect(prng.chance(0, 5)).toBe(false);
    expect(prng.chance(5, 5)).toBe(true);
    const held = Array.from({ length: 10_000 }, () => prng.chance(1, 4)).filter(Boolean).length;
    expect(held).toBeGreaterThan(2200);
    expect(held).toBeLessThan(2800);
  });
}
