/** What each call asks for: actions on buckets and objects, as AWS's Service Authorization Reference says. */
import type { S3Call } from "@kiseki/s3";

/** One thing that must be allowed. */
export interface Need {
  /** `s3:…`. */
  readonly action: string;
  /** Undefined: the account's list of buckets. */
  readonly bucket: string | undefined;
  /** Undefined: the bucket itself. */
  readonly key: Uint8Array | undefined;
  readonly versionId: string | undefined;
  /** About a bucket or an object that is yet to be made: what stands in its place has no say. */
  readonly isNew?: boolean;
  /** About an upload: whoever began it may look at it and end it. */
  readonly uploadId?: string;
  /** About a part of this upload, or its end: what its begin asked for counts as asked for. */
  readonly partOf?: string;
}

/** What a request says beside its call. */
export interface RequestWords {
  /** By lower-case name; of a form, its field of that name. */
  header(name: string): string | undefined;
  query(name: string): string | undefined;
  readonly queryNames: readonly string[];
}

type NeedsOf = {
  readonly [Kind in S3Call["kind"]]: (
    call: S3Call & { readonly kind: Kind },
    words: RequestWords,
  ) => readonly Need[];
};

type InBucket = { readonly bucket: string };
type OnKey = InBucket & { readonly key: Uint8Array };

const onBucket = (action: string, { bucket }: InBucket): Need => ({
  action: `s3:${action}`,
  bucket,
  key: undefined,
  versionId: undefined,
});
/** `action` with `Object` in it becomes the version's when one is named. */
const onObject = (action: string, { bucket, key }: OnKey, versionId?: string): Need => ({
  action: `s3:${versionId === undefined ? action : action.replace("Object", "ObjectVersion")}`,
  bucket,
  key,
  versionId,
});

const onUpload = (action: string, call: OnKey & { readonly uploadId: string }): Need => ({
  ...onObject(action, call),
  uploadId: call.uploadId,
});
const onPart = (call: OnKey & { readonly uploadId: string }): Need => ({
  ...onNew("PutObject", call),
  partOf: call.uploadId,
});
const onNew = (action: string, call: OnKey): Need => ({ ...onObject(action, call), isNew: true });

/** Actions by subresource of a bucket: to read it, to change it, to take it away. */
const settingActions: ReadonlyMap<string, readonly [get: string, put: string, remove?: string]> =
  new Map([
    ["accelerate", ["GetAccelerateConfiguration", "PutAccelerateConfiguration"]],
    ["acl", ["GetBucketAcl", "PutBucketAcl"]],
    ["analytics", ["GetAnalyticsConfiguration", "PutAnalyticsConfiguration"]],
    ["cors", ["GetBucketCORS", "PutBucketCORS"]],
    ["encryption", ["GetEncryptionConfiguration", "PutEncryptionConfiguration"]],
    [
      "intelligent-tiering",
      ["GetIntelligentTieringConfiguration", "PutIntelligentTieringConfiguration"],
    ],
    ["inventory", ["GetInventoryConfiguration", "PutInventoryConfiguration"]],
    ["lifecycle", ["GetLifecycleConfiguration", "PutLifecycleConfiguration"]],
    ["logging", ["GetBucketLogging", "PutBucketLogging"]],
    ["metrics", ["GetMetricsConfiguration", "PutMetricsConfiguration"]],
    ["notification", ["GetBucketNotification", "PutBucketNotification"]],
    ["object-lock", ["GetBucketObjectLockConfiguration", "PutBucketObjectLockConfiguration"]],
    ["ownershipControls", ["GetBucketOwnershipControls", "PutBucketOwnershipControls"]],
    ["policy", ["GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"]],
    ["policyStatus", ["GetBucketPolicyStatus", "PutBucketPolicy"]],
    ["publicAccessBlock", ["GetBucketPublicAccessBlock", "PutBucketPublicAccessBlock"]],
    ["replication", ["GetReplicationConfiguration", "PutReplicationConfiguration"]],
    ["requestPayment", ["GetBucketRequestPayment", "PutBucketRequestPayment"]],
    ["tagging", ["GetBucketTagging", "PutBucketTagging"]],
    ["versioning", ["GetBucketVersioning", "PutBucketVersioning"]],
    ["website", ["GetBucketWebsite", "PutBucketWebsite", "DeleteBucketWebsite"]],
  ]);

/** A subresource that nobody has given an action is nobody's but the root's. */
const unknownAction = "UnknownBucketSetting";

export function settingAction(subresource: string, act: "get" | "put" | "delete"): string {
  const [get, put, remove] = settingActions.get(subresource) ?? [];
  return (act === "get" ? get : act === "put" ? put : (remove ?? put)) ?? unknownAction;
}

/** Of calls that do not say which setting they are about: the query does. */
function settingByQuery(call: InBucket, words: RequestWords, act: "get" | "put" | "delete"): Need {
  const name = words.queryNames.find((each) => settingActions.has(each)) ?? "";
  return onBucket(settingAction(name, act), call);
}

const grantHeaders = ["full-control", "read", "read-acp", "write", "write-acp"].map(
  (name) => `x-amz-grant-${name}`,
);
const hasAcl = ({ header }: RequestWords): boolean =>
  ["x-amz-acl", ...grantHeaders].some((name) => header(name) !== undefined);

/** What a new object needs, and what its headers ask for beside it. */
function newObject(call: OnKey, words: RequestWords): readonly Need[] {
  const needs = [onNew("PutObject", call)];
  const { header } = words;
  if (hasAcl(words)) needs.push(onNew("PutObjectAcl", call));
  if (header("x-amz-tagging") !== undefined) needs.push(onNew("PutObjectTagging", call));
  const isRetained =
    header("x-amz-object-lock-mode") ?? header("x-amz-object-lock-retain-until-date");
  if (isRetained !== undefined) needs.push(onNew("PutObjectRetention", call));
  if (header("x-amz-object-lock-legal-hold") !== undefined) {
    needs.push(onNew("PutObjectLegalHold", call));
  }
  return needs;
}

interface Source extends OnKey {
  readonly versionId?: string | undefined;
  readonly isNullVersion?: boolean;
}
const readSource = (source: Source): Need =>
  onObject("GetObject", source, source.versionId ?? (source.isNullVersion ? "null" : undefined));

const readSourceTags = (source: Source): Need =>
  onObject("GetObjectTagging", source, readSource(source).versionId);

function copiedObject(call: OnKey & { readonly source: Source }, words: RequestWords) {
  const { source } = call;
  const isAsked = words.header("x-amz-tagging-directive") === "COPY";
  return [
    readSource(source),
    ...(isAsked ? [readSourceTags(source)] : []),
    ...newObject(call, words),
  ];
}

/** Of a copy that takes tags along, once they are known: they are read there and put here. */
export function copiedTagsNeeds(call: OnKey & { readonly source: Source }): readonly Need[] {
  return [readSourceTags(call.source), onNew("PutObjectTagging", call)];
}

function bypass(call: OnKey, { header }: RequestWords): readonly Need[] {
  const isWanted = header("x-amz-bypass-governance-retention")?.toLowerCase() === "true";
  return isWanted ? [onObject("BypassGovernanceRetention", call)] : [];
}

/** Of DeleteObjects and DeleteObject: one key. */
export function deleteNeeds(call: OnKey, versionId: string | undefined, words: RequestWords) {
  return [onObject("DeleteObject", call, versionId), ...bypass(call, words)];
}

function createBucket(call: InBucket, words: RequestWords): readonly Need[] {
  const onNewBucket = (action: string): Need => ({ ...onBucket(action, call), isNew: true });
  const needs = [onNewBucket("CreateBucket")];
  const { header } = words;
  if (hasAcl(words)) needs.push(onNewBucket("PutBucketAcl"));
  if (header("x-amz-object-ownership") !== undefined) {
    needs.push(onNewBucket("PutBucketOwnershipControls"));
  }
  if (header("x-amz-bucket-object-lock-enabled")?.toLowerCase() === "true") {
    needs.push(onNewBucket("PutBucketObjectLockConfiguration"));
    needs.push(onNewBucket("PutBucketVersioning"));
  }
  return needs;
}

const version = ({ query }: RequestWords): string | undefined => query("versionId");

/** One entry a kind: a call that is not here does not compile. */
export const needsOf: NeedsOf = {
  // the service and buckets
  list_buckets: () => [
    { action: "s3:ListAllMyBuckets", bucket: undefined, key: undefined, versionId: undefined },
  ],
  create_bucket: createBucket,
  delete_bucket: (call) => [onBucket("DeleteBucket", call)],
  head_bucket: (call) => [onBucket("ListBucket", call)],
  get_bucket_location: (call) => [onBucket("GetBucketLocation", call)],
  // settings of buckets
  get_bucket_versioning: (call) => [onBucket("GetBucketVersioning", call)],
  put_bucket_versioning: (call) => [onBucket("PutBucketVersioning", call)],
  get_bucket_setting: (call) => [onBucket(settingAction(call.setting.subresource, "get"), call)],
  put_bucket_setting: (call) => [onBucket(settingAction(call.setting.subresource, "put"), call)],
  delete_bucket_setting: (call) => [
    onBucket(settingAction(call.setting.subresource, "delete"), call),
  ],
  get_unset_setting: (call, words) => [settingByQuery(call, words, "get")],
  get_fixed_setting: (call) => [onBucket(settingAction(call.setting, "get"), call)],
  delete_unset_setting: (call, words) => [settingByQuery(call, words, "delete")],
  // object lock
  get_object_lock_configuration: (call) => [onBucket(settingAction("object-lock", "get"), call)],
  put_object_lock_configuration: (call) => [onBucket(settingAction("object-lock", "put"), call)],
  get_object_retention: (call) => [onObject("GetObjectRetention", call)],
  /** The lock itself is asked about once its document is read, as tags are. */
  put_object_retention: (call, words) => bypass(call, words),
  get_object_legal_hold: (call) => [onObject("GetObjectLegalHold", call)],
  put_object_legal_hold: () => [],
  // access
  get_bucket_policy: (call) => [onBucket("GetBucketPolicy", call)],
  put_bucket_policy: (call) => [onBucket("PutBucketPolicy", call)],
  delete_bucket_policy: (call) => [onBucket("DeleteBucketPolicy", call)],
  get_bucket_policy_status: (call) => [onBucket("GetBucketPolicyStatus", call)],
  get_bucket_acl: (call) => [onBucket("GetBucketAcl", call)],
  put_bucket_acl: (call) => [onBucket("PutBucketAcl", call)],
  get_bucket_ownership: (call) => [onBucket("GetBucketOwnershipControls", call)],
  put_bucket_ownership: (call) => [onBucket("PutBucketOwnershipControls", call)],
  delete_bucket_ownership: (call) => [onBucket("PutBucketOwnershipControls", call)],
  get_object_acl: (call, words) => [onObject("GetObjectAcl", call, version(words))],
  put_object_acl: (call, words) => [onObject("PutObjectAcl", call, version(words))],
  // listings
  list_objects: (call) => [onBucket("ListBucket", call)],
  list_object_versions: (call) => [onBucket("ListBucketVersions", call)],
  list_multipart_uploads: (call) => [onBucket("ListBucketMultipartUploads", call)],
  list_parts: (call) => [onUpload("ListMultipartUploadParts", call)],
  // objects
  get_object: (call, words) => [onObject("GetObject", call, version(words))],
  head_object: (call, words) => [onObject("GetObject", call, version(words))],
  get_object_attributes: (call, words) => [
    onObject("GetObject", call, version(words)),
    onObject("GetObjectAttributes", call, version(words)),
  ],
  put_object: newObject,
  post_object: newObject,
  copy_object: copiedObject,
  delete_object: (call, words) => deleteNeeds(call, version(words), words),
  /** Key by key, when the body is read; see `Access.check`. */
  delete_objects: () => [],
  // tags
  get_object_tagging: (call, words) => [onObject("GetObjectTagging", call, version(words))],
  /** Asked of each set of tags, once the document is read. */
  put_object_tagging: () => [],
  delete_object_tagging: (call, words) => [onObject("DeleteObjectTagging", call, version(words))],
  // multipart
  create_multipart_upload: newObject,
  upload_part: (call) => [onPart(call)],
  upload_part_copy: (call) => [readSource(call.source), onPart(call)],
  complete_multipart_upload: (call) => [onPart(call)],
  abort_multipart_upload: (call) => [onUpload("AbortMultipartUpload", call)],
};

/** All that the call needs. */
export function callNeeds(call: S3Call, words: RequestWords): readonly Need[] {
  const needs = needsOf[call.kind] as (call: S3Call, words: RequestWords) => readonly Need[];
  return needs(call, words);
}

/** What a call may be, for somebody who could be allowed nothing else by any policy: asked before a body is read. */
export function possibleActions(call: S3Call): readonly string[] {
  switch (call.kind) {
    case "delete_objects":
      return ["s3:DeleteObject", "s3:DeleteObjectVersion"];
    case "put_object_tagging":
      return ["s3:PutObjectTagging", "s3:PutObjectVersionTagging"];
    case "put_object_retention":
      return ["s3:PutObjectRetention"];
    case "put_object_legal_hold":
      return ["s3:PutObjectLegalHold"];
    default:
      return [];
  }
}

/** To lock a version otherwise. */
export function putLockNeed(call: OnKey, what: "PutObjectRetention" | "PutObjectLegalHold"): Need {
  return onObject(what, call);
}

/** To give an object other tags. */
export function putTagsNeed(call: OnKey, versionId: string | undefined): Need {
  return onObject("PutObjectTagging", call, versionId);
}

/** Who may read an object's tags. */
export function tagsNeed(call: OnKey, versionId: string | undefined): Need {
  return onObject("GetObjectTagging", call, versionId);
}

/** To see how a version is locked beside its content. */
export function lockNeed(call: OnKey, what: "GetObjectRetention" | "GetObjectLegalHold"): Need {
  return onObject(what, call);
}

/** Who may see that a key does not exist; others are told that they may not see it. */
export function listNeed(bucket: string, isVersion: boolean): Need {
  const action = isVersion ? "s3:ListBucketVersions" : "s3:ListBucket";
  return { action, bucket, key: undefined, versionId: undefined };
}
