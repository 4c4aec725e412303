import { fromUtf8, newBytes } from "@kiseki/base";
import { byteClass, hexValue, isUnreserved } from "./character-classes.ts";

/** A target cut at its first `?`; both halves as sent. */
export interface SplitTarget {
  readonly path: string;
  /** Without the `?`; empty when there is none. */
  readonly query: string;
}

/** One `name=value` of a query, decoded. */
export interface QueryPair {
  readonly name: string;
  /** Empty for `name` and for `name=`. */
  readonly value: string;
}

export function splitTarget(target: string): SplitTarget {
  const mark = target.indexOf("?");
  if (mark < 0) return { path: target, query: "" };
  return { path: target.slice(0, mark), query: target.slice(mark + 1) };
}

/**
 * Undoes percent escapes; the bytes must be UTF-8. `+` stays (`plus_is_space`: becomes a space, as
 * in queries). Returns `undefined` for a broken escape or malformed UTF-8; a character over 0x7f
 * stands for its byte.
 */
export function percentDecode(text: string, mode?: "plus_is_space"): string | undefined {
  let isPlain = true;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x25 || code === 0x2b || code >= 0x80) {
      isPlain = false;
      break;
    }
  }
  if (isPlain) return text;
  const decoded = percentDecodeBytes(text, mode);
  return decoded === undefined ? undefined : fromUtf8(decoded);
}

/** As `percentDecode`, but any bytes. */
export function percentDecodeBytes(text: string, mode?: "plus_is_space"): Uint8Array | undefined {
  const target = newBytes(text.length);
  let size = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x25) {
      const high = i + 2 < text.length ? hexValue[text.charCodeAt(i + 1)]! : -1;
      const low = i + 2 < text.length ? hexValue[text.charCodeAt(i + 2)]! : -1;
      if (!(high >= 0 && low >= 0)) return undefined;
      target[size++] = (high << 4) | low;
      i += 2;
    } else if (code > 0xff) {
      return undefined;
    } else {
      target[size++] = code === 0x2b && mode === "plus_is_space" ? 0x20 : code;
    }
  }
  return target.subarray(0, size);
}

const escapes = Array.from(
  { length: 256 },
  (_, byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
);
const encoder = new TextEncoder();

/**
 * Escapes all but RFC 3986's unreserved characters, as AWS Signature V4 and S3's `encoding-type=url`
 * do; upper-case hex. `keep_slash` leaves `/` alone.
 */
export function percentEncode(text: string, mode?: "keep_slash"): string {
  let start = 0;
  for (; start < text.length; start++) {
    const code = text.charCodeAt(start);
    if (code > 0xff || !isKept(code, mode)) break;
  }
  if (start === text.length) return text;
  return percentEncodeBytes(encoder.encode(text), mode);
}

/** As `percentEncode`, of bytes. */
export function percentEncodeBytes(source: Uint8Array, mode?: "keep_slash"): string {
  let encoded = "";
  for (let i = 0; i < source.byteLength; i++) {
    const byte = source[i]!;
    encoded += isKept(byte, mode) ? String.fromCharCode(byte) : escapes[byte]!;
  }
  return encoded;
}

function isKept(byte: number, mode: "keep_slash" | undefined): boolean {
  return (byteClass[byte]! & isUnreserved) !== 0 || (byte === 0x2f && mode === "keep_slash");
}

/**
 * The pairs of a query in the order sent, `+` read as a space; empty pairs (`a&&b`) are skipped.
 * Returns `undefined` for a broken escape or malformed UTF-8.
 */
export function parseQuery(query: string): readonly QueryPair[] | undefined {
  const pairs: QueryPair[] = [];
  for (let start = 0; start < query.length;) {
    let end = query.indexOf("&", start);
    if (end < 0) end = query.length;
    if (end > start) {
      const pair = query.slice(start, end);
      const mark = pair.indexOf("=");
      const name = percentDecode(mark < 0 ? pair : pair.slice(0, mark), "plus_is_space");
      const value = mark < 0 ? "" : percentDecode(pair.slice(mark + 1), "plus_is_space");
      if (name === undefined || value === undefined) return undefined;
      pairs.push({ name, value });
    }
    start = end + 1;
  }
  return pairs;
}
