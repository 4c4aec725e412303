/** Which call a request is: its address first, then method and subresource. */
import type { S3Addressing, S3Call, S3Request } from "./call.ts";
import { percentDecode } from "@kiseki/http";
import { parseDocumentExpectation } from "./body-expectation.ts";
import { isBucketName } from "./bucket-name.ts";
import { type NewBucketAccess, parseNewBucketAccess } from "./access-calls.ts";
import { invalidArgument, isFault, s3Fault, type S3Fault } from "./errors.ts";
import { parseFields, type Fields } from "./fields.ts";
import { keyFromPath, uriFault } from "./key.ts";
import {
  parseListBuckets,
  parseListObjects,
  parseListParts,
  parseListUploads,
  parseListVersions,
  parseUploadId,
} from "./list-calls.ts";
import {
  bucketDocumentSizeMax,
  documentSizeMax,
  parseCompleteUpload,
  parseCopyObject,
  parseCreateUpload,
  parseDeleteObject,
  parsePutObject,
  parseReadObject,
  parseUploadPart,
  type ObjectRequest,
} from "./object-calls.ts";
import { refuseUnsupported } from "./object-headers.ts";
import { isBypassingGovernance, parseLockEnabled } from "./object-lock.ts";
import { parseObjectAttributesCall, parseSetting } from "./setting-calls.ts";

/** What S3 has and this server lacks, wherever the name stands in a query. */
const notImplementedSubresources = new Set([
  "abac",
  "accelerate",
  "acl",
  "analytics",
  "annotation",
  "append",
  "cors",
  "encryption",
  "intelligent-tiering",
  "inventory",
  "legal-hold",
  "lifecycle",
  "logging",
  "metadataConfiguration",
  "metadataInventoryTable",
  "metadataJournalTable",
  "metadataTable",
  "metrics",
  "notification",
  "object-lock",
  "ownershipControls",
  "policy",
  "policyStatus",
  "publicAccessBlock",
  "renameObject",
  "replication",
  "requestPayment",
  "restore",
  "retention",
  "select",
  "select-type",
  "session",
  "tagging",
  "torrent",
  "website",
]);
/** What is here; which method goes with which is decided below. */
const implementedSubresources = [
  "attributes",
  "delete",
  "location",
  "uploads",
  "versioning",
  "versions",
] as const;
type Subresource = (typeof implementedSubresources)[number] | "upload" | "none";

/** Where a request points: the service, a bucket, or a key in one. */
interface S3Address {
  /** Not yet checked; undefined for the service itself. */
  readonly bucket: string | undefined;
  /** As it stands in the path; empty for a bucket. */
  readonly rawKey: string;
}

/** The bucket that a Host names by virtual-host style, or `undefined`: path style. */
function bucketFromHost(host: string, addressing: S3Addressing): string | undefined {
  if (addressing.baseHosts.length === 0) return undefined;
  const name = host
    .toLowerCase()
    .replace(/:[0-9]*$/, "")
    .replace(/\.$/, "");
  let best: string | undefined;
  for (const base of addressing.baseHosts) {
    if (name === base) return undefined;
    if (!name.endsWith(`.${base}`)) continue;
    const bucket = name.slice(0, -base.length - 1);
    if (best === undefined || bucket.length < best.length) best = bucket; // the longest base wins
  }
  return best;
}

/** Whether a Host names the service and no bucket. */
export function isServiceHost(host: string, addressing: S3Addressing): boolean {
  return bucketFromHost(host, addressing) === undefined;
}

/** Cuts Host and path into bucket and key. The path is never normalised: `//`, `.` and `..` are keys like any. */
export function parseAddress(
  path: string,
  host: string,
  addressing: S3Addressing,
): S3Address | S3Fault {
  if (!path.startsWith("/")) return uriFault();
  const fromHost = bucketFromHost(host, addressing);
  if (fromHost !== undefined) return { bucket: fromHost, rawKey: path.slice(1) };
  if (path === "/") return { bucket: undefined, rawKey: "" };
  const slash = path.indexOf("/", 1);
  const bucket = percentDecode(slash < 0 ? path.slice(1) : path.slice(1, slash));
  if (bucket === undefined) return uriFault();
  return { bucket, rawKey: slash < 0 ? "" : path.slice(slash + 1) };
}

/** The request's one subresource. Two at once, or one that is not here, are refused. */
function findSubresource(fields: Fields): Subresource | S3Fault {
  let found: Subresource = "none";
  for (const name of fields.queryNames) {
    const isMissing = notImplementedSubresources.has(name);
    if (isMissing) return s3Fault("NotImplemented", undefined, [["ResourceType", name]]);
    const known =
      name === "uploadId"
        ? "upload"
        : implementedSubresources.find((candidate) => candidate === name);
    if (known === undefined) continue;
    if (found !== "none") {
      return invalidArgument("ResourceType", name, "Conflicting query string parameters");
    }
    found = known;
  }
  return found;
}

/** Calls on an object of which S3 knows versions; a version beside any other is refused, not passed over. */
const versionedCalls: ReadonlySet<string> = new Set([
  "DELETE none",
  "GET attributes",
  "GET none",
  "HEAD none",
]);
function refuseVersion(method: string, subresource: string, fields: Fields): S3Fault | undefined {
  const version = fields.query("versionId");
  if (version === undefined || versionedCalls.has(`${method} ${subresource}`)) return undefined;
  const why = "This operation does not accept a version-id.";
  return invalidArgument("versionId", version.slice(0, 256), why);
}

const notAllowed = (method: string, resource: string): S3Fault =>
  s3Fault("MethodNotAllowed", undefined, [
    ["Method", method.slice(0, 32)],
    ["ResourceType", resource],
  ]);

/**
 * The call that a request's head makes, or the refusal that S3 would give. Reads no body: calls
 * with a document say how large it may be. Never throws.
 */
export function parseCall(request: S3Request, addressing: S3Addressing): S3Call | S3Fault {
  const fields = parseFields(request);
  if (isFault(fields)) return fields;
  const address = parseAddress(fields.path, request.host, addressing);
  if (isFault(address)) return address;
  const { bucket, rawKey } = address;
  if (bucket !== undefined && !isBucketName(bucket)) {
    return s3Fault("InvalidBucketName", undefined, [["BucketName", bucket.slice(0, 256)]]);
  }
  const setting =
    bucket === undefined ? undefined : parseSetting(request.method, bucket, rawKey, fields);
  if (setting !== undefined) return setting;
  const subresource = findSubresource(fields);
  if (isFault(subresource)) return subresource;
  const unsupported =
    refuseUnsupported(fields) ?? refuseVersion(request.method, subresource, fields);
  if (unsupported !== undefined) return unsupported;
  if (bucket === undefined) {
    if (request.method !== "GET" || subresource !== "none")
      return notAllowed(request.method, "SERVICE");
    return parseListBuckets(fields);
  }
  if (rawKey === "") return parseBucketCall(request.method, subresource, bucket, fields);
  const key = keyFromPath(rawKey);
  if (isFault(key)) return key;
  return parseObjectCall(request, subresource, { bucket, key, fields });
}

function parseBucketCall(
  method: string,
  subresource: Subresource,
  bucket: string,
  fields: Fields,
): S3Call | S3Fault {
  switch (`${method} ${subresource}`) {
    case "GET none":
      return parseListObjects(bucket, fields);
    case "GET versions":
      return parseListVersions(bucket, fields);
    case "GET uploads":
      return parseListUploads(bucket, fields);
    case "GET location":
      return { kind: "get_bucket_location", bucket };
    case "GET versioning":
      return { kind: "get_bucket_versioning", bucket };
    case "HEAD none":
      return { kind: "head_bucket", bucket };
    case "DELETE none":
      return { kind: "delete_bucket", bucket };
    case "PUT none":
      return parseCreateBucket(bucket, fields);
    case "PUT versioning":
      return parsePutVersioning(bucket, fields);
    case "POST delete":
      return parseDeleteObjects(bucket, fields);
    case "POST none":
      return s3Fault("PreconditionFailed", undefined, [
        ["Condition", "Bucket POST must be of the enclosure-type multipart/form-data"],
      ]);
    case "OPTIONS none":
      return s3Fault("NotImplemented");
    default:
      return notAllowed(method, "BUCKET");
  }
}

function parseCreateBucket(bucket: string, fields: Fields): S3Call | S3Fault {
  const hasLength = fields.get("content-length") ?? fields.get("x-amz-decoded-content-length");
  const expectation =
    hasLength === undefined
      ? {
          size: 0,
          md5: undefined,
          checksum: undefined,
          trailerAlgorithm: undefined,
          algorithm: undefined,
        }
      : parseDocumentExpectation(fields, bucketDocumentSizeMax);
  if (isFault(expectation)) return expectation;
  const isLockEnabled = parseLockEnabled(fields);
  if (isFault(isLockEnabled)) return isLockEnabled;
  const access = parseNewBucketAccess(fields);
  if (isFault(access)) return access;
  const document = { bodySizeMax: bucketDocumentSizeMax, body: expectation };
  return {
    kind: "create_bucket",
    bucket,
    isLockEnabled,
    ...(access as NewBucketAccess),
    ...document,
  };
}

function parsePutVersioning(bucket: string, fields: Fields): S3Call | S3Fault {
  const body = parseDocumentExpectation(fields, bucketDocumentSizeMax);
  if (isFault(body)) return body;
  return { kind: "put_bucket_versioning", bucket, bodySizeMax: bucketDocumentSizeMax, body };
}

function parseDeleteObjects(bucket: string, fields: Fields): S3Call | S3Fault {
  const body = parseDocumentExpectation(fields, documentSizeMax);
  if (isFault(body)) return body;
  if (body.md5 === undefined && body.algorithm === undefined) {
    return s3Fault(
      "InvalidRequest",
      "Missing required header for this request: Content-MD5 OR x-amz-checksum-*",
    );
  }
  const isBypassing = isBypassingGovernance(fields);
  return { kind: "delete_objects", bucket, bodySizeMax: documentSizeMax, body, isBypassing };
}

function parseObjectCall(
  request: S3Request,
  subresource: Subresource,
  object: ObjectRequest,
): S3Call | S3Fault {
  const { fields, bucket, key } = object;
  const uploadId = subresource === "upload" ? parseUploadId(fields) : "";
  if (isFault(uploadId)) return uploadId;
  switch (`${request.method} ${subresource}`) {
    case "GET none":
      return parseReadObject("get_object", object, request.isSigned);
    case "HEAD none":
      return parseReadObject("head_object", object, request.isSigned);
    case "GET attributes":
      return parseObjectAttributesCall(object);
    case "GET upload":
      return parseListParts(bucket, key, uploadId, fields);
    case "PUT none":
      if (fields.hasQuery("partNumber")) {
        return invalidArgument(
          "partNumber",
          fields.query("partNumber") ?? "",
          "A part needs an uploadId",
        );
      }
      return fields.get("x-amz-copy-source") === undefined
        ? parsePutObject(object)
        : parseCopyObject(object);
    case "PUT upload":
      return parseUploadPart(object, uploadId);
    case "POST uploads":
      return parseCreateUpload(object);
    case "POST upload":
      return parseCompleteUpload(object, uploadId);
    case "DELETE none":
      return parseDeleteObject(object);
    case "DELETE upload":
      return { kind: "abort_multipart_upload", bucket, key, uploadId };
    case "OPTIONS none":
      return s3Fault("NotImplemented");
    default:
      return notAllowed(request.method, "OBJECT");
  }
}
