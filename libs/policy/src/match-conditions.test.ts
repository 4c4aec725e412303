import { expect, test } from "bun:test";
import { normaliseKey } from "./keys.ts";
import { matchConditions, resolverOf } from "./match-conditions.ts";
import { parseConditions } from "./parse-conditions.ts";
import { matchTemplate, parseTemplate } from "./template.ts";

type Values = Readonly<Record<string, readonly string[]>>;
function check(operator: string, key: string, wanted: unknown, values: Values) {
  const conditions = parseConditions({ [operator]: { [key]: wanted as string } }, "2012-10-17");
  const context = { get: (name: string) => values[name] };
  return matchConditions(conditions, context, resolverOf(context, normaliseKey));
}

const ip = (address: string): Values => ({ "aws:sourceip": [address] });
const prefix = (...given: readonly string[]): Values => ({ "s3:prefix": given });
const keys = (...given: readonly string[]): Values => ({ "s3:requestobjecttagkeys": given });
const at = (time: string): Values => ({ "aws:currenttime": [time] });
const arn = (text: string): Values => ({ "aws:principalarn": [text] });

const table: readonly (readonly [
  operator: string,
  key: string,
  wanted: unknown,
  values: Values,
  held: boolean | undefined,
])[] = [
  ["StringEquals", "s3:prefix", "a", prefix("a"), true],
  ["StringEquals", "S3:Prefix", ["b", "a"], prefix("a"), true],
  ["StringEquals", "s3:prefix", "a", prefix("A"), false],
  ["StringEquals", "s3:prefix", "a*", prefix("ab"), false],
  ["StringEquals", "s3:prefix", "a", {}, false],
  ["StringNotEquals", "s3:prefix", ["a", "b"], prefix("c"), true],
  ["StringNotEquals", "s3:prefix", ["a", "b"], prefix("b"), false],
  ["StringNotEquals", "s3:prefix", "a", {}, true],
  ["StringEqualsIfExists", "s3:prefix", "a", {}, true],
  ["StringEqualsIfExists", "s3:prefix", "a", prefix("b"), false],
  ["StringEqualsIgnoreCase", "s3:prefix", "ab", prefix("AB"), true],
  ["StringNotEqualsIgnoreCase", "s3:prefix", "ab", prefix("AB"), false],
  ["StringLike", "s3:prefix", "home/*/x?", prefix("home/me/xy"), true],
  ["StringLike", "s3:prefix", "home/*/x?", prefix("home/me/x"), false],
  ["StringNotLike", "s3:prefix", "home/*", prefix("other"), true],
  ["NumericLessThanEquals", "s3:max-keys", 10, { "s3:max-keys": ["10"] }, true],
  ["NumericLessThan", "s3:max-keys", "10", { "s3:max-keys": ["10"] }, false],
  ["NumericGreaterThan", "s3:max-keys", "10", { "s3:max-keys": ["11"] }, true],
  ["NumericNotEquals", "s3:max-keys", "10", { "s3:max-keys": ["10"] }, false],
  ["NumericEquals", "s3:max-keys", "10", { "s3:max-keys": ["ten"] }, undefined],
  ["NumericNotEquals", "s3:max-keys", "10", { "s3:max-keys": ["ten"] }, undefined],
  ["DateGreaterThan", "aws:CurrentTime", "2026-01-01T00:00:00Z", at("2026-01-01T00:00:01Z"), true],
  [
    "DateGreaterThan",
    "aws:CurrentTime",
    "2026-01-01T00:00:00+01:00",
    at("2025-12-31T23:00:00Z"),
    false,
  ],
  ["DateLessThanEquals", "aws:CurrentTime", "2026-01-01", at("2026-01-01T00:00:00.000Z"), true],
  ["DateEquals", "aws:EpochTime", "1767225600", { "aws:epochtime": ["1767225600"] }, true],
  ["Bool", "aws:SecureTransport", "false", { "aws:securetransport": ["false"] }, true],
  ["Bool", "aws:SecureTransport", true, { "aws:securetransport": ["false"] }, false],
  ["Bool", "aws:SecureTransport", true, {}, false],
  ["BinaryEquals", "s3:prefix", "QUI=", prefix("QUI="), true],
  ["BinaryEquals", "s3:prefix", "QUI=", prefix("QUJD"), false],
  ["IpAddress", "aws:SourceIp", "10.1.0.0/16", ip("10.1.255.3"), true],
  ["IpAddress", "aws:SourceIp", "10.1.0.0/16", ip("10.2.0.1"), false],
  ["IpAddress", "aws:SourceIp", "10.1.0.0/16", ip("::ffff:10.1.0.9"), true],
  ["IpAddress", "aws:SourceIp", "0.0.0.0/0", ip("2001:db8::1"), false],
  ["IpAddress", "aws:SourceIp", "2001:db8::/33", ip("2001:db8:7fff::1"), true],
  ["IpAddress", "aws:SourceIp", "2001:db8::/33", ip("2001:db8:8000::1"), false],
  ["IpAddress", "aws:SourceIp", "10.0.0.1", ip("10.0.0.1"), true],
  ["NotIpAddress", "aws:SourceIp", ["10.0.0.0/8", "192.168.0.0/16"], ip("192.168.4.4"), false],
  ["NotIpAddress", "aws:SourceIp", "10.0.0.0/8", ip("192.168.4.4"), true],
  ["NotIpAddress", "aws:SourceIp", "10.0.0.0/8", ip("nonsense"), undefined],
  ["ArnEquals", "aws:PrincipalArn", "arn:aws:iam::1:user/*", arn("arn:aws:iam::1:user/a"), true],
  ["ArnLike", "aws:PrincipalArn", "arn:*:user/a", arn("arn:aws:iam::1:user/a"), "refused" as never],
  ["ArnLike", "aws:PrincipalArn", "arn:aws:*:*:*:user/a", arn("arn:aws:iam::1:user/a"), true],
  ["ArnLike", "aws:PrincipalArn", "arn:aws:i*:*:1:user/a", arn("arn:aws:iam::1:user/a"), true],
  ["ArnLike", "aws:PrincipalArn", "arn:aws:*:1:user/a:x", arn("arn:aws:iam::1:user/a"), false],
  ["ArnNotLike", "aws:PrincipalArn", "arn:aws:iam::2:*", arn("arn:aws:iam::1:user/a"), true],
  ["Null", "aws:TokenIssueTime", "true", {}, true],
  ["Null", "aws:TokenIssueTime", "false", {}, false],
  ["Null", "s3:prefix", "false", prefix(""), true],
  ["ForAllValues:StringEquals", "s3:RequestObjectTagKeys", ["a", "b"], keys("a", "b"), true],
  ["ForAllValues:StringEquals", "s3:RequestObjectTagKeys", ["a", "b"], keys("a", "c"), false],
  ["ForAllValues:StringEquals", "s3:RequestObjectTagKeys", ["a"], {}, true],
  ["ForAllValues:StringNotEquals", "s3:RequestObjectTagKeys", ["x"], keys("a", "x"), false],
  ["ForAnyValue:StringEquals", "s3:RequestObjectTagKeys", ["a"], keys("c", "a"), true],
  ["ForAnyValue:StringEquals", "s3:RequestObjectTagKeys", ["a"], {}, false],
  ["ForAnyValue:StringEqualsIfExists", "s3:RequestObjectTagKeys", ["a"], {}, true],
  ["ForAnyValue:StringNotEquals", "s3:RequestObjectTagKeys", ["a"], keys("a", "b"), true],
  [
    "StringEquals",
    "s3:ExistingObjectTag/Class",
    "x",
    { "s3:existingobjecttag/Class": ["x"] },
    true,
  ],
  [
    "StringEquals",
    "s3:ExistingObjectTag/class",
    "x",
    { "s3:existingobjecttag/Class": ["x"] },
    false,
  ],
  [
    "StringLike",
    "s3:prefix",
    "${aws:username}/*",
    { ...prefix("bob/x"), "aws:username": ["bob"] },
    true,
  ],
  ["StringLike", "s3:prefix", "${aws:username}/*", prefix("bob/x"), false],
  ["StringNotLike", "s3:prefix", "${aws:username}/*", prefix("bob/x"), undefined],
  ["StringEquals", "s3:prefix", "${aws:username, 'all'}", prefix("all"), true],
];
for (const [operator, key, wanted, values, held] of table) {
  test(`matchConditions(): ${operator} ${key} ${JSON.stringify(wanted)} for ${JSON.stringify(values)} is ${held}`, () => {
    if (held === ("refused" as never)) {
      expect(() => check(operator, key, wanted, values)).toThrow("Invalid value");
    } else expect(check(operator, key, wanted, values)).toBe(held);
  });
}

test("matchConditions(): what nobody has read yet holds for nothing and against nothing", () => {
  for (const operator of [
    "StringEquals",
    "StringNotEquals",
    "StringLikeIfExists",
    "ForAllValues:StringEquals",
    "ForAnyValue:StringEquals",
    "Null",
  ]) {
    const value = operator === "Null" ? "true" : "a";
    const conditions = parseConditions(
      { [operator]: { "s3:RequestObjectTagKeys": value } },
      "2012-10-17",
    );
    expect(matchConditions(conditions, { get: () => "unknown" }, () => undefined)).toBeUndefined();
  }
});

test("matchConditions(): all must hold", () => {
  const both = parseConditions(
    {
      StringEquals: { "s3:prefix": "a", "s3:delimiter": "/" },
      Bool: { "aws:SecureTransport": "true" },
    },
    "2012-10-17",
  );
  const values: Record<string, readonly string[]> = {
    "s3:prefix": ["a"],
    "s3:delimiter": ["/"],
    "aws:securetransport": ["true"],
  };
  const held = () => matchConditions(both, { get: (name) => values[name] }, () => undefined);
  expect(held()).toBe(true);
  values["s3:delimiter"] = ["-"];
  expect(held()).toBe(false);
});

test("parseTemplate(): in the old version a variable is text", () => {
  const conditions = parseConditions(
    { StringLike: { "s3:prefix": "${aws:username}" } },
    "2008-10-17",
  );
  const values: Values = { "s3:prefix": ["${aws:username}"] };
  expect(matchConditions(conditions, { get: (name) => values[name] }, () => "bob")).toBe(true);
});

const template = (text: string) =>
  parseTemplate(text, { hasWildcards: true, hasVariables: false, isVariable: () => false })!;

test("matchTemplate(): a question mark is one character, be it two units", () => {
  expect(matchTemplate(template("a?c"), "a😀c")).toBe(true);
  expect(matchTemplate(template("a??c"), "a😀c")).toBe(false);
  expect(matchTemplate(template("*??"), "a😀")).toBe(true);
  expect(matchTemplate(template("*???"), "a😀")).toBe(false);
});

test("matchTemplate(): no pattern of the largest size takes longer than its length times the text's", () => {
  const text = "a".repeat(1100);
  const worst = [
    "*a".repeat(8000) + "b",
    "*?".repeat(8000) + "b",
    `*${"a".repeat(900)}b`,
    "*aaaaaaa?".repeat(1000),
  ];
  const started = Bun.nanoseconds();
  for (const pattern of worst) expect(matchTemplate(template(pattern), text)).toBe(false);
  expect((Bun.nanoseconds() - started) / 1e6).toBeLessThan(2000);
});
