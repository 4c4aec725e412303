/** A bucket's CORS rules: their document, AWS's limits, and which rule answers a request. */
import { KiB } from "@kiseki/base";
import { s3Fault, type S3Fault } from "../errors.ts";
import { defineDocumentSetting } from "./document.ts";
import { integer, many, optional, record, text, type ValueOf } from "./shape.ts";

const ruleCountMax = 100;
const idLengthMax = 255;
const methods: readonly string[] = ["GET", "PUT", "HEAD", "POST", "DELETE"];

const ruleShape = record({
  id: optional("ID", text),
  allowedMethods: many("AllowedMethod", text),
  allowedOrigins: many("AllowedOrigin", text),
  allowedHeaders: many("AllowedHeader", text),
  maxAgeSeconds: optional("MaxAgeSeconds", integer),
  exposeHeaders: many("ExposeHeader", text),
});
type CorsRule = ValueOf<typeof ruleShape>;
const corsShape = record({ rules: many("CORSRule", ruleShape) });
export type CorsConfiguration = ValueOf<typeof corsShape>;

export const corsSetting = defineDocumentSetting({
  subresource: "cors",
  stored: "cors",
  documentSizeMax: 64 * KiB,
  isRemovable: true,
  unset: "NoSuchCORSConfiguration",
  root: "CORSConfiguration",
  shape: corsShape,
  validate: validateCors,
});

function validateCors({ rules }: CorsConfiguration): S3Fault | undefined {
  if (rules.length === 0) return s3Fault("MalformedXML");
  if (rules.length > ruleCountMax) {
    return s3Fault(
      "InvalidRequest",
      `The number of CORS rules should not exceed allowed limit of ${ruleCountMax} rules.`,
    );
  }
  for (const rule of rules) {
    const fault = validateRule(rule);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** Header names, with the one wildcard that may stand in them; nothing that could end a header. */
const isHeaderName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/;
const isOrigin = /^[!-~]{1,2048}$/;
const wildcardCount = (pattern: string): number => pattern.split("*").length - 1;

function validateRule(rule: CorsRule): S3Fault | undefined {
  if (rule.allowedMethods.length === 0 || rule.allowedOrigins.length === 0) {
    return s3Fault("MalformedXML");
  }
  if ((rule.id?.length ?? 0) > idLengthMax || (rule.maxAgeSeconds ?? 0) < 0) {
    return s3Fault("MalformedXML");
  }
  const refuse = (message: string): S3Fault => s3Fault("InvalidRequest", message);
  for (const method of rule.allowedMethods) {
    if (methods.includes(method)) continue;
    const shown = method.slice(0, 64);
    return refuse(`Found unsupported HTTP method in CORS config. Unsupported method is ${shown}`);
  }
  for (const origin of rule.allowedOrigins) {
    if (wildcardCount(origin) > 1) {
      return refuse(`AllowedOrigin "${origin.slice(0, 256)}" can not have more than one wildcard.`);
    }
    if (!isOrigin.test(origin)) return s3Fault("MalformedXML");
  }
  for (const header of rule.allowedHeaders) {
    if (wildcardCount(header) > 1) {
      return refuse(`AllowedHeader "${header.slice(0, 256)}" can not have more than one wildcard.`);
    }
    if (!isHeaderName.test(header)) return s3Fault("MalformedXML");
  }
  for (const header of rule.exposeHeaders) {
    if (header.includes("*")) {
      return refuse(
        `ExposeHeader "${header.slice(0, 256)}" contains wildcard. We currently do not support wildcard for ExposeHeader.`,
      );
    }
    if (!isHeaderName.test(header)) return s3Fault("MalformedXML");
  }
  return undefined;
}

/** What a browser says of where a request comes from and what it wants to do. */
export interface CorsRequest {
  readonly origin: string;
  /** The method to be used, or that is used. */
  readonly method: string;
  /** Names that the request wants to send; none for the request itself. */
  readonly headers: readonly string[];
}

/** The answer of one rule. */
export interface CorsGrant {
  /** `*` where the rule names every origin, else the request's own. */
  readonly allowOrigin: string;
  /** The rule names this very origin, so that its cookies may come along. */
  readonly isCredentialed: boolean;
  readonly allowMethods: readonly string[];
  readonly allowHeaders: readonly string[];
  readonly exposeHeaders: readonly string[];
  readonly maxAgeSeconds: number | undefined;
}

/** A pattern with at most one `*`, which stands for any text. */
function matches(pattern: string, value: string): boolean {
  const star = pattern.indexOf("*");
  if (star < 0) return pattern === value;
  const head = pattern.slice(0, star);
  const tail = pattern.slice(star + 1);
  return (
    value.length >= head.length + tail.length && value.startsWith(head) && value.endsWith(tail)
  );
}

/** The first rule that allows origin, method and every header. `undefined`: none does. */
export function matchCors(
  { rules }: CorsConfiguration,
  request: CorsRequest,
): CorsGrant | undefined {
  for (const rule of rules) {
    if (!rule.allowedMethods.includes(request.method)) continue;
    const pattern = findOrigin(rule.allowedOrigins, request.origin);
    if (pattern === undefined) continue;
    const isHeaderAllowed = (header: string): boolean =>
      rule.allowedHeaders.some((allowed) => matches(allowed.toLowerCase(), header.toLowerCase()));
    if (!request.headers.every(isHeaderAllowed)) continue;
    return {
      allowOrigin: pattern === "*" ? "*" : request.origin,
      isCredentialed: !pattern.includes("*"),
      allowMethods: rule.allowedMethods,
      allowHeaders: request.headers.map((header) => header.toLowerCase()),
      exposeHeaders: rule.exposeHeaders,
      maxAgeSeconds: rule.maxAgeSeconds,
    };
  }
  return undefined;
}

/** The pattern that allows the origin; one that names it goes before those that only fit. */
function findOrigin(patterns: readonly string[], origin: string): string | undefined {
  if (patterns.includes(origin) && !origin.includes("*")) return origin;
  return patterns.find((pattern) => matches(pattern, origin));
}

/** `Access-Control-Request-Headers` as names; an empty piece is none. */
export function parseRequestHeaders(header: string | undefined): readonly string[] {
  const pieces = (header ?? "").split(",").map((piece) => piece.trim());
  return pieces.filter((piece) => piece !== "");
}

/** Headers of an answer under `grant`. An answer that depends on the origin says so to caches. */
export function corsHeaders(grant: CorsGrant): readonly (readonly [name: string, value: string])[] {
  const headers: (readonly [string, string])[] = [
    ["Access-Control-Allow-Origin", grant.allowOrigin],
    ["Access-Control-Allow-Methods", grant.allowMethods.join(", ")],
  ];
  if (grant.allowHeaders.length > 0) {
    headers.push(["Access-Control-Allow-Headers", grant.allowHeaders.join(", ")]);
  }
  if (grant.exposeHeaders.length > 0) {
    headers.push(["Access-Control-Expose-Headers", grant.exposeHeaders.join(", ")]);
  }
  if (grant.maxAgeSeconds !== undefined) {
    headers.push(["Access-Control-Max-Age", String(grant.maxAgeSeconds)]);
  }
  if (grant.isCredentialed) headers.push(["Access-Control-Allow-Credentials", "true"]);
  return headers;
}

/** On what answers of a bucket with rules depend, whether a rule allowed the request or not: for caches. */
export const corsVary = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";
