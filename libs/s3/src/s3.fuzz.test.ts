// Goal: no bytes from outside make this lib throw or hang, and what it accepts keeps its promises.
// Method: sound inputs, cut, repeated and with bytes changed, 10,000 per target. KISEKI_FUZZ_EVENTS
// makes it longer; the same KISEKI_FUZZ_SEED replays a run.
import { expect, test } from "bun:test";
import { type Prng, prngFromSeed, toUtf8 } from "@kiseki/base";
import { isBucketName } from "./bucket-name.ts";
import { isFault, s3Errors } from "./errors.ts";
import { parseHttpDate } from "./date.ts";
import { parseCopySource } from "./key.ts";
import { parseCall } from "./parse-call.ts";
import { parseCopyRange, parseRange, resolveRange } from "./range.ts";
import { parseCompleteBody, parseCreateBucketBody, parseDeleteBody } from "./request-documents.ts";
import { toFaultResponse } from "./respond.ts";

const seed = Number(process.env["KISEKI_FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const events = Number(process.env["KISEKI_FUZZ_EVENTS"] ?? 10_000);
const claim = `(KISEKI_FUZZ_SEED=${seed})`;

const pick = <T>(prng: Prng, list: readonly T[]): T => list[prng.below(list.length)]!;

/** `text` after a few random edits; characters stay below 0x100, as in a head. */
function mutate(prng: Prng, text: string, pieces: readonly string[]): string {
  let result = text;
  for (let i = prng.below(4); i > 0; i--) {
    const at = prng.below(result.length + 1);
    const end = Math.min(result.length, at + prng.below(4));
    const insert = prng.chance(1, 2) ? pick(prng, pieces) : String.fromCharCode(prng.below(256));
    result = result.slice(0, at) + insert + result.slice(prng.chance(1, 2) ? end : at);
  }
  return result;
}

const queries = [
  "list-type=2",
  "prefix=a",
  "delimiter=%2F",
  "max-keys=5",
  "uploads",
  "uploadId=u",
  "partNumber=1",
  "versions",
  "location",
  "versionId=null",
  "continuation-token=AQ",
  "delete",
  "acl",
  "policy",
  "x-amz-meta-a=b",
  "response-expires=x",
  "encoding-type=url",
  "%ff",
  "=",
  "a=%",
];
const headerSamples = [
  ["content-length", "3"],
  ["range", "bytes=0-4"],
  ["content-md5", "CY9rzUYh03PK3k6DJie09g=="],
  ["x-amz-copy-source", "/abc/k?versionId=null"],
  ["x-amz-checksum-crc32", "AAAAAA=="],
  ["x-amz-trailer", "x-amz-checksum-sha256"],
  ["x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"],
  ["x-amz-decoded-content-length", "9"],
  ["x-amz-meta-a", "b"],
  ["if-none-match", "*"],
  ["if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"],
  ["x-amz-acl", "private"],
  ["x-amz-storage-class", "STANDARD"],
  ["x-amz-copy-source-range", "bytes=0-1"],
  ["content-encoding", "aws-chunked"],
  ["x-amz-checksum-algorithm", "CRC32"],
] as const;

/** Tokens, so they may be header names; also names that a careless record look-up finds. */
const foreignNames = [
  "__proto__",
  "constructor",
  "tostring",
  "x-amz-meta-",
  "x-amz-checksum-",
  "x-amz-",
];

test(`parseCall() never throws, and its faults can be written ${claim}`, () => {
  const prng = prngFromSeed(seed);
  let calls = 0;
  for (let i = 0; i < events; i++) {
    const query = Array.from({ length: prng.below(4) }, () => pick(prng, queries)).join("&");
    const path = pick(prng, ["/", "/abc", "/abc/", "/abc/k", "/abc//a/%2e", "/abc/%F0%9F%98%80"]);
    const headers = Array.from({ length: prng.below(5) }, () => {
      const [known, value] = pick(prng, headerSamples);
      const name = prng.chance(1, 20) ? pick(prng, foreignNames) : known;
      return { name, value: mutate(prng, value, ["bytes=", "-", ",", "9", "=", "/", "*"]) };
    });
    const result = parseCall(
      {
        method: pick(prng, ["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"]),
        target: mutate(prng, `${path}?${query}`, ["%", "/", "?", "&", "=", "%00", "%C3", ".."]),
        host: mutate(prng, "abc.s3.example", [".", ":80", "s3.example"]),
        headers,
        isSigned: prng.chance(1, 2),
      },
      { baseHosts: ["s3.example"] },
    );
    if (!isFault(result)) {
      calls += 1;
      if ("bucket" in result) expect(isBucketName(result.bucket)).toBe(true);
      if ("key" in result)
        expect(result.key.byteLength >= 1 && result.key.byteLength <= 1024).toBe(true);
      continue;
    }
    const response = toFaultResponse(result, {
      requestId: "0",
      hostId: "h",
      isHead: false,
      resource: "/",
      bucket: undefined,
      key: undefined,
    });
    expect(response.status).toBe(s3Errors[result.code].status);
  }
  expect(calls).toBeGreaterThan(events / 100); // else the mutations are too coarse to test anything
});

const documents = [
  "<Delete><Quiet>true</Quiet><Object><Key>a&amp;b</Key><VersionId>null</VersionId></Object></Delete>",
  "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>",
  '<?xml version="1.0"?><CreateBucketConfiguration xmlns="x"><LocationConstraint>EU</LocationConstraint></CreateBucketConfiguration>',
];
const xmlPieces = [
  "<",
  ">",
  "</",
  "/>",
  "&",
  ";",
  "&#x41;",
  "&#0;",
  "<![CDATA[",
  "]]>",
  "<!--",
  "-->",
  "<!DOCTYPE a>",
  "<?",
  "?>",
  '"',
  " xmlns:a='b'",
  "<a>",
  "</a>",
  "a:",
  "__proto__",
];
test(`documents never throw, and are read or refused ${claim}`, () => {
  const prng = prngFromSeed(seed);
  let read = 0;
  for (let i = 0; i < events; i++) {
    const text = mutate(prng, pick(prng, documents), xmlPieces);
    const source = prng.chance(1, 8) ? Uint8Array.from(text, (c) => c.charCodeAt(0)) : toUtf8(text);
    for (const parse of [parseDeleteBody, parseCompleteBody, parseCreateBucketBody]) {
      if (!isFault(parse(source))) read += 1;
    }
    expect(isFault(parseDeleteBody(prng.fill(new Uint8Array(prng.below(40) + 1))))).toBe(true);
  }
  expect(read).toBeGreaterThan(events / 100);
});

test(`ranges, dates and copy sources never throw ${claim}`, () => {
  const prng = prngFromSeed(seed);
  for (let i = 0; i < events; i++) {
    const header = mutate(prng, pick(prng, ["bytes=0-4", "bytes=-5", "bytes=7-"]), [
      "-",
      ",",
      "99999999999999999",
      "bytes=",
    ]);
    const range = parseRange(header);
    const size = prng.below(20);
    const resolved = range && resolveRange(range, size);
    if (typeof resolved === "object") {
      expect(resolved.length >= 1 && resolved.offset + resolved.length <= size).toBe(true);
    }
    const copied = parseCopyRange(header);
    if (copied !== undefined && !isFault(copied)) expect(copied.first <= copied.last).toBe(true);
    const date = parseHttpDate(
      mutate(
        prng,
        pick(prng, [
          "Sun, 06 Nov 1994 08:49:37 GMT",
          "Sunday, 06-Nov-94 08:49:37 GMT",
          "Sun Nov  6 08:49:37 1994",
        ]),
        ["Feb", "31", "00", "9999", " "],
      ),
    );
    if (date !== undefined) expect(Number.isSafeInteger(date)).toBe(true);
    const source = parseCopySource(
      mutate(prng, "/abc/k%20l?versionId=null", ["%", "/", "?versionId=", "%ff", "arn:"]),
    );
    if (!isFault(source)) expect(source.key.byteLength).toBeGreaterThan(0);
  }
});
