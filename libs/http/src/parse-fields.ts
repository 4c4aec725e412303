import { byteClass, isToken, isUpper, isValue } from "./character-classes.ts";
import type { HttpFaultCode } from "./fault.ts";
import type { HttpHeader } from "./head.ts";

const tab = 9;
const lineFeed = 10;
const carriageReturn = 13;
const space = 32;
const colon = 58;

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
    while ((classes & isToken) !== 0) {
      seen |= classes;
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
    const name = text.substring(nameStart, nameEnd);
    headers.push({
      name: (seen & isUpper) === 0 ? name : name.toLowerCase(),
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
