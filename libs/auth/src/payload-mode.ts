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
