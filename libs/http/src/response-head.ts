import { assert } from "@kiseki/base";

/** Name and value. Values hold one character per byte, as `HttpHeader.value` does. */
export type ResponseHeader = readonly [name: string, value: string];

const reasons: Readonly<Record<number, string>> = {
  100: "Continue",
  200: "OK",
  202: "Accepted",
  204: "No Content",
  206: "Partial Content",
  301: "Moved Permanently",
  303: "See Other",
  304: "Not Modified",
  307: "Temporary Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  411: "Length Required",
  412: "Precondition Failed",
  413: "Content Too Large",
  414: "URI Too Long",
  416: "Range Not Satisfiable",
  417: "Expectation Failed",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  505: "HTTP Version Not Supported",
  507: "Insufficient Storage",
};

/** The reason phrase that goes with `status`; `Status` when it has none here. */
function statusReason(status: number): string {
  return reasons[status] ?? "Status";
}

/** Bytes of the interim answer that asks for the body. Shared: never write into it. */
export const continueResponse: Uint8Array = new TextEncoder().encode(
  "HTTP/1.1 100 Continue\r\n\r\n",
);

const tokenPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Names that were looked at: a program sends few. */
const tokens = new Set<string>();
const tokenCountMax = 256;

function checkName(name: string): void {
  if (tokens.has(name)) return;
  assert(tokenPattern.test(name), "a header name is a token");
  if (tokens.size < tokenCountMax) tokens.add(name);
}

function sizeOf(headers: readonly ResponseHeader[]): number {
  let size = 0;
  for (const [name, value] of headers) size += name.length + value.length + 4;
  return size;
}

// Character by character: to join the lines to a text first, and to encode that, takes longer than writing them.

/** One byte a character; the offset after them. */
function writeText(text: string, target: Uint8Array, offset: number): number {
  for (let i = 0; i < text.length; i++) target[offset + i] = text.charCodeAt(i);
  return offset + text.length;
}

function writeValue(value: string, target: Uint8Array, offset: number): number {
  let isGood = true;
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    isGood &&= code === 9 || (code >= 0x20 && code !== 0x7f && code <= 0xff);
    target[offset + i] = code;
  }
  assert(isGood, "a header value holds no line end");
  return offset + value.length;
}

function writeHeaders(
  headers: readonly ResponseHeader[],
  target: Uint8Array,
  offset: number,
): number {
  let at = offset;
  for (const [name, value] of headers) {
    checkName(name);
    at = writeText(name, target, at);
    at = writeText(": ", target, at);
    at = writeValue(value, target, at);
    at = writeText("\r\n", target, at);
  }
  return at;
}

/** By status. */
const statusLines: string[] = [];
const statusLine = (status: number): string =>
  (statusLines[status] ??= `HTTP/1.1 ${status} ${statusReason(status)}\r\n`);

/** The last headers of answers that have them alike, written once. Asserts as `encodeResponseHead` does. */
export class HeaderBlock {
  /** With the empty line. */
  readonly bytes: Uint8Array;

  constructor(headers: readonly ResponseHeader[]) {
    this.bytes = new Uint8Array(sizeOf(headers) + 2);
    writeText("\r\n", this.bytes, writeHeaders(headers, this.bytes, 0));
  }
}

/**
 * Writes status line, headers, those of `block` and the empty line to `target` from `offset`.
 *
 * A name that is no token or a value with a line end, control byte or a character over 0xff is a
 * bug of the caller (escape what users gave first) and asserts. Returns the offset after the head,
 * or −1 when `target` has no room.
 */
export function encodeResponseHead(
  status: number,
  headers: readonly ResponseHeader[],
  target: Uint8Array,
  offset: number,
  block?: HeaderBlock,
): number {
  assert(Number.isInteger(status) && status >= 100 && status <= 599, "a status has three digits");
  const line = statusLine(status);
  const last = block?.bytes ?? emptyLine;
  const size = line.length + sizeOf(headers) + last.byteLength;
  if (size > target.byteLength - offset) return -1;
  const end = writeHeaders(headers, target, writeText(line, target, offset));
  target.set(last, end);
  return offset + size;
}
const emptyLine = new Uint8Array([13, 10]);
