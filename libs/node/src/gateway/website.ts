import { percentDecode, percentEncode, type ResponseHeader } from "@kiseki/http";
import { anonymousPrincipal } from "@kiseki/policy";
import {
  describeFault,
  isBucketName,
  isFault,
  parseWebsiteRead,
  type ReadObjectCall,
  routeWebsite,
  routeWebsiteError,
  type S3Fault,
  s3Fault,
  type WebsiteConfiguration,
  websiteErrorPage,
  type WebsiteOrigin,
  websiteSetting,
} from "@kiseki/s3";
import { toUtf8 } from "@kiseki/base";
import type { FrontRequest, FrontResponse } from "../front/types.ts";
import type { Places } from "./access/place.ts";
import { GatewayFailure, toFault } from "./failure.ts";
import type { CallOutcome } from "./objects.ts";
import { findSetting } from "./settings.ts";

/** The bucket whose website a host name is. `domains`: lower-case; a bucket's label stands below one of them. */
export function siteOf(host: string, domains: readonly string[]): string | undefined {
  if (domains.length === 0) return undefined;
  const name = host.toLowerCase().replace(/:[0-9]*$/, "");
  let best: string | undefined;
  for (const domain of domains) {
    if (!name.endsWith(`.${domain}`)) continue;
    const label = name.slice(0, -domain.length - 1);
    if (best === undefined || label.length < best.length) best = label; // the longest domain wins
  }
  return best;
}

export interface WebsiteParts {
  readonly places: Places;
  /** Reads as anybody may; @throws what the call is refused with. */
  readonly read: (call: ReadObjectCall) => CallOutcome | Promise<CallOutcome>;
  readonly render: (outcome: CallOutcome) => FrontResponse;
  /** Told of what was answered as an internal error. */
  readonly onInternal: (reason: unknown) => void;
  readonly hostId: string;
}

interface Page {
  readonly parts: WebsiteParts;
  readonly request: FrontRequest;
  readonly bucket: string;
  /** The path without its first slash, unescaped. */
  readonly key: string;
  readonly site: WebsiteConfiguration;
  readonly origin: WebsiteOrigin;
}

/** A page of a bucket's website, or the error in HTML. Never rejects. */
export async function servePage(
  parts: WebsiteParts,
  request: FrontRequest,
  bucket: string,
): Promise<FrontResponse> {
  try {
    const { method, target, host } = request.head;
    if (method !== "GET" && method !== "HEAD") {
      const details = [
        ["Method", method.slice(0, 32)],
        ["ResourceType", "OBJECT"],
      ] as const;
      const page = errorPage(parts, request, s3Fault("MethodNotAllowed", undefined, details));
      return { ...page, headers: [...page.headers, ["Allow", "GET, HEAD"]] };
    }
    const key = percentDecode(target.split("?", 1)[0]!.slice(1));
    if (key === undefined) return errorPage(parts, request, s3Fault("InvalidURI"));
    const site = await findSite(parts, request, bucket);
    const origin = { protocol: request.isTls ? "https" : "http", host } as const;
    return await show({ parts, request, bucket, key, site, origin });
  } catch (reason) {
    return errorPage(parts, request, faultOf(parts, reason));
  }
}

/** @throws {GatewayFailure} the same for a bucket that is not there and for one that is no website. */
async function findSite(
  { places }: WebsiteParts,
  request: FrontRequest,
  bucket: string,
): Promise<WebsiteConfiguration> {
  const missing = new GatewayFailure(
    s3Fault("NoSuchWebsiteConfiguration", undefined, [["BucketName", bucket.slice(0, 256)]]),
  );
  if (!isBucketName(bucket)) throw missing;
  const call = { kind: "head_bucket", bucket } as const;
  const place = await places.open(anonymousPrincipal, call, "read", request);
  if (place.buckets.find(place.tenant, bucket) === undefined) throw missing;
  const site = findSetting(place, bucket, websiteSetting);
  if (site === undefined) throw missing;
  return site;
}

async function show(page: Page): Promise<FrontResponse> {
  const { key, site, origin } = page;
  const route = routeWebsite(site, key, origin);
  if (route.kind === "redirect") return redirect(page, route.status, route.location);
  try {
    return await send(page, route.key);
  } catch (reason) {
    const fault = faultOf(page.parts, reason);
    const isAbsent = fault.code === "NoSuchKey" || fault.code === "AccessDenied";
    if (isAbsent && route.folderIndex !== undefined && (await isThere(page, route.folderIndex))) {
      return redirect(page, 302, `/${percentEncode(key, "keep_slash")}/`);
    }
    return showError(page, fault);
  }
}

/** A rule for the error, the bucket's own page, or ours. */
async function showError(page: Page, fault: S3Fault): Promise<FrontResponse> {
  const { parts, request, site, key, origin } = page;
  const status = describeFault(fault).status;
  const route = routeWebsiteError(site, key, status, origin);
  if (route?.kind === "redirect") return redirect(page, route.status, route.location);
  const plain = errorPage(parts, request, fault);
  if (site.error === undefined || status >= 500) return plain;
  try {
    const shown = await send({ ...page, request: withoutConditions(request) }, site.error.key);
    return { ...shown, status, headers: [...shown.headers, ...errorHeaders(fault)] };
  } catch (reason) {
    faultOf(parts, reason);
    return plain;
  }
}

/** The object, or where its own redirect leads. @throws what the read is refused with. */
async function send(page: Page, key: string): Promise<FrontResponse> {
  const { parts } = page;
  const outcome = await read(page, key, page.request.head.method === "HEAD");
  const { result } = outcome;
  const location =
    result.kind === "object_read" ? result.view.content.websiteRedirectLocation : undefined;
  if (location === undefined) return parts.render(outcome);
  outcome.content?.[Symbol.dispose]();
  return redirect(page, 301, location);
}

function read(
  { parts, request, bucket }: Page,
  key: string,
  isHead: boolean,
): CallOutcome | Promise<CallOutcome> {
  const call = parseWebsiteRead({ ...request.head, isSigned: false }, { bucket, key, isHead });
  if (isFault(call)) throw new GatewayFailure(call);
  return parts.read(call as ReadObjectCall);
}

async function isThere(page: Page, key: string): Promise<boolean> {
  try {
    await read({ ...page, request: withoutConditions(page.request) }, key, true);
    return true;
  } catch (reason) {
    faultOf(page.parts, reason);
    return false;
  }
}

/** Of a request's own properties a spread would copy all but its signal, which is made when asked for. */
const withoutConditions = (request: FrontRequest): FrontRequest => ({
  ...request,
  head: { ...request.head, headers: [] },
  signal: request.signal,
});

function faultOf(parts: WebsiteParts, reason: unknown): S3Fault {
  const fault = toFault(reason) ?? s3Fault("RequestTimeout");
  if (fault.code === "InternalError") parts.onInternal(reason);
  return fault;
}

const identity = (parts: WebsiteParts, request: FrontRequest): readonly ResponseHeader[] => [
  ["x-amz-id-2", parts.hostId],
  ["x-amz-request-id", request.id],
];

function redirect({ parts, request }: Page, status: number, location: string): FrontResponse {
  return { status, headers: [...identity(parts, request), ["Location", location]] };
}

const errorHeaders = (fault: S3Fault): readonly ResponseHeader[] => [
  ["x-amz-error-code", fault.code],
  ["x-amz-error-message", describeFault(fault).message],
];

function errorPage(parts: WebsiteParts, request: FrontRequest, fault: S3Fault): FrontResponse {
  const status = describeFault(fault).status;
  const details = [...fault.details, ["RequestId", request.id], ["HostId", parts.hostId]] as const;
  const page = toUtf8(websiteErrorPage(status, fault.code, describeFault(fault).message, details));
  const headers: readonly ResponseHeader[] = [
    ...identity(parts, request),
    ...errorHeaders(fault),
    ["Content-Type", "text/html; charset=utf-8"],
  ];
  return request.head.method === "HEAD"
    ? { status, headers, size: page.byteLength }
    : { status, headers, body: page };
}
