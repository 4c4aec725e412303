import { expect, test } from "bun:test";
import { prngFromSeed } from "@kiseki/base";
import {
  cacheChoices,
  type CacheRules,
  choiceUnder,
  clusterPolicy,
  faultsOfRules,
  narrowPolicy,
  parseRules,
  policyConservative,
  policyUsual,
} from "./index.ts";

const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

test("narrowPolicy() never allows more than the level above", () => {
  const prng = prngFromSeed(seed);
  const some = <T>(value: T): T | undefined => (prng.below(2) === 0 ? value : undefined);
  const rules = (): CacheRules => ({
    ...{ isEnabled: prng.below(4) > 0, isStagingEnabled: prng.below(4) > 0 },
    ...(some(true) && { modesAllowed: cacheChoices.filter(() => prng.below(3) > 0) }),
    ...(some(true) && { sizeMax: prng.below(100) }),
    ...(some(true) && { metadataTtlMs: prng.below(100) }),
    ...(some(true) && { disconnectSecondsMax: 1 + prng.below(100) }),
  });
  for (let run = 0; run < 500; run += 1) {
    let policy = clusterPolicy(rules());
    for (let level = 0; level < 3; level += 1) {
      const below = narrowPolicy(policy, rules());
      const what = `seed ${seed} run ${run}`;
      expect(below.isEnabled && !policy.isEnabled, what).toBe(false);
      expect(below.isStagingEnabled && !policy.isStagingEnabled, what).toBe(false);
      for (const mode of below.modesAllowed) expect(policy.modesAllowed, what).toContain(mode);
      expect(below.sizeMax, what).toBeLessThanOrEqual(policy.sizeMax);
      expect(below.metadataTtlMs, what).toBeLessThanOrEqual(policy.metadataTtlMs);
      // Of the cluster alone.
      expect(below.disconnectSecondsMax, what).toBe(policy.disconnectSecondsMax);
      const chosen = choiceUnder(below, cacheChoices[prng.below(3)]!);
      expect(chosen === "bypass" || below.modesAllowed.includes(chosen), what).toBe(true);
      expect(chosen !== "bypass" && !below.isEnabled, what).toBe(false);
      policy = below;
    }
  }
});

test("choiceUnder() takes what is wanted if it is allowed, else the nearest", () => {
  expect(choiceUnder(policyUsual)).toBe("organic");
  expect(choiceUnder(policyUsual, "pinned")).toBe("pinned");
  expect(choiceUnder(policyConservative, "pinned")).toBe("organic");
  expect(choiceUnder({ ...policyUsual, modesAllowed: ["pinned"] })).toBe("pinned");
  expect(choiceUnder({ ...policyUsual, isEnabled: false }, "pinned")).toBe("bypass");
});

test("parseRules() takes nothing else", () => {
  for (const text of [
    ...["", "[]", "null", "{}", '{"version":2}', '{"version":1,"other":1}'],
    '{"version":1,"sizeMax":-1}',
    '{"version":1,"sizeMax":"1"}',
    '{"version":1,"modesAllowed":["organic","organic"]}',
    '{"version":1,"modesAllowed":["some"]}',
    '{"version":1,"disconnectSecondsMax":0}',
    '{"version":1,"isEnabled":1}',
  ])
    expect(parseRules(text)).toBeUndefined();
  expect(faultsOfRules({ sizeMax: 0.5, metadataTtlMs: 0 })).toEqual(["sizeMax"]);
});
