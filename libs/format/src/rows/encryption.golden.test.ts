// Goal: encryption facts keep their bytes for ever, and damaged or newer ones are refused: an object under a customer's
// key is never taken for a plain one. Method: one sample of each kind, append only; every prefix and a longer one.
import { fromHex, keyset, newBytes, toHex } from "@kiseki/base";
import { expect, test } from "bun:test";
import { RowError } from "./codec.ts";
import { decodeEncryption, encodeEncryption, type EncryptionFacts } from "./encryption.ts";

const filled = (size: number, byte: number): Uint8Array => newBytes(size).fill(byte);
const golden: readonly (readonly [string, EncryptionFacts, string])[] = [
  ["v1 kms", { kind: "kms", isBucketKey: false }, "010100"],
  ["v1 kms with a bucket key", { kind: "kms", isBucketKey: true }, "010101"],
  [
    "v1 customer",
    {
      kind: "customer",
      keyset: keyset(300),
      checkSalt: filled(16, 0xa5),
      check: filled(32, 0xcc),
      sealedSalt: filled(60, 0x5a),
    },
    `0102ac02${"a5".repeat(16)}${"cc".repeat(32)}${"5a".repeat(60)}`,
  ],
];
for (const [title, facts, hex] of golden) {
  test(`encodeEncryption() and decodeEncryption() keep the bytes of ${title}`, () => {
    expect(toHex(encodeEncryption(facts))).toBe(hex);
    expect(decodeEncryption(fromHex(hex))).toEqual(facts);
  });
  test(`decodeEncryption() refuses ${title} cut short, lengthened or of another version`, () => {
    const encoded = fromHex(hex);
    for (let size = 0; size < encoded.byteLength; size++) {
      expect(() => decodeEncryption(encoded.slice(0, size))).toThrow(RowError);
    }
    expect(() => decodeEncryption(Uint8Array.of(...encoded, 0))).toThrow(RowError);
    expect(() => decodeEncryption(Uint8Array.of(2, ...encoded.slice(1)))).toThrow(
      "unknown_version",
    );
  });
}
test("decodeEncryption() refuses a kind of a newer program and keyset 0", () => {
  expect(() => decodeEncryption(Uint8Array.of(1, 3))).toThrow("unknown_version");
  const none = fromHex(`010200${"a5".repeat(108)}`);
  expect(() => decodeEncryption(none)).toThrow("bad_field");
});
