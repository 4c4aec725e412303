/** Calls on one object: put, copy, read, delete, and the multipart calls. */
import { KiB, MiB } from "@kiseki/base";
import type {
  CompleteUploadCall,
  CopyObjectCall,
  CopySource,
  CreateUploadCall,
  DeleteObjectCall,
  PutObjectCall,
  ReadObjectCall,
  S3Request,
  UploadPartCall,
  UploadPartCopyCall,
} from "./call.ts";
import { parseBodyExpectation, parseDocumentExpectation, putSizeMax } from "./body-expectation.ts";
import {
  parseChecksumAlgorithm,
  parseChecksumType,
  parseCompleteChecksum,
  parseUploadChecksum,
} from "./checksum.ts";
import {
  parseCopyConditions,
  parseDeleteConditions,
  parseReadConditions,
  parseWriteConditions,
} from "./conditions.ts";
import { parseCustomerKey, parseEncryption, sourceCustomerPrefix } from "./encryption-headers.ts";
import { invalidArgument, isFault, s3Fault, type S3Fault } from "./errors.ts";
import { isBypassingGovernance } from "./object-lock.ts";
import { parseFields, parseVersionId, type Fields } from "./fields.ts";
import { canonicalKey, parseCopySource } from "./key.ts";
import { parseObjectAttributes, parseOverrides } from "./object-headers.ts";
import { parseCopyRange, parseRange } from "./range.ts";

/** Bucket and key of the call, and its fields: what every parser here starts from. */
export interface ObjectRequest {
  readonly bucket: string;
  readonly key: Uint8Array;
  readonly fields: Fields;
}

/** Parts of one upload, and the largest part number; AWS's limit. */
export const partCountMax = 10_000;
/** Documents that requests carry; 10,000 parts with checksums take about 2 MiB. */
export const documentSizeMax = 4 * MiB;
/** CreateBucketConfiguration needs a hundred bytes. */
export const bucketDocumentSizeMax = 64 * KiB;

export function parsePutObject({ bucket, key, fields }: ObjectRequest): PutObjectCall | S3Fault {
  const body = parseBodyExpectation(fields, putSizeMax);
  if (isFault(body)) return body;
  const attributes = parseObjectAttributes(fields);
  if (isFault(attributes)) return attributes;
  const conditions = parseWriteConditions(fields);
  if (isFault(conditions)) return conditions;
  const encryption = parseEncryption(fields);
  return { kind: "put_object", bucket, key, attributes, encryption, conditions, body };
}

function parseSource(fields: Fields): CopySource | S3Fault {
  const source = parseCopySource(fields.get("x-amz-copy-source") ?? "");
  if (isFault(source)) return source;
  const conditions = parseCopyConditions(fields);
  if (isFault(conditions)) return conditions;
  const customerKey = parseCustomerKey(fields, sourceCustomerPrefix);
  if (isFault(customerKey)) return customerKey;
  return { ...source, customerKey, conditions };
}

export function parseCopyObject({ bucket, key, fields }: ObjectRequest): CopyObjectCall | S3Fault {
  const source = parseSource(fields);
  if (isFault(source)) return source;
  const size = fields.get("content-length");
  if (size !== undefined && size !== "0") {
    return s3Fault("InvalidRequest", "A copy takes no body.");
  }
  const directive = fields.get("x-amz-metadata-directive") ?? "COPY";
  if (directive !== "COPY" && directive !== "REPLACE") {
    return invalidArgument(
      "x-amz-metadata-directive",
      directive.slice(0, 256),
      "Unknown metadata directive.",
    );
  }
  const taggingDirective = fields.get("x-amz-tagging-directive") ?? "COPY";
  if (taggingDirective !== "COPY" && taggingDirective !== "REPLACE") {
    return invalidArgument(
      "x-amz-tagging-directive",
      taggingDirective.slice(0, 256),
      "Unknown tagging directive.",
    );
  }
  const attributes = parseObjectAttributes(fields);
  if (isFault(attributes)) return attributes;
  const conditions = parseWriteConditions(fields);
  if (isFault(conditions)) return conditions;
  const algorithm = parseChecksumAlgorithm(fields);
  if (isFault(algorithm)) return algorithm;
  const isMetadataReplaced = directive === "REPLACE";
  const encryption = parseEncryption(fields);
  const isChanging =
    isMetadataReplaced ||
    source.versionId !== undefined || // an old version made the current one again
    algorithm !== undefined ||
    fields.get("x-amz-storage-class") !== undefined ||
    fields.get("x-amz-website-redirect-location") !== undefined ||
    encryption !== undefined;
  if (!isChanging && source.bucket === bucket && isSameKey(source.key, key)) {
    return s3Fault(
      "InvalidRequest",
      "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
    );
  }
  return {
    kind: "copy_object",
    bucket,
    key,
    source,
    isMetadataReplaced,
    areTagsReplaced: taggingDirective === "REPLACE",
    attributes,
    encryption,
    conditions,
    algorithm,
  };
}

const isSameKey = (a: Uint8Array, b: Uint8Array): boolean =>
  a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);

/** A part number in `[1, 10000]`. */
function parsePartNumber(text: string): number | S3Fault {
  const number = /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= partCountMax) return number;
  const why = "Part number must be an integer between 1 and 10000, inclusive";
  return invalidArgument("partNumber", text.slice(0, 256), why);
}

export function parseReadObject(
  kind: ReadObjectCall["kind"],
  { bucket, key, fields }: ObjectRequest,
  isSigned: boolean,
): ReadObjectCall | S3Fault {
  const encryption = fields.get("x-amz-server-side-encryption");
  if (encryption !== undefined) {
    const why = "x-amz-server-side-encryption header is not supported for this operation.";
    return invalidArgument("x-amz-server-side-encryption", encryption.slice(0, 256), why);
  }
  const versionId = parseVersionId(fields);
  if (isFault(versionId)) return versionId;
  const overrides = parseOverrides(fields, isSigned);
  if (isFault(overrides)) return overrides;
  const range = parseRange(fields.get("range"));
  const text = fields.query("partNumber");
  const partNumber = text === undefined ? undefined : parsePartNumber(text);
  if (isFault(partNumber)) return partNumber;
  if (partNumber !== undefined && fields.get("range") !== undefined) {
    return s3Fault(
      "InvalidRequest",
      "Cannot specify both Range header and partNumber query parameter",
    );
  }
  const customerKey = parseCustomerKey(fields);
  if (isFault(customerKey)) return customerKey;
  return {
    kind,
    bucket,
    key,
    versionId,
    customerKey,
    range,
    partNumber,
    conditions: parseReadConditions(fields),
    overrides,
    isChecksumWanted: (fields.get("x-amz-checksum-mode") ?? "").toUpperCase() === "ENABLED",
  };
}

export function parseDeleteObject({
  bucket,
  key,
  fields,
}: ObjectRequest): DeleteObjectCall | S3Fault {
  const conditions = parseDeleteConditions({
    etag: fields.get("if-match"),
    size: fields.get("x-amz-if-match-size"),
    modified: fields.get("x-amz-if-match-last-modified-time"),
  });
  if (isFault(conditions)) return conditions;
  const versionId = parseVersionId(fields);
  if (isFault(versionId)) return versionId;
  const isBypassing = isBypassingGovernance(fields);
  return { kind: "delete_object", bucket, key, conditions, versionId, isBypassing };
}

export function parseCreateUpload({
  bucket,
  key,
  fields,
}: ObjectRequest): CreateUploadCall | S3Fault {
  const attributes = parseObjectAttributes(fields);
  if (isFault(attributes)) return attributes;
  const checksum = parseUploadChecksum(fields);
  if (isFault(checksum)) return checksum;
  const encryption = parseEncryption(fields);
  return { kind: "create_multipart_upload", bucket, key, attributes, encryption, checksum };
}

export function parseUploadPart(
  { bucket, key, fields }: ObjectRequest,
  uploadId: string,
): UploadPartCall | UploadPartCopyCall | S3Fault {
  const partNumber = parsePartNumber(fields.query("partNumber") ?? "");
  if (isFault(partNumber)) return partNumber;
  // The upload says how its parts are encrypted: headers other than the customer's key say nothing here.
  const customerKey = parseCustomerKey(fields);
  if (isFault(customerKey)) return customerKey;
  const part = { bucket, key, uploadId, partNumber, customerKey };
  if (fields.get("x-amz-copy-source") !== undefined) {
    const source = parseSource(fields);
    if (isFault(source)) return source;
    const range = parseCopyRange(fields.get("x-amz-copy-source-range"));
    if (isFault(range)) return range;
    return { kind: "upload_part_copy", ...part, source, range };
  }
  const body = parseBodyExpectation(fields, putSizeMax);
  if (isFault(body)) return body;
  return { kind: "upload_part", ...part, body };
}

export function parseCompleteUpload(
  { bucket, key, fields }: ObjectRequest,
  uploadId: string,
): CompleteUploadCall | S3Fault {
  const conditions = parseWriteConditions(fields);
  if (isFault(conditions)) return conditions;
  const claim = parseCompleteChecksum(fields);
  if (isFault(claim)) return claim;
  const checksumType = parseChecksumType(fields);
  if (isFault(checksumType)) return checksumType;
  const sizeText = fields.get("x-amz-mp-object-size");
  if (sizeText !== undefined && !/^[0-9]{1,15}$/.test(sizeText)) {
    const why = "Value for x-amz-mp-object-size header is invalid.";
    return invalidArgument("x-amz-mp-object-size", sizeText.slice(0, 256), why);
  }
  const body = parseDocumentExpectation(withoutChecksums(fields), documentSizeMax);
  if (isFault(body)) return body;
  const customerKey = parseCustomerKey(fields);
  if (isFault(customerKey)) return customerKey;
  return {
    kind: "complete_multipart_upload",
    customerKey,
    bucket,
    key,
    uploadId,
    bodySizeMax: documentSizeMax,
    body,
    conditions,
    expected: claim,
    expectedAlgorithm: claim?.algorithm,
    checksumType,
    expectedSize: sizeText === undefined ? undefined : Number(sizeText),
  };
}

/** Here `x-amz-checksum-*` speaks of the object, not of the document that the request carries. */
function withoutChecksums(fields: Fields): Fields {
  const isKept = (name: string) =>
    !name.startsWith("x-amz-checksum-") && name !== "x-amz-sdk-checksum-algorithm";
  return {
    ...fields,
    get: (name) => (isKept(name) ? fields.get(name) : undefined),
    headers: fields.headers.filter(([name]) => isKept(name)),
  };
}

/** A read of a website's page: conditions and range count, the query says nothing. */
export function parseWebsiteRead(
  request: S3Request,
  page: { readonly bucket: string; readonly key: string; readonly isHead: boolean },
): ReadObjectCall | S3Fault {
  const fields = parseFields({ ...request, target: request.target.split("?", 1)[0]! });
  if (isFault(fields)) return fields;
  const key = canonicalKey(page.key);
  if (isFault(key)) return key;
  const kind = page.isHead ? "head_object" : "get_object";
  return parseReadObject(kind, { bucket: page.bucket, key, fields }, false);
}
