// Goal: a document is what S3's schema allows, or MalformedXML, whatever the XML library would let pass.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { concatBytes, fromUtf8, toUtf8 } from "@kiseki/base";
import { isFault } from "./errors.ts";
import {
  checkLocation,
  parseCompleteBody,
  parseCreateBucketBody,
  parseDeleteBody,
  parseVersioningBody,
} from "./request-documents.ts";
import { readXml } from "./xml-read.ts";
import { s3Namespace, writeXml } from "./xml-write.ts";

const deleteOf = (inner: string) =>
  parseDeleteBody(toUtf8(`<Delete xmlns="${s3Namespace}">${inner}</Delete>`));
const completeOf = (inner: string) =>
  parseCompleteBody(toUtf8(`<CompleteMultipartUpload>${inner}</CompleteMultipartUpload>`));
const part = (n: number | string, rest = "<ETag>e</ETag>") =>
  `<Part><PartNumber>${n}</PartNumber>${rest}</Part>`;

test("parseDeleteBody() reads keys, entities, CDATA, versions and Quiet", () => {
  const body = deleteOf(
    ` <Quiet> true </Quiet>
    <Object><Key> a&amp;b&#x0D;&#10;é </Key></Object><!-- note -->
    <Object><Key><![CDATA[<x>&amp;]]></Key><VersionId>null</VersionId><ETag>"e"</ETag></Object>
    <Object><Key>v</Key><VersionId>abc</VersionId></Object>`,
  );
  if (isFault(body)) throw new Error(body.code);
  expect(body.isQuiet).toBe(true);
  expect(body.entries.map((e) => fromUtf8(e.key))).toEqual([" a&b\r\né ", "<x>&amp;", "v"]);
  expect(body.entries[1]).toMatchObject({
    versionId: "null",
    conditions: { ifMatch: ["e"] },
  });
  expect(body.entries.map(({ versionId }) => versionId)).toEqual([undefined, "null", "abc"]);
});

test("parseDeleteBody() reads sizes and times of writing, and refuses what is neither", () => {
  const withConditions = (inner: string) => deleteOf(`<Object><Key>k</Key>${inner}</Object>`);
  const time = "<LastModifiedTime>1970-01-01T00:00:05Z</LastModifiedTime>";
  expect(withConditions(`<Size>3</Size>${time}`)).toMatchObject({
    entries: [{ conditions: { ifSize: 3, ifModified: 5000 } }],
  });
  expect(withConditions("<Size>many</Size>")).toMatchObject({ code: "MalformedXML" });
  expect(withConditions("<LastModifiedTime/>")).toMatchObject({ code: "MalformedXML" });
});

test("parseVersioningBody() reads the two states and refuses MFA delete by name", () => {
  const parse = (inner: string) =>
    parseVersioningBody(
      toUtf8(`<VersioningConfiguration xmlns="${s3Namespace}">${inner}</VersioningConfiguration>`),
    );
  expect(parse("<Status>Enabled</Status>")).toEqual({ versioning: "enabled" });
  expect(parse("<MfaDelete>Disabled</MfaDelete><Status>Suspended</Status>")).toEqual({
    versioning: "suspended",
  });
  const mfa = "<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>";
  expect(parse(mfa)).toMatchObject({ code: "NotImplemented" });
  expect(parse("")).toMatchObject({ code: "IllegalVersioningConfigurationException" });
  for (const inner of [
    "<Status/>",
    "<Status>enabled</Status>",
    "<A/>",
    "<MfaDelete>x</MfaDelete>",
  ]) {
    expect(parse(inner)).toMatchObject({ code: "MalformedXML" });
  }
  expect(parseVersioningBody(toUtf8(""))).toMatchObject({ code: "MalformedXML" });
  expect(parseVersioningBody(toUtf8("<A/>"))).toMatchObject({ code: "MalformedXML" });
});

test("parseDeleteBody() takes a prefix of the namespace and a byte order mark", () => {
  const text = `\ufeff<?xml version="1.0" encoding="UTF-8"?><s:Delete xmlns:s="${s3Namespace}"><s:Object><s:Key>k</s:Key></s:Object></s:Delete>`;
  expect(parseDeleteBody(toUtf8(text))).toMatchObject({ entries: [{ versionId: undefined }] });
});

test("parseDeleteBody() holds 1 to 1000 keys", () => {
  const object = "<Object><Key>k</Key></Object>";
  expect(deleteOf("")).toMatchObject({ code: "MalformedXML" });
  expect(deleteOf(object.repeat(1000))).toMatchObject({ entries: { length: 1000 } });
  expect(deleteOf(object.repeat(1001))).toMatchObject({ code: "MalformedXML" });
  expect(parseDeleteBody(new Uint8Array(0))).toMatchObject({ code: "MissingRequestBodyError" });
});

const malformed = {
  "not XML": "hello",
  "an unclosed element": "<Delete><Object>",
  "text around": "<Delete><Object><Key>k</Key></Object></Delete>x",
  "a second root": "<Delete><Object><Key>k</Key></Object></Delete><Delete/>",
  "stray text": "<Delete>x<Object><Key>k</Key></Object></Delete>",
  "another root": "<Remove><Object><Key>k</Key></Object></Remove>",
  "an unknown element": "<Delete><Object><Key>k</Key><Shape/></Object></Delete>",
  "an element twice": "<Delete><Object><Key>k</Key><Key>l</Key></Object></Delete>",
  "no key": "<Delete><Object></Object></Delete>",
  "an empty key": "<Delete><Object><Key></Key></Object></Delete>",
  "an element in a leaf": "<Delete><Object><Key>a<b/></Key></Object></Delete>",
  "a bad Quiet": "<Delete><Quiet>maybe</Quiet><Object><Key>k</Key></Object></Delete>",
  "a DOCTYPE":
    '<!DOCTYPE Delete [<!ENTITY x "y">]><Delete><Object><Key>&x;</Key></Object></Delete>',
  "a plain DOCTYPE": "<!DOCTYPE Delete><Delete><Object><Key>k</Key></Object></Delete>",
  "a DOCTYPE in small letters": "<!doctype Delete><Delete><Object><Key>k</Key></Object></Delete>",
  "an unknown entity": "<Delete><Object><Key>&nbsp;</Key></Object></Delete>",
  "a bare ampersand": "<Delete><Object><Key>a & b</Key></Object></Delete>",
  "a reference to NUL": "<Delete><Object><Key>&#0;</Key></Object></Delete>",
  "a reference to a control": "<Delete><Object><Key>&#x1;</Key></Object></Delete>",
  "a reference to a surrogate": "<Delete><Object><Key>&#xD800;</Key></Object></Delete>",
  "a control character": "<Delete><Object><Key>\u0001</Key></Object></Delete>",
  "another encoding":
    '<?xml version="1.0" encoding="UTF-16"?><Delete><Object><Key>k</Key></Object></Delete>',
  "too many levels": `<Delete><Object>${"<a>".repeat(30)}${"</a>".repeat(30)}</Object></Delete>`,
  "mismatched ends": "<Delete><Object><Key>k</Object></Key></Delete>",
  "names of Object.prototype": "<Delete><__proto__><Key>k</Key></__proto__></Delete>",
} as const;
describe("parseDeleteBody() refuses", () => {
  for (const [name, text] of Object.entries(malformed)) {
    test(name, () => expect(parseDeleteBody(toUtf8(text))).toMatchObject({ code: "MalformedXML" }));
  }
  test("malformed UTF-8", () => {
    const body = concatBytes(
      toUtf8("<Delete><Object><Key>"),
      new Uint8Array([0xff]),
      toUtf8("</Key></Object></Delete>"),
    );
    expect(parseDeleteBody(body)).toMatchObject({ code: "MalformedXML" });
  });
  test("a key over 1024 bytes by its own name", () => {
    expect(deleteOf(`<Object><Key>${"k".repeat(1025)}</Key></Object>`)).toMatchObject({
      code: "KeyTooLongError",
    });
  });
});

test("readXml() counts tags before it makes elements", () => {
  const text = `<a>${"<b/>".repeat(1_000_000)}</a>`;
  const started = performance.now();
  expect(readXml(toUtf8(text), 1000)).toBeUndefined();
  expect(performance.now() - started).toBeLessThan(5000);
});

test("parseCompleteBody() reads parts with gaps and checksums", () => {
  const parts = completeOf(
    part(1, "<ETag>&quot;aa&quot;</ETag><ChecksumCRC32>AAAAAQ==</ChecksumCRC32>") +
      part(7, "<ETag>bb</ETag>"),
  );
  expect(parts).toEqual([
    {
      partNumber: 1,
      etag: "aa",
      checksum: { algorithm: "crc32", value: new Uint8Array([0, 0, 0, 1]) },
    },
    { partNumber: 7, etag: "bb", checksum: undefined },
  ]);
});

test("parseCompleteBody() refuses each fault by its name", () => {
  const cases = [
    ["", "MalformedXML"],
    [part(2) + part(1), "InvalidPartOrder"],
    [part(2) + part(2), "InvalidPartOrder"],
    [part(0), "InvalidArgument"],
    [part(10_001), "InvalidArgument"],
    [part("x"), "MalformedXML"],
    [part(1, ""), "MalformedXML"],
    [part(1, "<ETag>e</ETag><ChecksumSHA1>bad</ChecksumSHA1>"), "InvalidPart"],
    ["<Object/>", "MalformedXML"],
  ] as const;
  for (const [inner, code] of cases) expect(completeOf(inner)).toMatchObject({ code });
  expect(parseCompleteBody(new Uint8Array(0))).toMatchObject({ code: "MalformedXML" });
});

test("parseCompleteBody() reads 10,000 parts in well under a second", () => {
  const sha = `<ETag>&quot;${"a".repeat(32)}&quot;</ETag><ChecksumSHA256>${Buffer.alloc(32).toString("base64")}</ChecksumSHA256>`;
  const inner = Array.from({ length: 10_000 }, (_, i) => part(i + 1, sha)).join("\n");
  const started = performance.now();
  expect(completeOf(inner)).toHaveLength(10_000);
  expect(performance.now() - started).toBeLessThan(15_000);
});

test("parseCreateBucketBody() and checkLocation() decide where a bucket may be", () => {
  const of = (inner: string) =>
    parseCreateBucketBody(
      toUtf8(
        `<CreateBucketConfiguration xmlns="${s3Namespace}">${inner}</CreateBucketConfiguration>`,
      ),
    );
  expect(parseCreateBucketBody(new Uint8Array(0))).toEqual({ locationConstraint: undefined });
  expect(of("<LocationConstraint>eu-west-1</LocationConstraint>")).toEqual({
    locationConstraint: "eu-west-1",
  });
  expect(of("<LocationConstraint/>")).toEqual({ locationConstraint: undefined });
  expect(of("<Bucket><Type>Directory</Type></Bucket>")).toMatchObject({ code: "NotImplemented" });
  expect(of("<Place>x</Place>")).toMatchObject({ code: "MalformedXML" });
  expect(checkLocation(undefined, "us-east-1")).toBeUndefined();
  expect(checkLocation("EU", "eu-west-1")).toBeUndefined();
  expect(checkLocation("mars-1", undefined)).toBeUndefined();
  expect(checkLocation("mars-1", "us-east-1")).toMatchObject({
    code: "IllegalLocationConstraintException",
  });
  expect(checkLocation("a b", undefined)).toMatchObject({ code: "InvalidLocationConstraint" });
});

test("readXml() gives back what writeXml() wrote, for every key that XML can say", () => {
  const character = fc.oneof(
    fc.constantFrom(
      "\t",
      "\n",
      "\r",
      " ",
      "&",
      "<",
      ">",
      '"',
      "'",
      "]]>",
      "\u0085",
      "\u2028",
      "\ufffd",
      "\u{1f600}",
    ),
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 3 }),
  );
  // oxlint-disable-next-line no-control-regex -- what XML 1.0 cannot say
  const foreign = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;
  const keys = fc.array(character, { minLength: 1, maxLength: 20 }).map((list) => list.join(""));
  fc.assert(
    fc.property(
      keys.filter((key) => !foreign.test(key)),
      (key) => {
        const document = writeXml("Delete", s3Namespace, [["Object", [["Key", key]]]]);
        const body = parseDeleteBody(document);
        expect(isFault(body) ? body : fromUtf8(body.entries[0]!.key)).toBe(key);
      },
    ),
    { numRuns: 2000 },
  );
});
