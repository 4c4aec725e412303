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

/** One line per signed header: values trimmed, runs of blanks made one, duplicates joined. */
export function canonicalHeaders(
  headers: readonly HttpHeader[],
  signed: readonly string[],
): string {
  let text = "";
  for (const name of signed) {
    text += `${name}:`;
    let count = 0;
    for (const header of headers) {
      if (header.name !== name) continue;
      if (count++ > 0) text += ",";
      text += canonicalValue(header.value);
    }
    text += "\n";
  }
  return text;
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
