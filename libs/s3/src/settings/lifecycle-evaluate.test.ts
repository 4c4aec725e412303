import { describe, expect, test } from "bun:test";
import { toUtf8, wallTime } from "@kiseki/base";
import { isFault } from "../errors.ts";
import { lifecycleSetting } from "./lifecycle.ts";
import {
  abortionOf,
  activeRules,
  calendarDay,
  decideVersion,
  expirationOf,
  type LifecycleDay,
  needsTags,
  transitionOf,
  type VersionState,
} from "./lifecycle-evaluate.ts";

const rulesOf = (...rules: readonly string[]) => {
  const inner = rules
    .map(
      (rule, i) =>
        `<Rule><ID>r${i + 1}</ID>${rule}${rule.includes("<Status>") ? "" : "<Status>Enabled</Status>"}</Rule>`,
    )
    .join("");
  const kept = lifecycleSetting.store(
    toUtf8(`<LifecycleConfiguration>${inner}</LifecycleConfiguration>`),
  );
  if (isFault(kept)) throw new Error(kept.code);
  return activeRules(lifecycleSetting.decode(kept as Uint8Array));
};
const at = (text: string) => wallTime(Date.parse(text));
const version = (changes: Partial<VersionState> = {}): VersionState => ({
  key: toUtf8("logs/a"),
  isDeleteMarker: false,
  size: 100,
  tags: [{ key: "k", value: "v" }],
  modified: at("2026-01-15T10:30:00Z"),
  noncurrentSince: undefined,
  newerNoncurrentCount: 0,
  isOnly: true,
  ...changes,
});
const iso = (time: number | undefined) => time && new Date(time).toISOString();

const all = "<Filter/>";
const after = (days: number): string => `<Expiration><Days>${days}</Days></Expiration>`;
const filter = (inner: string): string => `<Filter>${inner}</Filter>`;
const noncurrent = (days: number, newer = ""): string =>
  `<NoncurrentVersionExpiration><NoncurrentDays>${days}</NoncurrentDays>${newer}</NoncurrentVersionExpiration>`;
const marker =
  "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>";

type Row = readonly [
  name: string,
  rules: readonly string[],
  version: Partial<VersionState>,
  expected: readonly [kind: string, at: string, rule: string] | undefined,
];
const since = at("2026-02-01T00:00:00.001Z");
const rows: readonly Row[] = [
  // current versions: "The time is rounded up to the next day midnight UTC"
  ["an object after its days", [all + after(3)], {}, ["expire", "2026-01-19T00:00:00.000Z", "r1"]],
  [
    "an object written at midnight",
    [all + after(1)],
    { modified: at("2026-01-15T00:00:00Z") },
    ["expire", "2026-01-16T00:00:00.000Z", "r1"],
  ],
  [
    "an object on a date",
    [`${all}<Expiration><Date>2026-03-01T00:00:00Z</Date></Expiration>`],
    {},
    ["expire", "2026-03-01T00:00:00.000Z", "r1"],
  ],
  [
    "an object that a disabled rule is about",
    [`${all}${after(3)}<Status>Disabled</Status>`],
    {},
    undefined,
  ],
  [
    "an object under two rules",
    [all + after(9), all + after(3)],
    {},
    ["expire", "2026-01-19T00:00:00.000Z", "r2"],
  ],
  [
    "an object in the old form",
    [`<Prefix>logs/</Prefix>${after(3)}`],
    {},
    ["expire", "2026-01-19T00:00:00.000Z", "r1"],
  ],
  ["another prefix", [filter("<Prefix>log/</Prefix>") + after(3)], {}, undefined],
  ["a prefix longer than the key", [filter("<Prefix>logs/ab</Prefix>") + after(3)], {}, undefined],
  [
    "its tag",
    [filter("<Tag><Key>k</Key><Value>v</Value></Tag>") + after(3)],
    {},
    ["expire", "2026-01-19T00:00:00.000Z", "r1"],
  ],
  [
    "another value of its tag",
    [filter("<Tag><Key>k</Key><Value>w</Value></Tag>") + after(3)],
    {},
    undefined,
  ],
  [
    "two tags of which it has one",
    [
      filter(
        "<And><Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>l</Key><Value>v</Value></Tag></And>",
      ) + after(3),
    ],
    {},
    undefined,
  ],
  [
    "a size it is greater than",
    [filter("<ObjectSizeGreaterThan>99</ObjectSizeGreaterThan>") + after(3)],
    {},
    ["expire", "2026-01-19T00:00:00.000Z", "r1"],
  ],
  [
    "a size it is not greater than",
    [filter("<ObjectSizeGreaterThan>100</ObjectSizeGreaterThan>") + after(3)],
    {},
    undefined,
  ],
  [
    "a size it is less than",
    [filter("<ObjectSizeLessThan>101</ObjectSizeLessThan>") + after(3)],
    {},
    ["expire", "2026-01-19T00:00:00.000Z", "r1"],
  ],
  [
    "a size it is not less than",
    [filter("<ObjectSizeLessThan>100</ObjectSizeLessThan>") + after(3)],
    {},
    undefined,
  ],
  [
    "more days than dates go",
    [all + after(2_147_483_647)],
    {},
    ["expire", "9999-12-31T00:00:00.000Z", "r1"],
  ],
  // noncurrent versions: their days begin when they were replaced
  [
    "a noncurrent version under a rule for current ones",
    [all + after(3)],
    { noncurrentSince: since, isOnly: false },
    undefined,
  ],
  [
    "a noncurrent version",
    [all + noncurrent(3)],
    { noncurrentSince: since, isOnly: false },
    ["remove", "2026-02-05T00:00:00.000Z", "r1"],
  ],
  [
    "a current version under a rule for noncurrent ones",
    [all + noncurrent(3)],
    { isOnly: false },
    undefined,
  ],
  [
    "a noncurrent version among those to keep",
    [all + noncurrent(3, "<NewerNoncurrentVersions>2</NewerNoncurrentVersions>")],
    { noncurrentSince: since, newerNoncurrentCount: 1, isOnly: false },
    undefined,
  ],
  [
    "a noncurrent version behind those to keep",
    [all + noncurrent(3, "<NewerNoncurrentVersions>2</NewerNoncurrentVersions>")],
    { noncurrentSince: since, newerNoncurrentCount: 2, isOnly: false },
    ["remove", "2026-02-05T00:00:00.000Z", "r1"],
  ],
  [
    "a noncurrent version by its tag",
    [filter("<Tag><Key>k</Key><Value>v</Value></Tag>") + noncurrent(3)],
    { noncurrentSince: since, isOnly: false },
    ["remove", "2026-02-05T00:00:00.000Z", "r1"],
  ],
  [
    "a noncurrent delete marker",
    [all + noncurrent(3)],
    { noncurrentSince: since, isDeleteMarker: true, size: 0, tags: [], isOnly: false },
    ["remove", "2026-02-05T00:00:00.000Z", "r1"],
  ],
  // delete markers
  [
    "a marker with versions behind it",
    [all + marker],
    { isDeleteMarker: true, isOnly: false },
    undefined,
  ],
  [
    "a marker alone",
    [all + marker],
    { isDeleteMarker: true },
    ["remove", "2026-01-15T10:30:00.000Z", "r1"],
  ],
  [
    "a marker alone, by its age",
    [all + after(3)],
    { isDeleteMarker: true },
    ["remove", "2026-01-19T00:00:00.000Z", "r1"],
  ],
  [
    "a marker with versions behind it, by its age",
    [all + after(3)],
    { isDeleteMarker: true, isOnly: false },
    undefined,
  ],
  [
    "a marker alone, by a tag",
    [filter("<Tag><Key>k</Key><Value>v</Value></Tag>") + after(3)],
    { isDeleteMarker: true },
    undefined,
  ],
  ["an object under a rule for markers", [all + marker], {}, undefined],
];

describe("decideVersion() of", () => {
  test.each(rows)("%s", (_, rules, changes, expected) => {
    const action = decideVersion(rulesOf(...rules), version(changes), calendarDay);
    expect(action && [action.kind, iso(action.at), action.ruleId]).toEqual(
      expected === undefined ? undefined : [...expected],
    );
  });

  test("a version counts short days to the millisecond", () => {
    const day: LifecycleDay = { ms: 10_000, isRounded: false };
    const action = decideVersion(rulesOf(all + after(3)), version(), day);
    expect(iso(action?.at)).toBe("2026-01-15T10:30:30.000Z");
  });
});

test("expirationOf() says nothing of what no longer is current", () => {
  const rules = rulesOf(all + after(3) + noncurrent(1));
  expect(expirationOf(rules, version({ noncurrentSince: since }), calendarDay)).toBeUndefined();
  expect(expirationOf(rules, version({ isDeleteMarker: true }), calendarDay)).toBeUndefined();
  expect(expirationOf(rules, version(), calendarDay)?.ruleId).toBe("r1");
});

test("abortionOf() is about the prefix and the first of the rules that fall due", () => {
  const abort = (days: number, prefix: string): string =>
    `<Filter><Prefix>${prefix}</Prefix></Filter><AbortIncompleteMultipartUpload><DaysAfterInitiation>${days}</DaysAfterInitiation></AbortIncompleteMultipartUpload>`;
  const rules = rulesOf(abort(7, ""), abort(2, "logs/"), abort(1, "other/"));
  const upload = { key: toUtf8("logs/a"), initiated: at("2026-01-15T10:30:00Z") };
  const due = abortionOf(rules, upload, calendarDay);
  expect([iso(due?.at), due?.ruleId]).toEqual(["2026-01-18T00:00:00.000Z", "r2"]);
  expect(abortionOf(rulesOf(all + after(1)), upload, calendarDay)).toBeUndefined();
});

test("needsTags() is true when a rule that is in force looks at one", () => {
  const byTag = filter("<Tag><Key>k</Key><Value>v</Value></Tag>") + after(3);
  expect(needsTags(rulesOf(all + after(3)))).toBe(false);
  expect(needsTags(rulesOf(all + after(3), byTag))).toBe(true);
  expect(needsTags(rulesOf(`${byTag}<Status>Disabled</Status>`, all + after(1)))).toBe(false);
});

const move = (days: number, name: string): string =>
  `<Transition><Days>${days}</Days><StorageClass>${name}</StorageClass></Transition>`;
const moveOld = (days: number, name: string, newer = ""): string =>
  `<NoncurrentVersionTransition><NoncurrentDays>${days}</NoncurrentDays><StorageClass>${name}</StorageClass>${newer}</NoncurrentVersionTransition>`;
const twoNewer = "<NewerNoncurrentVersions>2</NewerNoncurrentVersions>";
const large = { size: 1 << 20 };
const moves: readonly (readonly [
  name: string,
  rules: readonly string[],
  version: Partial<VersionState>,
  now: string,
  expected: string | undefined,
])[] = [
  [
    "nothing before its day",
    [all + move(3, "GLACIER_IR")],
    large,
    "2026-01-18T23:59:59Z",
    undefined,
  ],
  ["on its day", [all + move(3, "GLACIER_IR")], large, "2026-01-19T00:00:00Z", "GLACIER_IR"],
  [
    "on a date",
    [
      `${all}<Transition><Date>2026-03-01T00:00:00Z</Date><StorageClass>STANDARD_IA</StorageClass></Transition>`,
    ],
    large,
    "2026-03-01T00:00:00Z",
    "STANDARD_IA",
  ],
  [
    "to the coldest that is due",
    [all + move(30, "STANDARD_IA") + move(60, "GLACIER_IR"), all + move(40, "ONEZONE_IA")],
    large,
    "2026-02-26T00:00:00Z",
    "ONEZONE_IA",
  ],
  [
    "never back",
    [all + move(30, "STANDARD_IA")],
    { ...large, storageClass: "GLACIER_IR" },
    "2027-01-01T00:00:00Z",
    undefined,
  ],
  [
    "nothing that is there",
    [all + move(1, "GLACIER_IR")],
    { ...large, storageClass: "GLACIER_IR" },
    "2027-01-01T00:00:00Z",
    undefined,
  ],
  [
    "what is under its prefix",
    [filter("<Prefix>x/</Prefix>") + move(1, "GLACIER_IR")],
    large,
    "2027-01-01T00:00:00Z",
    undefined,
  ],
  [
    "nothing small",
    [all + move(1, "GLACIER_IR")],
    { size: 131_071 },
    "2027-01-01T00:00:00Z",
    undefined,
  ],
  [
    "128 KiB",
    [all + move(1, "GLACIER_IR")],
    { size: 131_072 },
    "2027-01-01T00:00:00Z",
    "GLACIER_IR",
  ],
  [
    "small ones where the rule speaks of sizes",
    [filter("<ObjectSizeGreaterThan>10</ObjectSizeGreaterThan>") + move(1, "GLACIER_IR")],
    { size: 11 },
    "2027-01-01T00:00:00Z",
    "GLACIER_IR",
  ],
  [
    "no marker",
    [all + move(1, "GLACIER_IR")],
    { isDeleteMarker: true },
    "2027-01-01T00:00:00Z",
    undefined,
  ],
  [
    "no noncurrent version as a current one",
    [all + move(1, "GLACIER_IR")],
    { ...large, noncurrentSince: since },
    "2027-01-01T00:00:00Z",
    undefined,
  ],
  [
    "no current version as a noncurrent one",
    [all + moveOld(1, "GLACIER_IR")],
    large,
    "2027-01-01T00:00:00Z",
    undefined,
  ],
  [
    "noncurrent versions by when they became so",
    [all + moveOld(1, "GLACIER_IR")],
    { ...large, noncurrentSince: since },
    "2026-02-03T00:00:00Z",
    "GLACIER_IR",
  ],
  [
    "but not those that are to be kept",
    [all + moveOld(1, "GLACIER_IR", twoNewer)],
    { ...large, noncurrentSince: since, newerNoncurrentCount: 1 },
    "2027-01-01T00:00:00Z",
    undefined,
  ],
  [
    "those behind them",
    [all + moveOld(1, "GLACIER_IR", twoNewer)],
    { ...large, noncurrentSince: since, newerNoncurrentCount: 2 },
    "2027-01-01T00:00:00Z",
    "GLACIER_IR",
  ],
];
describe("transitionOf() moves", () => {
  test.each(moves)("%s", (_, rules, changes, now, expected) => {
    expect(transitionOf(rulesOf(...rules), version(changes), calendarDay, at(now))).toBe(
      expected as ReturnType<typeof transitionOf>,
    );
  });
});
