// Goal: temporary credentials do what whom they stand for may do, no more, no longer, and with their own token only.
// Method: STS and S3 asked over HTTP of a real node; then each part of the credentials exchanged for another's.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { wallTime } from "@kiseki/base";
import { Bed, type User } from "../bed.test-helper.ts";
import { codeOf, element, StsClient } from "./client.test-helper.ts";

let bed: Bed;
let sts: StsClient;
beforeAll(async () => {
  bed = await Bed.open();
  sts = new StsClient(bed);
  expect((await bed.call(bed.main, "PUT", "/box")).status).toBe(200);
  expect((await bed.call(bed.main, "PUT", "/box/k", { body: "content" })).status).toBe(200);
});
afterAll(() => bed[Symbol.asyncDispose]());

const catalog = () => bed.node.storage.catalog;
const tenant = () => bed.node.defaultTenant;
const account = () => catalog().account(tenant());
/** A user of the default tenant with policies, and his key. */
function newUser(name: string, ...policies: readonly string[]): User & { readonly user: string } {
  const { id: user } = catalog().createUser(tenant(), name);
  for (const policy of policies) catalog().attachPolicy(user, policy);
  return { ...catalog().createAccessKey(user), user };
}
const own = { Action: "AssumeRole" };
const getSession = { Action: "GetSessionToken" };
const identity = { Action: "GetCallerIdentity" };

test("GetCallerIdentity names root, user and session", async () => {
  const root = await sts.ask(bed.main, identity);
  expect(root.status).toBe(200);
  expect(root.headers["content-type"]).toBe("text/xml");
  expect(root.text).toBe(
    `<?xml version="1.0" encoding="UTF-8"?>\n<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::${account()}:root</Arn><UserId>${account()}</UserId><Account>${account()}</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>${root.headers["x-amzn-requestid"]}</RequestId></ResponseMetadata></GetCallerIdentityResponse>`,
  );
  const ann = newUser("ann");
  const arn = `arn:aws:iam::${account()}:user/ann`;
  expect(element((await sts.ask(ann, identity)).text, "Arn")).toBe(arn);
  const session = await sts.session(ann, getSession);
  expect(element((await sts.ask(session, identity)).text, "Arn")).toBe(arn);
  const other = await sts.ask(bed.other, identity);
  expect(element(other.text, "Account")).not.toBe(account());
});
test("GetCallerIdentity takes a signed query too, which S3 would not", async () => {
  const url = bed.presign(bed.main, "GET", "/", {
    Action: "GetCallerIdentity",
    Version: "2011-06-15",
  });
  const reply = await sts.askByQuery(bed.main, identity);
  expect([reply.status, element(reply.text, "Account")]).toEqual([200, account()]);
  const session = await sts.session(bed.main, getSession);
  expect((await sts.askByQuery(session, identity)).status).toBe(200);
  expect(codeOf(await sts.askByQuery({ ...session, token: "x" }, identity))).toBe(
    "403 InvalidClientTokenId",
  );
  // Signed for s3: the service in the scope decides.
  expect(codeOf(await bed.send("GET", url, {}))).toBe("400 IncompleteSignature");
});
test.each([
  ["an unsigned request", undefined, identity, {}, "403 MissingAuthenticationToken"],
  [
    "an unknown key",
    { id: "AKIDNOBODY0000000000", secret: "s" },
    identity,
    {},
    "403 InvalidClientTokenId",
  ],
  ["a signature for s3", "main", identity, { service: "s3" }, "400 IncompleteSignature"],
  [
    "a changed body",
    "main",
    identity,
    { body: "Action=GetCallerIdentity&Version=2011-06-15&a=b" },
    "403 SignatureDoesNotMatch",
  ],
  ["an old date", "main", identity, { date: "20200101T000000Z" }, "403 SignatureDoesNotMatch"],
  ["no action", "main", {}, {}, "400 MissingAction"],
  ["an unknown action", "main", { Action: "GetFederationToken" }, {}, "400 InvalidAction"],
  ["another version", "main", { ...identity, Version: "2010-01-01" }, {}, "400 InvalidAction"],
  [
    "multi-factor codes",
    "main",
    { ...getSession, TokenCode: "123456" },
    {},
    "400 InvalidParameterValue",
  ],
  ["a short session", "main", { ...own, DurationSeconds: "899" }, {}, "400 ValidationError"],
  ["a long session", "main", { ...own, DurationSeconds: "43201" }, {}, "400 ValidationError"],
  [
    "a longer session",
    "main",
    { ...getSession, DurationSeconds: "129601" },
    {},
    "400 ValidationError",
  ],
  [
    "a broken role",
    "main",
    { ...own, RoleArn: "arn:aws:iam::1:role/a" },
    {},
    "400 ValidationError",
  ],
  ["a policy that is none", "main", { ...own, Policy: "{}" }, {}, "400 MalformedPolicyDocument"],
  [
    "a policy too long",
    "main",
    { ...own, Policy: " ".repeat(2049) },
    {},
    "400 PackedPolicyTooLarge",
  ],
  [
    "a policy nobody knows",
    "main",
    { ...own, "PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/none" },
    {},
    "400 ValidationError",
  ],
  [
    "a body of 65 KiB",
    "main",
    { ...own, Policy: "a".repeat(66_000) },
    {},
    "413 RequestEntityTooLarge",
  ],
] as const)("STS refuses %s in its own form", async (_, who, parameters, change, code) => {
  const user = who === "main" ? bed.main : who;
  const reply = await sts.ask(user, parameters, change);
  expect(codeOf(reply)).toBe(code);
  expect(reply.text).toContain('<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">');
  expect(element(reply.text, "RequestId")).toBe(reply.headers["x-amzn-requestid"]!);
});

test("GetSessionToken gives a user's own rights, root an hour at most", async () => {
  const user = newUser("reader", "readonly");
  const session = await sts.session(user, { ...getSession, DurationSeconds: "900" });
  expect(session.id).toMatch(/^ASIA/);
  expect(session.expires / 1000).toBeCloseTo(Date.now() / 1000 + 900, -2);
  expect((await sts.s3(session, "GET", "/box/k")).text).toBe("content");
  const long = await sts.session(bed.main, { ...getSession, DurationSeconds: "43200" });
  expect(long.expires / 1000).toBeCloseTo(Date.now() / 1000 + 3600, -2);
  expect(codeOf(await sts.ask(session, getSession))).toBe("403 AccessDenied");
  expect(codeOf(await sts.ask(session, own))).toBe("403 AccessDenied");
});
test("credentials go together or not at all", async () => {
  const [one, two] = [
    await sts.session(bed.main, getSession),
    await sts.session(bed.main, getSession),
  ];
  expect((await sts.s3(one, "GET", "/box/k")).status).toBe(200);
  const mixed = [
    ["400 InvalidToken", { ...one, id: two.id }],
    ["400 InvalidToken", { ...one, token: two.token }],
    ["403 SignatureDoesNotMatch", { ...one, secret: two.secret }],
    [
      "400 InvalidToken",
      {
        ...one,
        token: `${one.token.slice(0, 40)}${one.token[40] === "A" ? "B" : "A"}${one.token.slice(41)}`,
      },
    ],
    ["400 InvalidToken", { ...one, token: "x" }],
    ["400 InvalidToken", { ...bed.main, token: one.token }],
  ] as const;
  for (const [code, session] of mixed) {
    expect(codeOf(await sts.s3(session, "GET", "/box/k"))).toBe(code);
  }
  expect(codeOf(await bed.call(one, "GET", "/box/k"))).toBe("403 InvalidAccessKeyId");
  expect(codeOf(await sts.ask({ ...one, token: two.token }, identity))).toBe(
    "403 InvalidClientTokenId",
  );
});
test("credentials in a presigned query carry their token signed", async () => {
  const session = await sts.session(bed.main, getSession);
  const url = bed.presign(session, "GET", "/box/k", { "X-Amz-Security-Token": session.token });
  expect((await bed.send("GET", url, {})).text).toBe("content");
  const without = url.replace(/X-Amz-Security-Token=[^&]*&/, "");
  expect(codeOf(await bed.send("GET", without, {}))).toBe("403 InvalidAccessKeyId");
});
test("credentials end at their time, for S3 and for STS", async () => {
  const { sessionTokens } = bed.node.storage;
  const lasting = (ms: number) => {
    const now = Date.now();
    const times = { issued: wallTime(now - 900_000), expires: wallTime(now + ms) };
    const made = sessionTokens.issue({
      ...{ kind: "user", tenant: tenant(), parentKey: bed.main.id, ...times },
      ...{ policyNames: [], claims: [], tags: [] },
    })!;
    return { id: made.accessKeyId, secret: made.secret, token: made.sessionToken };
  };
  expect((await sts.s3(lasting(60_000), "GET", "/box/k")).status).toBe(200);
  const over = lasting(0);
  expect(codeOf(await sts.s3(over, "GET", "/box/k"))).toBe("400 ExpiredToken");
  expect(codeOf(await sts.ask(over, identity))).toBe("403 ExpiredToken");
  const url = bed.presign(over, "GET", "/box/k", { "X-Amz-Security-Token": over.token });
  expect(codeOf(await bed.send("GET", url, {}))).toBe("400 ExpiredToken");
});
test("credentials end with their key, and with its user", async () => {
  const user = newUser("leaver", "readwrite");
  const session = await sts.session(user, getSession);
  const status = async () => codeOf(await sts.s3(session, "GET", "/box/k"));
  expect(await status()).toBe("200");
  catalog().setAccessKeyDisabled(user.id, true);
  expect(await status()).toBe("400 InvalidToken");
  catalog().setAccessKeyDisabled(user.id, false);
  expect(await status()).toBe("200");
  catalog().setUserDisabled(user.user, true);
  expect(await status()).toBe("400 InvalidToken");
  catalog().setUserDisabled(user.user, false);
  expect(await status()).toBe("200");
  catalog().deleteUser(user.user);
  expect(await status()).toBe("400 InvalidToken");
});
test("AssumeRole without a role, as MinIO's tools ask, gives the caller's own rights", async () => {
  for (const RoleArn of ["", "arn:xxx:xxx:xxx:xxxx", "arn:minio:iam:::role/x"]) {
    const session = await sts.session(bed.main, { ...own, RoleArn, RoleSessionName: "any" });
    expect((await sts.s3(session, "GET", "/box/k")).text).toBe("content");
  }
  const text = (await sts.ask(bed.main, { ...own, RoleSessionName: "job" })).text;
  expect(element(text, "AssumedRoleId")).toBe(`${account()}:job`);
});

const trustIn = (...statements: readonly object[]) =>
  JSON.stringify({ Version: "2012-10-17", Statement: statements });
const trusting = (principal: unknown, more: object = {}) => ({
  Effect: "Allow",
  Principal: principal,
  Action: "sts:AssumeRole",
  ...more,
});
const arnOf = (role: string) => `arn:aws:iam::${account()}:role/${role}`;
const assume = (role: string, more: Record<string, string> = {}) => ({
  ...own,
  RoleArn: arnOf(role),
  RoleSessionName: "task",
  ...more,
});

test("AssumeRole of a role gives its rights to whom it trusts, and names both", async () => {
  const user = newUser("trusted");
  const arn = `arn:aws:iam::${account()}:user/trusted`;
  const { id } = catalog().roles.create(tenant(), "worker", {
    trust: trustIn(trusting({ AWS: arn })),
    secondsMax: 7200,
  });
  catalog().roles.attach(tenant(), "worker", "readwrite");
  const session = await sts.session(user, assume("worker"));
  const named = `arn:aws:sts::${account()}:assumed-role/worker/task`;
  expect([element(session.text, "Arn"), element(session.text, "AssumedRoleId")]).toEqual([
    named,
    `${id}:task`,
  ]);
  expect(element((await sts.ask(session, identity)).text, "Arn")).toBe(named);
  expect((await sts.s3(session, "GET", "/box/k")).text).toBe("content");
  expect(codeOf(await sts.ask(newUser("stranger"), assume("worker")))).toBe("403 AccessDenied");
  expect(codeOf(await sts.ask(bed.main, assume("worker")))).toBe("403 AccessDenied");
  expect(codeOf(await sts.ask(bed.other, assume("worker")))).toBe("403 AccessDenied");
  expect(codeOf(await sts.ask(user, assume("nothing")))).toBe("403 AccessDenied");
  const long = assume("worker", { DurationSeconds: "7201" });
  expect(codeOf(await sts.ask(user, long))).toBe("400 ValidationError");
  expect(codeOf(await sts.ask(user, { ...assume("worker"), RoleSessionName: "" }))).toBe(
    "400 ValidationError",
  );
  catalog().roles.delete(tenant(), "worker");
  expect(codeOf(await sts.s3(session, "GET", "/box/k"))).toBe("400 InvalidToken");
});
test("AssumeRole asks the caller's own policies where a role trusts the account", async () => {
  catalog().roles.create(tenant(), "shared", {
    trust: trustIn(trusting({ AWS: account() })),
  });
  catalog().putPolicy(
    tenant(),
    "mayShare",
    trustIn({ Effect: "Allow", Action: "sts:AssumeRole", Resource: arnOf("shared") }),
  );
  const ask = async (user: User) => codeOf(await sts.ask(user, assume("shared")));
  expect(await ask(bed.main)).toBe("200");
  expect(await ask(newUser("may", "mayShare"))).toBe("200");
  expect(await ask(newUser("may-not", "readwrite"))).toBe("403 AccessDenied");
  const chained = await sts.session(newUser("may-too", "mayShare"), assume("shared"));
  expect(codeOf(await sts.ask(chained, assume("shared")))).toBe("403 AccessDenied");
});
test("AssumeRole looks at the external id, tags only where trusted, and an hour of chained roles", async () => {
  const user = newUser("chain");
  const arn = { AWS: `arn:aws:iam::${account()}:user/chain` };
  const external = { Condition: { StringEquals: { "sts:ExternalId": "ticket" } } };
  catalog().roles.create(tenant(), "first", {
    trust: trustIn(trusting(arn, { ...external, Action: ["sts:AssumeRole", "sts:TagSession"] })),
    secondsMax: 43_200,
  });
  catalog().roles.create(tenant(), "second", {
    trust: trustIn(trusting({ AWS: arnOf("first") })),
    secondsMax: 43_200,
  });
  expect(codeOf(await sts.ask(user, assume("first")))).toBe("403 AccessDenied");
  const tags = { "Tags.member.1.Key": "team", "Tags.member.1.Value": "a" };
  const ticket = { ExternalId: "ticket", DurationSeconds: "43200" };
  const first = await sts.session(user, assume("first", { ...ticket, ...tags }));
  const second = assume("second", { DurationSeconds: "3600" });
  expect(codeOf(await sts.ask(first, second))).toBe("200");
  expect(codeOf(await sts.ask(first, { ...second, DurationSeconds: "3601" }))).toBe(
    "400 ValidationError",
  );
  expect(codeOf(await sts.ask(first, { ...second, ...tags }))).toBe("403 AccessDenied");
  catalog().deleteUser(user.user);
  expect(codeOf(await sts.ask(first, identity))).toBe("403 InvalidClientTokenId");
});

test("a session policy narrows what its caller may, the root included, and adds nothing", async () => {
  const only = (Action: string, Resource: string) => trustIn({ Effect: "Allow", Action, Resource });
  const put = (session: Parameters<StsClient["s3"]>[0]) => sts.s3(session, "PUT", "/box/new", "x");
  const reading = await sts.session(bed.main, {
    ...own,
    Policy: only("s3:GetObject", "arn:aws:s3:::box/k"),
  });
  expect((await sts.s3(reading, "GET", "/box/k")).text).toBe("content");
  expect(codeOf(await put(reading))).toBe("403 AccessDenied");
  const user = newUser("narrow", "readonly");
  const wide = await sts.session(user, { ...own, Policy: only("s3:*", "*") });
  expect((await sts.s3(wide, "GET", "/box/k")).status).toBe(200);
  expect(codeOf(await put(wide))).toBe("403 AccessDenied");
  const managed = { "PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/readonly" };
  const byArn = await sts.session(bed.main, { ...own, ...managed });
  expect((await sts.s3(byArn, "GET", "/box/k")).status).toBe(200);
  expect(codeOf(await put(byArn))).toBe("403 AccessDenied");
  // Both together allow what either does.
  const both = await sts.session(bed.main, {
    ...own,
    ...managed,
    Policy: only("s3:PutObject", "arn:aws:s3:::box/new"),
  });
  expect((await put(both)).status).toBe(200);
  expect((await sts.s3(both, "GET", "/box/k")).status).toBe(200);
  expect(codeOf(await sts.s3(both, "DELETE", "/box/k"))).toBe("403 AccessDenied");
});
test("a role's policies hold at once when they change", async () => {
  const user = newUser("operator");
  catalog().roles.create(tenant(), "changing", {
    trust: trustIn(trusting({ AWS: `arn:aws:iam::${account()}:user/operator` })),
  });
  const session = await sts.session(user, assume("changing"));
  const get = async () => codeOf(await sts.s3(session, "GET", "/box/k"));
  expect(await get()).toBe("403 AccessDenied");
  catalog().roles.attach(tenant(), "changing", "readonly");
  expect(await get()).toBe("200");
  expect(codeOf(await sts.s3(session, "PUT", "/box/new", "x"))).toBe("403 AccessDenied");
  catalog().roles.detach(tenant(), "changing", "readonly");
  expect(await get()).toBe("403 AccessDenied");
});
test("STS counts what a key asks for, by its address what nobody signs, and says so in its own form", async () => {
  await using limited = await Bed.open("256MiB", ["--key-requests-per-s", "1", "--key-burst", "2"]);
  const client = new StsClient(limited);
  const replies = await Promise.all(
    Array.from({ length: 6 }, () => client.ask(limited.main, identity)),
  );
  const codes = replies.map(codeOf);
  expect(codes).toContain("200");
  expect(codes).toContain("400 Throttling");
  // Another key at the same address has limits of its own, and its address is not nobody's.
  expect(codeOf(await client.ask(limited.other, identity))).toBe("200");
  const { catalog } = limited.node.storage;
  catalog.setAccessKeyLimits(limited.main.id, { requestsPerSecond: 0 });
  expect(codeOf(await client.ask(limited.main, identity))).toBe("200");
  const nobody = await Promise.all(
    Array.from({ length: 6 }, () => client.ask(undefined, identity)),
  );
  expect(nobody.map(codeOf)).toContain("400 Throttling");
});
