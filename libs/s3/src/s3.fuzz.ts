/** Fuzz targets: calls, documents, header fields and list tokens. Nothing throws; what is accepted keeps its promises. */
import { createHmac, timingSafeEqual } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { toUtf8, wallTime } from "@kiseki/base";
import { type FuzzTarget, must, mutateText, pick } from "@kiseki/base/contract";
import type { Crypto } from "@kiseki/ports";
import { isBucketName } from "./bucket-name.ts";
import { parseHttpDate } from "./date.ts";
import { isFault, s3Errors } from "./errors.ts";
import { parseCopySource } from "./key.ts";
import { openListToken, sealListToken } from "./list-token.ts";
import { parseCall } from "./parse-call.ts";
import { answerPreflight, parsePreflight } from "./preflight.ts";
import { parseCopyRange, parseRange, resolveRange } from "./range.ts";
import {
  formatLegalHold,
  formatLockConfiguration,
  formatRetention,
  parseLegalHoldBody,
  parseLockConfiguration,
  parseRetentionBody,
} from "./object-lock.ts";
import {
  parseCompleteBody,
  parseCreateBucketBody,
  parseDeleteBody,
  parseVersioningBody,
} from "./request-documents.ts";
import { toFaultResponse } from "./respond.ts";
import { corsHeaders, corsSetting, matchCors, parseRequestHeaders } from "./settings/cors.ts";
import { parseDocument } from "./settings/document.ts";
import { lifecycleSetting } from "./settings/lifecycle.ts";
import {
  abortionOf,
  activeRules,
  calendarDay,
  decideVersion,
  type VersionState,
} from "./settings/lifecycle-evaluate.ts";
import { loggingSetting } from "./settings/logging.ts";
import { notificationSetting } from "./settings/notification.ts";
import { requestPaymentSetting } from "./settings/request-payment.ts";
import { objectTagging, parseTaggingHeader, taggingSetting } from "./settings/tags.ts";
import {
  routeWebsite,
  routeWebsiteError,
  websiteErrorPage,
  websiteSetting,
} from "./settings/website.ts";

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
  "versionId=3d1f56005f675160b51a19c416368cbf",
  "versioning",
  "object-lock",
  "retention",
  "legal-hold",
  "continuation-token=AQ",
  "delete",
  "acl",
  "tagging",
  "cors",
  "lifecycle",
  "website",
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
  ["x-amz-object-lock-mode", "GOVERNANCE"],
  ["x-amz-object-lock-retain-until-date", "2030-01-02T03:04:05Z"],
  ["x-amz-object-lock-legal-hold", "ON"],
  ["x-amz-bucket-object-lock-enabled", "true"],
  ["x-amz-tagging", "a=b&c=d"],
  ["origin", "http://a.example"],
  ["access-control-request-method", "PUT"],
  ["access-control-request-headers", "x-a, x-b"],
  ["x-amz-tagging-directive", "REPLACE"],
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
    const preflight = parsePreflight(head, { baseHosts: ["s3.example"] });
    if (!isFault(preflight) && preflight.bucket !== undefined) {
      must(isBucketName(preflight.bucket), "a preflight is about a bucket's name");
    }
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

const settingDocuments = [
  `<NotificationConfiguration><QueueConfiguration><Id>a</Id><Queue>arn:kiseki:sqs::hook:webhook</Queue><Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>prefix</Name><Value>a</Value></FilterRule></S3Key></Filter></QueueConfiguration><TopicConfiguration><Topic>arn:kiseki:sns::bus:nats</Topic><Event>s3:ObjectRemoved:Delete</Event></TopicConfiguration></NotificationConfiguration>`,
  `<BucketLoggingStatus><LoggingEnabled><TargetBucket>abc</TargetBucket><TargetPrefix>a/</TargetPrefix><TargetObjectKeyFormat><PartitionedPrefix><PartitionDateSource>EventTime</PartitionDateSource></PartitionedPrefix></TargetObjectKeyFormat></LoggingEnabled></BucketLoggingStatus>`,
  "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
  "<CORSConfiguration><CORSRule><ID>i</ID><AllowedMethod>GET</AllowedMethod><AllowedOrigin>http://*.a</AllowedOrigin><AllowedHeader>x-*</AllowedHeader><MaxAgeSeconds>9</MaxAgeSeconds><ExposeHeader>ETag</ExposeHeader></CORSRule></CORSConfiguration>",
  "<LifecycleConfiguration><Rule><ID>a</ID><Expiration><Days>3</Days></Expiration><Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag><ObjectSizeLessThan>9</ObjectSizeLessThan></And></Filter><Status>Enabled</Status><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule></LifecycleConfiguration>",
  "<LifecycleConfiguration><Rule><Prefix/><Status>Enabled</Status><Expiration><Date>2030-01-01</Date></Expiration><AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>",
  "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument><ErrorDocument><Key>e</Key></ErrorDocument><RoutingRules><RoutingRule><Condition><KeyPrefixEquals>d/</KeyPrefixEquals></Condition><Redirect><ReplaceKeyPrefixWith>e/</ReplaceKeyPrefixWith></Redirect></RoutingRule></RoutingRules></WebsiteConfiguration>",
  "<WebsiteConfiguration><RedirectAllRequestsTo><HostName>a.b</HostName></RedirectAllRequestsTo></WebsiteConfiguration>",
  "<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>",
];
const settingPieces = [
  ...xmlPieces,
  "-1",
  "0",
  "999999999999",
  "*",
  "&#10;",
  "2030-01-01T00:00:00Z",
];
/** Nothing in an answer's header may end it. */
const isHeaderValue = (text: string): boolean => /^[ -~]*$/.test(text);

const settings: FuzzTarget = {
  name: "s3-settings",
  run(prng, note) {
    const source = toUtf8(mutateText(prng, pick(prng, settingDocuments), settingPieces));
    note(source);
    let accepted = "none";
    const all = [
      taggingSetting,
      corsSetting,
      lifecycleSetting,
      websiteSetting,
      requestPaymentSetting,
      notificationSetting,
      loggingSetting,
    ];
    for (const setting of all) {
      const kept = setting.store(source);
      if (isFault(kept)) continue;
      accepted = setting.subresource;
      const document = setting.show(kept as Uint8Array) as Uint8Array;
      const again = setting.store(document);
      must(!isFault(again), "what is shown can be put");
      const [before, after] = [kept, again].map((bytes) => setting.decode(bytes as Uint8Array));
      must(isDeepStrictEqual(before, after), "and is the same then");
    }
    const object = parseDocument(objectTagging, source);
    must(isFault(object) || object.tagSet.tags.length <= 10, "an object has ten tags at most");
    useCors(source);
    useLifecycle(source);
    useWebsite(source, mutateText(prng, "d/x y", ["/", "..", "\r\n", "<", "\u00e9", "%"]));
    const header = mutateText(prng, "a=b&c+d=%20", ["&", "=", "%", "+", "aws:", "%ff"]);
    note(header);
    const tags = parseTaggingHeader(header);
    return `${accepted}, ${isFault(tags) ? "no" : "a"} header`;
  },
};

const lockDocuments = [
  "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>",
  "<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>2030-01-02T03:04:05Z</RetainUntilDate></Retention>",
  "<LegalHold><Status>ON</Status></LegalHold>",
  "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Disabled</MfaDelete></VersioningConfiguration>",
];
/** A lock that is read wrongly cannot be taken back: what is accepted is written and read again the same. */
const locks: FuzzTarget = {
  name: "s3-locks",
  run(prng, note) {
    const pieces = [
      ...settingPieces,
      "<Years>1</Years>",
      "+01:00",
      "COMPLIANCE",
      "OFF",
      "9999-12-31",
    ];
    const source = toUtf8(mutateText(prng, pick(prng, lockDocuments), pieces));
    note(source);
    const configuration = parseLockConfiguration(source);
    if (!isFault(configuration)) {
      const again = parseLockConfiguration(formatLockConfiguration(configuration.byDefault));
      must(isDeepStrictEqual(again, configuration), "a default retention is what it was");
      return "configuration";
    }
    const body = parseRetentionBody(source);
    if (!isFault(body)) {
      if (body.retention === undefined) return "no retention";
      const again = parseRetentionBody(formatRetention(body.retention));
      must(isDeepStrictEqual(again, body), "a retention is what it was");
      return "retention";
    }
    const hold = parseLegalHoldBody(source);
    if (!isFault(hold)) {
      const again = parseLegalHoldBody(formatLegalHold(hold.legalHold));
      must(isDeepStrictEqual(again, hold), "a legal hold is what it was");
      return "legal hold";
    }
    return isFault(parseVersioningBody(source)) ? "refused" : "versioning";
  },
};

function useCors(source: Uint8Array): void {
  const kept = corsSetting.store(source);
  if (isFault(kept)) return;
  const configuration = corsSetting.decode(kept as Uint8Array);
  const origin = "http://x.a";
  const request = { origin, method: "GET", headers: parseRequestHeaders("x-b") };
  const asked = { bucket: "abc", resourceType: "BUCKET", asked: request } as const;
  const answer = answerPreflight(asked, configuration);
  const grant = matchCors(configuration, request);
  must(isFault(answer) === (grant === undefined), "a preflight is answered by the same rule");
  for (const [, value] of grant === undefined ? [] : corsHeaders(grant)) {
    must(isHeaderValue(value), "a CORS header is one line");
  }
  must(
    grant?.isCredentialed !== true ||
      configuration.rules.some(({ allowedOrigins }) => allowedOrigins.includes(origin)),
    "credentials only for an origin that is named",
  );
}

function useLifecycle(source: Uint8Array): void {
  const kept = lifecycleSetting.store(source);
  if (isFault(kept)) return;
  const rules = activeRules(lifecycleSetting.decode(kept as Uint8Array));
  const modified = wallTime(0);
  const state: VersionState = {
    key: toUtf8("p/x"),
    isDeleteMarker: false,
    size: 5,
    tags: [{ key: "k", value: "v" }],
    modified,
    noncurrentSince: undefined,
    newerNoncurrentCount: 0,
    isOnly: false,
  };
  const current = decideVersion(rules, state, calendarDay);
  must(current === undefined || current.kind === "expire", "what is current only expires");
  const noncurrent = decideVersion(rules, { ...state, noncurrentSince: modified }, calendarDay);
  must(noncurrent === undefined || noncurrent.at > modified, "nothing goes before its day");
  abortionOf(rules, { key: state.key, initiated: modified }, calendarDay);
}

function useWebsite(source: Uint8Array, key: string): void {
  const kept = websiteSetting.store(source);
  if (isFault(kept)) return;
  const site = websiteSetting.decode(kept as Uint8Array);
  const origin = { protocol: "http", host: "a.example" } as const;
  for (const route of [
    routeWebsite(site, key, origin),
    routeWebsiteError(site, key, 404, origin),
  ]) {
    if (route?.kind !== "redirect") continue;
    must(isHeaderValue(route.location), "a location is one line");
    must(route.status >= 301 && route.status <= 399, "a redirect has its own status");
  }
  const page = websiteErrorPage(404, "NoSuchKey", "m", [["Key", key]]);
  must(!page.includes(`<li>Key: ${key}`) || !key.includes("<"), "a page shows no markup of a key");
}

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

export const s3Targets: readonly FuzzTarget[] = [calls, xml, settings, locks, fields, tokens];
