import { describe, expect, test } from "bun:test";
import { toUtf8 } from "@kiseki/base";
import { isFault } from "../errors.ts";
import { lifecycleSetting } from "./lifecycle.ts";

const enabled = "<Status>Enabled</Status>";
const prefixed = "<Prefix>p/</Prefix>";
const days = "<Expiration><Days>1</Days></Expiration>";
const rule = (inner: string): string => `<Rule>${inner}</Rule>`;
const filtered = (filter: string, action = days): string =>
  rule(`${action}<Filter>${filter}</Filter>${enabled}`);
const doing = (action: string): string => rule(`${action}${prefixed}${enabled}`);
const tag = (key: string, value = "v"): string =>
  `<Tag><Key>${key}</Key><Value>${value}</Value></Tag>`;

const parse = (inner: string) =>
  lifecycleSetting.store(toUtf8(`<LifecycleConfiguration>${inner}</LifecycleConfiguration>`));
const kept = (inner: string): Uint8Array => {
  const bytes = parse(inner);
  if (isFault(bytes)) throw new Error(bytes.code);
  return bytes as Uint8Array;
};

const rows: readonly (readonly [name: string, rules: string, code: string])[] = [
  ["no rule", "", "MalformedXML"],
  ["1000 rules", doing(days).repeat(1000), "accepted"],
  ["1001 rules", doing(days).repeat(1001), "InvalidRequest"],
  ["an id of 255", rule(`<ID>${"i".repeat(255)}</ID>${days}${prefixed}${enabled}`), "accepted"],
  [
    "an id of 256",
    rule(`<ID>${"i".repeat(256)}</ID>${days}${prefixed}${enabled}`),
    "InvalidArgument",
  ],
  ["an id twice", rule(`<ID>a</ID>${days}${prefixed}${enabled}`).repeat(2), "InvalidArgument"],
  ["no status", rule(`${days}${prefixed}`), "MalformedXML"],
  ["a status in lower case", rule(`${days}${prefixed}<Status>enabled</Status>`), "MalformedXML"],
  ["no action", rule(`${prefixed}${enabled}`), "InvalidRequest"],
  ["an unknown element", rule(`${days}${prefixed}${enabled}<X/>`), "MalformedXML"],
  // what it is about
  ["neither prefix nor filter", rule(`${days}${enabled}`), "MalformedXML"],
  ["both", rule(`${days}${prefixed}<Filter/>${enabled}`), "MalformedXML"],
  ["an empty filter", filtered(""), "accepted"],
  ["a filter by prefix", filtered("<Prefix>a</Prefix>"), "accepted"],
  ["a filter by an empty prefix", filtered("<Prefix></Prefix>"), "accepted"],
  [
    "a filter by a prefix of 1025 bytes",
    filtered(`<Prefix>${"p".repeat(1025)}</Prefix>`),
    "InvalidRequest",
  ],
  ["a filter by tag", filtered(tag("a")), "accepted"],
  ["a filter by two things without And", filtered(`<Prefix>a</Prefix>${tag("a")}`), "MalformedXML"],
  ["And of two", filtered(`<And><Prefix>a</Prefix>${tag("a")}</And>`), "accepted"],
  ["And of two tags", filtered(`<And>${tag("a")}${tag("b")}</And>`), "accepted"],
  ["And of one", filtered(`<And><Prefix>a</Prefix></And>`), "MalformedXML"],
  ["And of nothing", filtered(`<And/>`), "MalformedXML"],
  [
    "And beside a prefix",
    filtered(`<Prefix>a</Prefix><And>${tag("a")}${tag("b")}</And>`),
    "MalformedXML",
  ],
  ["a tag twice", filtered(`<And>${tag("a", "1")}${tag("a", "2")}</And>`), "InvalidRequest"],
  ["a tag that no object can have", filtered(tag("")), "InvalidTag"],
  ["a size", filtered("<ObjectSizeGreaterThan>0</ObjectSizeGreaterThan>"), "accepted"],
  [
    "a size below zero",
    filtered("<ObjectSizeGreaterThan>-1</ObjectSizeGreaterThan>"),
    "InvalidRequest",
  ],
  [
    "a size that is no number",
    filtered("<ObjectSizeLessThan>x</ObjectSizeLessThan>"),
    "MalformedXML",
  ],
  [
    "sizes that leave room",
    filtered(
      "<And><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan><ObjectSizeLessThan>7</ObjectSizeLessThan></And>",
    ),
    "accepted",
  ],
  [
    "sizes the wrong way round",
    filtered(
      "<And><ObjectSizeGreaterThan>7</ObjectSizeGreaterThan><ObjectSizeLessThan>5</ObjectSizeLessThan></And>",
    ),
    "InvalidRequest",
  ],
  // expiration
  ["zero days", doing("<Expiration><Days>0</Days></Expiration>"), "InvalidArgument"],
  ["days below zero", doing("<Expiration><Days>-1</Days></Expiration>"), "InvalidArgument"],
  [
    "more days than there are",
    doing("<Expiration><Days>2147483648</Days></Expiration>"),
    "InvalidArgument",
  ],
  ["an empty expiration", doing("<Expiration/>"), "MalformedXML"],
  [
    "days and date",
    doing("<Expiration><Days>1</Days><Date>2030-01-01T00:00:00Z</Date></Expiration>"),
    "MalformedXML",
  ],
  ["a date", doing("<Expiration><Date>2030-01-01T00:00:00.000Z</Date></Expiration>"), "accepted"],
  ["a date without time", doing("<Expiration><Date>2030-01-01</Date></Expiration>"), "accepted"],
  [
    "a date at midnight elsewhere",
    doing("<Expiration><Date>2030-01-01T00:00:00+01:00</Date></Expiration>"),
    "InvalidArgument",
  ],
  [
    "a date at noon",
    doing("<Expiration><Date>2030-01-01T12:00:00Z</Date></Expiration>"),
    "InvalidArgument",
  ],
  ["digits for a date", doing("<Expiration><Date>20300101</Date></Expiration>"), "MalformedXML"],
  [
    "delete markers",
    doing("<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"),
    "accepted",
  ],
  [
    "delete markers and days",
    doing(
      "<Expiration><Days>1</Days><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>",
    ),
    "MalformedXML",
  ],
  [
    "delete markers by tag",
    filtered(
      tag("a"),
      "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>",
    ),
    "InvalidRequest",
  ],
  // noncurrent versions
  [
    "noncurrent days",
    doing(
      "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>",
    ),
    "accepted",
  ],
  [
    "no noncurrent days",
    doing(
      "<NoncurrentVersionExpiration><NewerNoncurrentVersions>1</NewerNoncurrentVersions></NoncurrentVersionExpiration>",
    ),
    "MalformedXML",
  ],
  [
    "zero noncurrent days",
    doing(
      "<NoncurrentVersionExpiration><NoncurrentDays>0</NoncurrentDays></NoncurrentVersionExpiration>",
    ),
    "InvalidArgument",
  ],
  [
    "100 newer versions",
    doing(
      "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>100</NewerNoncurrentVersions></NoncurrentVersionExpiration>",
    ),
    "accepted",
  ],
  [
    "101 newer versions",
    doing(
      "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>101</NewerNoncurrentVersions></NoncurrentVersionExpiration>",
    ),
    "InvalidArgument",
  ],
  [
    "no newer versions",
    doing(
      "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>0</NewerNoncurrentVersions></NoncurrentVersionExpiration>",
    ),
    "InvalidArgument",
  ],
  // uploads
  [
    "uploads",
    doing(
      "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
    ),
    "accepted",
  ],
  [
    "uploads after zero days",
    doing(
      "<AbortIncompleteMultipartUpload><DaysAfterInitiation>0</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
    ),
    "InvalidArgument",
  ],
  ["uploads after no days", doing("<AbortIncompleteMultipartUpload/>"), "MalformedXML"],
  [
    "uploads by tag",
    filtered(
      tag("a"),
      "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
    ),
    "InvalidRequest",
  ],
  // transitions
  [
    "a class that is not here",
    doing("<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>"),
    "InvalidStorageClass",
  ],
  [
    "a transition by nothing",
    doing("<Transition><StorageClass>GLACIER</StorageClass></Transition>"),
    "MalformedXML",
  ],
  [
    "a transition before its day",
    doing("<Transition><Days>-1</Days><StorageClass>GLACIER</StorageClass></Transition>"),
    "InvalidArgument",
  ],
  [
    "a transition by a wrong date",
    doing("<Transition><Date>20220927</Date><StorageClass>GLACIER</StorageClass></Transition>"),
    "MalformedXML",
  ],
  [
    "a class that nothing is moved to",
    doing("<Transition><Days>1</Days><StorageClass>STANDARD</StorageClass></Transition>"),
    "MalformedXML",
  ],
  [
    "infrequent access before 30 days",
    doing("<Transition><Days>29</Days><StorageClass>STANDARD_IA</StorageClass></Transition>"),
    "InvalidArgument",
  ],
  [
    "a transition",
    doing("<Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition>"),
    "accepted",
  ],
  [
    "a transition at once",
    doing("<Transition><Days>0</Days><StorageClass>GLACIER_IR</StorageClass></Transition>"),
    "accepted",
  ],
  [
    "one class twice",
    doing(
      "<Transition><Days>30</Days><StorageClass>GLACIER_IR</StorageClass></Transition><Transition><Days>60</Days><StorageClass>GLACIER_IR</StorageClass></Transition>",
    ),
    "InvalidRequest",
  ],
  [
    "an end before the transition",
    doing(
      "<Transition><Days>60</Days><StorageClass>GLACIER_IR</StorageClass></Transition><Expiration><Days>60</Days></Expiration>",
    ),
    "InvalidArgument",
  ],
  [
    "days and dates mixed",
    doing(
      "<Transition><Days>60</Days><StorageClass>GLACIER_IR</StorageClass></Transition><Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration>",
    ),
    "InvalidRequest",
  ],
  [
    "a transition that ends in time",
    doing(
      "<Transition><Days>60</Days><StorageClass>GLACIER_IR</StorageClass></Transition><Expiration><Days>61</Days></Expiration>",
    ),
    "accepted",
  ],
  [
    "noncurrent versions that move after their end",
    doing(
      "<NoncurrentVersionTransition><NoncurrentDays>9</NoncurrentDays><StorageClass>GLACIER_IR</StorageClass></NoncurrentVersionTransition><NoncurrentVersionExpiration><NoncurrentDays>9</NoncurrentDays></NoncurrentVersionExpiration>",
    ),
    "InvalidArgument",
  ],
  [
    "a class for noncurrent versions",
    doing(
      "<NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays><StorageClass>GLACIER</StorageClass></NoncurrentVersionTransition>",
    ),
    "InvalidStorageClass",
  ],
];
test.each(rows)("a lifecycle with %s", (_, inner, code) => {
  const result = parse(inner);
  expect(isFault(result) ? result.code : "accepted").toBe(code);
});

describe("a lifecycle", () => {
  const inner =
    "<Rule><Expiration><Days>3</Days></Expiration><ID>a</ID><Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></And></Filter><Status>Disabled</Status><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule>";

  test("is kept and written as it came", () => {
    const document = lifecycleSetting.show(kept(inner)) as Uint8Array;
    expect(new TextDecoder().decode(document)).toEndWith(`${inner}</LifecycleConfiguration>`);
  });

  test("shows a date as AWS does", () => {
    const dated = doing("<Expiration><Date>2030-01-01T02:00:00+02:00</Date></Expiration>");
    const document = lifecycleSetting.show(kept(dated)) as Uint8Array;
    expect(new TextDecoder().decode(document)).toContain("<Date>2030-01-01T00:00:00.000Z</Date>");
  });

  test("gives an id to the rules that have none", () => {
    const taken = rule(`<ID>rule-2</ID>${days}${prefixed}${enabled}`);
    const bare = doing(days) + rule(`<ID></ID>${days}${prefixed}${enabled}`);
    const { rules } = lifecycleSetting.decode(kept(inner + taken + bare));
    expect(rules.map(({ id }) => id)).toEqual(["a", "rule-2", "rule-1", "rule-3"]);
  });
});
