/** Calls on who may do what: policies of buckets. */
import { KiB } from "@kiseki/base";
import { parseDocumentExpectation } from "./body-expectation.ts";
import type { S3Call } from "./call.ts";
import { isFault, type S3Fault } from "./errors.ts";
import type { Fields } from "./fields.ts";

/** What is read of a policy: one byte more than one may have says that it is too large. */
const policyBodySizeMax = 20 * KiB + 1;

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
