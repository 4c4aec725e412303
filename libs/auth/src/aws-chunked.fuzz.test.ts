// Goal: whatever arrives, in whatever pieces, the decoder ends in the same bytes or the same fault and never yields more than was announced.
// Method: bodies encoded by a plain second implementation, cut at random, then damaged by one byte.
import { expect, test } from "bun:test";
import { prngFromSeed, type Prng, toHex, toUtf8 } from "@kiseki/base";
import { openCrypto } from "@kiseki/host";
import { AwsChunkedDecoder, type StreamedPayload } from "./index.ts";

const seed = Number(process.env["KISEKI_FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const rounds = Number(process.env["KISEKI_FUZZ_EVENTS"] ?? 150);
const crypto = openCrypto();
const key = toUtf8("a derived key");
const date = "20261120T112233Z";
const scope = "20261120/r/s3/aws4_request";
const seedSignature = "0".repeat(64);
const hashOf = (text: string): string => toHex(crypto.sha256(toUtf8(text)));

/** Printable text of `size` bytes. */
const textOf = (size: number, prng: Prng): string =>
  Array.from({ length: size }, () => String.fromCharCode(97 + prng.below(26))).join("");

function encode(pieces: readonly string[], isSigned: boolean, trailers: readonly string[]): string {
  let previous = seedSignature;
  const link = (kind: string, content: string): string => {
    const text = `AWS4-HMAC-SHA256-${kind}\n${date}\n${scope}\n${previous}\n${content}`;
    previous = toHex(crypto.hmacSha256(key, toUtf8(text)));
    return previous;
  };
  let body = "";
  for (const piece of [...pieces, ""]) {
    const signature = isSigned
      ? `;chunk-signature=${link("PAYLOAD", `${hashOf("")}\n${hashOf(piece)}`)}`
      : "";
    body += `${piece.length.toString(16)}${signature}\r\n${piece === "" ? "" : `${piece}\r\n`}`;
  }
  for (const trailer of trailers) body += `${trailer}\r\n`;
  if (trailers.length > 0 && isSigned) {
    const text = trailers.map((trailer) => `${trailer}\n`).join("");
    body += `x-amz-trailer-signature:${link("TRAILER", hashOf(text))}\r\n`;
  }
  return `${body}\r\n`;
}

function decode(payload: StreamedPayload, body: Uint8Array, prng: Prng, sizeMax: number): string {
  const decoder = new AwsChunkedDecoder(crypto, payload);
  let text = "";
  for (let at = 0; at < body.byteLength;) {
    const size = 1 + prng.below(sizeMax);
    decoder.feed(body.slice(at, at + size));
    at += size;
    for (;;) {
      const event = decoder.next(1 + prng.below(sizeMax));
      if (event.kind === "need_more") break;
      if (event.kind === "fault") return event.code;
      text += String.fromCharCode(...event.bytes);
      expect(text.length).toBeLessThanOrEqual(payload.decodedSize);
    }
  }
  const end = decoder.finish();
  return end.kind === "fault" ? end.code : `ok ${JSON.stringify(end.trailers)} ${text}`;
}

test(`AwsChunkedDecoder gives back what was encoded, and no damaged byte (KISEKI_FUZZ_SEED=${seed})`, () => {
  const prng = prngFromSeed(seed);
  for (let round = 0; round < rounds; round++) {
    const isSigned = prng.chance(1, 2);
    const trailers = prng.chance(1, 2) ? ["x-amz-checksum-crc32:AAAAAA=="] : [];
    const pieces = Array.from({ length: prng.below(3) }, () =>
      textOf(8192 + prng.below(100), prng),
    );
    if (prng.chance(1, 2)) pieces.push(textOf(1 + prng.below(100), prng));
    const text = pieces.join("");
    const payload: StreamedPayload = {
      kind: "streamed",
      decodedSize: text.length,
      hasTrailer: trailers.length > 0,
      trailerNames: trailers.length > 0 ? ["x-amz-checksum-crc32"] : [],
      signing: isSigned ? { key, date, scope, seedSignature } : undefined,
    };
    const body = toUtf8(encode(pieces, isSigned, trailers));
    const whole = decode(payload, body, prng, 100_000);
    expect(whole).toStartWith("ok ");
    expect(whole.endsWith(text)).toBe(true);
    expect(decode(payload, body, prng, 50)).toBe(whole);
    const damaged = body.slice();
    const at = prng.below(damaged.byteLength);
    damaged[at] = damaged[at]! ^ (1 << prng.below(8));
    const result = decode(payload, damaged, prng, 3000);
    expect(decode(payload, damaged, prng, 100_000)).toBe(result);
    // Signed, only spelling may differ (hex case, blanks); the content may not.
    if (isSigned && result.startsWith("ok ")) expect(result.endsWith(text)).toBe(true);
  }
});

test("AwsChunkedDecoder refuses small chunks before the last, surplus, shortage and unannounced trailers", () => {
  const prng = prngFromSeed(1);
  const base = { kind: "streamed", hasTrailer: false, trailerNames: [] } as const;
  const signing = { key, date, scope, seedSignature };
  const run = (payload: StreamedPayload, body: string): string =>
    decode(payload, toUtf8(body), prng, 100);
  expect(run({ ...base, decodedSize: 2, signing }, encode(["a", "b"], true, []))).toBe(
    "InvalidChunkSizeError",
  );
  expect(run({ ...base, decodedSize: 1, signing: undefined }, encode(["ab"], false, []))).toBe(
    "IncompleteBody",
  );
  expect(run({ ...base, decodedSize: 3, signing: undefined }, encode(["ab"], false, []))).toBe(
    "IncompleteBody",
  );
  const announced = {
    ...base,
    hasTrailer: true,
    trailerNames: ["x-a"],
    decodedSize: 2,
    signing: undefined,
  };
  expect(run(announced, encode(["ab"], false, []))).toBe("MalformedTrailerError");
  expect(run(announced, encode(["ab"], false, ["x-b:1"]))).toBe("MalformedTrailerError");
  expect(run(announced, "2\r\nab\r\n0\r\nX-A: 1\n\r\n")).toBe('ok [{"name":"x-a","value":"1"}] ab');
  expect(run(announced, `${"0".repeat(200)}`)).toBe("InvalidRequest");
  expect(run(announced, "2;x=y\r\nab\r\n")).toBe("InvalidRequest");
});
