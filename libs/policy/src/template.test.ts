import { expect, test } from "bun:test";
import { matchTemplate, mayMatchBehind, parseTemplate } from "./template.ts";

const template = (text: string) =>
  parseTemplate(text, { hasWildcards: true, hasVariables: true, isVariable: () => true })!;

const prefix = "arn:aws:s3:::box/";
const rows: readonly (readonly [pattern: string, mayMatch: boolean])[] = [
  ["*", true],
  ["arn:aws:s3:::*", true],
  ["arn:aws:s3:::box/*", true],
  ["arn:aws:s3:::box/key", true],
  ["arn:aws:s3:::b?x/k?y", true],
  ["arn:aws:s3:::*x/key", true],
  ["arn:aws:s3:::${aws:username}/key", true],
  ["arn:aws:s3:::box", false],
  ["arn:aws:s3:::bo", false],
  ["arn:aws:s3:::boxes/*", false],
  ["arn:aws:s3:::other/*", false],
  ["arn:aws:s3:::?ox?es", true],
  ["arn:aws:s3:::?oxes?", false],
];
for (const [pattern, mayMatch] of rows) {
  test(`mayMatchBehind(): ${pattern} is ${mayMatch ? "" : "not "}for something in the box`, () => {
    expect(mayMatchBehind(template(pattern), prefix)).toBe(mayMatch);
  });
}

test("mayMatchBehind() never says no to what matches", () => {
  const letters = ["a", "b", "*", "?"];
  const words = (size: number): string[] =>
    size === 0 ? [""] : words(size - 1).flatMap((word) => letters.map((letter) => word + letter));
  for (const pattern of [1, 2, 3, 4].flatMap(words)) {
    for (const text of ["a", "ab", "ba", "aab", "abba"]) {
      if (!matchTemplate(template(pattern), text)) continue;
      for (let size = 0; size <= text.length; size++) {
        expect([pattern, text, mayMatchBehind(template(pattern), text.slice(0, size))]).toEqual([
          pattern,
          text,
          true,
        ]);
      }
    }
  }
});
