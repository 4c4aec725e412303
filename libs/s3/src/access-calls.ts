/** Calls on who may do what: policies, ACLs and ownership. */
import { KiB } from "@kiseki/base";
import { aclDocumentSizeMax, type AclRequest, parseAclHeaders } from "./acl.ts";
import { parseDocumentExpectation } from "./body-expectation.ts";
import type { CreateBucketCall, PutObjectAclCall, S3Call } from "./call.ts";
import { invalidArgument, isFault, s3Fault, type S3Fault } from "./errors.ts";
import { type Fields, parseVersionId } from "./fields.ts";
import { isObjectOwnership, ownershipSetting } from "./settings/ownership.ts";

/** What is read of a policy: one byte more than one may have says that it is too large. */
const policyBodySizeMax = 20 * KiB + 1;

export type NewBucketAccess = Pick<CreateBucketCall, "acl" | "ownership">;

/** What CreateBucket says of who may use the bucket. */
export function parseNewBucketAccess(fields: Fields): NewBucketAccess | S3Fault {
  const acl = parseAclHeaders(fields);
  if (isFault(acl)) return acl;
  const ownership = fields.get("x-amz-object-ownership");
  if (ownership !== undefined && !isObjectOwnership(ownership)) {
    const why = "Invalid value for object ownership.";
    return invalidArgument("x-amz-object-ownership", ownership.slice(0, 256), why);
  }
  return { acl: acl as AclRequest | undefined, ownership };
}

/** The call, when `fields` name such a setting of the bucket and the method has one; else `undefined`. */
export function parseAccessCall(
  method: string,
  bucket: string,
  fields: Fields,
): S3Call | S3Fault | undefined {
  if (fields.hasQuery("policy")) return parsePolicyCall(method, bucket, fields);
  if (fields.hasQuery("policyStatus") && method === "GET") {
    return { kind: "get_bucket_policy_status", bucket };
  }
  if (fields.hasQuery("ownershipControls")) return parseOwnershipCall(method, bucket, fields);
  if (fields.hasQuery("acl")) return parseBucketAclCall(method, bucket, fields);
  return undefined;
}

function parsePolicyCall(
  method: string,
  bucket: string,
  fields: Fields,
): S3Call | S3Fault | undefined {
  if (method === "GET") return { kind: "get_bucket_policy", bucket };
  if (method === "DELETE") return { kind: "delete_bucket_policy", bucket };
  if (method !== "PUT") return undefined;
  const body = parseDocumentExpectation(fields, policyBodySizeMax);
  if (isFault(body)) return body;
  return { kind: "put_bucket_policy", bucket, bodySizeMax: policyBodySizeMax, body };
}

function parseOwnershipCall(
  method: string,
  bucket: string,
  fields: Fields,
): S3Call | S3Fault | undefined {
  if (method === "GET") return { kind: "get_bucket_ownership", bucket };
  if (method === "DELETE") return { kind: "delete_bucket_ownership", bucket };
  if (method !== "PUT") return undefined;
  const { documentSizeMax: bodySizeMax } = ownershipSetting;
  const body = parseDocumentExpectation(fields, bodySizeMax);
  if (isFault(body)) return body;
  return { kind: "put_bucket_ownership", bucket, bodySizeMax, body };
}

type AclDocument = Pick<PutObjectAclCall, "acl" | "bodySizeMax" | "body">;

/** An ACL comes in headers or in the body, and in one of them. */
function parsePutAcl(fields: Fields): AclDocument | S3Fault {
  const acl = parseAclHeaders(fields);
  if (isFault(acl)) return acl;
  const length = fields.get("x-amz-decoded-content-length") ?? fields.get("content-length");
  const hasBody = length !== undefined && length !== "0";
  if (acl === undefined && !hasBody) {
    return s3Fault("MissingSecurityHeader", "Your request was missing a required header", [
      ["MissingHeaderName", "x-amz-acl"],
    ]);
  }
  if (acl !== undefined && hasBody) {
    return s3Fault("UnexpectedContent", "This request does not support content");
  }
  const body = parseDocumentExpectation(fields, aclDocumentSizeMax);
  if (isFault(body)) return body;
  return { acl: acl as AclRequest | undefined, bodySizeMax: aclDocumentSizeMax, body };
}

function parseBucketAclCall(
  method: string,
  bucket: string,
  fields: Fields,
): S3Call | S3Fault | undefined {
  if (method === "GET") return { kind: "get_bucket_acl", bucket };
  if (method !== "PUT") return undefined;
  const document = parsePutAcl(fields);
  if (isFault(document)) return document;
  return { kind: "put_bucket_acl", bucket, ...(document as AclDocument) };
}

/** `undefined`: a method that an object's ACL does not have. */
export function parseObjectAclCall(
  method: string,
  place: { readonly bucket: string; readonly key: Uint8Array },
  fields: Fields,
): S3Call | S3Fault | undefined {
  const versionId = parseVersionId(fields);
  if (isFault(versionId)) return versionId;
  const named = { ...place, versionId: versionId as string | undefined };
  if (method === "GET") return { kind: "get_object_acl", ...named };
  if (method !== "PUT") return undefined;
  const document = parsePutAcl(fields);
  if (isFault(document)) return document;
  return { kind: "put_object_acl", ...named, ...(document as AclDocument) };
}
