import type { HttpFaultCode } from "./fault.ts";
import type { HttpHeader, RequestHead } from "./head.ts";
import type { HttpLimits } from "./limits.ts";

export type RequestEvent =
  /** Everything fed is used up: `feed` more. */
  | { readonly kind: "need_more" }
  | { readonly kind: "head"; readonly head: RequestHead }
  /** A view into the fed array: 1 byte or more of the body, framing taken off. */
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  /** The body is whole; the next event is the head of a following request. */
  | { readonly kind: "end"; readonly trailers: readonly HttpHeader[] }
  /** Answered for ever after. */
  | { readonly kind: "fault"; readonly code: HttpFaultCode };

export declare class RequestDecoder {
  constructor(limits: HttpLimits);
  feed(source: Uint8Array): void;
  next(dataSizeMax?: number): RequestEvent;
}
