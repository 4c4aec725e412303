/**
 * HTTP/1.1 (RFC 9112, 9110) between bytes and requests, strict and bounded. Pure; knows no socket.
 * `RequestDecoder`: bytes fed in any pieces → head, body slices, end, and again (pipelining).
 * States: head → (body sized | body chunked → trailers) → head; a fault is final.
 * Invariants: the same bytes give the same events however they are cut (slices of data may differ);
 * body slices are views of what was fed, never copies; the target is never normalised; memory is
 * bounded by `HttpLimits`. Refuses everything two parsers could read differently: both length
 * headers, odd lengths, folds, bare line ends, control bytes, a second Host, other codings, absolute
 * and authority targets. `encodeResponseHead` cannot be made to emit a line of somebody's choosing.
 * `FormDecoder`: a `multipart/form-data` body with one file → fields, then the file's slices, by the same rules.
 * `percentDecode`/`percentEncode`/`parseQuery` are the one way that URLs are taken apart.
 */
export type { HttpFaultCode } from "./fault.ts";
export { httpFaultStatus } from "./fault.ts";
export type { BodyFraming, HttpHeader, RequestHead } from "./head.ts";
export type { FormFaultCode } from "./form-decoder.ts";
export { FormDecoder } from "./form-decoder.ts";
export { headerValue, headerValues } from "./head.ts";
export type { HttpLimits } from "./limits.ts";
export { httpLimitsDefault } from "./limits.ts";
export { formBoundary } from "./part-head.ts";
export type { RequestEvent } from "./request-decoder.ts";
export { RequestDecoder } from "./request-decoder.ts";
export type { ResponseHeader } from "./response-head.ts";
export { continueResponse, encodeResponseHead, HeaderBlock } from "./response-head.ts";
export type { QueryPair } from "./target.ts";
export {
  parseQuery,
  percentDecode,
  percentDecodeBytes,
  percentEncode,
  percentEncodeBytes,
  splitTarget,
} from "./target.ts";
