import { byteClass, isToken, isUpper, isValue } from "./character-classes.ts";
import type { HttpFaultCode } from "./fault.ts";
import type { HttpHeader } from "./head.ts";

const tab = 9;
const lineFeed = 10;
const carriageReturn = 13;
const space = 32;
const colon = 58;

/**
 * What most requests say. Each is one string for ever: to cut a name out of the text, and to compare it later, costs more
 * than to find it here.
 */
const usualNames = [
  "accept",
  "accept-encoding",
  "amz-sdk-invocation-id",
  "amz-sdk-request",
  "authorization",
  "connection",
  "content-encoding",
  "content-length",
  "content-md5",
  "content-type",
  "date",
  "expect",
  "host",
  "if-match",
  "if-none-match",
  "origin",
  "range",
  "referer",
  "transfer-encoding",
  "user-agent",
  "x-amz-acl",
  "x-amz-checksum-crc32",
  "x-amz-checksum-crc64nvme",
  "x-amz-checksum-mode",
  "x-amz-checksum-sha256",
  "x-amz-content-sha256",
  "x-amz-copy-source",
  "x-amz-date",
  "x-amz-decoded-content-length",
  "x-amz-metadata-directive",
  "x-amz-sdk-checksum-algorithm",
  "x-amz-security-token",
  "x-amz-storage-class",
  "x-amz-tagging",
  "x-amz-trailer",
  "x-amz-user-agent",
  "x-forwarded-for",
];
/** By `slotOf`; of two in one slot the second is cut out of the text each time. */
const slots: (string | undefined)[] = Array.from({ length: 512 });
/** Upper and lower case give the same. */
const mixed = (hash: number, byte: number): number => (Math.imul(hash, 31) + (byte | 0x20)) | 0;
const slotOf = (hash: number): number => (hash ^ (hash >>> 9)) & 511;
for (const name of usualNames) {
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = mixed(hash, name.charCodeAt(i));
  slots[slotOf(hash)] ??= name;
}

/** Whether the bytes from `start` on are `name`, in any case. */
function isName(source: Uint8Array, start: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    const byte = source[start + i]!;
    const lower = (byteClass[byte]! & isUpper) === 0 ? byte : byte | 0x20;
    if (lower !== name.charCodeAt(i)) return false;
  }
  return true;
}

/**
 * Reads header lines from `offset` to the empty line that ends at `end`, appending to `headers`.
 * `text` is `source` from 0 as a binary string. Every line feed in the range is known to follow a
 * carriage return; a lone carriage return is not yet excluded.
 */
export function parseFields(
  source: Uint8Array,
  text: string,
  offset: number,
  end: number,
  countMax: number,
  headers: HttpHeader[],
): HttpFaultCode | undefined {
  let at = offset;
  while (at < end - 2) {
    if (headers.length === countMax) return "too_many_headers";
    const nameStart = at;
    let classes = byteClass[source[at]!]!;
    let seen = 0;
    let hash = 0;
    while ((classes & isToken) !== 0) {
      seen |= classes;
      hash = mixed(hash, source[at]!);
      at += 1;
      classes = byteClass[source[at]!]!;
    }
    if (source[at] !== colon) return nameFault(source, nameStart, at);
    if (at === nameStart) return "bad_header_name";
    const nameEnd = at;
    at += 1;
    while (source[at] === space || source[at] === tab) at += 1;
    const valueStart = at;
    while ((byteClass[source[at]!]! & isValue) !== 0) at += 1;
    if (source[at] !== carriageReturn) return "bad_header_value";
    if (source[at + 1] !== lineFeed) return "bare_line_end";
    let valueEnd = at;
    while (
      valueEnd > valueStart &&
      (source[valueEnd - 1] === space || source[valueEnd - 1] === tab)
    ) {
      valueEnd -= 1;
    }
    at += 2;
    const usual = slots[slotOf(hash)];
    const isUsual = usual?.length === nameEnd - nameStart && isName(source, nameStart, usual);
    const name = isUsual ? usual : text.substring(nameStart, nameEnd);
    headers.push({
      name: isUsual || (seen & isUpper) === 0 ? name : name.toLowerCase(),
      value: text.substring(valueStart, valueEnd),
    });
  }
  return undefined;
}

function nameFault(source: Uint8Array, nameStart: number, at: number): HttpFaultCode {
  const byte = source[at]!;
  const isSpace = byte === space || byte === tab;
  if (isSpace && at === nameStart) return "folded_header";
  if (byte === carriageReturn && source[at + 1] !== lineFeed) return "bare_line_end";
  if (!isSpace) return "bad_header_name";
  let next = at;
  while (source[next] === space || source[next] === tab) next += 1;
  return source[next] === colon ? "space_before_colon" : "bad_header_name";
}
