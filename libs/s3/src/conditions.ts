/** Preconditions: how they are read, and what they decide. RFC 9110 §13 with S3's additions. */
import type { WallTime } from "@kiseki/base";
import type { DeleteConditions, EtagMatch, ReadConditions, WriteConditions } from "./attributes.ts";
import { parseHttpDate, parseIsoDate } from "./date.ts";
import { invalidArgument, isFault, s3Fault, type S3ErrorCode, type S3Fault } from "./errors.ts";
import type { Fields } from "./fields.ts";

const countMax = 64;

/**
 * ETags without quotes; one without quotes is taken as it is, as S3 does. `strong`: a weak one names nothing
 * (RFC 9110 §13.1.1); `weak`: its `W/` makes no difference (§13.1.2).
 */
export function parseEtags(header: string, comparison: "strong" | "weak"): EtagMatch {
  const text = header.trim();
  if (text === "*" || text === '"*"') return "*";
  const etags: string[] = [];
  for (const piece of text.split(",", countMax)) {
    const tag = piece.trim();
    if (comparison === "strong" && tag.startsWith("W/")) continue;
    const bare = tag.replace(/^W\//, "");
    const isQuoted = bare.length >= 2 && bare.startsWith('"') && bare.endsWith('"');
    if (bare !== "") etags.push(isQuoted ? bare.slice(1, -1) : bare);
  }
  return etags;
}

function isNamed(match: EtagMatch, etag: string): boolean {
  return match === "*" || match.includes(etag);
}

/** Most reads are. */
export const unconditional: ReadConditions = {};

/** Conditions of a GET or HEAD. A date that is none is ignored (RFC 9110 §13.1.3). */
export function parseReadConditions(fields: Fields): ReadConditions {
  const ifMatch = fields.get("if-match");
  const ifNoneMatch = fields.get("if-none-match");
  const sinceText = fields.get("if-modified-since");
  const untilText = fields.get("if-unmodified-since");
  if ((ifMatch ?? ifNoneMatch ?? sinceText ?? untilText) === undefined) return unconditional;
  const since = parseHttpDate(sinceText ?? "");
  const until = parseHttpDate(untilText ?? "");
  return {
    ...(ifMatch === undefined ? {} : { ifMatch: parseEtags(ifMatch, "strong") }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch: parseEtags(ifNoneMatch, "weak") }),
    ...(since === undefined ? {} : { ifModifiedSince: since }),
    ...(until === undefined ? {} : { ifUnmodifiedSince: until }),
  };
}

/** `x-amz-copy-source-if-*`. Here a bad date is refused: a copy that was to be conditional must not run without. */
export function parseCopyConditions(fields: Fields): ReadConditions | S3Fault {
  const date = (name: string): WallTime | undefined | S3Fault => {
    const text = fields.get(name);
    if (text === undefined) return undefined;
    return parseHttpDate(text) ?? invalidArgument(name, text.slice(0, 256), "Bad date");
  };
  const ifMatch = fields.get("x-amz-copy-source-if-match");
  const ifNoneMatch = fields.get("x-amz-copy-source-if-none-match");
  const since = date("x-amz-copy-source-if-modified-since");
  if (isFault(since)) return since;
  const until = date("x-amz-copy-source-if-unmodified-since");
  if (isFault(until)) return until;
  return {
    ...(ifMatch === undefined ? {} : { ifMatch: parseEtags(ifMatch, "strong") }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch: parseEtags(ifNoneMatch, "weak") }),
    ...(since === undefined ? {} : { ifModifiedSince: since }),
    ...(until === undefined ? {} : { ifUnmodifiedSince: until }),
  };
}

/** Conditions of a write. S3 knows `If-None-Match: *` alone and answers 501 to an ETag there. */
export function parseWriteConditions(fields: Fields): WriteConditions | S3Fault {
  const ifMatch = fields.get("if-match");
  const ifNoneMatch = fields.get("if-none-match");
  if (fields.get("if-modified-since") ?? fields.get("if-unmodified-since")) {
    return s3Fault("NotImplemented", "A write cannot be conditional on a date.");
  }
  if (ifMatch !== undefined && ifNoneMatch !== undefined) {
    return s3Fault("NotImplemented", "If-Match and If-None-Match cannot be used together.");
  }
  if (ifNoneMatch !== undefined) {
    if (parseEtags(ifNoneMatch, "weak") === "*") return { ifNoneMatch: "*" };
    return s3Fault("NotImplemented", "If-None-Match of a write must be '*'.");
  }
  return ifMatch === undefined ? {} : { ifMatch: parseEtags(ifMatch, "strong") };
}

/** Conditions of a delete as headers or elements say them. One that cannot be read is refused, never left out. */
export function parseDeleteConditions(text: {
  readonly etag: string | undefined;
  readonly size: string | undefined;
  readonly modified: string | undefined;
}): DeleteConditions | S3Fault {
  const { etag, size, modified } = text;
  if (size !== undefined && !/^[0-9]{1,15}$/.test(size)) {
    return invalidArgument("x-amz-if-match-size", size.slice(0, 256), "Not a size");
  }
  const time = modified === undefined ? undefined : parseModified(modified);
  if (modified !== undefined && time === undefined) {
    return invalidArgument("x-amz-if-match-last-modified-time", modified.slice(0, 256), "Bad date");
  }
  return {
    ...(etag === undefined ? {} : { ifMatch: parseEtags(etag, "strong") }),
    ...(size === undefined ? {} : { ifSize: Number(size) }),
    ...(time === undefined ? {} : { ifModified: time }),
  };
}

/** An HTTP date, or ISO 8601 as elements have it. */
function parseModified(text: string): WallTime | undefined {
  return parseIsoDate(text) ?? parseHttpDate(text.trim());
}

/** What of an object its conditions look at; `etag` without quotes. */
export interface ObjectState {
  readonly etag: string;
  readonly lastModified: WallTime;
}

/** What a read's conditions come to, and which of them said no. */
export type ReadVerdict =
  | { readonly kind: "proceed" }
  | {
      readonly kind: "not_modified" | "precondition_failed";
      readonly condition: keyof ReadConditions;
    };

/**
 * RFC 9110 §13.2.2: a true `If-Match` makes `If-Unmodified-Since` moot, any `If-None-Match` makes
 * `If-Modified-Since` moot. Dates count in whole seconds.
 */
export function evaluateRead(conditions: ReadConditions, state: ObjectState): ReadVerdict {
  const modified = Math.floor(state.lastModified / 1000);
  const { ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince } = conditions;
  if (ifMatch !== undefined) {
    if (!isNamed(ifMatch, state.etag)) return { kind: "precondition_failed", condition: "ifMatch" };
  } else if (ifUnmodifiedSince !== undefined && modified > Math.floor(ifUnmodifiedSince / 1000)) {
    return { kind: "precondition_failed", condition: "ifUnmodifiedSince" };
  }
  if (ifNoneMatch !== undefined) {
    if (!isNamed(ifNoneMatch, state.etag)) return { kind: "proceed" };
    return { kind: "not_modified", condition: "ifNoneMatch" };
  }
  if (ifModifiedSince !== undefined && modified <= Math.floor(ifModifiedSince / 1000)) {
    return { kind: "not_modified", condition: "ifModifiedSince" };
  }
  return { kind: "proceed" };
}

/** The error that a conditional write or delete ends with, given the ETag that is there now. */
export function evaluateWrite(
  conditions: WriteConditions,
  currentEtag: string | undefined,
): Extract<S3ErrorCode, "NoSuchKey" | "PreconditionFailed"> | undefined {
  if (conditions.ifNoneMatch !== undefined && currentEtag !== undefined)
    return "PreconditionFailed";
  if (conditions.ifMatch === undefined) return undefined;
  if (currentEtag === undefined) return "NoSuchKey";
  return isNamed(conditions.ifMatch, currentEtag) ? undefined : "PreconditionFailed";
}
