import { newBytes, toUtf8 } from "@kiseki/base";
import {
  type HttpHeader,
  percentDecodeBytes,
  percentEncode,
  percentEncodeBytes,
  type QueryPair,
} from "@kiseki/http";

/**
 * The path as S3 signs it: unescaped once, escaped once, never normalised. Clients differ in what
 * they escape, not in the key they mean. `undefined` for a broken escape.
 */
export function canonicalPath(path: string): string | undefined {
  if (/^[A-Za-z0-9\-._~/]*$/.test(path)) return path;
  const decoded = percentDecodeBytes(path);
  return decoded === undefined ? undefined : percentEncodeBytes(decoded, "keep_slash");
}

/** Pairs escaped and in order of name, then value. A presigned query's own signature is left out. */
export function canonicalQuery(pairs: readonly QueryPair[], form: "header" | "query"): string {
  if (pairs.length === 0) return "";
  const encoded: (readonly [name: string, value: string])[] = [];
  for (const { name, value } of pairs) {
    if (form === "query" && name === "X-Amz-Signature") continue;
    encoded.push([percentEncode(name), percentEncode(value)]);
  }
  encoded.sort(([nameA, valueA], [nameB, valueB]) => {
    if (nameA !== nameB) return nameA < nameB ? -1 : 1;
    return valueA === valueB ? 0 : valueA < valueB ? -1 : 1;
  });
  return encoded.map(([name, value]) => `${name}=${value}`).join("&");
}

/** All that a signature is of. */
export interface CanonicalParts {
  readonly method: string;
  readonly uri: string;
  readonly query: string;
  readonly headers: readonly HttpHeader[];
  /** Lower case, in the order signed. */
  readonly signedHeaders: readonly string[];
  readonly signedText: string;
  /** What stands for the payload. */
  readonly payload: string;
}

/** Hands the canonical request to `put`, piece by piece. */
export function writeCanonical(parts: CanonicalParts, put: (text: string) => void): void {
  put(parts.method);
  put("\n");
  put(parts.uri);
  put("\n");
  put(parts.query);
  put("\n");
  writeHeaders(parts.headers, parts.signedHeaders, put);
  put("\n");
  put(parts.signedText);
  put("\n");
  put(parts.payload);
}

export function canonicalText(parts: CanonicalParts): string {
  let text = "";
  writeCanonical(parts, (piece) => {
    text += piece;
  });
  return text;
}

/** One line per signed header: values trimmed, runs of blanks made one, duplicates joined. */
function writeHeaders(
  headers: readonly HttpHeader[],
  signed: readonly string[],
  put: (text: string) => void,
): void {
  for (const name of signed) {
    put(name);
    put(":");
    let count = 0;
    for (const header of headers) {
      if (header.name !== name) continue;
      if (count++ > 0) put(",");
      put(canonicalValue(header.value));
    }
    put("\n");
  }
}

function canonicalValue(value: string): string {
  return value.includes("  ") || value.includes("\t") ? value.replaceAll(/[ \t]+/g, " ") : value;
}

/** The bytes of a string that holds one character per byte. */
export function binaryBytes(text: string): Uint8Array {
  const ascii = toUtf8(text);
  if (ascii.byteLength === text.length) return ascii; // any other character takes two bytes of UTF-8
  const target = newBytes(text.length);
  for (let i = 0; i < text.length; i++) target[i] = text.charCodeAt(i);
  return target;
}
