import { KiB } from "@kiseki/base";
import { headerValue, type RequestHead, splitTarget } from "@kiseki/http";

/** A web identity token of 20,000 characters and a policy, escaped, fit. */
export const stsBodySizeMax = 64 * KiB;

/**
 * Whether a request is for STS, which shares S3's port: a form posted to `/`, or a query there that names an action, as tools of
 * MinIO post it too. S3 has nothing at any of them.
 */
export function isStsRequest({ method, target, headers }: RequestHead): boolean {
  if (target !== "/" && !target.startsWith("/?")) return false;
  if (method !== "GET" && method !== "POST") return false;
  if (/(^|&)Action=/.test(splitTarget(target).query)) return true;
  const type = headerValue(headers, "content-type") ?? "";
  return method === "POST" && /^application\/x-www-form-urlencoded[ \t]*(;|$)/i.test(type);
}
