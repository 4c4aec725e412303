import { byteClass, isHost, isTarget, isToken, toBinaryString } from "./character-classes.ts";
import type { HttpFaultCode } from "./fault.ts";
import type { BodyFraming, HttpHeader, RequestHead } from "./head.ts";
import type { HttpLimits } from "./limits.ts";
import { parseFields } from "./parse-fields.ts";

const methodSizeMax = 32;
const versionSize = 8; // HTTP/1.1
const space = 32;
const carriageReturn = 13;
const lineFeed = 10;

/**
 * Reads one whole head: `source` begins with the request line and ends with the empty line. Every
 * line feed in it is known to follow a carriage return.
 */
export function parseHead(source: Uint8Array, limits: HttpLimits): RequestHead | HttpFaultCode {
  const text = toBinaryString(source);
  let at = 0;
  while ((byteClass[source[at]!]! & isToken) !== 0) at += 1;
  if (source[at] !== space || at === 0 || at > methodSizeMax) return "bad_request_line";
  const method = methodOf(source, text, at);
  const targetStart = at + 1;
  at = targetStart;
  while ((byteClass[source[at]!]! & isTarget) !== 0) at += 1;
  if (at - targetStart > limits.targetSizeMax) return "target_too_large";
  if (at === targetStart) return "bad_request_line";
  if (source[at] !== space) return "bad_target";
  const target = text.substring(targetStart, at);
  if (method === "CONNECT") return "bad_method";
  if (!target.startsWith("/") && !(target === "*" && method === "OPTIONS")) return "bad_target";
  const versionStart = at + 1;
  at = versionStart + versionSize;
  const isNew = isAt(source, versionStart, "HTTP/1.1");
  if (!isNew && !isAt(source, versionStart, "HTTP/1.0")) {
    const versionText = text.substring(versionStart, at);
    return /^HTTP\/[0-9]\.[0-9]$/.test(versionText) ? "unsupported_version" : "bad_version";
  }
  if (source[at] !== carriageReturn) return "bad_version";
  if (source[at + 1] !== lineFeed) return "bare_line_end";
  const headers: HttpHeader[] = [];
  const fault = parseFields(
    source,
    text,
    at + 2,
    source.byteLength,
    limits.headerCountMax,
    headers,
  );
  if (fault !== undefined) return fault;
  const version = isNew ? "1.1" : "1.0";
  return frameHead({ method, target, version, headers }, limits);
}

const usualMethods = ["GET", "PUT", "HEAD", "POST", "DELETE"];

/** Those that most requests have are one string each. */
function methodOf(source: Uint8Array, text: string, size: number): string {
  for (const method of usualMethods) {
    if (method.length === size && isAt(source, 0, method)) return method;
  }
  return text.substring(0, size);
}

function isAt(source: Uint8Array, start: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (source[start + i] !== text.charCodeAt(i)) return false;
  }
  return true;
}

/** Headers that say where the request ends and whom it is for, looked up in one pass. */
interface FramingHeaders {
  host: string | undefined;
  length: string | undefined;
  coding: string | undefined;
  expect: string | undefined;
  hasClose: boolean;
}

function frameHead(
  line: Pick<RequestHead, "method" | "target" | "version" | "headers">,
  limits: HttpLimits,
): RequestHead | HttpFaultCode {
  const found = collectFraming(line.headers);
  if (typeof found === "string") return found;
  if (found.host === undefined) return "missing_host";
  if (!isHostText(found.host)) return "bad_host";
  const isOld = line.version === "1.0";
  const body = bodyFraming(found, isOld, limits);
  if (typeof body === "string") return body;
  // RFC 9110 §10.1.1 lets a server pass over expectations that it does not know.
  const expectsContinue = !isOld && found.expect?.toLowerCase() === "100-continue";
  return {
    method: line.method,
    target: line.target,
    version: line.version,
    headers: line.headers,
    host: found.host,
    body,
    expectsContinue,
    keepAlive: !isOld && !found.hasClose,
  };
}

function collectFraming(headers: readonly HttpHeader[]): FramingHeaders | HttpFaultCode {
  const found: FramingHeaders = {
    host: undefined,
    length: undefined,
    coding: undefined,
    expect: undefined,
    hasClose: false,
  };
  for (let i = 0; i < headers.length; i++) {
    const { name, value } = headers[i]!;
    switch (name) {
      case "host":
        if (found.host !== undefined) return "duplicate_host";
        found.host = value;
        break;
      case "content-length":
        if (found.length !== undefined) return "duplicate_content_length";
        found.length = value;
        break;
      case "transfer-encoding":
        if (found.coding !== undefined) return "unsupported_transfer_encoding";
        found.coding = value;
        break;
      case "expect":
        if (found.expect !== undefined) return "unsupported_expectation";
        found.expect = value;
        break;
      case "connection":
        if (/(?:^|,)[ \t]*close[ \t]*(?:,|$)/i.test(value)) found.hasClose = true;
        break;
    }
  }
  return found;
}

function bodyFraming(
  found: FramingHeaders,
  isOld: boolean,
  limits: HttpLimits,
): BodyFraming | HttpFaultCode {
  if (found.coding !== undefined) {
    if (found.length !== undefined) return "length_with_transfer_encoding";
    if (isOld || found.coding.toLowerCase() !== "chunked") return "unsupported_transfer_encoding";
    return { kind: "chunked" };
  }
  if (found.length === undefined) return { kind: "none" };
  if (!/^(?:0|[1-9][0-9]*)$/.test(found.length)) return "bad_content_length";
  const size = Number(found.length);
  if (!Number.isSafeInteger(size) || size > limits.bodySizeMax) return "body_too_large";
  return size === 0 ? { kind: "none" } : { kind: "sized", size };
}

function isHostText(host: string): boolean {
  for (let i = 0; i < host.length; i++) {
    if ((byteClass[host.charCodeAt(i)]! & isHost) === 0) return false;
  }
  return host !== "";
}
