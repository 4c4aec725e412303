// Goal: a token is believed only under its issuer's own keys, for its own client, in its time; and no token makes this node ask more.
// Method: a provider with real keys on this machine, and tokens signed for every way that one can be wrong.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { type Millis, millis, wallTime } from "@kiseki/base";
import { exportSPKI, importJWK } from "jose";
import { DocumentFetcher, OidcVerifier } from "./index.ts";
import { TestProvider } from "./provider.test-helper.ts";

let provider: TestProvider;
let passed = 0;
const clock = {
  monotonic: (): Millis => millis(passed),
  realtime: () => wallTime(Date.now()),
  sleep: () => Promise.resolve(),
};
const newVerifier = () => new OidcVerifier(clock, new DocumentFetcher({ allowLoopback: true }));
let verifier: OidcVerifier;
beforeEach(async () => {
  provider = await TestProvider.open();
  verifier = newVerifier();
  passed = 0;
});
afterEach(() => provider[Symbol.asyncDispose]());

const verify = (token: string, clients = ["app"]) =>
  verifier.verify(token, provider.issuer, clients);
const codeOf = async (token: string, clients?: string[]) => {
  const outcome = await verify(token, clients);
  return outcome.kind === "fault" ? outcome.code : "ok";
};
const encode = (json: object | string) =>
  Buffer.from(typeof json === "string" ? json : JSON.stringify(json)).toString("base64url");
const now = () => Math.floor(Date.now() / 1000);

test.each(["RS256", "PS384", "ES256", "ES512", "EdDSA"])(
  "verify() takes %s, and says who and for whom",
  async (alg) => {
    const key = await provider.addKey(alg);
    const token = await provider.token({ email: "a@b.example" }, key);
    expect(verifier.issuerOf(token)).toBe(provider.issuer);
    expect(await verify(token)).toMatchObject({
      kind: "token",
      issuer: provider.issuer,
      subject: "ann",
      audience: "app",
      claims: { email: "a@b.example" },
    });
  },
);
test.each([
  [{ aud: "other" }, "rejected"],
  [{ aud: ["other", "app"] }, "ok"],
  [{ aud: [] }, "rejected"],
  [{ aud: undefined }, "rejected"],
  [{ aud: "other", azp: "app" }, "ok"],
  [{ aud: "app", azp: "other" }, "rejected"],
  [{ aud: "app", azp: 1 }, "rejected"],
  [{ iss: "https://id.example" }, "invalid"],
  [{ sub: undefined }, "invalid"],
  [{ sub: "" }, "invalid"],
  [{ sub: "a".repeat(257) }, "invalid"],
  [{ exp: undefined }, "invalid"],
  [{ exp: 1 }, "expired"],
  [{ exp: now() - 31 }, "expired"],
  [{ exp: now() - 5 }, "ok"],
  [{ nbf: now() + 120 }, "invalid"],
  [{ nbf: now() + 5 }, "ok"],
  [{ exp: "soon" }, "invalid"],
] as const)("verify() of a token with %j is %s", async (change, code) => {
  expect(await codeOf(await provider.token(change))).toBe(code);
});
test("verify() refuses a token that was touched, cut, or never signed", async () => {
  const [header, payload, signature] = (await provider.token()).split(".") as [
    string,
    string,
    string,
  ];
  const root = encode({ ...JSON.parse(Buffer.from(payload, "base64url").toString()), sub: "root" });
  const tokens = [
    `${header}.${root}.${signature}`,
    `${header}.${payload}.`,
    `${header}.${payload}.${signature.slice(0, -4)}AAAA`,
    `${encode({ alg: "none" })}.${payload}.`,
    `${encode({ alg: "none" })}.${root}.${signature}`,
    `${encode({ alg: "RS256", kid: "RS256-0", crit: ["x"], x: 1 })}.${payload}.${signature}`,
    "a.b.c",
    "",
    "nonsense",
  ];
  for (const token of tokens) expect(await codeOf(token), token.slice(0, 40)).toBe("invalid");
  expect(verifier.issuerOf("nonsense")).toBeUndefined();
});
test("verify() refuses HS256 under a public key, in whatever form that is taken for the secret", async () => {
  const { jwk } = provider.keys[0]!;
  const pem = await exportSPKI((await importJWK(jwk)) as CryptoKey);
  for (const secret of [pem, pem.trim(), JSON.stringify(jwk), jwk.n!]) {
    const head = encode({ alg: "HS256", kid: jwk.kid });
    const body = encode({ iss: provider.issuer, sub: "root", aud: "app", exp: now() + 60 });
    const mac = createHmac("sha256", secret).update(`${head}.${body}`).digest("base64url");
    expect(await codeOf(`${head}.${body}.${mac}`)).toBe("invalid");
  }
  // Not even where the provider itself publishes a shared secret.
  provider.keys.push({
    ...provider.keys[0]!,
    jwk: { kty: "oct", kid: "shared", k: encode("secret"), alg: "HS256" },
  });
  verifier = newVerifier();
  const head = encode({ alg: "HS256", kid: "shared" });
  const body = encode({ iss: provider.issuer, sub: "root", aud: "app", exp: now() + 60 });
  const mac = createHmac("sha256", "secret").update(`${head}.${body}`).digest("base64url");
  expect(await codeOf(`${head}.${body}.${mac}`)).toBe("invalid");
});
test("verify() refuses a key of another kind or algorithm than the token says", async () => {
  const elliptic = await provider.addKey("ES256");
  const token = await provider.token({}, elliptic);
  const [, payload, signature] = token.split(".");
  const confused = `${encode({ alg: "ES256", kid: "RS256-0" })}.${payload}.${signature}`;
  expect(await codeOf(confused)).toBe("invalid");
  const other = await TestProvider.open(true);
  const foreign = await other.token({ iss: provider.issuer });
  await other[Symbol.asyncDispose]();
  expect(await codeOf(foreign)).toBe("invalid"); // signed by another provider under the same key id
});
test("verify() follows a rotation of keys, and asks at most once in ten seconds whatever comes", async () => {
  expect(await codeOf(await provider.token())).toBe("ok");
  expect(provider.asked).toHaveLength(2);
  const old = provider.keys.shift()!;
  await provider.addKey("RS256");
  provider.keys[0] = {
    ...provider.keys[0]!,
    kid: "new",
    jwk: { ...provider.keys[0]!.jwk, kid: "new" },
  };
  expect(await codeOf(await provider.token())).toBe("invalid"); // asked just now
  expect(provider.asked).toHaveLength(2);
  passed = 10_000;
  expect(await codeOf(await provider.token())).toBe("ok");
  expect(provider.asked).toHaveLength(4);
  const unknown = await Promise.all(
    Array.from({ length: 20 }, () => provider.token({}, { ...old, kid: "unknown" })),
  );
  expect(new Set(await Promise.all(unknown.map((token) => codeOf(token))))).toEqual(
    new Set(["invalid"]),
  );
  expect(provider.asked).toHaveLength(4);
  passed = 20_000;
  await Promise.all(unknown.map((token) => codeOf(token)));
  expect(provider.asked).toHaveLength(6);
  expect(await codeOf(await provider.token({}, old))).toBe("invalid");
});
test("verify() forgets keys after an hour, and then believes none that it cannot ask for", async () => {
  const token = await provider.token({ exp: now() + 90_000 });
  expect(await codeOf(token)).toBe("ok");
  provider.answers.set("/realms/test/certs", (_, response) => void response.writeHead(500).end());
  passed = 60 * 60 * 1000 - 1;
  expect(await codeOf(token)).toBe("ok");
  passed += 1;
  expect(await codeOf(token)).toBe("unreachable");
  provider.answers.clear();
  expect(await codeOf(token)).toBe("unreachable"); // asked just now
  passed += 10_000;
  expect(await codeOf(token)).toBe("ok");
});
test("verify() refuses a discovery document of another issuer, whose keys would fit", async () => {
  provider.answers.set("/realms/test/.well-known/openid-configuration", (_request, response) => {
    const document = { issuer: `${provider.issuer}/`, jwks_uri: `${provider.issuer}/certs` };
    response.end(JSON.stringify(document));
  });
  expect(await codeOf(await provider.token())).toBe("unreachable");
});
test.each([
  ["no keys", {}],
  ["keys at a file", { jwks_uri: "file:///etc/passwd" }],
  ["keys at a metadata service", { jwks_uri: "https://169.254.169.254/latest" }],
  ["keys in plain text elsewhere", { jwks_uri: "http://192.0.2.1/certs" }],
])("verify() refuses a discovery document with %s", async (_, change) => {
  provider.answers.set(
    "/realms/test/.well-known/openid-configuration",
    (_request, response) =>
      void response.end(JSON.stringify({ issuer: provider.issuer, ...change })),
  );
  expect(await codeOf(await provider.token())).toBe("unreachable");
});
