import { expect, test } from "bun:test";
import { newBytes, prngFromSeed } from "@kiseki/base";
import {
  explainRecoveryCodeFault,
  formatRecoveryCode,
  parseRecoveryCode,
  toRecoverySecret,
} from "./recovery.ts";

const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0],
);
const replay = `(replay with KISEKI_SIM_SEED=${seed})`;
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const randomSecret = (prng: ReturnType<typeof prngFromSeed>) =>
  toRecoverySecret(prng.fill(newBytes(22)));

test(`parseRecoveryCode() takes back what formatRecoveryCode() printed ${replay}`, () => {
  const prng = prngFromSeed(seed);
  for (let i = 0; i < 200; i++) {
    const secret = randomSecret(prng);
    const code = formatRecoveryCode(secret);
    expect(code).toMatch(/^1[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{5}){8}$/);
    expect(parseRecoveryCode(code)).toEqual(secret);
    const spoken = code.toLowerCase().replaceAll("0", "o").replaceAll("1", "l");
    expect(parseRecoveryCode(` ${spoken.replaceAll("-", " ")}\n`)).toEqual(secret);
  }
});
test(`parseRecoveryCode() names the group of every single wrong symbol ${replay}`, () => {
  const code = formatRecoveryCode(randomSecret(prngFromSeed(seed)));
  for (const [i, right] of [...code].entries()) {
    if (right === "-") continue;
    for (const wrong of alphabet) {
      if (wrong === right) continue;
      const typed = code.slice(0, i) + wrong + code.slice(i + 1);
      expect(parseRecoveryCode(typed)).toEqual({ kind: "typo", group: Math.floor(i / 6) + 1 });
    }
  }
});
test(`parseRecoveryCode() names swapped neighbours and swapped groups ${replay}`, () => {
  const prng = prngFromSeed(seed);
  for (let round = 0; round < 50; round++) {
    const groups = formatRecoveryCode(randomSecret(prng)).split("-");
    const group = prng.below(9);
    const at = prng.below(4);
    const letters = [...groups[group]!];
    if (letters[at] !== letters[at + 1]) {
      [letters[at], letters[at + 1]] = [letters[at + 1]!, letters[at]!];
      expect(parseRecoveryCode(groups.with(group, letters.join("")).join("-"))).toEqual({
        kind: "typo",
        group: group + 1,
      });
    }
    const other = (group + 1 + prng.below(8)) % 9;
    const swapped = groups.with(group, groups[other]!).with(other, groups[group]!);
    expect(parseRecoveryCode(swapped.join("-"))).toEqual({
      kind: "typo",
      group: Math.min(group, other) + 1,
    });
  }
});
test("parseRecoveryCode() names foreign signs, wrong lengths and later versions", () => {
  const code = formatRecoveryCode(newBytes(22));
  expect(parseRecoveryCode(code.replace("-", "-U").replace(/.$/, ""))).toEqual({
    kind: "symbol",
    group: 2,
    position: 1,
  });
  expect(parseRecoveryCode(code.slice(0, -1))).toEqual({ kind: "length", symbols: 44 });
  expect(parseRecoveryCode("0".repeat(1e6))).toEqual({ kind: "length", symbols: 1e6 });
  expect(parseRecoveryCode("")).toEqual({ kind: "length", symbols: 0 });
  // Version 2 with a check that fits: 2 in place of 1 changes the first check by 1 ^ 2.
  const last = alphabet[alphabet.indexOf(code[4]!) ^ 3]!;
  expect(parseRecoveryCode(`2${code.slice(1, 4)}${last}${code.slice(5)}`)).toEqual({
    kind: "version",
  });
  expect(explainRecoveryCodeFault({ kind: "typo", group: 7 })).toContain("Group 7");
});
test("formatRecoveryCode() refuses a secret of another size or with the spare bit set", () => {
  expect(() => formatRecoveryCode(newBytes(21))).toThrow(RangeError);
  expect(() => formatRecoveryCode(newBytes(22).fill(1))).toThrow(RangeError);
  expect(() => toRecoverySecret(newBytes(23))).toThrow(RangeError);
});
