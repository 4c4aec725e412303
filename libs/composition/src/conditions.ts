import { toHex } from "@kiseki/base";
import type { Etag, ObjectEntry } from "@kiseki/format";
import type { Conditions, RefusalCode } from "./operation.ts";

/** As S3 sends it, without quotes: 32 hex digits and, for multipart objects, `-` and the number of parts. */
export const etagText = (etag: Etag): string =>
  etag.parts === 0 ? toHex(etag.md5) : `${toHex(etag.md5)}-${etag.parts}`;

const secondOf = (time: number): number => Math.floor(time / 1000);

/** The first condition that does not hold for `current`; a name without object has only `If-None-Match`. */
export function unmetCondition(
  current: ObjectEntry | undefined,
  conditions: Conditions | undefined,
): Extract<RefusalCode, "no_such_key" | "precondition_failed"> | undefined {
  const ifMatch = conditions?.ifMatch;
  const ifNoneMatch = conditions?.ifNoneMatch;
  // A delete marker has no ETag, only its existence to go by.
  const fits = (tag: string): boolean =>
    current !== undefined &&
    (tag === "*" || (current.kind === "object" && tag === etagText(current.etag)));
  const ifSize = conditions?.ifSize;
  const ifModified = conditions?.ifModified;
  const isAboutObject = (ifMatch ?? ifSize ?? ifModified) !== undefined;
  if (isAboutObject && current === undefined) return "no_such_key";
  if (ifMatch !== undefined && !ifMatch.some(fits)) return "precondition_failed";
  if (ifSize !== undefined && ifSize !== current?.size) return "precondition_failed";
  if (ifModified !== undefined && secondOf(ifModified) !== secondOf(current?.modified ?? 0)) {
    return "precondition_failed";
  }
  if (ifNoneMatch?.some(fits) === true) return "precondition_failed";
  return undefined;
}
