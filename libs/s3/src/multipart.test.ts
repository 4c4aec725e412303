// Goal: what a complete answers is what the whole object's bytes would have given.
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { fromHex, prngFromSeed, toHex, toUtf8 } from "@kiseki/base";
import type { Crypto } from "@kiseki/ports";
import { combineCrcs, crcOfSmall, type CrcAlgorithm } from "./crc-combine.ts";
import { compositeChecksum, fullObjectChecksum, multipartEtag } from "./multipart.ts";

const hash =
  (name: string) =>
  (...parts: readonly Uint8Array[]) => {
    const running = createHash(name);
    for (const part of parts) running.update(part);
    return new Uint8Array(running.digest());
  };
const crypto = { md5: hash("md5"), sha256: hash("sha256") } as Partial<Crypto> as Crypto;

/** The obvious CRC, one bit at a time over big integers. */
function slowCrc(algorithm: CrcAlgorithm, source: Uint8Array): Uint8Array {
  const polynomial = { crc32: 0xedb88320n, crc32c: 0x82f63b78n, crc64nvme: 0x9a6c9329ac4bc9b5n }[
    algorithm
  ];
  const size = algorithm === "crc64nvme" ? 8 : 4;
  const ones = (1n << BigInt(size * 8)) - 1n;
  let crc = ones;
  for (const byte of source) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++)
      crc = (crc & 1n) === 0n ? crc >> 1n : (crc >> 1n) ^ polynomial;
  }
  return fromHex((crc ^ ones).toString(16).padStart(size * 2, "0"));
}

// "123456789" is the check input of the catalogue of CRC algorithms.
const checks = { crc32: "cbf43926", crc32c: "e3069283", crc64nvme: "ae8b14860a799888" } as const;
const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
for (const algorithm of ["crc32", "crc32c", "crc64nvme"] as const) {
  test(`combineCrcs() of ${algorithm} is the CRC of the whole (KISEKI_SIM_SEED=${seed})`, () => {
    expect(toHex(slowCrc(algorithm, toUtf8("123456789")))).toBe(checks[algorithm]);
    const prng = prngFromSeed(seed);
    for (let round = 0; round < 40; round++) {
      const pieces = Array.from({ length: 1 + prng.below(5) }, () =>
        prng.fill(Buffer.alloc(prng.below(60))),
      );
      const combined = combineCrcs(
        algorithm,
        pieces.map((piece) => ({ value: slowCrc(algorithm, piece), size: piece.length })),
      );
      expect(toHex(combined)).toBe(toHex(slowCrc(algorithm, Buffer.concat(pieces))));
    }
  });
}
test("crcOfSmall() is the CRC", () => {
  for (const algorithm of ["crc32", "crc32c"] as const) {
    expect(toHex(crcOfSmall(algorithm, toUtf8("123456789")))).toBe(checks[algorithm]);
  }
});

test("combineCrcs() of 10,000 parts of different sizes does not hold up a server", () => {
  const pieces = Array.from({ length: 10_000 }, (_, i) => ({
    value: new Uint8Array(8).fill(i),
    size: 2 ** 29 + i * 7919,
  }));
  const started = performance.now();
  combineCrcs("crc64nvme", pieces);
  expect(performance.now() - started).toBeLessThan(10_000);
});

test("multipartEtag() is the MD5 of MD5s with the count", () => {
  const md5s = [crypto.md5(toUtf8("a")), crypto.md5(toUtf8("b"))];
  const want = createHash("md5").update(Buffer.concat(md5s)).digest("hex");
  expect(multipartEtag(crypto, md5s)).toBe(`${want}-2`);
});

test("compositeChecksum() hashes the parts' checksums; s3-tests knows the SHA-256 of one part", () => {
  const value = new Uint8Array(
    Buffer.from("arcu6553sHVAiX4MjW0j7I7vD4w6R+Gz9Ok0Q9lTa+0=", "base64"),
  );
  const composite = compositeChecksum(crypto, "sha256", [{ value, size: 1024 }], hash("sha1"));
  expect(Buffer.from(composite.value).toString("base64")).toBe(
    "Ok6Cs5b96ux6+MWQkJO7UBT5sKPBeXBLwvj/hK89smg=",
  );
  expect(composite).toMatchObject({ type: "COMPOSITE", partCount: 1 });
  const sha1 = compositeChecksum(
    crypto,
    "sha1",
    [{ value: new Uint8Array(20), size: 1 }],
    hash("sha1"),
  );
  expect(toHex(sha1.value)).toBe(toHex(hash("sha1")(new Uint8Array(20))));
});

test("fullObjectChecksum() has no count", () => {
  const parts = [
    { value: slowCrc("crc32", toUtf8("ab")), size: 2 },
    { value: slowCrc("crc32", toUtf8("c")), size: 1 },
  ];
  expect(fullObjectChecksum("crc32", parts)).toEqual({
    algorithm: "crc32",
    value: slowCrc("crc32", toUtf8("abc")),
    type: "FULL_OBJECT",
    partCount: 0,
  });
});
