/** Fuzz targets: calls, documents, header fields and list tokens. Nothing throws; what is accepted keeps its promises. */
import { createHmac, timingSafeEqual } from "node:crypto";
import { toUtf8 } from "@kiseki/base";
import { type FuzzTarget, must, mutateText, pick } from "@kiseki/base/contract";
import type { Crypto } from "@kiseki/ports";
import { isBucketName } from "./bucket-name.ts";
import { parseHttpDate } from "./date.ts";
import { isFault, s3Errors } from "./errors.ts";
import { parseCopySource } from "./key.ts";
import { openListToken, sealListToken } from "./list-token.ts";
import { parseCall } from "./parse-call.ts";
import { parseCopyRange, parseRange, resolveRange } from "./range.ts";
import { parseCompleteBody, parseCreateBucketBody, parseDeleteBody } from "./request-documents.ts";
import { toFaultResponse } from "./respond.ts";

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

const calls: FuzzTarget = {
  name: "s3-call",
  run(prng, note) {
    const query = Array.from({ length: prng.below(4) }, () => pick(prng, queries)).join("&");
    const path = pick(prng, ["/", "/abc", "/abc/", "/abc/k", "/abc//a/%2e", "/abc/%F0%9F%98%80"]);
    const headers = Array.from({ length: prng.below(5) }, () => {
      const [known, value] = pick(prng, headerSamples);
      const name = prng.chance(1, 20) ? pick(prng, foreignNames) : known;
      return { name, value: mutateText(prng, value, ["bytes=", "-", ",", "9", "=", "/", "*"]) };
    });
    const head = {
      method: pick(prng, ["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"]),
      target: mutateText(prng, `${path}?${query}`, ["%", "/", "?", "&", "=", "%00", "%C3", ".."]),
      host: mutateText(prng, "abc.s3.example", [".", ":80", "s3.example"]),
      headers,
      isSigned: prng.chance(1, 2),
    };
    note(JSON.stringify(head));
    const result = parseCall(head, { baseHosts: ["s3.example"] });
    if (!isFault(result)) {
      if ("bucket" in result) must(isBucketName(result.bucket), "a bucket has a bucket's name");
      if ("key" in result) {
        const size = result.key.byteLength;
        must(size >= 1 && size <= 1024, "a key has 1 to 1024 bytes");
      }
      return "accepted";
    }
    const response = toFaultResponse(result, {
      requestId: "0",
      hostId: "h",
      isHead: false,
      resource: "/",
      bucket: undefined,
      key: undefined,
    });
    must(response.status === s3Errors[result.code].status, "a fault can be written");
    return result.code;
  },
};

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
const xml: FuzzTarget = {
  name: "s3-xml",
  run(prng, note) {
    const text = mutateText(prng, pick(prng, documents), xmlPieces);
    const source = prng.chance(1, 8) ? Uint8Array.from(text, (c) => c.charCodeAt(0)) : toUtf8(text);
    note(source);
    let word = "refused";
    for (const parse of [parseDeleteBody, parseCompleteBody, parseCreateBucketBody]) {
      if (!isFault(parse(source))) word = "accepted";
    }
    const noise = prng.fill(new Uint8Array(prng.below(40) + 1));
    note(noise);
    must(isFault(parseDeleteBody(noise)), "noise is refused");
    return word;
  },
};

const dates = [
  "Sun, 06 Nov 1994 08:49:37 GMT",
  "Sunday, 06-Nov-94 08:49:37 GMT",
  "Sun Nov  6 08:49:37 1994",
];
const fields: FuzzTarget = {
  name: "s3-fields",
  run(prng, note) {
    const sample = pick(prng, ["bytes=0-4", "bytes=-5", "bytes=7-"]);
    const header = mutateText(prng, sample, ["-", ",", "99999999999999999", "bytes="]);
    note(header);
    const range = parseRange(header);
    const size = prng.below(20);
    const resolved = range && resolveRange(range, size);
    if (typeof resolved === "object") {
      const { offset, length } = resolved;
      must(length >= 1 && offset + length <= size, "a range lies in the object");
    }
    const copied = parseCopyRange(header);
    if (copied !== undefined && !isFault(copied)) must(copied.first <= copied.last, "first ≤ last");
    const dateText = mutateText(prng, pick(prng, dates), ["Feb", "31", "00", "9999", " "]);
    note(dateText);
    const date = parseHttpDate(dateText);
    if (date !== undefined) must(Number.isSafeInteger(date), "a date is whole milliseconds");
    const copyText = mutateText(prng, "/abc/k%20l?versionId=null", [
      "%",
      "/",
      "?versionId=",
      "%ff",
      "arn:",
    ]);
    note(copyText);
    const source = parseCopySource(copyText);
    if (!isFault(source)) must(source.key.byteLength > 0, "a copy source names a key");
    return `${range === undefined ? "no" : "a"} range, ${date === undefined ? "no" : "a"} date, ${isFault(source) ? "no" : "a"} source`;
  },
};

const crypto = {
  hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
    const hmac = createHmac("sha256", key);
    for (const part of parts) hmac.update(part);
    return new Uint8Array(hmac.digest());
  },
  equal: (a: Uint8Array, b: Uint8Array) => a.byteLength === b.byteLength && timingSafeEqual(a, b),
} as Partial<Crypto> as Crypto;
const tokenKey = { keyset: 3, key: new Uint8Array(32).fill(7) };
const tokenScope = { list: "objects", bucket: "abc" } as const;
const tokens: FuzzTarget = {
  name: "s3-list-token",
  run(prng, note) {
    const key = prng.fill(new Uint8Array(1 + prng.below(40)));
    const good = sealListToken(crypto, tokenKey, tokenScope, { kind: "after_key", key });
    const text = mutateText(prng, good, ["A", "-", "_", "=", "AAAA"]);
    note(text);
    const find = (keyset: number) => (keyset === 3 ? tokenKey.key : undefined);
    const position = openListToken(crypto, find, tokenScope, text);
    if (isFault(position)) return "refused";
    must(text === "" || position.kind === "after_key", "only what was sealed is opened");
    if (position.kind === "after_key")
      must(Buffer.from(position.key).equals(key), "and is the same");
    return position.kind;
  },
};

export const s3Targets: readonly FuzzTarget[] = [calls, xml, fields, tokens];
