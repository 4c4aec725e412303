import { expect, test } from "bun:test";
import { isPublicPolicy, parsePolicy, PolicyFault } from "./index.ts";
import { policySizeMax } from "./parse-policy.ts";

const statement = { Effect: "Allow", Action: "s3:GetObject", Resource: "arn:aws:s3:::bucket/*" };
const open = { ...statement, Principal: "*" };
const policyOf = (...statements: readonly object[]) => ({
  Version: "2012-10-17",
  Statement: statements,
});
const parse = (json: unknown, kind: "identity" | "resource" | "session" = "identity") =>
  parsePolicy(typeof json === "string" ? json : JSON.stringify(json), { kind });

test("parsePolicy() takes what AWS documents", () => {
  parse(policyOf(statement));
  parse({ Statement: statement }); // no version is the old one; one statement needs no list
  parse({ Version: "2008-10-17", Id: "x", Statement: [{ ...statement, Sid: "one" }] });
  parse(policyOf({ Effect: "Deny", NotAction: ["s3:*", "sts:*"], NotResource: ["*"] }));
  parse(
    policyOf({
      ...open,
      Principal: { AWS: ["111111111111", "arn:aws:iam::111111111111:user/a/b"] },
    }),
    "resource",
  );
  parse(
    policyOf({ ...open, Principal: { CanonicalUser: "a".repeat(64), Service: "x" } }),
    "resource",
  );
  parse(
    policyOf({
      ...statement,
      Condition: { "ForAllValues:StringLikeIfExists": { "s3:RequestObjectTagKeys": ["a", "b"] } },
    }),
  );
  parse(
    policyOf({
      ...statement,
      Condition: { Bool: { "aws:SecureTransport": false }, Null: { "aws:TokenIssueTime": true } },
    }),
  );
});

const refused: readonly (readonly [
  what: string,
  policy: unknown,
  kind?: "identity" | "resource" | "session",
])[] = [
  ["no JSON", "{"],
  ["no object", "[]"],
  [
    "a member named twice",
    '{"Statement":[],"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}',
  ],
  [
    "a member named twice, once escaped",
    '{"Statement":{"Effect":"Allow","\\u0045ffect":"Deny","Action":"*","Resource":"*"}}',
  ],
  ["an unknown version", { ...policyOf(statement), Version: "2015-01-01" }],
  ["an unknown element", { ...policyOf(statement), Comment: "x" }],
  ["an unknown element of a statement", policyOf({ ...statement, Comment: "x" })],
  ["no statement", policyOf()],
  ["a statement twice named", policyOf({ ...statement, Sid: "a" }, { ...statement, Sid: "a" })],
  ["no effect", policyOf({ ...statement, Effect: undefined })],
  ["another effect", policyOf({ ...statement, Effect: "allow" })],
  ["no action", policyOf({ ...statement, Action: undefined })],
  ["an empty list of actions", policyOf({ ...statement, Action: [] })],
  ["Action and NotAction", policyOf({ ...statement, NotAction: "*" })],
  ["Resource and NotResource", policyOf({ ...statement, NotResource: "*" })],
  ["no resource", policyOf({ ...statement, Resource: undefined })],
  ["an action that S3 has not", policyOf({ ...statement, Action: "s3:GetObjekt" })],
  ["an action of no form", policyOf({ ...statement, Action: "GetObject" })],
  ["a resource that is no ARN", policyOf({ ...statement, Resource: "bucket/*" })],
  ["an unknown variable", policyOf({ ...statement, Resource: "arn:aws:s3:::${aws:nobody}" })],
  ["an open variable", policyOf({ ...statement, Resource: "arn:aws:s3:::${aws:username" })],
  [
    "a variable of many values",
    policyOf({ ...statement, Resource: "arn:aws:s3:::${s3:RequestObjectTagKeys}" }),
  ],
  [
    "an unknown operator",
    policyOf({ ...statement, Condition: { StringMatches: { "s3:prefix": "a" } } }),
  ],
  [
    "Null with IfExists",
    policyOf({ ...statement, Condition: { NullIfExists: { "s3:prefix": "true" } } }),
  ],
  ["an unknown key", policyOf({ ...statement, Condition: { StringEquals: { "s3:nobody": "a" } } })],
  [
    "a condition without values",
    policyOf({ ...statement, Condition: { StringEquals: { "s3:prefix": [] } } }),
  ],
  [
    "a number that is none",
    policyOf({ ...statement, Condition: { NumericEquals: { "s3:max-keys": "ten" } } }),
  ],
  [
    "a date that is none",
    policyOf({ ...statement, Condition: { DateLessThan: { "aws:CurrentTime": "2024-02-30" } } }),
  ],
  [
    "a network that is none",
    policyOf({ ...statement, Condition: { IpAddress: { "aws:SourceIp": "10.0.0.0/33" } } }),
  ],
  ["a principal in an identity's", policyOf(open)],
  ["no principal in a bucket's", policyOf(statement), "resource"],
  [
    "a principal with a wildcard",
    policyOf({ ...open, Principal: { AWS: "arn:aws:iam::111111111111:user/*" } }),
    "resource",
  ],
  ["an unknown kind of principal", policyOf({ ...open, Principal: { Everyone: "*" } }), "resource"],
  ["Allow with NotPrincipal", policyOf({ ...statement, NotPrincipal: "*" }), "resource"],
  ["too many bytes", `{"Statement":${JSON.stringify(statement)}${" ".repeat(policySizeMax)}}`],
  [
    "too long for a session",
    policyOf({
      ...statement,
      Resource: Array.from({ length: 90 }, (_, i) => `arn:aws:s3:::some-bucket-${i}/*`),
    }),
    "session",
  ],
];
for (const [what, policy, kind] of refused) {
  test(`parsePolicy() refuses ${what}`, () => {
    expect(() => parse(policy, kind)).toThrow(PolicyFault);
  });
}

test("parsePolicy() refuses what a bucket's policy cannot be about", () => {
  const put = (name: string) =>
    parsePolicy(JSON.stringify(policyOf({ ...open, Resource: name })), {
      kind: "resource",
      bucket: "bucket",
    });
  for (const name of ["bucket", "bucket/*", "buck*", "*", "?ucket/key", "*/*", "${aws:username}/x"])
    put(`arn:aws:s3:::${name}`);
  for (const name of ["other", "other/*", "bucke", "bucket2/*", "b?/*"]) {
    expect(() => put(`arn:aws:s3:::${name}`)).toThrow(PolicyFault);
  }
});

const range = (key: string, value: string | readonly string[], operator = "IpAddress") => ({
  ...open,
  Condition: { [operator]: { [key]: value } },
});
const publicity: readonly (readonly [what: string, isPublic: boolean, statement: object])[] = [
  ["everyone", true, open],
  ["everyone, denied", false, { ...open, Effect: "Deny" }],
  ["an account", false, { ...open, Principal: { AWS: "111111111111" } }],
  ["an address", false, range("aws:SourceIp", "10.0.0.0/32")],
  ["a wide network", true, range("aws:SourceIp", "0.0.0.0/1")],
  ["networks, one of them wide", true, range("aws:SourceIp", ["10.0.0.0/8", "::/0"])],
  ["not an address", true, range("aws:SourceIp", "10.0.0.0/32", "NotIpAddress")],
  ["an address, if there is one", true, range("aws:SourceIp", "10.0.0.0/32", "IpAddressIfExists")],
  ["a referer, which everyone can say", true, range("aws:Referer", "x", "StringEquals")],
  [
    "a fixed principal",
    false,
    range("aws:PrincipalArn", "arn:aws:iam::111111111111:user/a", "ArnEquals"),
  ],
  [
    "a pattern of principals",
    true,
    range("aws:PrincipalArn", "arn:aws:iam::111111111111:user/*", "ArnLike"),
  ],
  ["for all values, none too", true, range("aws:userid", "a", "ForAllValues:StringEquals")],
];
for (const [what, isPublic, given] of publicity) {
  test(`isPublicPolicy(): ${what} is ${isPublic ? "" : "not "}public`, () => {
    expect(isPublicPolicy(parse(policyOf(given), "resource"))).toBe(isPublic);
  });
}
