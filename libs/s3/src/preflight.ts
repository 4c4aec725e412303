/** Requests of pages from elsewhere: what a browser asks before one, and what it is told beside the answer. */
import type { S3Addressing, S3Request } from "./call.ts";
import { isBucketName } from "./bucket-name.ts";
import { isFault, s3Fault, type S3Fault } from "./errors.ts";
import { parseAddress } from "./parse-call.ts";
import {
  type CorsConfiguration,
  type CorsGrant,
  type CorsRequest,
  matchCors,
  parseRequestHeaders,
} from "./settings/cors.ts";

/** A preflight, and the bucket whose rules decide. */
export interface Preflight {
  /** Undefined: the service itself, or a name that no bucket has. */
  readonly bucket: string | undefined;
  readonly resourceType: "SERVICE" | "BUCKET" | "OBJECT";
  readonly asked: CorsRequest;
}

/** Headers that one preflight may name: each is held against every rule. */
const headerCountMax = 100;
const methods: readonly string[] = ["GET", "PUT", "HEAD", "POST", "DELETE"];

function headerOf({ headers }: Pick<S3Request, "headers">, name: string): string | undefined {
  const values = headers.filter((header) => header.name === name).map(({ value }) => value);
  return values.length === 0 ? undefined : values.join(",");
}

const pathOf = ({ target }: Pick<S3Request, "target">): string => target.split("?", 1)[0]!;

/** The bucket that a request's address names, whether there is one or not. */
export function bucketOfRequest(
  request: Pick<S3Request, "target" | "host">,
  addressing: S3Addressing,
): string | undefined {
  const address = parseAddress(pathOf(request), request.host, addressing);
  if (isFault(address) || address.bucket === undefined) return undefined;
  return isBucketName(address.bucket) ? address.bucket : undefined;
}

/** An OPTIONS request. Needs no signature: browsers send none. */
export function parsePreflight(request: S3Request, addressing: S3Addressing): Preflight | S3Fault {
  const origin = headerOf(request, "origin");
  if (origin === undefined || origin === "") {
    return s3Fault("BadRequest", "Insufficient information. Origin request header needed.");
  }
  const method = headerOf(request, "access-control-request-method");
  if (method === undefined || !methods.includes(method)) {
    const shown = method === undefined ? "null" : method.slice(0, 64);
    return s3Fault("BadRequest", `Invalid Access-Control-Request-Method: ${shown}`);
  }
  const headers = parseRequestHeaders(headerOf(request, "access-control-request-headers"));
  const address = parseAddress(pathOf(request), request.host, addressing);
  if (isFault(address)) return address;
  const isService = address.bucket === undefined;
  return {
    bucket: bucketOfRequest(request, addressing),
    resourceType: isService ? "SERVICE" : address.rawKey === "" ? "BUCKET" : "OBJECT",
    asked: { origin, method, headers },
  };
}

/** What the bucket's rules say. `configuration` undefined: it has none, or there is no such bucket, which is not told. */
export function answerPreflight(
  { asked, resourceType }: Preflight,
  configuration: CorsConfiguration | undefined,
): CorsGrant | S3Fault {
  const refuse = (message: string): S3Fault =>
    s3Fault("AccessForbidden", message, [
      ["Method", asked.method],
      ["ResourceType", resourceType],
    ]);
  if (configuration === undefined) {
    return refuse("CORSResponse: CORS is not enabled for this bucket.");
  }
  const isBounded = asked.headers.length <= headerCountMax;
  const grant = isBounded ? matchCors(configuration, asked) : undefined;
  return (
    grant ?? refuse("CORSResponse: No rule of this bucket allows this origin, method and headers.")
  );
}

/** What an answer says under the rules; undefined: the request is not from a page, or no rule allows it. */
export function grantRequest(
  request: Pick<S3Request, "method" | "headers">,
  configuration: CorsConfiguration,
): CorsGrant | undefined {
  const origin = headerOf(request, "origin");
  if (origin === undefined) return undefined;
  const method = headerOf(request, "access-control-request-method") ?? request.method;
  return matchCors(configuration, { origin, method, headers: [] });
}
