/** Whether a complete's claims hold: of each part, and of the whole. */
import { sameBytes } from "@kiseki/base";
import type { ChecksumAlgorithm, ChecksumType, ObjectChecksum } from "./attributes.ts";
import type { CompleteUploadCall } from "./call.ts";
import { s3Fault, type S3Fault } from "./errors.ts";
import type { CompletePart } from "./request-documents.ts";

/**
 * What S3 finds wrong with the checksum of one named part. `declared` is what the upload was created
 * with, `stored` the part's checksum of that algorithm. A composite must name every part's.
 */
export function checkCompletePart(
  part: CompletePart,
  declared: { readonly algorithm: ChecksumAlgorithm; readonly type: ChecksumType } | undefined,
  stored: Uint8Array | undefined,
): S3Fault | undefined {
  if (part.checksum === undefined) {
    if (declared?.type !== "COMPOSITE") return undefined;
    return s3Fault(
      "InvalidRequest",
      `The upload was created using a ${declared.algorithm} checksum. The complete request must include the checksum for each part. It was missing for part ${part.partNumber} in the request.`,
    );
  }
  // What was stored of another algorithm cannot be compared; only a declared one was promised.
  if (declared !== undefined && part.checksum.algorithm !== declared.algorithm) {
    return s3Fault("InvalidPart");
  }
  if (stored === undefined) return declared === undefined ? undefined : s3Fault("InvalidPart");
  return sameBytes(part.checksum.value, stored) ? undefined : s3Fault("InvalidPart");
}

/** What S3 finds wrong with the claims about the whole. `checksum` and `size` are what the parts come to. */
export function checkComplete(
  call: CompleteUploadCall,
  checksum: ObjectChecksum | undefined,
  size: number,
): S3Fault | undefined {
  if (call.expectedSize !== undefined && call.expectedSize !== size) {
    return s3Fault(
      "InvalidRequest",
      `The provided 'x-amz-mp-object-size' header value ${call.expectedSize} does not match what was computed: ${size}`,
    );
  }
  if (call.checksumType !== undefined && call.checksumType !== checksum?.type) {
    return s3Fault("BadDigest", "The checksum type does not match that of the upload.");
  }
  const { expected } = call;
  if (expected === undefined) return undefined;
  const isMatching =
    checksum !== undefined &&
    checksum.algorithm === call.expectedAlgorithm &&
    (expected.partCount === 0 || expected.partCount === checksum.partCount) &&
    sameBytes(expected.value, checksum.value);
  if (isMatching) return undefined;
  const name = call.expectedAlgorithm ?? "checksum";
  return s3Fault("BadDigest", `The ${name} you specified did not match the calculated checksum.`);
}
