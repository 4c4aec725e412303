import { KiB } from "@kiseki/base";
import { headerValue, type RequestHead, splitTarget } from "@kiseki/http";

/** A web identity token of 20,000 characters and a policy, escaped, fit. */
export const stsBodySizeMax = 64 * KiB;

/**
 * Whether a request is for STS, which shares S3's port: a form posted to `/`, or a query there that names an action. S3 has
 * nothing at either.
 */
export function isStsRequest({ method, target, headers }: RequestHead): boolean {
  if (target !== "/" && !target.startsWith("/?")) return false;
  if (method === "GET") return /(^|&)Action=/.test(splitTarget(target).query);
  const type = headerValue(headers, "content-type") ?? "";
  return method === "POST" && /^application\/x-www-form-urlencoded[ \t]*(;|$)/i.test(type);
}
