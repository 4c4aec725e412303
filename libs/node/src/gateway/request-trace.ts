import type { ResponseContext, S3Call, S3Result } from "@kiseki/s3";
import type { BodyStream, FrontRequest, FrontResponse } from "../front/types.ts";
import type { Place } from "./access/place.ts";
import type { Identity } from "./identity.ts";
import type { Admission } from "./key-limits.ts";

/** What becomes known of a request while it is worked on; filled in by the handler. */
export interface RequestTrace {
  readonly request: FrontRequest;
  context: ResponseContext;
  call: S3Call | undefined;
  /** Who signed it; `undefined` for nobody. */
  key: Identity | undefined;
  admitted: Admission | undefined;
  /** Whose buckets it is about, once its call is known. */
  place: Place | undefined;
  /** By the requester, not by the bucket's owner. */
  isPaid: boolean;
  /** Of a website. */
  isPage: boolean;
  result: S3Result | undefined;
  errorCode: string | undefined;
}

/** `response`, telling `onEnd` once how many bytes of its body were sent, when all are or none will be any more. */
export function whenSent(response: FrontResponse, onEnd: (size: number) => void): FrontResponse {
  const { body } = response;
  if (body === undefined || body instanceof Uint8Array) {
    onEnd(body?.byteLength ?? 0);
    return response;
  }
  let size = 0;
  const count = (slice: Uint8Array | undefined): Uint8Array | undefined => {
    size += slice?.byteLength ?? 0;
    return slice;
  };
  const counted: BodyStream = {
    size: body.size,
    next() {
      const slice = body.next();
      return slice instanceof Promise ? slice.then(count) : count(slice);
    },
    nextNow: () => count(body.nextNow?.()),
    close() {
      body.close();
      onEnd(size);
    },
  };
  return { ...response, body: counted };
}
