/** Settings of buckets and objects as far as they can be answered truthfully, and GetObjectAttributes. */
import type {
  FixedSettingCall,
  GetObjectAttributesCall,
  ObjectAttributeName,
  ObjectTaggingCall,
  PutObjectTaggingCall,
  S3Call,
  UnsetSettingCall,
} from "./call.ts";
import { parseAccessCall, parseObjectAclCall } from "./access-calls.ts";
import { parseDocumentExpectation } from "./body-expectation.ts";
import { parseCustomerKey } from "./encryption-headers.ts";
import { invalidArgument, isFault, type S3Fault } from "./errors.ts";
import { parseVersionId, type Fields } from "./fields.ts";
import { keyFromPath } from "./key.ts";
import { bucketDocumentSizeMax, type ObjectRequest } from "./object-calls.ts";
import { refuseUnsupported } from "./object-headers.ts";
import { isBypassingGovernance } from "./object-lock.ts";
import { findBucketSetting } from "./settings/registry.ts";
import { taggingSizeMax } from "./settings/tags.ts";

const unsetSettings: Readonly<Record<string, UnsetSettingCall["answer"]>> = {
  replication: "ReplicationConfigurationNotFoundError",
};
const fixedSettings: readonly FixedSettingCall["setting"][] = [
  "accelerate",
  "analytics",
  "intelligent-tiering",
  "inventory",
  "metrics",
];
/** What has a DELETE of its own at AWS and answers 204 there when nothing was set. */
const removableSettings: ReadonlySet<string> = new Set(["replication"]);

/** The call on a setting, when `fields` names one that is answered here; `undefined`: something else. */
export function parseSetting(
  method: string,
  bucket: string,
  rawKey: string,
  fields: Fields,
): S3Call | S3Fault | undefined {
  if (fields.queryNames.length === 0) return undefined;
  if (rawKey !== "") return parseObjectSetting(method, bucket, rawKey, fields);
  const access = parseAccessCall(method, bucket, fields);
  if (access !== undefined) return access;
  for (const name of fields.queryNames) {
    const call = parseBucketSetting(method, bucket, name, fields);
    if (call !== undefined) return call;
    const answer = Object.hasOwn(unsetSettings, name) ? unsetSettings[name] : undefined;
    const setting = fixedSettings.find((candidate) => candidate === name);
    if ((method === "GET" || method === "DELETE") && isNamed(name, fields)) {
      return { kind: "get_unset_setting", bucket, answer: "NoSuchConfiguration" };
    }
    if (method === "GET" && answer !== undefined) {
      return { kind: "get_unset_setting", bucket, answer };
    }
    if (method === "GET" && setting !== undefined) {
      return { kind: "get_fixed_setting", bucket, setting };
    }
    if (method === "DELETE" && removableSettings.has(name)) {
      return { kind: "delete_unset_setting", bucket };
    }
    if (name === "object-lock") return parseLockConfigurationCall(method, bucket, fields);
  }
  return undefined;
}

/** Settings of which a bucket may have several at AWS, each by its id; here it has none. */
const severalSettings: ReadonlySet<string> = new Set([
  "analytics",
  "intelligent-tiering",
  "inventory",
  "metrics",
]);
const isNamed = (name: string, fields: Fields): boolean =>
  severalSettings.has(name) && fields.hasQuery("id");

function parseLockConfigurationCall(
  method: string,
  bucket: string,
  fields: Fields,
): S3Call | S3Fault | undefined {
  if (method === "GET") return { kind: "get_object_lock_configuration", bucket };
  if (method !== "PUT") return undefined;
  const body = parseDocumentExpectation(fields, bucketDocumentSizeMax);
  if (isFault(body)) return body;
  const bodySizeMax = bucketDocumentSizeMax;
  return { kind: "put_object_lock_configuration", bucket, bodySizeMax, body };
}

/** Retention and legal hold of one version. */
function parseLockCall(
  method: string,
  subresource: "retention" | "legal-hold",
  object: ObjectRequest,
): S3Call | S3Fault | undefined {
  const { bucket, key, fields } = object;
  const isHold = subresource === "legal-hold";
  const versionId = parseVersionId(fields);
  if (isFault(versionId)) return versionId;
  const at = { bucket, key, versionId };
  if (method === "GET") {
    return { kind: isHold ? "get_object_legal_hold" : "get_object_retention", ...at };
  }
  if (method !== "PUT") return undefined;
  const body = parseDocumentExpectation(fields, bucketDocumentSizeMax);
  if (isFault(body)) return body;
  const document = { bodySizeMax: bucketDocumentSizeMax, body };
  if (isHold) return { kind: "put_object_legal_hold", ...at, ...document };
  const isBypassing = isBypassingGovernance(fields);
  return { kind: "put_object_retention", ...at, ...document, isBypassing };
}

/** `undefined`: no setting that can be set, or a method that it does not have. */
function parseBucketSetting(
  method: string,
  bucket: string,
  name: string,
  fields: Fields,
): S3Call | S3Fault | undefined {
  const setting = findBucketSetting(name);
  if (setting === undefined) return undefined;
  if (method === "GET") return { kind: "get_bucket_setting", bucket, setting };
  if (method === "DELETE" && setting.isRemovable) {
    return { kind: "delete_bucket_setting", bucket, setting };
  }
  if (method !== "PUT") return undefined;
  const body = parseDocumentExpectation(fields, setting.documentSizeMax);
  if (isFault(body)) return body;
  const { documentSizeMax: bodySizeMax } = setting;
  return { kind: "put_bucket_setting", bucket, setting, bodySizeMax, body };
}

function parseObjectSetting(
  method: string,
  bucket: string,
  rawKey: string,
  fields: Fields,
): S3Call | S3Fault | undefined {
  for (const name of ["retention", "legal-hold"] as const) {
    if (!fields.hasQuery(name)) continue;
    const key = keyFromPath(rawKey);
    return isFault(key) ? key : parseLockCall(method, name, { bucket, key, fields });
  }
  if (fields.hasQuery("acl")) {
    const key = keyFromPath(rawKey);
    return isFault(key) ? key : parseObjectAclCall(method, { bucket, key }, fields);
  }
  const kind = fields.hasQuery("tagging") ? taggingKinds.get(method) : undefined;
  if (kind === undefined) return undefined;
  const versionId = parseVersionId(fields);
  if (isFault(versionId)) return versionId;
  const unsupported = refuseUnsupported(fields);
  if (unsupported !== undefined) return unsupported;
  const key = keyFromPath(rawKey);
  if (isFault(key)) return key;
  return kind === "put_object_tagging"
    ? parsePutTagging({ bucket, key, versionId }, fields)
    : { kind, bucket, key, versionId };
}

const taggingKinds: ReadonlyMap<string, (ObjectTaggingCall | PutObjectTaggingCall)["kind"]> =
  new Map([
    ["GET", "get_object_tagging"],
    ["PUT", "put_object_tagging"],
    ["DELETE", "delete_object_tagging"],
  ] as const);

function parsePutTagging(
  name: Pick<PutObjectTaggingCall, "bucket" | "key" | "versionId">,
  fields: Fields,
): PutObjectTaggingCall | S3Fault {
  const body = parseDocumentExpectation(fields, taggingSizeMax);
  if (isFault(body)) return body;
  return { kind: "put_object_tagging", ...name, bodySizeMax: taggingSizeMax, body };
}

const attributeNames: readonly ObjectAttributeName[] = [
  "ETag",
  "Checksum",
  "ObjectParts",
  "StorageClass",
  "ObjectSize",
];
const maxPartsMax = 1000;

/** A number of a header in `[0, 2^31)`; `missing` when it is not there. */
function parseNumber(fields: Fields, name: string, missing: number): number | S3Fault {
  const text = fields.get(name);
  if (text === undefined) return missing;
  if (/^[0-9]{1,10}$/.test(text) && Number(text) <= 2_147_483_647) return Number(text);
  const why = `Argument ${name} must be an integer between 0 and 2147483647`;
  return invalidArgument(name, text.slice(0, 256), why);
}

export function parseObjectAttributesCall({
  bucket,
  key,
  fields,
}: ObjectRequest): GetObjectAttributesCall | S3Fault {
  const header = fields.get("x-amz-object-attributes") ?? "";
  const wanted = new Set<ObjectAttributeName>();
  for (const piece of header.split(",", 64)) {
    const name = attributeNames.find((candidate) => candidate === piece.trim());
    if (name === undefined) {
      const why = "Invalid attribute name specified.";
      return invalidArgument("x-amz-object-attributes", header.slice(0, 256), why);
    }
    wanted.add(name);
  }
  const maxParts = parseNumber(fields, "x-amz-max-parts", maxPartsMax);
  if (isFault(maxParts)) return maxParts;
  const partNumberMarker = parseNumber(fields, "x-amz-part-number-marker", 0);
  if (isFault(partNumberMarker)) return partNumberMarker;
  const versionId = parseVersionId(fields);
  if (isFault(versionId)) return versionId;
  const customerKey = parseCustomerKey(fields);
  if (isFault(customerKey)) return customerKey;
  return {
    kind: "get_object_attributes",
    customerKey,
    bucket,
    key,
    versionId,
    wanted,
    maxParts: Math.min(maxParts, maxPartsMax),
    partNumberMarker,
  };
}
