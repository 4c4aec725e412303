import { expect, test } from "bun:test";
import { tenantId } from "@kiseki/base";
import fc from "fast-check";
import type { ResourceSide } from "./evaluate.ts";
import {
  anonymousPrincipal,
  evaluate,
  parsePolicy,
  type Principal,
  readStoredPolicy,
  rootPrincipal,
  userPrincipal,
} from "./index.ts";
import { unreadablePolicy } from "./parse-policy.ts";
import {
  isAllowedPlainly,
  type RawPolicy,
  type RawStatement,
} from "./plain-evaluator.test-helper.ts";

const tenant = tenantId(new Uint8Array(16));
const own = { tenant, account: "111111111111", canonicalId: "1".repeat(64) };
const other = { tenant, account: "222222222222", canonicalId: "2".repeat(64) };
const identity = (...statements: readonly object[]) =>
  parsePolicy(JSON.stringify({ Version: "2012-10-17", Statement: statements }), {
    kind: "identity",
  });
const resource = (...statements: readonly object[]) =>
  parsePolicy(JSON.stringify({ Version: "2012-10-17", Statement: statements }), {
    kind: "resource",
  });
const get = { Action: "s3:GetObject", Resource: "arn:aws:s3:::bucket/*" };
const allow = { Effect: "Allow", ...get };
const deny = { Effect: "Deny", ...get };

const bob = (...policies: Parameters<typeof userPrincipal>[2][number][]): Principal =>
  userPrincipal(own, { id: "AIDBOB", name: "bob" }, policies, []);
const eve = (...policies: Parameters<typeof userPrincipal>[2][number][]): Principal =>
  userPrincipal(other, { id: "AIDEVE", name: "eve" }, policies, []);
const root = rootPrincipal(own, []);
const otherRoot = rootPrincipal(other, []);

const side = (
  policy?: ResourceSide["policy"],
  changes: Partial<ResourceSide> = {},
): ResourceSide => ({
  bucketOwner: own.account,
  owner: own.account,
  policy,
  isRestricted: false,
  isGranted: () => false,
  ...changes,
});
function ask(
  principal: Principal,
  on: ResourceSide,
  values: Readonly<Record<string, readonly string[]>> = {},
  action = "s3:GetObject",
  name = "arn:aws:s3:::bucket/key",
) {
  return evaluate(
    { action, resource: name, context: { get: (key) => values[key] } },
    principal,
    on,
  );
}
const isAllowed = (...given: Parameters<typeof ask>): boolean => ask(...given) === "allowed";

const everyone = { Principal: "*" };
const bobs = { Principal: { AWS: "arn:aws:iam::111111111111:user/bob" } };
const eves = { Principal: { AWS: "arn:aws:iam::222222222222:user/eve" } };
const accounts = { Principal: { AWS: "111111111111" } };
const others = { Principal: { AWS: "arn:aws:iam::222222222222:root" } };

/** Rules of "Policy evaluation logic" (IAM User Guide), "How Amazon S3 authorizes a request" (S3 User Guide). */
const rules: readonly (readonly [rule: string, allowed: boolean, ...Parameters<typeof ask>])[] = [
  ["default is no: a user without policies", false, bob(), side()],
  ["the account's root may do everything", true, root, side()],
  [
    "an Allow of an identity policy is enough in its own account",
    true,
    bob(identity(allow)),
    side(),
  ],
  ["a Deny of another identity policy wins", false, bob(identity(allow), identity(deny)), side()],
  [
    "a Deny of the bucket's policy wins over an identity's Allow",
    false,
    bob(identity(allow)),
    side(resource({ ...deny, ...everyone })),
  ],
  [
    "a Deny of the identity wins over the bucket's Allow",
    false,
    bob(identity(deny)),
    side(resource({ ...allow, ...bobs })),
  ],
  [
    "a Deny of the bucket's policy holds for the root too",
    false,
    root,
    side(resource({ ...deny, ...everyone })),
  ],
  [
    "the root always reads the bucket's policy",
    true,
    root,
    side(unreadablePolicy),
    {},
    "s3:GetBucketPolicy",
    "arn:aws:s3:::bucket",
  ],
  [
    "the root always puts the bucket's policy",
    true,
    root,
    side(unreadablePolicy),
    {},
    "s3:PutBucketPolicy",
    "arn:aws:s3:::bucket",
  ],
  [
    "the root always deletes the bucket's policy",
    true,
    root,
    side(unreadablePolicy),
    {},
    "s3:DeleteBucketPolicy",
    "arn:aws:s3:::bucket",
  ],
  [
    "another account's root does not",
    false,
    otherRoot,
    side(unreadablePolicy),
    {},
    "s3:DeleteBucketPolicy",
    "arn:aws:s3:::bucket",
  ],
  [
    "a user does not, whatever it may",
    false,
    bob(identity({ Effect: "Allow", Action: "*", Resource: "*" })),
    side(unreadablePolicy),
    {},
    "s3:PutBucketPolicy",
    "arn:aws:s3:::bucket",
  ],
  [
    "the bucket's policy alone lets in a user it names",
    true,
    bob(),
    side(resource({ ...allow, ...bobs })),
  ],
  [
    "the bucket's policy alone lets in everyone of the account by *",
    true,
    bob(),
    side(resource({ ...allow, ...everyone })),
  ],
  [
    "naming the account leaves it to the identity's policies",
    false,
    bob(),
    side(resource({ ...allow, ...accounts })),
  ],
  [
    "a Deny that names the account holds for its users",
    false,
    bob(identity(allow)),
    side(resource({ ...deny, ...accounts })),
  ],
  [
    "across accounts both must allow: identity alone is not enough",
    false,
    eve(identity(allow)),
    side(),
  ],
  [
    "across accounts both must allow: the bucket alone is not enough",
    false,
    eve(),
    side(resource({ ...allow, ...eves })),
  ],
  ["across accounts both allow", true, eve(identity(allow)), side(resource({ ...allow, ...eves }))],
  [
    "across accounts the bucket may name the account",
    true,
    eve(identity(allow)),
    side(resource({ ...allow, ...others })),
  ],
  [
    "across accounts a root needs the bucket's Allow only",
    true,
    otherRoot,
    side(resource({ ...allow, ...others })),
  ],
  ["across accounts a root has nothing by itself", false, otherRoot, side()],
  ["an anonymous request has nothing by itself", false, anonymousPrincipal, side()],
  [
    "an anonymous request is let in by *",
    true,
    anonymousPrincipal,
    side(resource({ ...allow, ...everyone })),
  ],
  [
    "an anonymous request is no account's",
    false,
    anonymousPrincipal,
    side(resource({ ...allow, ...others }, { ...allow, ...bobs })),
  ],
  [
    "NotPrincipal denies everyone else",
    false,
    bob(identity(allow)),
    side(resource({ ...deny, NotPrincipal: eves.Principal })),
  ],
  [
    "NotPrincipal leaves out whom it names",
    true,
    bob(identity(allow)),
    side(resource({ ...deny, NotPrincipal: bobs.Principal })),
  ],
  [
    "NotPrincipal with an account leaves out its root alone",
    false,
    bob(identity(allow)),
    side(resource({ ...deny, NotPrincipal: accounts.Principal })),
  ],
  [
    "NotPrincipal with an account leaves out its root",
    true,
    root,
    side(resource({ ...deny, NotPrincipal: accounts.Principal })),
  ],
  [
    "RestrictPublicBuckets keeps out anonymous requests",
    false,
    anonymousPrincipal,
    side(resource({ ...allow, ...everyone }), { isRestricted: true }),
  ],
  [
    "RestrictPublicBuckets keeps out other accounts",
    false,
    otherRoot,
    side(resource({ ...allow, ...everyone }), { isRestricted: true }),
  ],
  [
    "RestrictPublicBuckets lets in the account",
    true,
    bob(),
    side(resource({ ...allow, ...everyone }), { isRestricted: true }),
  ],
  ["an ACL lets in", true, anonymousPrincipal, side(undefined, { isGranted: () => true })],
  [
    "a Deny wins over an ACL",
    false,
    anonymousPrincipal,
    side(resource({ ...deny, ...everyone }), { isGranted: () => true }),
  ],
  [
    "across accounts an ACL needs the identity's Allow",
    false,
    eve(),
    side(undefined, { isGranted: () => true }),
  ],
  [
    "across accounts an ACL and the identity allow",
    true,
    eve(identity(allow)),
    side(undefined, { isGranted: () => true }),
  ],
  [
    "the bucket's policy does not open what another account owns",
    false,
    anonymousPrincipal,
    side(resource({ ...allow, ...everyone }), { owner: other.account }),
  ],
  [
    "the bucket's root does not own what another account wrote",
    false,
    root,
    side(undefined, { owner: other.account }),
  ],
  [
    "a Deny of the bucket's policy holds for what another account wrote",
    false,
    otherRoot,
    side(resource({ ...deny, ...everyone }), { owner: other.account }),
  ],
  ["who wrote it may", true, otherRoot, side(undefined, { owner: other.account })],
  [
    "a session's policy narrows the root",
    false,
    rootPrincipal(own, [identity({ ...allow, Action: "s3:PutObject" })]),
    side(),
  ],
  [
    "a session's policy that allows is enough for the root",
    true,
    rootPrincipal(own, [identity(allow)]),
    side(),
  ],
  [
    "a session's policy allows nothing alone",
    false,
    { ...bob(), sessionPolicies: [identity(allow)] },
    side(),
  ],
  ["a session's policy denies", false, rootPrincipal(own, [identity(allow, deny)]), side()],
  [
    "a session's policy narrows what the bucket allows a user",
    false,
    { ...bob(), sessionPolicies: [identity({ ...allow, Action: "s3:PutObject" })] },
    side(resource({ ...allow, ...bobs })),
  ],
  [
    "NotAction allows the rest",
    true,
    bob(identity({ Effect: "Allow", NotAction: "s3:PutObject", Resource: "*" })),
    side(),
  ],
  [
    "NotAction does not allow what it names",
    false,
    bob(identity({ Effect: "Allow", NotAction: "s3:Get*", Resource: "*" })),
    side(),
  ],
  [
    "NotResource allows the rest",
    true,
    bob(identity({ Effect: "Allow", Action: "s3:*", NotResource: "arn:aws:s3:::bucket/x*" })),
    side(),
  ],
  [
    "NotResource does not allow what it names",
    false,
    bob(identity({ Effect: "Allow", Action: "s3:*", NotResource: "arn:aws:s3:::bucket/k*" })),
    side(),
  ],
  [
    "actions are compared without case",
    true,
    bob(identity({ ...allow, Action: "S3:getobject" })),
    side(),
  ],
  [
    "resources are compared with case",
    false,
    bob(identity({ ...allow, Resource: "arn:aws:s3:::bucket/KEY" })),
    side(),
  ],
  [
    "a variable stands for the user's name",
    true,
    bob(identity({ ...allow, Resource: "arn:aws:s3:::bucket/${aws:username}/*" })),
    side(),
    { "aws:username": ["bob"] },
    "s3:GetObject",
    "arn:aws:s3:::bucket/bob/x",
  ],
  [
    "a variable's value is no pattern",
    false,
    bob(identity({ ...allow, Resource: "arn:aws:s3:::bucket/${aws:username}/*" })),
    side(),
    { "aws:username": ["*"] },
    "s3:GetObject",
    "arn:aws:s3:::bucket/bob/x",
  ],
  [
    "a variable without value names nothing",
    false,
    bob(identity({ ...allow, Resource: "arn:aws:s3:::bucket/${aws:username}*" })),
    side(),
  ],
  [
    "a variable without value opens nothing by NotResource",
    false,
    bob(
      identity({
        Effect: "Allow",
        Action: "*",
        NotResource: "arn:aws:s3:::bucket/${aws:username}",
      }),
    ),
    side(),
  ],
  [
    "a variable without value closes by NotResource",
    false,
    bob(
      identity(allow, {
        Effect: "Deny",
        Action: "*",
        NotResource: "arn:aws:s3:::bucket/${aws:username}",
      }),
    ),
    side(),
  ],
  [
    "a variable's default stands in",
    true,
    bob(identity({ ...allow, Resource: "arn:aws:s3:::bucket/${aws:username, 'key'}" })),
    side(),
  ],
  [
    "${*} is a star and no wildcard",
    false,
    bob(identity({ ...allow, Resource: "arn:aws:s3:::bucket/${*}" })),
    side(),
  ],
  [
    "${*} matches a star",
    true,
    bob(identity({ ...allow, Resource: "arn:aws:s3:::bucket/${*}" })),
    side(),
    {},
    "s3:GetObject",
    "arn:aws:s3:::bucket/*",
  ],
  [
    "a service as principal is nobody here",
    false,
    anonymousPrincipal,
    side(resource({ ...allow, Principal: { Service: "logging.s3.amazonaws.com" } })),
  ],
];

for (const [rule, allowed, ...given] of rules) {
  test(`evaluate(): ${rule}`, () => expect(isAllowed(...given)).toBe(allowed));
}

test("evaluate(): a session that the bucket's policy names is not narrowed by its own policy", () => {
  const arn = "arn:aws:sts::111111111111:assumed-role/reader/one";
  const session: Principal = {
    ...bob(),
    kind: "session",
    arn,
    issuerArn: "arn:aws:iam::111111111111:role/reader",
    userName: undefined,
    sessionPolicies: [identity({ ...allow, Action: "s3:PutObject" })],
  };
  expect(isAllowed(session, side(resource({ ...allow, Principal: { AWS: arn } })))).toBe(true);
  const role = { AWS: "arn:aws:iam::111111111111:role/reader" };
  expect(isAllowed(session, side(resource({ ...allow, Principal: role })))).toBe(false);
  const free = { ...session, sessionPolicies: [] };
  expect(isAllowed(free, side(resource({ ...allow, Principal: role })))).toBe(true);
});

test("readStoredPolicy(): what it does not understand refuses everybody, the root too", () => {
  const damaged = readStoredPolicy('{"Version":"2099-01-01"}', "resource");
  expect(isAllowed(root, side(damaged))).toBe(false);
  expect(isAllowed(bob(identity(allow)), side(damaged))).toBe(false);
  expect(isAllowed(bob(identity(allow), readStoredPolicy("{", "identity")), side())).toBe(false);
});

const actions = fc.constantFrom(
  "s3:GetObject",
  "s3:PutObject",
  "s3:GetBucketPolicy",
  "s3:Get*",
  "s3:*",
  "*",
  "S3:PUT*t",
);
const names = ["a", "ab", "a/b", "b"];
const resources = fc.constantFrom(
  "*",
  ...["*", "a*", "a", "?b", "a/${aws:username}", "${aws:username}", "a?b*"].map(
    (name) => `arn:aws:s3:::${name}`,
  ),
);
const lists = <T>(of: fc.Arbitrary<T>) => fc.array(of, { minLength: 1, maxLength: 2 });
const conditions = fc.dictionary(
  fc.constantFrom("StringLike", "StringNotLike"),
  fc.dictionary(
    fc.constantFrom("s3:prefix", "aws:username"),
    lists(fc.constantFrom("a", "b", "*", "a*", "${aws:username}")),
    { minKeys: 1 },
  ),
);
const who = fc.constantFrom(
  "*",
  ...[root.arn, otherRoot.arn, bob().arn, eve().arn].map((arn) => ({ AWS: [arn] })),
  { AWS: [bob().arn, otherRoot.arn] },
);
const bodies: fc.Arbitrary<RawStatement> = fc
  .tuple(
    fc.constantFrom("Allow" as const, "Deny" as const),
    lists(actions),
    lists(resources),
    fc.boolean(),
    fc.boolean(),
    fc.option(conditions),
  )
  .map(([Effect, action, name, isNotAction, isNotResource, Condition]) => ({
    Effect,
    ...(isNotAction ? { NotAction: action } : { Action: action }),
    ...(isNotResource ? { NotResource: name } : { Resource: name }),
    ...(Condition === null ? {} : { Condition }),
  }));
const policyOf = (of: fc.Arbitrary<RawStatement>): fc.Arbitrary<RawPolicy> =>
  fc
    .array(of, { minLength: 1, maxLength: 4 })
    .map((Statement) => ({ Version: "2012-10-17", Statement }));
const bucketStatements = fc
  .tuple(bodies, who, fc.boolean())
  .map(([body, Principal, isNot]) =>
    isNot && body.Effect === "Deny" ? { ...body, NotPrincipal: Principal } : { ...body, Principal },
  );
const worlds = fc.record({
  who: fc.constantFrom(root, otherRoot, bob(), eve(), anonymousPrincipal),
  identity: fc.array(policyOf(bodies), { maxLength: 2 }),
  session: fc.array(policyOf(bodies), { maxLength: 1 }),
  bucket: fc.option(policyOf(bucketStatements)),
  isGranted: fc.boolean(),
  action: fc.constantFrom("s3:GetObject", "s3:PutObject", "s3:GetBucketPolicy"),
  name: fc.constantFrom(...names),
  values: fc.dictionary(
    fc.constantFrom("s3:prefix", "aws:username"),
    fc.constantFrom(["a"], ["b"], ["a*"], ["a", "b"]),
  ),
});
type World = typeof worlds extends fc.Arbitrary<infer T> ? T : never;

function decide(world: World): boolean {
  const parse = (kind: "identity" | "resource") => (policy: RawPolicy) =>
    parsePolicy(JSON.stringify(policy), { kind });
  const isAnonymous = world.who.kind === "anonymous";
  const principal = {
    ...world.who,
    policies: isAnonymous ? [] : world.identity.map(parse("identity")),
    sessionPolicies: isAnonymous ? [] : world.session.map(parse("identity")),
  };
  const policy = world.bucket === null ? undefined : parse("resource")(world.bucket);
  const on = side(policy, { isGranted: () => world.isGranted });
  return isAllowed(principal, on, world.values, world.action, `arn:aws:s3:::${world.name}`);
}
const seed = Number(
  process.env["KISEKI_FUZZ_SEED"] ?? crypto.getRandomValues(new Int32Array(1))[0],
);
const runs = { seed, numRuns: 1000 };

test(`evaluate() is what a slow plain evaluator says (replay with KISEKI_FUZZ_SEED=${seed})`, () => {
  fc.assert(
    fc.property(worlds, (world) => {
      const isAnonymous = world.who.kind === "anonymous";
      const question = {
        action: world.action,
        resource: `arn:aws:s3:::${world.name}`,
        values: world.values,
      };
      const plain = isAllowedPlainly(
        question,
        world.who,
        isAnonymous ? [] : world.identity,
        isAnonymous ? [] : world.session,
        { bucketOwner: own.account, policy: world.bucket ?? undefined, isGranted: world.isGranted },
      );
      expect(decide(world)).toBe(plain);
    }),
    runs,
  );
});

test(`evaluate(): a Deny of everything always wins, and one more Allow takes nothing away (KISEKI_FUZZ_SEED=${seed})`, () => {
  const denyAll = { Effect: "Deny" as const, Action: ["*"], Resource: ["*"], Principal: "*" };
  fc.assert(
    fc.property(worlds, bodies, who, (world, body, Principal) => {
      const more = { ...body, Effect: "Allow" as const };
      const before = decide(world);
      const add = (policy: RawPolicy | undefined, statement: RawStatement): RawPolicy => ({
        Version: "2012-10-17",
        Statement: [...(policy?.Statement ?? []), statement],
      });
      const bucket = add(world.bucket ?? undefined, { ...more, Principal });
      const identity = [...world.identity, add(undefined, more)];
      if (before) expect(decide({ ...world, bucket, identity })).toBe(true);
      const isMending = world.who === root && world.action === "s3:GetBucketPolicy";
      if (!isMending) {
        expect(decide({ ...world, bucket: add(world.bucket ?? undefined, denyAll) })).toBe(false);
      }
    }),
    runs,
  );
});
