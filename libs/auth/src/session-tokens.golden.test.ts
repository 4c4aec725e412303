// Goal: a token opens with its own id and nothing else, and its secret is of that token alone.
import { expect, test } from "bun:test";
import { newBytes, type Prng, tenantId, wallTime } from "@kiseki/base";
import { openCrypto, systemPrng } from "@kiseki/host";
import { SessionTokens } from "./index.ts";

const crypto = openCrypto();
const keysOf = (fill: number) => ({
  sessionTokenKey: () => newBytes(32).fill(fill),
  sessionSecretKey: () => newBytes(32).fill(fill + 1),
});
const parts = {
  kind: "user",
  tenant: tenantId(newBytes(16).fill(0x7e)),
  issued: wallTime(1_000),
  expires: wallTime(3_601_000),
  parentKey: "AKIAPARENT",
  policyNames: [],
  claims: [],
  tags: [],
} as const;
/** Gives the same nonces and ids each time: for golden bytes. */
const fixedPrng: Prng = {
  ...systemPrng,
  below: (bound) => 7 % bound,
  fill: (target) => target.fill(0x33),
};

test("SessionTokens keeps the token and the secret of version 1", () => {
  const tokens = new SessionTokens(crypto, fixedPrng, keysOf(0x51));
  const credentials = tokens.issue(parts)!;
  expect(credentials.accessKeyId).toBe("ASIAHHHHHHHHHHHHHHHH");
  // Append only: an edited row makes credentials that are out in the world worthless.
  const golden = {
    sessionToken:
      "AQAzMzMzMzMzMzMzMzPaLqwt7ju5cbIf9A60hdz9PG5IRxh1nX-vXpL9_dkcbL1wuslQYnpjYLltgcHH5oQqjFBB_VICoMS8DjLotxWDeCmSdO0EgEgfd6td3mBeomIo",
    secret: "9zKLtW8MQbJRMZsvV5VKf65C8rDQdpotDMVsaGal",
  };
  expect(credentials).toMatchObject(golden);
  const opened = tokens.open(credentials.accessKeyId, golden.sessionToken);
  expect(opened).toEqual({
    session: { ...parts, accessKeyId: credentials.accessKeyId },
    secret: golden.secret,
  });
});
test("SessionTokens.open() takes a token with its own id only, and opens it again", () => {
  const tokens = new SessionTokens(crypto, systemPrng, keysOf(1));
  const [one, two] = [tokens.issue(parts)!, tokens.issue(parts)!];
  expect(one.accessKeyId).toMatch(/^ASIA[A-Z2-7]{16}$/);
  expect(one.secret).toMatch(/^[A-Za-z0-9+/]{40}$/);
  expect(new Set([one.secret, two.secret]).size).toBe(2);
  for (let again = 0; again < 2; again++) {
    expect(tokens.open(one.accessKeyId, one.sessionToken)?.secret).toBe(one.secret);
    expect(tokens.open(two.accessKeyId, one.sessionToken)).toBeUndefined();
    expect(tokens.open(one.accessKeyId, two.sessionToken)).toBeUndefined();
  }
  const other = new SessionTokens(crypto, systemPrng, keysOf(2));
  expect(other.open(one.accessKeyId, one.sessionToken)).toBeUndefined();
});
test("SessionTokens.open() refuses a token with any bit changed", () => {
  const tokens = new SessionTokens(crypto, systemPrng, keysOf(1));
  const { accessKeyId, sessionToken } = tokens.issue(parts)!;
  const bytes = Buffer.from(sessionToken, "base64url");
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 1 << (at % 8);
    expect(tokens.open(accessKeyId, changed.toString("base64url"))).toBeUndefined();
  }
  expect(tokens.open(accessKeyId, `${sessionToken}A`)).toBeUndefined();
  expect(tokens.open(accessKeyId, "")).toBeUndefined();
});
test("SessionTokens.issue() refuses a session that no request could carry", () => {
  const tokens = new SessionTokens(crypto, systemPrng, keysOf(1));
  expect(tokens.issue({ ...parts, policy: "a".repeat(9000) })).toBeUndefined();
});
