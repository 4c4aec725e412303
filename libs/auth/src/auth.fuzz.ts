/** Fuzz targets: signed heads and aws-chunked bodies. What is accepted was signed; nothing throws. */
import { type Prng, toHex, toUtf8, wallTime } from "@kiseki/base";
import { type FuzzTarget, must, mutateText, pick } from "@kiseki/base/contract";
import { openCrypto } from "@kiseki/host";
import { parseQuery, percentDecode, splitTarget } from "@kiseki/http";
import {
  AwsChunkedDecoder,
  checkPostPolicy,
  parsePostPolicy,
  SignatureVerifier,
  type StreamedPayload,
} from "./index.ts";

const crypto = openCrypto();
export const key = toUtf8("a derived key");
export const date = "20261120T112233Z";
export const scope = "20261120/r/s3/aws4_request";
export const seedSignature = "0".repeat(64);
const hashOf = (text: string): string => toHex(crypto.sha256(toUtf8(text)));

/** Printable text of `size` bytes. */
const textOf = (size: number, prng: Prng): string =>
  Array.from({ length: size }, () => String.fromCharCode(97 + prng.below(26))).join("");

export function encode(
  pieces: readonly string[],
  isSigned: boolean,
  trailers: readonly string[],
): string {
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

export function decode(
  payload: StreamedPayload,
  body: Uint8Array,
  prng: Prng,
  sizeMax: number,
): string {
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
      must(text.length <= payload.decodedSize, "no more than announced");
    }
  }
  const end = decoder.finish();
  return end.kind === "fault" ? end.code : `ok ${JSON.stringify(end.trailers)} ${text}`;
}

/**
 * Bodies encoded by a plain second implementation, cut at random, then damaged by one bit: the decoder ends in the
 * same bytes or the same fault and never yields more than was announced.
 */
function runChunked(prng: Prng, note: (input: Uint8Array) => void): string {
  const isSigned = prng.chance(1, 2);
  const trailers = prng.chance(1, 2) ? ["x-amz-checksum-crc32:AAAAAA=="] : [];
  const pieces = Array.from({ length: prng.chance(1, 3) ? 1 + prng.below(2) : 0 }, () =>
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
  note(body);
  const whole = decode(payload, body, prng, 100_000);
  must(whole.startsWith("ok ") && whole.endsWith(text), "what was encoded comes back");
  must(decode(payload, body, prng, 50) === whole, "in small pieces it means the same");
  const damaged = body.slice();
  const at = prng.below(damaged.byteLength);
  damaged[at] = damaged[at]! ^ (1 << prng.below(8));
  note(damaged);
  const result = decode(payload, damaged, prng, 3000);
  must(decode(payload, damaged, prng, 100_000) === result, "damage means the same in any pieces");
  // Signed, only spelling may differ (hex case, blanks); the content may not.
  if (isSigned && result.startsWith("ok "))
    must(result.endsWith(text), "signed content cannot change");
  return result.split(" ")[0]!;
}

const secret = "a secret";
const now = wallTime(Date.UTC(2026, 10, 20, 11, 22, 33));
const verifier = new SignatureVerifier(crypto, {
  lookup: (id) => (id === "AKID" ? { secret } : undefined),
  region: undefined,
});

/** Signs `canonical` as AWS writes it down. */
function sign(canonical: string): string {
  let signingKey = toUtf8(`AWS4${secret}`);
  for (const step of scope.split("/")) signingKey = crypto.hmacSha256(signingKey, toUtf8(step));
  const text = `AWS4-HMAC-SHA256\n${date}\n${scope}\n${hashOf(canonical)}`;
  return toHex(crypto.hmacSha256(signingKey, toUtf8(text)));
}

interface Signed {
  readonly target: string;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
}

function signedHead(): Signed {
  const canonical = `PUT\n/a/k\n\nhost:h\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:${date}\n\nhost;x-amz-content-sha256;x-amz-date\nUNSIGNED-PAYLOAD`;
  const authorization = `AWS4-HMAC-SHA256 Credential=AKID/${scope}, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=${sign(canonical)}`;
  return {
    target: "/a/k",
    headers: [
      { name: "host", value: "h" },
      { name: "x-amz-content-sha256", value: "UNSIGNED-PAYLOAD" },
      { name: "x-amz-date", value: date },
      { name: "authorization", value: authorization },
    ],
  };
}

function signedQuery(): Signed {
  const credential = encodeURIComponent(`AKID/${scope}`);
  const query = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${credential}&X-Amz-Date=${date}&X-Amz-Expires=600&X-Amz-SignedHeaders=host`;
  const signature = sign(`PUT\n/a/k\n${query}\nhost:h\n\nhost\nUNSIGNED-PAYLOAD`);
  return {
    target: `/a/k?${query}&X-Amz-Signature=${signature}`,
    headers: [{ name: "host", value: "h" }],
  };
}

const samples = [signedHead(), signedQuery()];
const pieces = [
  "/",
  "%",
  ",",
  ";",
  "=",
  " ",
  "AKID",
  "aws4_request",
  "X-Amz-Date=1",
  "host",
  "%2F",
  "Signature=",
];

/** A target without the freedom of its spelling; the signature itself is not signed. */
function meaningOf(target: string): string {
  const { path, query } = splitTarget(target);
  const pairs = (parseQuery(query) ?? []).filter(({ name }) => name !== "X-Amz-Signature");
  const sorted = pairs.map(({ name, value }) => `${name}=${value}`).toSorted();
  return `${percentDecode(path)} ${JSON.stringify(sorted)}`;
}

const sigV4: FuzzTarget = {
  name: "sigv4",
  run(prng, note) {
    const good = pick(prng, samples);
    const changed = prng.below(good.headers.length + 1);
    const head = {
      method: "PUT",
      target: changed === good.headers.length ? mutateText(prng, good.target, pieces) : good.target,
      version: "1.1" as const,
      host: "h",
      headers: good.headers.map(({ name, value }, at) => ({
        name,
        value: at === changed ? mutateText(prng, value, pieces) : value,
      })),
    };
    note(JSON.stringify(head));
    const outcome = verifier.verify(head as unknown as Parameters<typeof verifier.verify>[0], now);
    if (outcome.kind === "fault") return outcome.code;
    if (outcome.kind === "signed") {
      // What is signed is the meaning: escapes, the order of parameters, blanks around values may differ.
      const isSame =
        meaningOf(head.target) === meaningOf(good.target) &&
        head.headers.every(
          ({ name, value }, at) =>
            name === "authorization" || value.trim() === good.headers[at]!.value,
        );
      must(isSame, "what is accepted was signed");
    }
    return outcome.kind;
  },
};

const goodPolicy = JSON.stringify({
  expiration: "2026-11-30T12:00:00Z",
  conditions: [
    { bucket: "b" },
    ["starts-with", "$key", "user/"],
    ["eq", "$acl", "private"],
    ["content-length-range", 1, 10],
  ],
});
const goodFields: readonly (readonly [string, string])[] = [
  ["bucket", "b"],
  ["key", "user/a"],
  ["acl", "private"],
];

const postPolicy: FuzzTarget = {
  name: "post-policy",
  run(prng, note) {
    const text = mutateText(prng, goodPolicy, [
      "$",
      "\\",
      '"',
      "{",
      "]",
      "eq",
      "\\$",
      "e308",
      "-1",
    ]);
    note(text);
    const policy = parsePostPolicy(Buffer.from(text).toString("base64"));
    if (policy.kind === "fault") return policy.code;
    must(policy.sizeMin >= 0, "no size is negative");
    const fields = new Map(goodFields);
    if (prng.chance(1, 2)) fields.set("x-amz-meta-a", "b");
    const refusal = checkPostPolicy(policy, fields, now);
    const named = new Set(policy.conditions.map(({ field }) => field));
    const isCovered = [...fields.keys()].every((name) => named.has(name) || name === "policy");
    must(refusal !== undefined || isCovered, "every field of an accepted form is named");
    return refusal === undefined ? "accepted" : "AccessDenied";
  },
};

export const authTargets: readonly FuzzTarget[] = [
  { name: "aws-chunked", run: runChunked },
  postPolicy,
  sigV4,
];
