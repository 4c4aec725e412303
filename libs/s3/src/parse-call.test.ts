// Goal: each request is the call that S3 makes of it, or the refusal that S3 gives.
// Method: one row per request; keys are compared as text, faults by code.
import { describe, expect, test } from "bun:test";
import { fromUtf8 } from "@kiseki/base";
import type { S3Call, S3Request } from "./call.ts";
import { isFault, type S3ErrorCode, type S3Fault } from "./errors.ts";
import { parseAddress, parseCall } from "./parse-call.ts";
import { loggingSetting } from "./settings/logging.ts";

const addressing = { baseHosts: ["s3.example", "eu.s3.example"] };
type Headers = Readonly<Record<string, string>>;

function request(line: string, headers: Headers = {}, host = "localhost:9000"): S3Request {
  const [method = "", target = ""] = line.split(" ");
  const list = Object.entries({ host, ...headers }).map(([name, value]) => ({ name, value }));
  return { method, target, host, headers: list, isSigned: true };
}
const parse = (line: string, headers?: Headers, host?: string): S3Call | S3Fault =>
  parseCall(request(line, headers, host), addressing);

function plain(result: S3Call | S3Fault): Record<string, unknown> {
  const entries = Object.entries(result).map(([name, value]) => [
    name,
    value instanceof Uint8Array ? fromUtf8(value) : value,
  ]);
  return Object.fromEntries(entries);
}

const longKey = "k".repeat(1025);
const length = { "content-length": "3" };
const md5 = { ...length, "content-md5": "CY9rzUYh03PK3k6DJie09g==" };
const copy = { "x-amz-copy-source": "/other/a%2Fb" };

const calls: readonly (readonly [string, Headers, Record<string, unknown>])[] = [
  ["GET /", {}, { kind: "list_buckets", maxBuckets: 10_000, isPaged: false }],
  [
    "GET /?max-buckets=7&prefix=a&x-id=ListBuckets",
    {},
    { kind: "list_buckets", maxBuckets: 7, prefix: "a", isPaged: true },
  ],
  ["PUT /abc", {}, { kind: "create_bucket", bucket: "abc" }],
  ["PUT /abc/", { ...length, "x-amz-acl": "private" }, { kind: "create_bucket", bucket: "abc" }],
  ["HEAD /abc", {}, { kind: "head_bucket" }],
  ["DELETE /abc", {}, { kind: "delete_bucket" }],
  ["GET /abc?location", {}, { kind: "get_bucket_location" }],
  ["GET /abc?location=", {}, { kind: "get_bucket_location" }],
  ["GET /abc?versioning", {}, { kind: "get_bucket_versioning" }],
  ["PUT /abc?versioning", { "content-length": "9" }, { kind: "put_bucket_versioning" }],
  ["GET /abc/k?versionId=v", {}, { kind: "get_object", versionId: "v" }],
  ["GET /abc/k", {}, { kind: "get_object", versionId: undefined }],
  ["HEAD /abc/k?versionId=v", {}, { kind: "head_object", versionId: "v" }],
  ["GET /abc/k?tagging&versionId=v", {}, { kind: "get_object_tagging", versionId: "v" }],
  [
    "PUT /abc/k",
    { "x-amz-copy-source": "abc/k?versionId=a%2Fb" },
    { kind: "copy_object", source: { versionId: "a/b" } },
  ],
  ["GET /abc?policy", {}, { kind: "get_bucket_policy", bucket: "abc" }],
  ["GET /abc?object-lock", {}, { kind: "get_object_lock_configuration" }],
  [
    "GET /abc",
    {},
    { kind: "list_objects", version: 1, maxKeys: 1000, prefix: "", isOwnerWanted: true },
  ],
  [
    "GET /abc?marker=m&max-keys=0&encoding-type=url",
    {},
    { version: 1, after: "m", maxKeys: 0, isUrlEncoded: true },
  ],
  [
    "GET /abc?list-type=2&start-after=m&max-keys=5000&delimiter=%2F%2F",
    {},
    { version: 2, after: "m", maxKeys: 1000, delimiter: "//" },
  ],
  [
    "GET /abc?list-type=2&continuation-token=&fetch-owner=true",
    {},
    { continuationToken: "", isOwnerWanted: true },
  ],
  ["GET /abc?list-type=2&prefix=a+b%2Bc", {}, { prefix: "a b+c" }],
  [
    "GET /abc?versions&key-marker=k&version-id-marker=null",
    {},
    { kind: "list_object_versions", keyMarker: "k", versionIdMarker: "null" },
  ],
  [
    "GET /abc?uploads&max-uploads=3&upload-id-marker=u",
    {},
    { kind: "list_multipart_uploads", maxUploads: 3, uploadIdMarker: undefined },
  ],
  ["POST /abc?delete", md5, { kind: "delete_objects" }],
  [
    "POST /abc?delete",
    { ...length, "x-amz-checksum-crc32": "AAAAAA==" },
    { kind: "delete_objects" },
  ],
  ["PUT /abc/k", length, { kind: "put_object", key: "k" }],
  ["PUT /abc//a/../b//", length, { kind: "put_object", key: "/a/../b//" }],
  ["PUT /abc/a+b%2Bc%25%3F%00", length, { key: "a+b+c%?\0" }],
  [`PUT /abc/${"k".repeat(1024)}`, length, { kind: "put_object" }],
  ["PUT /abc/k", copy, { kind: "copy_object", isMetadataReplaced: false }],
  [
    "PUT /abc/k",
    { "x-amz-copy-source": "abc/k", "x-amz-metadata-directive": "REPLACE" },
    { kind: "copy_object", isMetadataReplaced: true },
  ],
  [
    "GET /abc/k?versionId=null",
    {},
    { kind: "get_object", range: undefined, isChecksumWanted: false },
  ],
  [
    "GET /abc/k?partNumber=2",
    { "x-amz-checksum-mode": "ENABLED" },
    { partNumber: 2, isChecksumWanted: true },
  ],
  [
    "HEAD /abc/k",
    { range: "bytes=-5" },
    { kind: "head_object", range: { kind: "suffix", size: 5 } },
  ],
  [
    "DELETE /abc/k?versionId=null",
    { "if-match": '"e"' },
    { kind: "delete_object", conditions: { ifMatch: ["e"] }, versionId: "null" },
  ],
  [
    "DELETE /abc/k",
    {
      "x-amz-if-match-size": "7",
      "x-amz-if-match-last-modified-time": "Thu, 01 Jan 1970 00:00:05 GMT",
    },
    { kind: "delete_object", conditions: { ifSize: 7, ifModified: 5000 } },
  ],
  [
    "GET /abc/k?attributes",
    { "x-amz-object-attributes": "ETag, ObjectParts", "x-amz-max-parts": "2000" },
    {
      kind: "get_object_attributes",
      wanted: new Set(["ETag", "ObjectParts"]),
      maxParts: 1000,
      partNumberMarker: 0,
    },
  ],
  ["GET /abc?acl", {}, { kind: "get_bucket_acl", bucket: "abc" }],
  ["GET /abc/k?acl", {}, { kind: "get_object_acl", bucket: "abc" }],
  ["GET /abc?inventory", {}, { kind: "get_fixed_setting", setting: "inventory" }],
  ["GET /abc?metrics&id=m", {}, { kind: "get_unset_setting", answer: "NoSuchConfiguration" }],
  ["DELETE /abc?analytics&id=a", {}, { kind: "get_unset_setting", answer: "NoSuchConfiguration" }],
  ["GET /abc?logging", {}, { kind: "get_bucket_setting", setting: loggingSetting }],
  ["GET /abc?accelerate", {}, { kind: "get_fixed_setting", setting: "accelerate" }],
  ["DELETE /abc?policy", {}, { kind: "delete_bucket_policy" }],
  ["GET /abc?policyStatus", {}, { kind: "get_bucket_policy_status" }],
  ["PUT /abc?policy", length, { kind: "put_bucket_policy", bodySizeMax: 20_481 }],
  ["DELETE /abc/k?tagging", {}, { kind: "delete_object_tagging" }],
  ["PUT /abc/k?tagging", length, { kind: "put_object_tagging", bodySizeMax: 512 * 1024 }],
  ["PUT /abc?object-lock", { "content-length": "9" }, { kind: "put_object_lock_configuration" }],
  ["GET /abc/k?retention", {}, { kind: "get_object_retention", versionId: undefined }],
  ["GET /abc/k?legal-hold&versionId=v", {}, { kind: "get_object_legal_hold", versionId: "v" }],
  [
    "PUT /abc/k?retention",
    { "content-length": "9", "x-amz-bypass-governance-retention": "true" },
    { kind: "put_object_retention", isBypassing: true },
  ],
  ["PUT /abc/k?legal-hold", { "content-length": "9" }, { kind: "put_object_legal_hold" }],
  [
    "DELETE /abc/k?versionId=v",
    { "x-amz-bypass-governance-retention": "true" },
    { kind: "delete_object", isBypassing: true },
  ],
  ["DELETE /abc/k", {}, { kind: "delete_object", isBypassing: false }],
  [
    "PUT /abc",
    { "x-amz-bucket-object-lock-enabled": "True" },
    { kind: "create_bucket", isLockEnabled: true },
  ],
  ["PUT /abc", {}, { kind: "create_bucket", isLockEnabled: false }],
  [
    "POST /abc/k?uploads",
    { "x-amz-checksum-algorithm": "CRC32" },
    { kind: "create_multipart_upload", checksum: { algorithm: "crc32", type: "COMPOSITE" } },
  ],
  [
    "POST /abc/k?uploads=",
    { "x-amz-checksum-algorithm": "CRC64NVME" },
    { checksum: { algorithm: "crc64nvme", type: "FULL_OBJECT" } },
  ],
  [
    "PUT /abc/k?partNumber=10000&uploadId=u",
    length,
    { kind: "upload_part", partNumber: 10_000, uploadId: "u" },
  ],
  [
    "PUT /abc/k?partNumber=1&uploadId=u",
    { ...copy, "x-amz-copy-source-range": "bytes=0-4" },
    { kind: "upload_part_copy", range: { first: 0, last: 4 } },
  ],
  [
    "POST /abc/k?uploadId=u",
    { ...length, "x-amz-mp-object-size": "9" },
    { kind: "complete_multipart_upload", expectedSize: 9 },
  ],
  ["DELETE /abc/k?uploadId=u", {}, { kind: "abort_multipart_upload", uploadId: "u" }],
  [
    "GET /abc/k?uploadId=u&part-number-marker=2",
    {},
    { kind: "list_parts", partNumberMarker: 2, maxParts: 1000 },
  ],
];
describe("parseCall()", () => {
  for (const [line, headers, expected] of calls) {
    test(`reads ${line.slice(0, 80)} ${Object.keys(headers).join(" ")}`, () => {
      expect(plain(parse(line, headers))).toMatchObject(expected);
    });
  }
});

const customerKey = {
  "x-amz-server-side-encryption-customer-algorithm": "AES256",
  "x-amz-server-side-encryption-customer-key": "pO3upElrwuEXSoFwCfnZPdSsmt/xWeFa0N9KgDijwVs=",
  "x-amz-server-side-encryption-customer-key-md5": "DWygnHRtgiJ77HCm+1rvHw==",
};

const refusals: readonly (readonly [S3ErrorCode, string, Headers])[] = [
  ["BadDigest", "POST /abc/k?uploadId=u", { ...length, "x-amz-checksum-sha256": "bad" }],
  ["EntityTooLarge", "PUT /abc/k", { "content-length": String(5 * 2 ** 30 + 1) }],
  ["InvalidArgument", "GET /abc?max-keys=blah", {}],
  ["InvalidArgument", "GET /abc?max-keys=-1", {}],
  ["InvalidArgument", "GET /abc?max-keys=4294967296", {}],
  ["InvalidArgument", "GET /abc?encoding-type=gzip", {}],
  ["InvalidArgument", "GET /abc?list-type=3", {}],
  ["InvalidArgument", "GET /abc?prefix=a&prefix=b", {}],
  ["InvalidArgument", "GET /abc?versions&version-id-marker=null", {}],
  ["InvalidArgument", "GET /abc?location&versions", {}],
  ["InvalidArgument", "GET /?max-buckets=0", {}],
  [`InvalidArgument`, `GET /abc?list-type=2&continuation-token=${"t".repeat(5000)}`, {}],
  ["InvalidArgument", "PUT /abc/k?partNumber=0&uploadId=u", length],
  ["InvalidArgument", "PUT /abc/k?partNumber=10001&uploadId=u", length],
  ["InvalidArgument", "PUT /abc/k?partNumber=1", length],
  ["InvalidArgument", "PUT /abc/k", { "x-amz-copy-source": "nokey" }],
  ["InvalidArgument", "PUT /abc/k", { "x-amz-copy-source": "abc/%ff" }],
  ["InvalidArgument", "PUT /abc/k", { ...copy, "x-amz-copy-source-if-modified-since": "soon" }],
  [
    "InvalidArgument",
    "PUT /abc/k?partNumber=1&uploadId=u",
    { ...copy, "x-amz-copy-source-range": "0-2" },
  ],
  [
    "InvalidArgument",
    "PUT /abc/k?partNumber=1&uploadId=u",
    { ...copy, "x-amz-copy-source-range": "bytes=0-2,3-5" },
  ],
  ["InvalidArgument", "PUT /abc/k", { "content-length": "x" }],
  ["InvalidArgument", "PUT /abc/k", { ...length, "x-amz-acl": "whatever" }],
  ["InvalidArgument", "GET /abc/k?response-content-type=a%0D%0Ab", {}],
  ["InvalidArgument", "GET /abc/k?versionId=", {}],
  ["InvalidArgument", "PUT /abc/k?x-amz-meta-a%0A=b", length],
  ["InvalidArgument", "PUT /abc/k?x-amz-meta-a=b%0Ac", length],
  ["InvalidBucketName", "PUT /Abc", {}],
  ["InvalidBucketName", "GET /ab/k", {}],
  ["InvalidBucketName", "GET //k", {}],
  ["InvalidDigest", "PUT /abc/k", { ...length, "content-md5": "short" }],
  ["InvalidRequest", "PUT /abc/k", { ...length, "x-amz-checksum-crc32": "bad" }],
  ["InvalidRequest", "PUT /abc/k", { ...length, "x-amz-checksum-md4": "AAAA" }],
  [
    "InvalidRequest",
    "PUT /abc/k",
    { ...length, "x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-crc32c": "AAAAAA==" },
  ],
  ["InvalidRequest", "PUT /abc/k", { ...length, "x-amz-sdk-checksum-algorithm": "CRC32" }],
  ["InvalidRequest", "PUT /abc/k", { ...length, "x-amz-trailer": "x-amz-checksum-crc32" }],
  ["InvalidRequest", "PUT /abc/k", { "x-amz-copy-source": "abc/k" }],
  ["InvalidRequest", "POST /abc?delete", length],
  ["InvalidRequest", "GET /abc/k?partNumber=1", { range: "bytes=0-1" }],
  [
    "InvalidRequest",
    "POST /abc/k?uploads",
    { "x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-type": "FULL_OBJECT" },
  ],
  ["InvalidRequest", "POST /abc/k?uploads", { "x-amz-checksum-algorithm": "MD4" }],
  ["InvalidStorageClass", "PUT /abc/k", { ...length, "x-amz-storage-class": "GLACIER" }],
  ["InvalidURI", "GET /abc/%ae%8a-", {}],
  ["InvalidURI", "GET /abc/%zz", {}],
  ["InvalidURI", "GET /abc?prefix=%ff", {}],
  ["KeyTooLongError", `PUT /abc/${longKey}`, length],
  ["KeyTooLongError", `GET /abc?prefix=${longKey}`, {}],
  ["MaxMessageLengthExceeded", "POST /abc?delete", { ...md5, "content-length": "9999999" }],
  ["MetadataTooLarge", "PUT /abc/k", { ...length, "x-amz-meta-a": "v".repeat(2048) }],
  ["MethodNotAllowed", "POST /", {}],
  ["MethodNotAllowed", "PATCH /abc/k", {}],
  ["MissingContentLength", "PUT /abc/k", {}],
  [
    "MissingContentLength",
    "PUT /abc/k",
    { ...length, "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" },
  ],
  ["NoSuchUpload", "DELETE /abc/k?uploadId=", {}],
  ["MissingSecurityHeader", "PUT /abc?acl", {}],
  ["UnexpectedContent", "PUT /abc?acl", { ...length, "x-amz-acl": "private" }],
  ["InvalidArgument", "PUT /abc?acl", { "x-amz-acl": "whatever" }],
  ["InvalidArgument", "PUT /abc?acl", { "x-amz-grant-read": "uri=http://example.org" }],
  ["InvalidArgument", "PUT /abc", { "x-amz-object-ownership": "Nobody" }],
  ["MissingContentLength", "PUT /abc?policy", {}],
  ["NotImplemented", "POST /abc?policy", {}],
  ["NotImplemented", "POST /abc/k?select&select-type=2", {}],
  ["NotImplemented", "POST /abc/k?restore", {}],
  ["NotImplemented", "GET /abc/k?torrent", {}],
  ["NotImplemented", "PUT /abc?accelerate", {}],
  ["NotImplemented", "PUT /abc?replication", {}],
  ["NotImplemented", "PUT /abc?inventory&id=i", {}],
  ["NotImplemented", "PUT /abc?analytics&id=a", {}],
  ["NotImplemented", "PUT /abc?metrics&id=m", {}],
  ["NotImplemented", "PUT /abc?intelligent-tiering&id=t", {}],
  ["PreconditionFailed", "POST /abc", {}],
  ["InvalidArgument", "PUT /abc/k?versionId=null", { "content-length": "0" }],
  ["InvalidArgument", "POST /abc/k?uploads&versionId=v", {}],
  ["InvalidArgument", "DELETE /abc/k?versionId=", {}],
  ["InvalidArgument", "GET /abc/k?acl&versionId=", {}],
  ["InvalidArgument", "PUT /abc/k", { "x-amz-copy-source": "abc/k?versionId=" }],
  ["InvalidTag", "PUT /abc/k", { ...length, "x-amz-tagging": "aws:a=b" }],
  ["InvalidArgument", "PUT /abc/k", { ...length, "x-amz-tagging": "a=%zz" }],
  [
    "InvalidRequest",
    "PUT /abc/k",
    { ...length, "x-amz-acl": "private", "x-amz-grant-read": `id=${"a".repeat(64)}` },
  ],
  ["InvalidArgument", "GET /abc/k", { ...customerKey, "x-amz-server-side-encryption": "AES256" }],
  [
    "InvalidArgument",
    "GET /abc/k",
    { "x-amz-server-side-encryption-customer-algorithm": "AES256" },
  ],
  ["InvalidArgument", "GET /abc/k", { "x-amz-server-side-encryption-customer-key": "k" }],
  ["InvalidArgument", "GET /abc/k?attributes", {}],
  ["InvalidArgument", "GET /abc/k?attributes", { "x-amz-object-attributes": "ETag,Shape" }],
  ["InvalidArgument", "DELETE /abc/k", { "x-amz-if-match-size": "-1" }],
  ["InvalidArgument", "DELETE /abc/k", { "x-amz-if-match-last-modified-time": "yesterday" }],
  ["InvalidArgument", "PUT /abc/k?x-amz-object-lock-mode=GOVERNANCE", length],
  ["InvalidArgument", "PUT /abc", { "x-amz-bucket-object-lock-enabled": "1" }],
  ["NotImplemented", "PUT /abc/k", { ...length, "if-none-match": '"e"' }],
];
describe("parseCall() refuses", () => {
  for (const [code, line, headers] of refusals) {
    test(`${line.slice(0, 70)} ${Object.keys(headers).join(" ")} with ${code}`, () => {
      const result = parse(line, headers);
      expect(isFault(result) ? result.code : result.kind).toBe(code);
    });
  }
});

test("parseCall() gives response-* to signed requests alone", () => {
  const line = "GET /abc/k?response-content-type=text%2Fplain";
  expect(parse(line)).toMatchObject({ overrides: { contentType: "text/plain" } });
  expect(parseCall({ ...request(line), isSigned: false }, addressing)).toMatchObject({
    code: "InvalidRequest",
  });
});

test("parseCall() takes x-amz-* of a presigned query for headers, a sent header first", () => {
  const result = parse("PUT /abc/k?x-amz-meta-a=q&x-amz-meta-b=%C3%A9", {
    ...length,
    "x-amz-meta-a": "h",
  });
  expect(result).toMatchObject({
    attributes: {
      metadata: [
        ["a", "h"],
        ["b", "\u00c3\u00a9"],
      ],
    },
  });
});

test("parseCall() passes over checksums of a presigned query, as S3 does", () => {
  const query = "x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32";
  expect(parse(`PUT /abc/k?${query}`, length)).toMatchObject({
    body: { checksum: undefined, algorithm: undefined },
  });
});

test("parseCall() reads size, digests and trailer of a put", () => {
  const streamed = {
    "content-length": "100",
    "x-amz-decoded-content-length": "5",
    "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "x-amz-trailer": "x-amz-checksum-crc32c",
    "content-encoding": "aws-chunked, gzip",
  };
  expect(parse("PUT /abc/k", streamed)).toMatchObject({
    body: { size: 5, trailerAlgorithm: "crc32c", algorithm: "crc32c" },
    attributes: { content: { contentEncoding: "gzip" } },
  });
  const sent = parse("PUT /abc/k", { ...length, "x-amz-checksum-crc32": "AAAAAQ==" });
  expect(sent).toMatchObject({ body: { checksum: { value: new Uint8Array([0, 0, 0, 1]) } } });
});

test("parseCall() of a complete keeps the object's checksum apart from the document's", () => {
  const value = `${Buffer.alloc(32).toString("base64")}-2`;
  const result = parse("POST /abc/k?uploadId=u", { ...length, "x-amz-checksum-sha256": value });
  expect(result).toMatchObject({
    expected: { value: new Uint8Array(32), partCount: 2 },
    expectedAlgorithm: "sha256",
    body: { checksum: undefined },
  });
});

const addresses = [
  ["/abc/k", "localhost:9000", "abc", "k"],
  ["/abc/k", "127.0.0.1:9000", "abc", "k"],
  ["/abc/k", "s3.example", "abc", "k"],
  ["/k/l", "abc.s3.example:80", "abc", "k/l"],
  ["/k", "A.B.s3.example.", "a.b", "k"],
  ["/k", "abc.eu.s3.example", "abc", "k"],
  ["//k", "abc.s3.example", "abc", "/k"],
  ["/", "abc.s3.example", "abc", ""],
  ["/abc/", "", "abc", ""],
  ["/", "eu.s3.example", undefined, ""],
  ["/%61bc/%6B", "localhost", "abc", "%6B"],
] as const;
for (const [path, host, bucket, rawKey] of addresses) {
  test(`parseAddress() of ${path} at ${host}`, () => {
    expect(parseAddress(path, host, addressing)).toEqual({ bucket, rawKey });
  });
}
