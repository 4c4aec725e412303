// Goal: a form asks for exactly the put that its fields say, and what is not done is not passed over.
// Method: tables of requests and fields.
import { expect, test } from "bun:test";
import { fromUtf8, toUtf8 } from "@kiseki/base";
import {
  isFault,
  parseFormRequest,
  parsePostObject,
  resolveFormFields,
  type S3Request,
} from "./index.ts";
import { redirectTarget } from "./post-object.ts";

const request = (change: Partial<S3Request> & { readonly type?: string } = {}): S3Request => ({
  method: "POST",
  target: "/photos",
  host: "s3.example",
  isSigned: true,
  headers: [{ name: "content-type", value: change.type ?? "multipart/form-data; boundary=b" }],
  ...change,
});
const addressing = { baseHosts: ["s3.example"] };
const ask = (change: Parameters<typeof request>[0] = {}) =>
  parseFormRequest(request(change), addressing);

test("parseFormRequest() takes a form for a bucket by path or by host, and nothing else", () => {
  const form = { kind: "form", bucket: "photos", boundary: "b" } as const;
  expect(ask()).toEqual(form);
  expect(ask({ target: "/photos/" })).toEqual(form);
  expect(ask({ target: "/", host: "photos.s3.example:9000" })).toEqual(form);
  for (const change of [
    { method: "PUT" },
    { target: "/" },
    { target: "/photos/key" },
    { target: "/photos?delete" },
    { type: "application/x-www-form-urlencoded" },
    { headers: [] },
  ]) {
    expect(ask(change), JSON.stringify(change)).toBeUndefined();
  }
});
test("parseFormRequest() refuses a bad bucket, a bad boundary, and a second signature", () => {
  expect(ask({ target: "/UP" })).toMatchObject({ code: "InvalidBucketName" });
  expect(ask({ target: "/%ff" })).toMatchObject({ code: "InvalidURI" });
  expect(ask({ type: "multipart/form-data" })).toMatchObject({ code: "MalformedPOSTRequest" });
  const twice = [...request().headers, ...request().headers];
  expect(ask({ headers: twice })).toMatchObject({ code: "MalformedPOSTRequest" });
  const signed = [...request().headers, { name: "authorization", value: "AWS4-HMAC-SHA256 x" }];
  expect(ask({ headers: signed })).toMatchObject({ code: "InvalidArgument" });
});

test.each([
  ["${filename}", "a.txt", "a.txt"],
  ["u/${filename}", "C:\\x\\a.txt", "u/a.txt"],
  ["u/${filename}", "/up/me/a.txt", "u/a.txt"],
  ["${filename}-${filename}", "a", "a-a"],
  ["$filename", "a", "$filename"],
  ["${filename}", "$&${filename}", "$&${filename}"],
  ["${filename}", "", ""],
])("resolveFormFields() of key %s and file %s", (key, filename, wanted) => {
  const fields = resolveFormFields("photos", new Map([["key", key]]), filename);
  expect(fields instanceof Map && fields.get("key")).toBe(wanted);
  expect(fields instanceof Map && fields.get("bucket")).toBe("photos");
});
test("resolveFormFields() wants a key, and no other bucket than the address's", () => {
  expect(resolveFormFields("photos", new Map(), "a")).toMatchObject({ code: "InvalidArgument" });
  const other = new Map([
    ["key", "a"],
    ["bucket", "b"],
  ]);
  expect(resolveFormFields("photos", other, "a")).toMatchObject({ code: "InvalidArgument" });
  expect(resolveFormFields("b", other, "a")).toBeInstanceOf(Map);
});

const parseForm = (fields: Record<string, string>, sizeMax = 100) =>
  parsePostObject(request(), {
    bucket: "photos",
    fields: new Map(Object.entries({ key: "k", ...fields })),
    filename: "f",
    sizeMin: 3,
    sizeMax,
  });
const parse = (fields: Record<string, string>, sizeMax?: number) => {
  const parsed = parseForm(fields, sizeMax);
  return isFault(parsed) ? parsed : parsed.call;
};

test("parsePostObject() gives the object what the fields say, and bounds for its size", () => {
  const call = parse({
    "content-type": "text/plain",
    "cache-control": "no-cache",
    "x-amz-meta-name": "ä",
    "x-amz-server-side-encryption": "AES256",
    "x-amz-checksum-crc32": "AAAAAA==",
    "x-amz-signature": "s",
    "x-amz-credential": "c",
    acl: "private",
    tagging: "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>",
    unknown: "u",
  });
  expect(call).toMatchObject({
    kind: "post_object",
    bucket: "photos",
    attributes: {
      content: { contentType: "text/plain", cacheControl: "no-cache" },
      metadata: [["name", Buffer.from("ä").toString("latin1")]],
      tags: [{ key: "k", value: "v" }],
      isSseRequested: true,
    },
    body: { size: 100, sizeMin: 3, checksum: { algorithm: "crc32" } },
    success: { kind: "status", status: 204 },
  });
  expect("key" in call && fromUtf8(call.key)).toBe("k");
  expect(parse({}, Number.MAX_SAFE_INTEGER)).toMatchObject({ body: { size: 5 * 1024 ** 3 } });
});
test.each([
  [{ key: "" }, "UserKeyMustBeSpecified"],
  [{ key: "k".repeat(1025) }, "KeyTooLongError"],
  [{ acl: "mine" }, "InvalidArgument"],
  [{ tagging: "k=v" }, "MalformedXML"],
  [{ tagging: "<Tagging><TagSet/><X/></Tagging>" }, "MalformedXML"],
  [{ "x-amz-meta-a": "a\r\nb" }, "InvalidArgument"],
  [{ "x-amz-meta-a b": "a" }, "InvalidArgument"],
  [{ "content-md5": "x" }, "InvalidDigest"],
  [{ "x-amz-checksum-sha256": "sailorjerry" }, "InvalidRequest"],
  [{ "x-amz-copy-source": "/a/b" }, "NotImplemented"],
  [{ "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER" }, "NotImplemented"],
  [{ "x-amz-decoded-content-length": "1" }, "NotImplemented"],
  [{ "x-amz-meta-a": "a".repeat(3000) }, "MetadataTooLarge"],
  [{ acl: "private", "x-amz-acl": "public-read" }, "MalformedPOSTRequest"],
  [{ tagging: "<Tagging/>" }, "MalformedXML"],
  [{ tagging: "<Tagging><TagSet/></Tagging>", "x-amz-tagging": "a=b" }, "MalformedPOSTRequest"],
] as const)("parsePostObject() of %j is %s", (fields, code) => {
  expect(parse(fields as Record<string, string>)).toMatchObject({ kind: "fault", code });
});
test.each([
  [{ success_action_status: "200" }, { kind: "status", status: 200 }],
  [{ success_action_status: "201" }, { kind: "status", status: 201 }],
  [{ success_action_status: "404" }, { kind: "status", status: 204 }],
  [
    { success_action_redirect: "https://a.example/x" },
    { kind: "redirect", url: "https://a.example/x" },
  ],
  [{ redirect: "http://a.example/x" }, { kind: "redirect", url: "http://a.example/x" }],
  [{ success_action_redirect: "javascript:alert(1)" }, { kind: "status", status: 204 }],
  [{ success_action_redirect: "/relative" }, { kind: "status", status: 204 }],
  [{ success_action_redirect: "http://a/\r\nSet-Cookie: a" }, { kind: "status", status: 204 }],
  [
    { success_action_redirect: "nonsense", success_action_status: "201" },
    { kind: "status", status: 201 },
  ],
] as const)("parsePostObject() answers %j by %j", (fields, success) => {
  expect(parse(fields as Record<string, string>)).toMatchObject({ success });
});
test.each([
  ["http://a/x", "http://a/x?bucket=photos&key=a%2Fb%20c&etag=%22e%22"],
  ["http://a/x?y=1", "http://a/x?y=1&bucket=photos&key=a%2Fb%20c&etag=%22e%22"],
  ["http://a/x#top", "http://a/x?bucket=photos&key=a%2Fb%20c&etag=%22e%22#top"],
])("redirectTarget() of %s", (url, wanted) => {
  expect(redirectTarget(url, "photos", toUtf8("a/b c"), "e")).toBe(wanted);
});
test("parsePostObject() says what policies are asked about as a put with headers would", () => {
  const parsed = parseForm({
    acl: "public-read",
    tagging: "<Tagging><TagSet><Tag><Key>a b</Key><Value>c+d</Value></Tag></TagSet></Tagging>",
    "content-type": "text/plain",
    unknown: "u",
  });
  if (isFault(parsed)) throw new Error(parsed.code);
  expect(Object.fromEntries(parsed.headers)).toEqual({
    "x-amz-acl": "public-read",
    "x-amz-tagging": "a%20b=c%2Bd",
    "content-type": "text/plain",
  });
  expect(parsed.call.attributes.tags).toEqual([{ key: "a b", value: "c+d" }]);
});
