/** Sizes and digests that a request's head promises of its body. */
import { GiB } from "@kiseki/base";
import type { BodyExpectation } from "./attributes.ts";
import { parseBase64, parseDeclaredChecksum } from "./checksum.ts";
import { invalidArgument, isFault, s3Fault, type S3Fault } from "./errors.ts";
import type { Fields } from "./fields.ts";

/** The largest body of one PutObject or UploadPart. */
export const putSizeMax = 5 * GiB;

/** The decoded size: `x-amz-decoded-content-length` when the body travels in signed chunks, else Content-Length. */
function parseBodySize(fields: Fields, sizeMax: number): number | S3Fault {
  const isStreaming = (fields.get("x-amz-content-sha256") ?? "").startsWith("STREAMING-");
  const name = isStreaming ? "x-amz-decoded-content-length" : "content-length";
  const text = fields.get(name);
  if (text === undefined) return s3Fault("MissingContentLength");
  if (!/^[0-9]{1,20}$/.test(text)) {
    return invalidArgument(name, text.slice(0, 256), "The length is not a number");
  }
  const size = Number(text);
  if (size > sizeMax) {
    return s3Fault("EntityTooLarge", undefined, [
      ["ProposedSize", text],
      ["MaxSizeAllowed", String(sizeMax)],
    ]);
  }
  return size;
}

/** What the body must be. The size is known and bounded by `sizeMax` before a byte of it is read. */
export function parseBodyExpectation(fields: Fields, sizeMax: number): BodyExpectation | S3Fault {
  const size = parseBodySize(fields, sizeMax);
  if (typeof size !== "number") return size;
  const digest = fields.get("content-md5");
  const md5 = digest === undefined ? undefined : parseBase64(digest, 16);
  if (digest !== undefined && md5 === undefined) return s3Fault("InvalidDigest");
  const declared = parseDeclaredChecksum(fields);
  if (isFault(declared)) return declared;
  const { checksum, trailerAlgorithm } = declared;
  return {
    size,
    md5,
    checksum,
    trailerAlgorithm,
    algorithm: checksum?.algorithm ?? trailerAlgorithm,
  };
}

/** As above for documents, which are collected in memory: too large is `MaxMessageLengthExceeded`. */
export function parseDocumentExpectation(
  fields: Fields,
  sizeMax: number,
): BodyExpectation | S3Fault {
  const body = parseBodyExpectation(fields, sizeMax);
  if (isFault(body) && body.code === "EntityTooLarge") {
    return s3Fault("MaxMessageLengthExceeded", undefined, [
      ["MaxMessageLengthBytes", String(sizeMax)],
    ]);
  }
  return body;
}
