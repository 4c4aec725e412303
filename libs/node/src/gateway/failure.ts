import type { AuthFault } from "@kiseki/auth";
import { ChunkStoreError } from "@kiseki/chunk-store";
import { TenantKeysError } from "@kiseki/kms";
import { type S3ErrorCode, type S3Fault, s3Fault } from "@kiseki/s3";
import { ShardStoreError } from "@kiseki/shard-store";
import { BodyError } from "../front/types.ts";
import { ShortBodyError } from "../object/write-content.ts";
import { LimitError } from "./key-limits.ts";
import type { Outcome } from "../shard/shard-owner.ts";

/** Ends a request with an S3 error document; thrown where a call's work is nested, caught in the handler. */
export class GatewayFailure extends Error {
  override readonly name = "GatewayFailure";
  readonly fault: S3Fault;
  constructor(fault: S3Fault, options?: ErrorOptions) {
    super(fault.code, options);
    this.fault = fault;
  }
}

export const fail = (
  code: S3ErrorCode,
  message?: string,
  details: S3Fault["details"] = [],
  headers: S3Fault["headers"] = [],
): GatewayFailure => new GatewayFailure({ ...s3Fault(code, message, details), headers });

/** What a refused signature or a broken aws-chunked body is answered with. */
export function authFailure(fault: AuthFault): GatewayFailure {
  return new GatewayFailure(s3Fault(fault.code, fault.message, Object.entries(fault.details)));
}

type Refused = Extract<Outcome, { kind: "refused" }>["code"];

/** Every refusal of the shard's machine and its owner, as S3 says it. */
export const refusalFault: Readonly<Record<Refused, S3ErrorCode>> = {
  no_such_namespace: "NoSuchBucket",
  namespace_exists: "BucketAlreadyOwnedByYou",
  namespace_not_empty: "BucketNotEmpty",
  namespace_read_only: "AccessDenied",
  invalid_versioning: "InvalidRequest",
  versioning_locked: "InvalidBucketState",
  lock_needs_versioning: "InvalidBucketState",
  lock_not_enabled: "InvalidRequest",
  retention_in_past: "InvalidArgument",
  object_locked: "AccessDenied",
  invalid_hold: "InvalidArgument",
  no_such_hold: "InvalidArgument",
  no_such_key: "NoSuchKey",
  no_such_version: "NoSuchVersion",
  is_delete_marker: "InvalidRequest",
  invalid_key: "InvalidArgument",
  key_too_long: "KeyTooLongError",
  precondition_failed: "PreconditionFailed",
  source_precondition_failed: "PreconditionFailed",
  source_is_small: "InternalError",
  no_such_source_namespace: "NoSuchBucket",
  no_such_source_key: "NoSuchKey",
  no_such_source_version: "NoSuchVersion",
  invalid_range: "InvalidRange",
  attributes_too_large: "MetadataTooLarge",
  setting_too_large: "EntityTooLarge",
  too_many_extents: "EntityTooLarge",
  object_too_large: "EntityTooLarge",
  quota_exceeded: "QuotaExceeded",
  chunk_gone: "SlowDown",
  no_such_upload: "NoSuchUpload",
  invalid_part: "InvalidPart",
  invalid_part_number: "InvalidArgument",
  invalid_part_order: "InvalidPartOrder",
  entity_too_small: "EntityTooSmall",
  directory_closed: "SlowDown",
  // Of file protocols: no call of S3 meets them.
  attribute_exists: "InternalError",
  attribute_read_only: "InternalError",
  customer_key: "InternalError",
  directory_locked: "InternalError",
  directory_loop: "InternalError",
  directory_not_empty: "InternalError",
  file_exists: "InternalError",
  invalid_argument: "InternalError",
  invalid_name: "InternalError",
  is_a_directory: "InternalError",
  links_not_kept: "InternalError",
  lock_conflict: "InternalError",
  name_reserved: "InternalError",
  name_too_long: "InternalError",
  no_such_attribute: "InternalError",
  no_such_file: "InternalError",
  no_such_session: "InternalError",
  not_a_directory: "InternalError",
  stale_file: "InternalError",
  too_many_links: "InternalError",
  too_many_locks: "InternalError",
  wrong_type: "InternalError",
  busy: "SlowDown",
  closed: "ServiceUnavailable",
  no_space: "InsufficientStorage",
};
/** Where the code's own sentence says too little; AWS's words, which clients look at. */
const refusalMessages: Partial<Record<Refused, string>> = {
  versioning_locked:
    "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.",
  lock_needs_versioning:
    "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration",
  lock_not_enabled: "Bucket is missing Object Lock Configuration",
  retention_in_past: "The retain until date must be in the future!",
  object_locked: "Access Denied because object protected by object lock.",
};
export const refusalMessage = (code: Refused): string | undefined => refusalMessages[code];
export function refusalFailure(code: Refused, details: S3Fault["details"] = []): GatewayFailure {
  return fail(refusalFault[code], refusalMessage(code), details);
}

/** Names of conditions as `PreconditionFailed` repeats them. */
const conditionNames = [
  ["ifMatch", "If-Match"],
  ["ifUnmodifiedSince", "If-Unmodified-Since"],
  ["ifNoneMatch", "If-None-Match"],
  ["ifModifiedSince", "If-Modified-Since"],
  ["ifSize", "x-amz-if-match-size"],
  ["ifModified", "x-amz-if-match-last-modified-time"],
] as const;

type ConditionName = (typeof conditionNames)[number][0];

/** The element of `PreconditionFailed` that says which condition it was, when only one can have been at fault. */
export function conditionDetails(conditions: object | undefined): S3Fault["details"] {
  const given = conditionNames.filter(([field]) => conditions !== undefined && field in conditions);
  return given.length === 1 ? [["Condition", given[0]![1]]] : [];
}

/** As above, where it is known. `prefix`: of the header's name, for copies. */
export function conditionDetail(condition: ConditionName, prefix = ""): S3Fault["details"] {
  const name = conditionNames.find(([field]) => field === condition)?.[1];
  return name === undefined ? [] : [["Condition", `${prefix}${name}`]];
}

/** The one funnel from whatever was thrown to what the client is told; `undefined`: nobody listens any more. */
export function toFault(reason: unknown): S3Fault | undefined {
  if (reason instanceof GatewayFailure) return reason.fault;
  if (reason instanceof LimitError) return s3Fault("SlowDown");
  if (reason instanceof ShortBodyError) return s3Fault("IncompleteBody");
  if (reason instanceof TenantKeysError) {
    return reason.code === "shredded"
      ? s3Fault("AccessDenied")
      : s3Fault(
          "ServiceUnavailable",
          `The key manager "${reason.provider}" of this tenant is out of reach. Please try again.`,
        );
  }
  if (reason instanceof ChunkStoreError) {
    if (reason.code === "no_space") return s3Fault("InsufficientStorage");
    if (reason.code === "unavailable" || reason.code === "closed") return s3Fault("SlowDown");
  }
  if (reason instanceof ShardStoreError && reason.code === "closed") {
    // The tenant opens again, under new keys: the request came in under the last ones.
    return s3Fault("ServiceUnavailable", "The bucket's keys are being changed. Please try again.");
  }
  if (reason instanceof BodyError) {
    if (reason.code === "too_slow") return s3Fault("RequestTimeout");
    return reason.code === "aborted" ? undefined : s3Fault("IncompleteBody");
  }
  return s3Fault("InternalError");
}
