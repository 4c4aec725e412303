/** The work behind each call; who asks and whether they may was settled before. */
import { unreachable } from "@kiseki/base";
import type { S3Call } from "@kiseki/s3";
import { putObjectAcl, showObjectAcl } from "./acls.ts";
import {
  createBucket,
  deleteBucket,
  deleteObjects,
  listBuckets,
  putVersioning,
} from "./buckets.ts";
import { copyObject, copyPart } from "./copies.ts";
import { fail } from "./failure.ts";
import { postObject } from "./form.ts";
import { listObjects, listParts, listUploads, listVersions } from "./listings.ts";
import {
  showLock,
  showLockConfiguration,
  storeLegalHold,
  storeLockConfiguration,
  storeRetention,
} from "./locks.ts";
import { abortUpload, completeUpload, createUpload, uploadPart } from "./multipart.ts";
import {
  type CallOutcome,
  deleteObject,
  putObject,
  readAttributes,
  readObject,
} from "./objects.ts";
import { accessCall } from "./policies.ts";
import { type CallScope, findBucket } from "./scope.ts";
import { removeSetting, showSetting, storeSetting } from "./settings.ts";
import { deleteTags, putTags, showTags } from "./tagging.ts";

export function dispatch(scope: CallScope, call: S3Call): Promise<CallOutcome> | CallOutcome {
  switch (call.kind) {
    case "list_buckets":
      return listBuckets(scope, call);
    case "create_bucket":
      return createBucket(scope, call);
    case "delete_bucket":
      return deleteBucket(scope, call);
    case "head_bucket":
      findBucket(scope, call.bucket);
      return { result: { kind: "bucket_found", region: scope.region } };
    case "get_bucket_location":
      findBucket(scope, call.bucket);
      return { result: { kind: "bucket_location", region: scope.region } };
    case "get_bucket_versioning": {
      const { versioning } = findBucket(scope, call.bucket);
      return { result: { kind: "bucket_versioning", versioning } };
    }
    case "put_bucket_versioning":
      return putVersioning(scope, call);
    case "get_bucket_setting":
      return showSetting(scope, call);
    case "put_bucket_setting":
      return storeSetting(scope, call);
    case "delete_bucket_setting":
      return removeSetting(scope, call);
    case "get_unset_setting":
      findBucket(scope, call.bucket);
      throw fail(call.answer);
    case "get_fixed_setting":
      findBucket(scope, call.bucket);
      return { result: { kind: "fixed_setting", setting: call.setting } };
    case "get_bucket_policy":
    case "delete_bucket_policy":
    case "get_bucket_policy_status":
    case "put_bucket_policy":
    case "get_bucket_acl":
    case "put_bucket_acl":
    case "get_bucket_ownership":
    case "put_bucket_ownership":
    case "delete_bucket_ownership":
      return accessCall(scope, call);
    case "get_object_lock_configuration":
      return showLockConfiguration(scope, call);
    case "put_object_lock_configuration":
      return storeLockConfiguration(scope, call);
    case "delete_unset_setting":
      findBucket(scope, call.bucket);
      return { result: { kind: "setting_deleted" } };
    default:
      return dispatchObject(scope, call);
  }
}

type BucketKind =
  | "list_buckets"
  | "create_bucket"
  | "delete_bucket"
  | "head_bucket"
  | "get_bucket_location"
  | "get_bucket_versioning"
  | "put_bucket_versioning"
  | "get_bucket_setting"
  | "put_bucket_setting"
  | "delete_bucket_setting"
  | "get_unset_setting"
  | "get_fixed_setting"
  | "get_bucket_policy"
  | "delete_bucket_policy"
  | "get_bucket_policy_status"
  | "put_bucket_policy"
  | "get_bucket_acl"
  | "put_bucket_acl"
  | "get_bucket_ownership"
  | "put_bucket_ownership"
  | "delete_bucket_ownership"
  | "get_object_lock_configuration"
  | "put_object_lock_configuration"
  | "delete_unset_setting";

function dispatchObject(
  scope: CallScope,
  call: Exclude<S3Call, { readonly kind: BucketKind }>,
): Promise<CallOutcome> | CallOutcome {
  switch (call.kind) {
    case "get_object_attributes":
      return readAttributes(scope, call);
    case "get_object_acl":
      return showObjectAcl(scope, call);
    case "put_object_acl":
      return putObjectAcl(scope, call);
    case "get_object_tagging":
      return showTags(scope, call);
    case "put_object_tagging":
      return putTags(scope, call);
    case "delete_object_tagging":
      return deleteTags(scope, call);
    case "get_object_legal_hold":
    case "get_object_retention":
      return showLock(scope, call);
    case "put_object_legal_hold":
      return storeLegalHold(scope, call);
    case "put_object_retention":
      return storeRetention(scope, call);
    case "list_objects":
      return listObjects(scope, call);
    case "list_object_versions":
      return listVersions(scope, call);
    case "list_multipart_uploads":
      return listUploads(scope, call);
    case "list_parts":
      return listParts(scope, call);
    case "delete_objects":
      return deleteObjects(scope, call);
    case "put_object":
      return putObject(scope, call);
    case "post_object":
      return postObject(scope, call);
    case "get_object":
    case "head_object":
      return readObject(scope, call);
    case "delete_object":
      return deleteObject(scope, call);
    case "copy_object":
      return copyObject(scope, call);
    case "create_multipart_upload":
      return createUpload(scope, call);
    case "upload_part":
      return uploadPart(scope, call);
    case "upload_part_copy":
      return copyPart(scope, call);
    case "complete_multipart_upload":
      return completeUpload(scope, call);
    case "abort_multipart_upload":
      return abortUpload(scope, call);
    default:
      return unreachable(call);
  }
}
