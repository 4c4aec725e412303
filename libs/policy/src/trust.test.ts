// Goal: a role is taken on by those whom its trust policy names, and a policy that is not understood trusts nobody.
// Method: a table of policies against askers.
import { expect, test } from "bun:test";
import { tenantId } from "@kiseki/base";
import {
  isTrusted,
  parseTrustPolicy,
  PolicyFault,
  providerArn,
  readTrustPolicy,
  rootPrincipal,
  rolePrincipal,
  userPrincipal,
} from "./index.ts";

const account = "123456789012";
const place = { tenant: tenantId(new Uint8Array(16)), account, canonicalId: "0".repeat(64) };
const ann = userPrincipal(place, { id: "U", name: "ann" }, [], []);
const root = rootPrincipal(place, []);
const job = rolePrincipal(place, { id: "R", name: "job", sessionName: "s" }, [], {
  sessionPolicies: [],
  tokenIssued: 0 as never,
  tags: new Map(),
  claims: new Map(),
});
const askers = { ann, root, job };
const idp = "id.example/realms/a";
const provider = providerArn(account, `https://${idp}`);

const policyOf = (...statements: readonly object[]) =>
  parseTrustPolicy(JSON.stringify({ Version: "2012-10-17", Statement: statements }));
const assume = (principal: unknown, more: object = {}) => ({
  Effect: "Allow",
  Principal: principal,
  Action: "sts:AssumeRole",
  ...more,
});
const contextOf = (values: Readonly<Record<string, string>>) => ({
  get: (key: string) => (values[key] === undefined ? undefined : [values[key]]),
});

test.each([
  ["ann", { AWS: `arn:aws:iam::${account}:user/ann` }, {}, false, true],
  ["ann", { AWS: `arn:aws:iam::${account}:user/bob` }, {}, true, false],
  ["ann", { AWS: account }, {}, true, true],
  ["ann", { AWS: account }, {}, false, false],
  ["ann", { AWS: `arn:aws:iam::${account}:root` }, {}, true, true],
  ["root", { AWS: account }, {}, true, true],
  ["ann", { AWS: "999999999999" }, {}, true, false],
  ["ann", { AWS: "*" }, {}, false, true],
  ["ann", "*", {}, false, true],
  ["job", { AWS: `arn:aws:iam::${account}:role/job` }, {}, false, true],
  ["job", { AWS: `arn:aws:sts::${account}:assumed-role/job/s` }, {}, false, true],
  ["ann", { Service: "ec2.amazonaws.com" }, {}, true, false],
  ["ann", { Federated: provider }, {}, true, false],
  ["ann", { AWS: "*" }, { Condition: { StringEquals: { "sts:ExternalId": "x" } } }, true, false],
  ["ann", { AWS: "*" }, { Action: "sts:AssumeRoleWithWebIdentity" }, true, false],
  ["ann", { AWS: "*" }, { Action: "sts:*" }, false, true],
] as const)(
  "isTrusted() of %s by %j %j (allowed by own policies: %p)",
  (who, principal, more, isAllowed, wanted) => {
    const asked = { kind: "principal", principal: askers[who], isAllowed } as const;
    expect(
      isTrusted(policyOf(assume(principal, more)), "sts:AssumeRole", asked, contextOf({})),
    ).toBe(wanted);
  },
);
test("isTrusted() wants the external id, and a Deny wins", () => {
  const asked = { kind: "principal", principal: ann, isAllowed: true } as const;
  const guarded = assume("*", { Condition: { StringEquals: { "sts:ExternalId": "x" } } });
  const told = contextOf({ "sts:externalid": "x" });
  expect(isTrusted(policyOf(guarded), "sts:AssumeRole", asked, told)).toBe(true);
  const denied = { ...assume({ AWS: account }), Effect: "Deny" };
  expect(isTrusted(policyOf(guarded, denied), "sts:AssumeRole", asked, told)).toBe(false);
  const unallowed = { ...asked, isAllowed: false };
  expect(isTrusted(policyOf(guarded, denied), "sts:AssumeRole", unallowed, told)).toBe(false);
});
test("isTrusted() of a provider looks at claims, by the names of AWS and by jwt:", () => {
  const web = (condition: object) =>
    policyOf(
      assume(
        { Federated: provider },
        { Action: "sts:AssumeRoleWithWebIdentity", Condition: condition },
      ),
    );
  const ask = (policy: ReturnType<typeof web>, arn = provider) =>
    isTrusted(
      policy,
      "sts:AssumeRoleWithWebIdentity",
      { kind: "provider", arn },
      contextOf({ "jwt:aud": "app", "jwt:sub": "me" }),
    );
  expect(ask(web({}))).toBe(true);
  expect(ask(web({}), providerArn(account, "https://other.example"))).toBe(false);
  expect(ask(web({ StringEquals: { [`${idp}:aud`]: "app" } }))).toBe(true);
  expect(ask(web({ StringEquals: { [`${idp}:aud`]: "other" } }))).toBe(false);
  expect(
    ask(web({ StringLike: { "jwt:sub": "m*" }, StringEquals: { [`${idp}:aud`]: "app" } })),
  ).toBe(true);
  expect(ask(web({ StringEquals: { "jwt:sub": "you" } }))).toBe(false);
  expect(ask(policyOf(assume("*", { Action: "sts:*" })))).toBe(false);
});
test.each([
  ["no JSON", "{"],
  ["a list", "[]"],
  ["no statement", '{"Version":"2012-10-17"}'],
  ["an empty list", '{"Statement":[]}'],
  ["a field nobody knows", JSON.stringify({ Statement: [assume("*")], Extra: 1 })],
  ["a resource", JSON.stringify({ Statement: [assume("*", { Resource: "*" })] })],
  ["NotPrincipal", JSON.stringify({ Statement: [{ ...assume("*"), NotPrincipal: "*" }] })],
  ["an action of S3", JSON.stringify({ Statement: [assume("*", { Action: "s3:GetObject" })] })],
  ["a principal that is none", JSON.stringify({ Statement: [assume({ AWS: "ann" })] })],
  [
    "a key nobody knows",
    JSON.stringify({
      Statement: [assume("*", { Condition: { StringEquals: { "other.example:aud": "a" } } })],
    }),
  ],
  [
    "an operator nobody knows",
    JSON.stringify({ Statement: [assume("*", { Condition: { StringIs: { "jwt:aud": "a" } } })] }),
  ],
  ["too much", JSON.stringify({ Statement: [assume("*", { Sid: "a".repeat(21 * 1024) })] })],
])("parseTrustPolicy() refuses %s, and stored it trusts nobody", (_, text) => {
  expect(() => parseTrustPolicy(text)).toThrow(PolicyFault);
  const asked = { kind: "principal", principal: root, isAllowed: true } as const;
  expect(isTrusted(readTrustPolicy(text), "sts:AssumeRole", asked, contextOf({}))).toBe(false);
});
