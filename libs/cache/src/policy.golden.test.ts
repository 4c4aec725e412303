import { expect, test } from "bun:test";
import {
  type CachePolicy,
  type CacheRules,
  encodeRules,
  parsePolicy,
  parseRules,
  policyConservative,
} from "./index.ts";

// Append only: catalogs and pools keep them.
const golden: readonly (readonly [rules: CacheRules, text: string])[] = [
  [{}, '{"version":1}'],
  [
    { ...policyConservative, nodeSizeMax: 7 },
    '{"version":1,"isEnabled":true,"modesAllowed":["organic","bypass"],"sizeMax":10737418240,"nodeSizeMax":7,"metadataTtlMs":5000,"disconnectSecondsMax":300,"keyHealthIntervalMs":30000,"isStagingEnabled":false}',
  ],
];
test.each(golden)("encodeRules() and parseRules() keep v1, row %#", (rules, text) => {
  expect(encodeRules(rules)).toBe(text);
  expect(parseRules(text)).toEqual(rules);
  const isWhole = Object.keys(rules).length > 0;
  expect(parsePolicy(text)).toEqual(isWhole ? (rules as CachePolicy) : undefined);
});
