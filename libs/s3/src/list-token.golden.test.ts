// Tokens outlive a process: a client may come back with one after a restart or an upgrade.
import { expect, test } from "bun:test";
import { createHmac, timingSafeEqual } from "node:crypto";
import { prngFromSeed, toUtf8 } from "@kiseki/base";
import type { Crypto } from "@kiseki/ports";
import { openListToken, sealListToken, type ListPosition, type ListScope } from "./list-token.ts";

const crypto = {
  hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
    const hmac = createHmac("sha256", key);
    for (const part of parts) hmac.update(part);
    return new Uint8Array(hmac.digest());
  },
  equal: (a: Uint8Array, b: Uint8Array) => a.byteLength === b.byteLength && timingSafeEqual(a, b),
} as Partial<Crypto> as Crypto;
const key = new Uint8Array(32).fill(7);
const objects: ListScope = { list: "objects", bucket: "photos" };
type Sealed = Exclude<ListPosition, { kind: "start" }>;

// One row per token that ever shipped. Append only: an edited row breaks a client's running list.
const golden: readonly (readonly [string, number, ListScope, Sealed, string])[] = [
  [
    "v1 after a key",
    1,
    objects,
    { kind: "after_key", key: toUtf8("a/b") },
    "0111010000000300612f62 02319017d83c47c03eb909818391371f",
  ],
  [
    "v1 after a prefix",
    0x01020304,
    objects,
    { kind: "after_prefix", prefix: toUtf8("2026/") },
    "0112040302010500323032362f 9ff91b6cb9fade29091f620b3ce6ea02",
  ],
  [
    "v1 of buckets",
    1,
    { list: "buckets", bucket: "" },
    { kind: "after_key", key: toUtf8("photos") },
    "012101000000060070686f746f73 fec1dad99d654cd68c78ad65cad9d556",
  ],
];
for (const [name, keyset, scope, position, hex] of golden) {
  test(`sealListToken() keeps the bytes of ${name}`, () => {
    const token = sealListToken(crypto, { keyset, key }, scope, position);
    expect(Buffer.from(token, "base64url").toString("hex")).toBe(hex.replaceAll(" ", ""));
    expect(openListToken(crypto, (k) => (k === keyset ? key : undefined), scope, token)).toEqual(
      position,
    );
  });
}

test("openListToken() refuses another bucket, list, key or keyset, and every flipped bit", () => {
  const find = () => key;
  const token = sealListToken(crypto, { keyset: 1, key }, objects, {
    kind: "after_key",
    key: toUtf8("k"),
  });
  const refusal = { code: "InvalidArgument" };
  expect(openListToken(crypto, find, { ...objects, bucket: "photo" }, token)).toMatchObject(
    refusal,
  );
  expect(openListToken(crypto, find, { ...objects, list: "buckets" }, token)).toMatchObject(
    refusal,
  );
  expect(openListToken(crypto, () => new Uint8Array(32), objects, token)).toMatchObject(refusal);
  expect(openListToken(crypto, () => undefined, objects, token)).toMatchObject(refusal);
  const bytes = Buffer.from(token, "base64url");
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Buffer.from(bytes);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    expect(openListToken(crypto, find, objects, flipped.toString("base64url"))).toMatchObject(
      refusal,
    );
  }
  for (const text of ["x", "====", "AQ", `${token}A`, `${token}=`, "é", "A".repeat(5000)]) {
    expect(openListToken(crypto, find, objects, text)).toMatchObject(refusal);
  }
  expect(openListToken(crypto, find, objects, "")).toEqual({ kind: "start" });
});

const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
test(`openListToken() undoes sealListToken() and believes no random text (KISEKI_SIM_SEED=${seed})`, () => {
  const prng = prngFromSeed(seed);
  for (let i = 0; i < 2000; i++) {
    const position: Sealed = {
      kind: "after_key",
      key: prng.fill(new Uint8Array(prng.below(1025))),
    };
    const token = sealListToken(crypto, { keyset: 3, key }, objects, position);
    expect(openListToken(crypto, () => key, objects, token)).toEqual(position);
    const noise = prng.fill(Buffer.alloc(24 + prng.below(64)));
    noise[0] = 1;
    noise.writeUInt16LE(noise.length - 24, 6);
    expect(openListToken(crypto, () => key, objects, noise.toString("base64url"))).toMatchObject({
      kind: "fault",
    });
  }
});
