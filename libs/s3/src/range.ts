/** `Range` of a read and `x-amz-copy-source-range` of a part copy. */
import type { ByteRange } from "./attributes.ts";
import { invalidArgument, type S3Fault } from "./errors.ts";

const single = /^bytes=([0-9]*)-([0-9]*)$/;
const bounded = /^bytes=([0-9]{1,16})-([0-9]{1,16})$/;

/** Positions beyond 2^53 lie behind every object; they are all the same to us. */
const position = (digits: string): number => Math.min(Number(digits), Number.MAX_SAFE_INTEGER);

/**
 * One range, or `undefined` for none. As S3 does, a list of ranges, another unit or a malformed
 * value is not an error: the whole object is sent (RFC 9110 §14.2 allows it).
 */
export function parseRange(header: string | undefined): ByteRange | undefined {
  const match = header === undefined ? null : single.exec(header);
  if (!match) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "") return last === "" ? undefined : { kind: "suffix", size: position(last) };
  if (last === "") return { kind: "from", first: position(first) };
  const range = { kind: "from_to", first: position(first), last: position(last) } as const;
  return range.first > range.last ? undefined : range;
}

/** The bytes that `range` means in `size` bytes, `length` ≥ 1; `"unsatisfiable"` answers 416 `InvalidRange`. */
export function resolveRange(
  range: ByteRange,
  size: number,
): { readonly offset: number; readonly length: number } | "unsatisfiable" {
  if (range.kind === "suffix") {
    const length = Math.min(range.size, size);
    return length === 0 ? "unsatisfiable" : { offset: size - length, length };
  }
  if (range.first >= size) return "unsatisfiable";
  const last = range.kind === "from" ? size - 1 : Math.min(range.last, size - 1);
  return { offset: range.first, length: last - range.first + 1 };
}

/** Both ends are required here; anything else is refused. Beyond the source's end: `InvalidRange`, by the caller. */
export function parseCopyRange(
  header: string | undefined,
): { readonly first: number; readonly last: number } | undefined | S3Fault {
  if (header === undefined) return undefined;
  const match = bounded.exec(header);
  const range = match ? { first: position(match[1]!), last: position(match[2]!) } : undefined;
  if (range === undefined || range.first > range.last) {
    const why = "The x-amz-copy-source-range value must be of the form bytes=first-last";
    return invalidArgument("x-amz-copy-source-range", header.slice(0, 256), why);
  }
  return range;
}
