import type { ResponseHeader } from "@kiseki/http";
import type { Principal } from "@kiseki/policy";
import { requestPaymentSetting, type S3Call } from "@kiseki/s3";
import type { FrontResponse } from "../front/types.ts";
import type { RequestWords } from "./access/needs.ts";
import type { Place } from "./access/place.ts";
import { fail } from "./failure.ts";
import { findSetting } from "./settings.ts";

/**
 * Whether the requester of a bucket of somebody else pays: nobody is billed, but who does not say so is refused.
 * @throws {GatewayFailure} `AccessDenied`, for nobody too: nobody can pay.
 */
export function isCharged(
  place: Place,
  call: S3Call,
  principal: Principal,
  words: () => RequestWords,
): boolean {
  if (!("bucket" in call) || call.kind === "create_bucket") return false;
  const isOwn = principal.kind !== "anonymous" && principal.account === place.owner.account;
  if (isOwn || place.buckets.find(place.tenant, call.bucket) === undefined) return false;
  if (findSetting(place, call.bucket, requestPaymentSetting)?.payer !== "Requester") return false;
  const hasSaidSo = words().header("x-amz-request-payer") === "requester";
  if (principal.kind === "anonymous" || !hasSaidSo) throw fail("AccessDenied");
  return true;
}

const chargedHeader: ResponseHeader = ["x-amz-request-charged", "requester"];

/** `response` as one who pays gets it. */
export function withCharge(response: FrontResponse, isPaid: boolean): FrontResponse {
  if (!isPaid || response.status >= 400) return response;
  return { ...response, headers: [...response.headers, chargedHeader] };
}
