// Goal: a provider's token gives what the tenant said it gives, for that provider, client and role, and nothing else.
// Method: a provider with real keys on this machine, tokens for right and wrong, S3 asked with what they gave.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { TestProvider } from "@kiseki/oidc/contract";
import { Bed } from "../bed.test-helper.ts";
import { codeOf, element, StsClient } from "./client.test-helper.ts";

let bed: Bed;
let sts: StsClient;
let provider: TestProvider;
beforeAll(async () => {
  bed = await Bed.open("256MiB", ["--oidc-allow-loopback"]);
  sts = new StsClient(bed);
  provider = await TestProvider.open();
  expect((await bed.call(bed.main, "PUT", "/box")).status).toBe(200);
  expect((await bed.call(bed.main, "PUT", "/box/k", { body: "content" })).status).toBe(200);
  catalog().providers.create(tenant(), "idp", options());
});
afterAll(async () => {
  await provider[Symbol.asyncDispose]();
  await bed[Symbol.asyncDispose]();
});
const catalog = () => bed.node.storage.catalog;
const tenant = () => bed.node.defaultTenant;
const account = () => catalog().account(tenant());
const options = () => ({ issuer: provider.issuer, clientIds: ["app"], policyClaim: "policy" });
const web = (WebIdentityToken: string, more: Record<string, string> = {}) => ({
  Action: "AssumeRoleWithWebIdentity",
  WebIdentityToken,
  ...more,
});
const ask = async (token: string, more?: Record<string, string>) =>
  codeOf(await sts.ask(undefined, web(token, more)));
const arnOf = (role: string) => `arn:aws:iam::${account()}:role/${role}`;
const named = (role: string) => ({ RoleArn: arnOf(role), RoleSessionName: "task" });
function newRole(name: string, condition?: object, federated = providerName()) {
  const statement = {
    Effect: "Allow",
    Principal: { Federated: federated },
    Action: "sts:AssumeRoleWithWebIdentity",
    ...(condition && { Condition: condition }),
  };
  const role = catalog().roles.create(tenant(), name, {
    trust: JSON.stringify({ Version: "2012-10-17", Statement: [statement] }),
    secondsMax: 7200,
  });
  catalog().roles.attach(tenant(), name, "readwrite");
  return role;
}
const idp = () => provider.issuer.replace("http://", "");
const providerName = () => `arn:aws:iam::${account()}:oidc-provider/${idp()}`;

test("a token whose claim names policies gives them, as MinIO has it", async () => {
  const token = await provider.token({ policy: ["nothing", "readwrite"], sub: "a|ä" });
  const session = await sts.session(undefined, web(token, { DurationSeconds: "900" }));
  expect(session.expires / 1000).toBeCloseTo(Date.now() / 1000 + 900, -2);
  const arn = `arn:aws:sts::${account()}:federated-user/idp/a=7C=C3=A4`;
  expect(element(session.text, "Arn")).toBe(arn);
  expect(element(session.text, "SubjectFromWebIdentityToken")).toBe("a|ä");
  expect([element(session.text, "Audience"), element(session.text, "Provider")]).toEqual([
    "app",
    provider.issuer,
  ]);
  expect((await sts.s3(session, "GET", "/box/k")).text).toBe("content");
  const identity = await sts.ask(session, { Action: "GetCallerIdentity" });
  expect(element(identity.text, "Arn")).toBe(arn);
  expect(codeOf(await sts.ask(session, { Action: "GetSessionToken" }))).toBe("403 AccessDenied");
  expect(codeOf(await sts.ask(session, { Action: "AssumeRole" }))).toBe("403 AccessDenied");
});
test.each([
  [{ policy: undefined }, "403 AccessDenied"],
  [{ policy: "nothing" }, "403 AccessDenied"],
  [{ policy: "" }, "403 AccessDenied"],
  [{ policy: { readwrite: true } }, "403 AccessDenied"],
  [{ policy: "readonly, readwrite" }, "200"],
  [{ policy: "readwrite", aud: "other" }, "400 InvalidIdentityToken"],
  [{ policy: "readwrite", exp: 1000 }, "400 ExpiredTokenException"],
  [{ policy: "readwrite", iss: "https://id.example" }, "400 InvalidIdentityToken"],
] as const)("a token with %j is answered %s", async (claims, code) => {
  expect(await ask(await provider.token(claims))).toBe(code);
});
test("a token of an issuer that nobody named makes this node ask nobody", async () => {
  const other = await TestProvider.open(true);
  const token = await other.token({ policy: "readwrite" });
  expect(await ask(token)).toBe("400 InvalidIdentityToken");
  expect(other.asked).toEqual([]);
  const forged = await other.token({ policy: "readwrite", iss: provider.issuer });
  expect(await ask(forged)).toBe("400 InvalidIdentityToken");
  await other[Symbol.asyncDispose]();
  expect(await ask("not a token")).toBe("400 InvalidIdentityToken");
  expect(await ask("abc")).toBe("400 ValidationError");
});
test("a role is taken on by tokens that its trust policy names, by provider, client and subject", async () => {
  newRole("anyone");
  newRole("ann-only", { StringEquals: { [`${idp()}:sub`]: "ann", [`${idp()}:aud`]: "app" } });
  newRole("bob-only", { StringEquals: { "jwt:sub": "bob" } });
  newRole("other-idp", undefined, `arn:aws:iam::${account()}:oidc-provider/id.example`);
  const token = await provider.token();
  const session = await sts.session(undefined, web(token, named("ann-only")));
  expect(element(session.text, "Arn")).toBe(`arn:aws:sts::${account()}:assumed-role/ann-only/task`);
  expect((await sts.s3(session, "PUT", "/box/by-role", "x")).status).toBe(200);
  expect(await ask(token, named("anyone"))).toBe("200");
  for (const role of ["bob-only", "other-idp", "missing"]) {
    expect(await ask(token, named(role)), role).toBe("403 AccessDenied");
  }
  expect(await ask(token, { ...named("anyone"), DurationSeconds: "7201" })).toBe(
    "400 ValidationError",
  );
  const elsewhere = `arn:aws:iam::${catalog().account(
    catalog()
      .tenants()
      .find(({ name }) => name === "other")!.id,
  )}:role/anyone`;
  expect(await ask(token, { ...named("anyone"), RoleArn: elsewhere })).toBe("403 AccessDenied");
});
test("sessions end with their provider, and with their role", async () => {
  newRole("brief");
  const [byRole, byClaim] = [
    await sts.session(undefined, web(await provider.token(), named("brief"))),
    await sts.session(undefined, web(await provider.token({ policy: "readwrite" }))),
  ];
  const statuses = async () => [
    codeOf(await sts.s3(byRole, "GET", "/box/k")),
    codeOf(await sts.s3(byClaim, "GET", "/box/k")),
  ];
  expect(await statuses()).toEqual(["200", "200"]);
  catalog().roles.delete(tenant(), "brief");
  expect(await statuses()).toEqual(["400 InvalidToken", "200"]);
  newRole("brief");
  const again = await sts.session(undefined, web(await provider.token(), named("brief")));
  catalog().providers.delete(tenant(), "idp");
  expect(await statuses()).toEqual(["400 InvalidToken", "400 InvalidToken"]);
  expect(codeOf(await sts.s3(again, "GET", "/box/k"))).toBe("400 InvalidToken");
  catalog().providers.create(tenant(), "idp", options());
  expect(await statuses()).toEqual(["400 InvalidToken", "400 InvalidToken"]);
});
test("a provider that two tenants have is told apart by its client, or by a role", async () => {
  const other = catalog()
    .tenants()
    .find(({ name }) => name === "other")!.id;
  catalog().providers.create(other, "idp", { ...options(), clientIds: ["app", "theirs"] });
  expect(await ask(await provider.token({ policy: "readwrite" }))).toBe("403 AccessDenied");
  newRole("ours");
  expect(await ask(await provider.token(), named("ours"))).toBe("200");
  const theirs = await sts.session(
    undefined,
    web(await provider.token({ policy: "readwrite", aud: "theirs" })),
  );
  expect(codeOf(await sts.s3(theirs, "GET", "/box/k"))).toBe("403 AccessDenied");
  expect(await ask(await provider.token({ aud: "theirs" }), named("ours"))).toBe(
    "400 InvalidIdentityToken",
  );
  catalog().providers.delete(other, "idp");
});
test("policies of a claim may speak of the token's subject", async () => {
  catalog().putPolicy(
    tenant(),
    "home",
    JSON.stringify({
      Version: "2012-10-17",
      Statement: {
        Effect: "Allow",
        Action: ["s3:GetObject", "s3:PutObject"],
        Resource: "arn:aws:s3:::box/${jwt:sub}/*",
      },
    }),
  );
  const session = await sts.session(undefined, web(await provider.token({ policy: "home" })));
  expect((await sts.s3(session, "PUT", "/box/ann/x", "x")).status).toBe(200);
  expect(codeOf(await sts.s3(session, "PUT", "/box/bob/x", "x"))).toBe("403 AccessDenied");
  expect(codeOf(await sts.s3(session, "GET", "/box/k"))).toBe("403 AccessDenied");
});
test("a token may stand in the query of a POST, as MinIO's own examples have it, and once alone", async () => {
  const query = new URLSearchParams({
    Version: "2011-06-15",
    ...web(await provider.token({ policy: "readwrite" })),
  }).toString();
  const headers = { host: bed.host };
  expect(codeOf(await bed.send("POST", `/?${query}`, headers))).toBe("200");
  const form = { ...headers, "content-type": "application/x-www-form-urlencoded" };
  expect(codeOf(await bed.send("POST", `/?${query}`, form, "DurationSeconds=900"))).toBe("200");
  expect(codeOf(await bed.send("POST", `/?${query}`, form, "WebIdentityToken=aaaa"))).toBe(
    "400 ValidationError",
  );
});
