import { fromHex } from "@kiseki/base";
import { headerValue, headerValues, type RequestHead } from "@kiseki/http";
import { type AuthFault, authFault } from "./fault.ts";

/** What the request says of its body, in `x-amz-content-sha256`. */
export type PayloadMode =
  /** The body's SHA-256 is signed: whoever reads the body compares (`XAmzContentSHA256Mismatch`). */
  | { readonly kind: "hashed"; readonly sha256: Uint8Array }
  /** `UNSIGNED-PAYLOAD`, or a presigned query that says nothing. Policy decides where it is allowed. */
  | { readonly kind: "unsigned" }
  /** aws-chunked: read the body through `AwsChunkedDecoder`. */
  | StreamedPayload;

export interface StreamedPayload {
  readonly kind: "streamed";
  /** `x-amz-decoded-content-length`: bytes of the object, chunk framing taken off. */
  readonly decodedSize: number;
  /** Names of `x-amz-trailer`, in lower case; empty when the mode has no trailer. */
  readonly trailerNames: readonly string[];
  readonly hasTrailer: boolean;
  /** What chunk signatures are made with; `undefined` for STREAMING-UNSIGNED-PAYLOAD-TRAILER. */
  readonly signing: ChunkSigning | undefined;
}

/** Secret: never log it. */
export interface ChunkSigning {
  /** HMAC key derived for the day, region and service. */
  readonly key: Uint8Array;
  /** `20130524T000000Z`. */
  readonly date: string;
  /** `20130524/us-east-1/s3/aws4_request`. */
  readonly scope: string;
  /** Hex signature of the head: what the first chunk's signature continues. */
  readonly seedSignature: string;
}

const trailerCountMax = 16;
export const unsignedPayload = "UNSIGNED-PAYLOAD";
const streamedModes: Readonly<Record<string, { isSigned: boolean; hasTrailer: boolean }>> = {
  "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": { isSigned: true, hasTrailer: false },
  "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": { isSigned: true, hasTrailer: true },
  "STREAMING-UNSIGNED-PAYLOAD-TRAILER": { isSigned: false, hasTrailer: true },
};

/** Of a request that nobody signed: what its body comes wrapped in. Signed streams need a signer. */
export function anonymousPayload(head: RequestHead): PayloadMode | AuthFault {
  const values = headerValues(head.headers, "x-amz-content-sha256");
  if (values.length > 1) {
    return authFault("InvalidArgument", "x-amz-content-sha256 must be given once.", {
      ArgumentName: "x-amz-content-sha256",
    });
  }
  const text = values[0] ?? unsignedPayload;
  if (text.startsWith("STREAMING-AWS4-")) {
    return authFault("AccessDenied", "A signed stream needs a signed request.");
  }
  return readPayloadMode(head, text, () => {
    throw new Error("Cannot sign for nobody");
  });
}

/** SHA-256 of nothing: what a request without a body says. */
const emptyText = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const emptyPayload: PayloadMode = { kind: "hashed", sha256: fromHex(emptyText) };

/** Reads `text`, the value of `x-amz-content-sha256`. `signing` is asked only for signed streams. */
export function readPayloadMode(
  head: RequestHead,
  text: string,
  signing: () => ChunkSigning,
): PayloadMode | AuthFault {
  if (text === unsignedPayload) return { kind: "unsigned" };
  if (text === emptyText) return emptyPayload;
  if (/^[0-9a-fA-F]{64}$/.test(text)) return { kind: "hashed", sha256: fromHex(text) };
  const mode = Object.hasOwn(streamedModes, text) ? streamedModes[text] : undefined;
  if (mode === undefined) {
    return authFault(
      "InvalidArgument",
      "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
      { ArgumentName: "x-amz-content-sha256", ArgumentValue: text },
    );
  }
  const decoded = headerValues(head.headers, "x-amz-decoded-content-length");
  if (decoded.length === 0) {
    return authFault("MissingContentLength", "You must provide the Content-Length HTTP header.");
  }
  const decodedSize = Number(decoded[0]);
  if (decoded.length > 1 || !/^\d+$/.test(decoded[0]!) || !Number.isSafeInteger(decodedSize)) {
    return authFault("InvalidArgument", "x-amz-decoded-content-length must be one number.", {
      ArgumentName: "x-amz-decoded-content-length",
    });
  }
  const trailer = headerValue(head.headers, "x-amz-trailer");
  if (trailer !== undefined && !mode.hasTrailer) {
    return authFault("InvalidRequest", `x-amz-trailer does not go with ${text}.`);
  }
  const trailerNames = (trailer ?? "")
    .toLowerCase()
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  if (trailerNames.length > trailerCountMax) {
    return authFault("InvalidRequest", `x-amz-trailer names more than ${trailerCountMax} headers.`);
  }
  const { hasTrailer } = mode;
  return {
    kind: "streamed",
    decodedSize,
    trailerNames,
    hasTrailer,
    signing: mode.isSigned ? signing() : undefined,
  };
}
