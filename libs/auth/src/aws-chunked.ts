import type { HttpHeader } from "@kiseki/http";
import type { Crypto } from "@kiseki/ports";
import type { AuthFault } from "./fault.ts";
import type { StreamedPayload } from "./payload-mode.ts";

export type ChunkedEvent =
  | { readonly kind: "need_more" }
  /** A view of what was fed. Not to be trusted before `end`: its chunk's signature comes after it. */
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  /** Everything was as signed. Trailers have lower-case names, each announced in `x-amz-trailer`. */
  | { readonly kind: "end"; readonly trailers: readonly HttpHeader[] }
  | AuthFault;

export declare class AwsChunkedDecoder {
  constructor(crypto: Crypto, payload: StreamedPayload);
  feed(source: Uint8Array): void;
  next(dataSizeMax?: number): ChunkedEvent;
  /** What it means that the body ended here: `undefined` when it had ended, else `IncompleteBody`. */
  finish(): AuthFault | undefined;
}
