/** Policies of buckets. */
import { fromUtf8, toUtf8 } from "@kiseki/base";
import {
  encodeBucketPolicy,
  isPublicPolicy,
  parsePolicy,
  type PolicyDocument,
  PolicyFault,
} from "@kiseki/policy";
import { policyStatusDocument, publicAccessBlockSetting } from "@kiseki/s3";
import type {
  BucketAclCall,
  OwnershipCall,
  PolicyCall,
  PutBucketAclCall,
  PutOwnershipCall,
  PutPolicyCall,
} from "@kiseki/s3";
import { ownershipCall, putBucketAcl, showBucketAcl } from "./acls.ts";
import { bucketPolicySetting } from "./access/bucket-side.ts";
import { readCallDocument } from "./buckets.ts";
import { fail } from "./failure.ts";
import type { CallOutcome } from "./objects.ts";
import { type CallScope, findBucket } from "./scope.ts";
import { deleteSetting, findSetting, putSetting } from "./settings.ts";

function parse(source: Uint8Array, bucket: string): PolicyDocument {
  try {
    return parsePolicy(source, { kind: "resource", bucket });
  } catch (reason) {
    if (reason instanceof PolicyFault) throw fail("MalformedPolicy", reason.message);
    throw reason;
  }
}

type BucketAccessCall =
  PolicyCall | PutPolicyCall | BucketAclCall | PutBucketAclCall | OwnershipCall | PutOwnershipCall;

/** Calls on who may use a bucket. */
export function accessCall(
  scope: CallScope,
  call: BucketAccessCall,
): CallOutcome | Promise<CallOutcome> {
  switch (call.kind) {
    case "put_bucket_policy":
      return putPolicy(scope, call);
    case "get_bucket_acl":
      return showBucketAcl(scope, call);
    case "put_bucket_acl":
      return putBucketAcl(scope, call);
    case "get_bucket_ownership":
    case "put_bucket_ownership":
    case "delete_bucket_ownership":
      return ownershipCall(scope, call);
    default:
      return policyCall(scope, call);
  }
}

async function putPolicy(scope: CallScope, call: PutPolicyCall): Promise<CallOutcome> {
  findBucket(scope, call.bucket);
  const source = await readCallDocument(scope, call);
  const policy = parse(source, call.bucket);
  const block = findSetting(scope, call.bucket, publicAccessBlockSetting);
  if (block?.blockPublicPolicy === true && isPublicPolicy(policy)) throw fail("AccessDenied");
  const kept = encodeBucketPolicy(fromUtf8(source) ?? "");
  await putSetting(scope, call.bucket, "policy", kept);
  return { result: { kind: "setting_deleted" } }; // as AWS answers a PUT: 204
}

async function policyCall(scope: CallScope, call: PolicyCall): Promise<CallOutcome> {
  if (call.kind === "delete_bucket_policy") {
    await deleteSetting(scope, call.bucket, "policy");
    return { result: { kind: "setting_deleted" } };
  }
  const policy = findSetting(scope, call.bucket, bucketPolicySetting);
  if (policy === undefined) throw fail("NoSuchBucketPolicy");
  if (call.kind === "get_bucket_policy") {
    const document = toUtf8(policy.text);
    return { result: { kind: "setting_shown", document, contentType: "application/json" } };
  }
  const document = policyStatusDocument(policy.isPublic);
  return { result: { kind: "setting_shown", document, contentType: undefined } };
}
