import { assert } from "@kiseki/base";
import { encodeResponseHead, type RequestHead, type ResponseHeader } from "@kiseki/http";
import type { SocketOutput } from "./socket-output.ts";
import type { BodyStream, FrontResponse } from "./types.ts";

/** How a response's end is told: by Content-Length, by chunks, by closing; or it has no body. */
type ResponseFraming = "sized" | "chunked" | "until_close" | "none";

/** Shared by all connections of a front; used only within one synchronous piece. */
export interface ResponseContext {
  /** Room for a whole head and the first bytes of a body. */
  readonly scratch: Uint8Array;
  readonly serverName: string | undefined;
  /** Value of the Date header. */
  date(): string;
}

const headersOwned = ["connection", "content-length", "date", "transfer-encoding"];

/** Most names are of another length, and need not be brought to lower case. */
function isOwned(name: string): boolean {
  return headersOwned.some((own) => own.length === name.length && own === name.toLowerCase());
}

/** A body up to this size leaves in one send with its head; the scratch buffer has room for both. */
const wholeSizeMax = 64 * 1024;

const chunkEnd = new Uint8Array([13, 10]);
const lastChunk = new TextEncoder().encode("0\r\n\r\n");

function isStream(body: FrontResponse["body"]): body is BodyStream {
  return body !== undefined && !(body instanceof Uint8Array);
}

function sizeOf(response: FrontResponse): number | undefined {
  const { body } = response;
  if (body === undefined) return response.size ?? 0;
  return body instanceof Uint8Array ? body.byteLength : body.size;
}

function framingOf(response: FrontResponse, head: RequestHead | undefined): ResponseFraming {
  const { status } = response;
  if (status === 204 || status === 304 || head?.method === "HEAD") return "none";
  if (sizeOf(response) !== undefined) return "sized";
  return head?.version === "1.0" ? "until_close" : "chunked";
}

function headersOf(
  context: ResponseContext,
  response: FrontResponse,
  framing: ResponseFraming,
  isLast: boolean,
): readonly ResponseHeader[] {
  const headers: ResponseHeader[] = [["Date", context.date()]];
  if (context.serverName !== undefined) headers.push(["Server", context.serverName]);
  for (const header of response.headers) {
    assert(!isOwned(header[0]), "the front adds framing headers itself");
    headers.push(header);
  }
  const size = sizeOf(response);
  // HEAD leaves unsaid what GET would have measured, unless the handler knows (RFC 9110 §8.6).
  const isUnsaid = framing === "none" && response.body === undefined && response.size === undefined;
  const hasNone = response.status === 204 || response.status === 304 || isUnsaid;
  const hasLength = !hasNone && size !== undefined;
  if (hasLength) headers.push(["Content-Length", String(size)]);
  else if (framing === "chunked") headers.push(["Transfer-Encoding", "chunked"]);
  if (isLast) headers.push(["Connection", "close"]);
  return headers;
}

/** Writes the head into the scratch buffer, where it must fit; answers its size. */
function writeHead(
  context: ResponseContext,
  response: FrontResponse,
  framing: ResponseFraming,
  isLast: boolean,
): number {
  const headers = headersOf(context, response, framing, isLast);
  const { status, shared } = response;
  const size = encodeResponseHead(status, headers, context.scratch, 0, shared);
  assert(size > 0, "a response's head fits the scratch buffer");
  return size;
}

/** True when this response's end can only be told by closing the connection. */
export function needsClose(response: FrontResponse, head: RequestHead | undefined): boolean {
  return framingOf(response, head) === "until_close";
}

/**
 * Sends `response`; closes its stream. True when all of it went to the kernel, false when the
 * connection is gone or must go. Answers at once (no promise) when everything fit.
 */
export function writeResponse(
  context: ResponseContext,
  output: SocketOutput,
  response: FrontResponse,
  head: RequestHead | undefined,
  isLast: boolean,
): boolean | Promise<boolean> {
  const framing = framingOf(response, head);
  const { body } = response;
  const isSent = framing !== "none" && body !== undefined;
  if (isSent && isStream(body)) {
    return writeStream(context, output, response, body, framing, isLast);
  }
  if (isStream(body)) body.close();
  const { scratch } = context;
  const size = writeHead(context, response, framing, isLast);
  if (!isSent || isStream(body)) return output.sendVolatile(scratch.subarray(0, size));
  const joined = Math.min(scratch.byteLength - size, body.byteLength);
  scratch.set(body.subarray(0, joined), size);
  const sent = output.sendVolatile(scratch.subarray(0, size + joined));
  if (joined === body.byteLength) return sent;
  const rest = body.subarray(joined);
  if (sent === true) return output.send(rest);
  if (sent === false) return false;
  return sent.then((isHeadSent) => isHeadSent && output.send(rest));
}

/** A body that is here as a whole leaves at once: waiting for each step would cost more than the steps. */
function writeStream(
  context: ResponseContext,
  output: SocketOutput,
  response: FrontResponse,
  body: BodyStream,
  framing: ResponseFraming,
  isLast: boolean,
): boolean | Promise<boolean> {
  let sent: boolean | Promise<boolean> | undefined;
  try {
    const first = body.nextNow?.();
    const isWhole = framing === "sized" && first?.byteLength === body.size;
    if (first === undefined || !isWhole || first.byteLength > wholeSizeMax) {
      return (sent = writeSlices(context, output, response, body, framing, isLast, first));
    }
    const { scratch } = context;
    const size = writeHead(context, response, framing, isLast);
    const hasRoom = size + first.byteLength <= scratch.byteLength;
    assert(hasRoom, "a response's head and its first bytes fit the scratch buffer");
    const whole = sendJoined(output, scratch, size, first);
    if (typeof whole === "boolean") return whole;
    return (sent = whole.finally(() => body.close()));
  } finally {
    if (sent === undefined) body.close();
  }
}

async function writeSlices(
  context: ResponseContext,
  output: SocketOutput,
  response: FrontResponse,
  body: BodyStream,
  framing: ResponseFraming,
  isLast: boolean,
  ready: Uint8Array | undefined,
): Promise<boolean> {
  try {
    let left = body.size ?? Number.POSITIVE_INFINITY;
    const first = ready ?? (await body.next());
    const { scratch } = context;
    // No waiting between here and the send: the scratch buffer is everyone's.
    const size = writeHead(context, response, framing, isLast);
    let bytes = first;
    if (bytes !== undefined && framing !== "chunked") {
      const joined = Math.min(scratch.byteLength - size, bytes.byteLength, left);
      const isSent = sendJoined(output, scratch, size, bytes.subarray(0, joined));
      left -= joined;
      bytes = bytes.subarray(joined);
      if (isSent !== true && !(await isSent)) return false;
    } else if (!(await output.sendVolatile(scratch.subarray(0, size)))) return false;
    while (bytes !== undefined) {
      if (bytes.byteLength > left) return false; // promised less: better cut than run into the next answer
      left -= bytes.byteLength;
      const sent: boolean | Promise<boolean> =
        framing === "chunked" ? sendChunk(output, bytes) : output.send(bytes);
      if (sent !== true && !(await sent)) return false;
      bytes = await body.next();
    }
    if (framing === "chunked") return await output.send(lastChunk);
    return framing === "until_close" || left === 0;
  } finally {
    body.close();
  }
}

/**
 * Head (`size` bytes of `scratch`) and the beginning of the body in one send: a copy costs less than a second call of the
 * kernel. What the kernel does not take is sent from the body's own memory, not from a copy.
 */
function sendJoined(
  output: SocketOutput,
  scratch: Uint8Array,
  size: number,
  body: Uint8Array,
): boolean | Promise<boolean> {
  scratch.set(body, size);
  const taken = output.sendNow(scratch.subarray(0, size + body.byteLength));
  if (taken < 0) return false;
  if (taken >= size) return output.send(body.subarray(taken - size));
  const head = output.sendVolatile(scratch.subarray(taken, size));
  if (typeof head === "boolean") return head && output.send(body);
  return head.then((isSent) => isSent && output.send(body));
}

async function sendChunk(output: SocketOutput, bytes: Uint8Array): Promise<boolean> {
  if (bytes.byteLength === 0) return true;
  const line = new TextEncoder().encode(`${bytes.byteLength.toString(16)}\r\n`);
  return (await output.send(line)) && (await output.send(bytes)) && (await output.send(chunkEnd));
}
