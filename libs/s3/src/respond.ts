/** Typed results and refusals, to status, headers and document. */
import { toUtf8, unreachable } from "@kiseki/base";
import { HeaderBlock, percentEncode } from "@kiseki/http";
import type { ObjectChecksum } from "./attributes.ts";
import type { ReadObjectCall } from "./call.ts";
import { checksumLabel, formatChecksum, toBase64 } from "./checksum.ts";
import { unconditional } from "./conditions.ts";
import { formatHttpDate, formatIsoDate } from "./date.ts";
import { encryptionHeaders } from "./encryption-headers.ts";
import { s3Errors, type S3Fault } from "./errors.ts";
import {
  bucketsDocument,
  keyText,
  objectsDocument,
  partsDocument,
  uploadsDocument,
  versionsDocument,
} from "./list-documents.ts";
import { contentHeaderPairs, noOverrides } from "./object-headers.ts";
import { lockHeaderPairs } from "./object-lock.ts";
import { redirectTarget } from "./post-object.ts";
import { attributesDocument, checksumNodes, settingDocument } from "./setting-documents.ts";
import type { ObjectView, ResponseContext, S3Response, S3Result } from "./result.ts";
import { corsHeaders, corsVary } from "./settings/cors.ts";
import type { Due } from "./settings/lifecycle-evaluate.ts";
import { s3Namespace, writeXml, type XmlNode } from "./xml-write.ts";

type Pair = readonly [name: string, value: string];

/** What every answer says of its request. */
const identityHeaders = ({ hostId, requestId }: ResponseContext): readonly Pair[] => [
  ["x-amz-id-2", hostId],
  ["x-amz-request-id", requestId],
];

function respond(
  context: ResponseContext,
  status: number,
  headers: readonly Pair[],
  body?: Uint8Array,
): S3Response {
  const identity = identityHeaders(context);
  const hasLength = headers.some(([name]) => name === "Content-Length");
  // 204 and 304 have no body by their nature, and HEAD leaves unsaid what GET would have measured.
  const isLengthUnsaid = hasLength || status === 204 || status === 304 || (context.isHead && body);
  const length: readonly Pair[] = isLengthUnsaid
    ? []
    : [["Content-Length", String(body?.byteLength ?? 0)]];
  return {
    status,
    headers: [...identity, ...headers, ...length],
    body: context.isHead ? undefined : body,
  };
}

function respondDocument(
  context: ResponseContext,
  document: Uint8Array,
  headers: readonly Pair[] = [],
): S3Response {
  return respond(context, 200, [...headers, ["Content-Type", "application/xml"]], document);
}

function checksumHeaders(checksum: ObjectChecksum | undefined): readonly Pair[] {
  if (checksum === undefined) return [];
  return [
    [`x-amz-checksum-${checksum.algorithm}`, formatChecksum(checksum)],
    ["x-amz-checksum-type", checksum.type],
  ];
}

function expirationHeaders(due: Due | undefined): readonly Pair[] {
  if (due === undefined) return [];
  const date = formatHttpDate(due.at);
  return [["x-amz-expiration", `expiry-date="${date}", rule-id="${percentEncode(due.ruleId)}"`]];
}

function abortionHeaders(due: Due | undefined): readonly Pair[] {
  if (due === undefined) return [];
  return [
    ["x-amz-abort-date", formatHttpDate(due.at)],
    ["x-amz-abort-rule-id", percentEncode(due.ruleId)],
  ];
}

/** What an answer of any kind says of versions. */
function versionHeaders(result: S3Result): readonly Pair[] {
  const pairs: Pair[] = [];
  if (result.versionId !== undefined) pairs.push(["x-amz-version-id", result.versionId]);
  if ("sourceVersionId" in result && result.sourceVersionId !== undefined) {
    pairs.push(["x-amz-copy-source-version-id", result.sourceVersionId]);
  }
  if (result.kind === "object_deleted" && result.isDeleteMarker) {
    pairs.push(["x-amz-delete-marker", "true"]);
  }
  return pairs;
}

/** The answer to a call that succeeded. */
export function toResponse(result: S3Result, context: ResponseContext): S3Response {
  const response = toAnyResponse(result, context);
  const versions = versionHeaders(result);
  if (versions.length === 0) return response;
  return { ...response, headers: [...response.headers, ...versions] };
}

function toAnyResponse(result: S3Result, context: ResponseContext): S3Response {
  switch (result.kind) {
    case "buckets":
      return respondDocument(context, bucketsDocument(result));
    case "objects":
      return respondDocument(context, objectsDocument(result));
    case "object_versions":
      return respondDocument(context, versionsDocument(result));
    case "uploads":
      return respondDocument(context, uploadsDocument(result));
    case "parts":
      return respondDocument(context, partsDocument(result), abortionHeaders(result.abortion));
    case "bucket_created":
      return respond(context, 200, [["Location", `/${result.bucket}`]]);
    case "bucket_found":
      return respond(context, 200, [
        ["x-amz-bucket-region", result.region],
        ["x-amz-access-point-alias", "false"],
        ["Content-Type", "application/xml"],
        ["Content-Length", "0"],
      ]);
    case "bucket_location": {
      const constraint = result.region === "us-east-1" ? "" : result.region;
      return respondDocument(context, writeXml("LocationConstraint", s3Namespace, constraint));
    }
    case "bucket_versioning":
      return respondDocument(context, versioningDocument(result));
    case "preflight":
      return respond(context, 200, [...corsHeaders(result.grant), ["Vary", corsVary]]);
    case "bucket_deleted":
    case "setting_deleted":
    case "upload_aborted":
      return respond(context, 204, []);
    case "setting_put":
      return respond(context, 200, []);
    case "setting_shown":
      return respond(
        context,
        200,
        [["Content-Type", result.contentType ?? "application/xml"]],
        result.document,
      );
    case "fixed_setting":
    case "acl":
    case "object_tags":
      return respondDocument(context, settingDocument(result));
    case "object_attributes":
      return respondDocument(context, attributesDocument(result), [
        ["Last-Modified", formatHttpDate(result.view.lastModified)],
      ]);
    default:
      return toObjectResponse(result, context);
  }
}

type ObjectResult = Exclude<
  S3Result,
  {
    readonly kind:
      | "buckets"
      | "objects"
      | "object_versions"
      | "uploads"
      | "parts"
      | "bucket_created"
      | "bucket_found"
      | "bucket_location"
      | "bucket_versioning"
      | "bucket_deleted"
      | "preflight"
      | "setting_deleted"
      | "setting_put"
      | "setting_shown"
      | "fixed_setting"
      | "acl"
      | "object_tags"
      | "object_attributes"
      | "upload_aborted";
  }
>;

function toObjectResponse(result: ObjectResult, context: ResponseContext): S3Response {
  switch (result.kind) {
    case "plain_read": {
      const { headers: shared, size } = result;
      return { ...respond(context, 200, [[lengthName, String(size)]]), shared };
    }
    case "object_read":
      return respondRead(result, context);
    case "not_modified":
      return respond(context, 304, notModifiedHeaders(result));
    case "object_put":
    case "part_uploaded":
      return respond(context, 200, [
        ["ETag", `"${result.etag}"`],
        ...checksumHeaders(result.checksum),
        ...encryptionHeaders(result.encryption),
        ...("expiration" in result ? expirationHeaders(result.expiration) : []),
      ]);
    case "object_posted":
      return respondPosted(result, context);
    case "object_deleted":
      return respond(context, 204, []);
    case "objects_deleted":
      return respondDocument(context, deletedDocument(result));
    case "object_copied":
    case "part_copied":
      return respondDocument(context, copyDocument(result), [
        ...encryptionHeaders(result.encryption),
        ...expirationHeaders(result.expiration),
      ]);
    case "upload_created":
      return respondUploadCreated(result, context);
    case "upload_completed":
      return respondDocument(context, completedDocument(result), [
        ...completedEncryption(result),
        ...expirationHeaders(result.expiration),
      ]);
    default:
      return unreachable(result);
  }
}

/** As the form asked for. A browser follows the redirect; only 201 carries a document. */
function respondPosted(result: ResultOf<"object_posted">, context: ResponseContext): S3Response {
  const { call, location, put } = result;
  const { bucket, key, success } = call;
  const headers = toResponse(put, context).headers.filter(([name]) => !identityNames.has(name));
  if (success.kind === "redirect") {
    const target = redirectTarget(success.url, bucket, key, put.etag);
    return respond(context, 303, [...headers, ["Location", target]]);
  }
  const named: readonly Pair[] = [...headers, ["Location", location]];
  if (success.status !== 201) return respond(context, success.status, named);
  const document = writeXml("PostResponse", undefined, [
    ["Location", location],
    ["Bucket", bucket],
    ["Key", keyText(key)],
    ["ETag", `"${put.etag}"`],
  ]);
  return respond(context, 201, [...named, ["Content-Type", "application/xml"]], document);
}
/** What `respond` adds by itself. */
const identityNames: ReadonlySet<string> = new Set([
  "x-amz-id-2",
  "x-amz-request-id",
  "Content-Length",
]);

type ResultOf<Kind extends S3Result["kind"]> = Extract<S3Result, { readonly kind: Kind }>;

/**
 * Metadata beyond ASCII goes out as an encoded word (RFC 2047), as "Working with object metadata" of the
 * Amazon S3 User Guide shows: the bytes that came, each taken for a character.
 */
function toMailSafe(value: string): string {
  return /^[\t -~]*$/.test(value) ? value : `=?UTF-8?B?${toBase64(toUtf8(value))}?=`;
}

/** What RFC 9110 §15.4.5 wants of a 304 and the 200 would have said, and when it was written. */
function notModifiedHeaders({ view, overrides }: ResultOf<"not_modified">): readonly Pair[] {
  const kept = contentHeaderPairs(view.content, overrides).filter(
    ([name]) => name === "Cache-Control" || name === "Expires",
  );
  return [
    ["Last-Modified", formatHttpDate(view.lastModified)],
    ["ETag", `"${view.etag}"`],
    ...kept,
  ];
}

const lengthName = "Content-Length";

/** The headers of `plain_read` of an object that has this view and no date of expiry. */
export function plainReadHeaders(view: ObjectView): HeaderBlock {
  const nothing = { range: undefined, partCount: undefined, checksum: undefined };
  const read = { kind: "object_read", view, overrides: noOverrides, ...nothing } as const;
  return new HeaderBlock(readHeaders(read).filter(([name]) => name !== lengthName));
}

/** Whether a call asks for all of the current object, and for nothing to be said or decided beside. */
export const isPlainRead = (call: ReadObjectCall): boolean =>
  call.overrides === noOverrides &&
  call.conditions === unconditional &&
  call.versionId === undefined &&
  call.range === undefined &&
  call.partNumber === undefined &&
  call.customerKey === undefined &&
  !call.isChecksumWanted;

function respondRead(result: ResultOf<"object_read">, context: ResponseContext): S3Response {
  return respond(context, result.range === undefined ? 200 : 206, readHeaders(result));
}

function readHeaders(result: ResultOf<"object_read">): readonly Pair[] {
  const { view, range, partCount } = result;
  const length = range?.length ?? view.size;
  const headers: Pair[] = [
    ["Last-Modified", formatHttpDate(view.lastModified)],
    ["ETag", `"${view.etag}"`],
    ...encryptionHeaders(view.encryption),
    ["Accept-Ranges", "bytes"],
    ...contentHeaderPairs(view.content, result.overrides),
    [lengthName, String(length)],
  ];
  if (range !== undefined) {
    const last = range.offset + range.length - 1;
    headers.push(["Content-Range", `bytes ${range.offset}-${last}/${view.size}`]);
  }
  headers.push(...expirationHeaders(result.expiration));
  if (view.storageClass !== "STANDARD") headers.push(["x-amz-storage-class", view.storageClass]);
  if (view.tags.length > 0) headers.push(["x-amz-tagging-count", String(view.tags.length)]);
  if (partCount !== undefined) headers.push(["x-amz-mp-parts-count", String(partCount)]);
  headers.push(...checksumHeaders(result.checksum));
  headers.push(...lockHeaderPairs(view.lock));
  for (const [name, value] of view.metadata) {
    headers.push([`x-amz-meta-${name}`, toMailSafe(value)]);
  }
  return headers;
}

function deletedDocument(result: ResultOf<"objects_deleted">): Uint8Array {
  const nodes: XmlNode[] = [];
  for (const { key, versionId, marker, error } of result.outcomes) {
    const head: XmlNode[] = [["Key", keyText(key)]];
    if (versionId !== undefined) head.push(["VersionId", versionId]);
    if (error !== undefined) {
      const message = error.message ?? s3Errors[error.code].message;
      nodes.push(["Error", [...head, ["Code", error.code], ["Message", message]]]);
    } else if (!result.isQuiet) {
      if (marker !== undefined) {
        head.push(["DeleteMarker", true], ["DeleteMarkerVersionId", marker.versionId]);
      }
      nodes.push(["Deleted", head]);
    }
  }
  return writeXml("DeleteResult", s3Namespace, nodes);
}

function versioningDocument({ versioning }: ResultOf<"bucket_versioning">): Uint8Array {
  const status = { off: undefined, enabled: "Enabled", suspended: "Suspended" }[versioning];
  const content: readonly XmlNode[] = status === undefined ? [] : [["Status", status]];
  return writeXml("VersioningConfiguration", s3Namespace, content);
}

function copyDocument(result: ResultOf<"object_copied" | "part_copied">): Uint8Array {
  const root = result.kind === "object_copied" ? "CopyObjectResult" : "CopyPartResult";
  return writeXml(root, s3Namespace, [
    ["LastModified", formatIsoDate(result.lastModified)],
    ["ETag", `"${result.etag}"`],
    ...checksumNodes(result.checksum),
  ]);
}

function respondUploadCreated(
  result: ResultOf<"upload_created">,
  context: ResponseContext,
): S3Response {
  const { checksum } = result;
  const headers: readonly Pair[] =
    checksum === undefined
      ? []
      : [
          ["x-amz-checksum-algorithm", checksumLabel(checksum.algorithm)],
          ["x-amz-checksum-type", checksum.type],
        ];
  const document = writeXml("InitiateMultipartUploadResult", s3Namespace, [
    ["Bucket", result.bucket],
    ["Key", keyText(result.key)],
    ["UploadId", result.uploadId],
  ]);
  return respondDocument(context, document, [
    ...headers,
    ...encryptionHeaders(result.encryption),
    ...abortionHeaders(result.abortion),
  ]);
}

function completedDocument(result: ResultOf<"upload_completed">): Uint8Array {
  return writeXml("CompleteMultipartUploadResult", s3Namespace, [
    ["Location", result.location],
    ["Bucket", result.bucket],
    ["Key", keyText(result.key)],
    ["ETag", `"${result.etag}"`],
    ...checksumNodes(result.checksum),
  ]);
}

/** CompleteMultipartUpload alone says nothing of a customer's key. */
const completedEncryption = ({ encryption }: ResultOf<"upload_completed">): readonly Pair[] =>
  encryption.kind === "customer" ? [] : encryptionHeaders(encryption);

/** Codes whose document names the bucket or the key, as S3's does. */
function subjectNodes(fault: S3Fault, context: ResponseContext): readonly XmlNode[] {
  const has = (name: string) => fault.details.some(([present]) => present === name);
  const isKeyed = fault.code === "NoSuchKey" || fault.code === "NoSuchVersion";
  if (isKeyed && context.key !== undefined && !has("Key")) {
    return [["Key", keyText(context.key)]];
  }
  const isAboutBucket =
    fault.code === "NoSuchBucket" ||
    fault.code.startsWith("Bucket") ||
    s3Errors[fault.code].status === 404;
  if (
    isAboutBucket &&
    !isKeyed &&
    fault.code !== "NoSuchUpload" &&
    context.bucket !== undefined &&
    !has("BucketName")
  ) {
    return [["BucketName", context.bucket]];
  }
  return [];
}

const allowed = "GET, HEAD, PUT, POST, DELETE";
/** Seconds after which a client may try again. */
const retryAfter: Partial<Record<S3Fault["code"], string>> = {
  ServiceUnavailable: "5",
  SlowDown: "1",
};

/** The answer to a call that was refused or failed. A HEAD gets the status without the document. */
export function toFaultResponse(fault: S3Fault, context: ResponseContext): S3Response {
  const { status, message } = s3Errors[fault.code];
  const document = writeXml("Error", undefined, [
    ["Code", fault.code],
    ["Message", fault.message ?? message],
    ...subjectNodes(fault, context),
    ...fault.details,
    ["Resource", context.resource],
    ["RequestId", context.requestId],
    ["HostId", context.hostId],
  ]);
  const headers: Pair[] = [["Content-Type", "application/xml"]];
  const own = fault.headers ?? [];
  if (status === 405 && !own.some(([name]) => name === "Allow")) headers.push(["Allow", allowed]);
  headers.push(...own);
  const seconds = retryAfter[fault.code];
  if (seconds !== undefined) headers.push(["Retry-After", seconds]);
  return respond(context, status, headers, document);
}
