/** The five checksums on the wire: header names, base64, trailers, and the `-N` of composites. */
import type { Checksum, ChecksumAlgorithm, ChecksumType, ObjectChecksum } from "./attributes.ts";
import { s3Fault, type S3Fault } from "./errors.ts";
import type { Fields } from "./fields.ts";

/** Names and sizes in bytes; the order is that of S3's documents. */
export const checksumSizes = {
  crc32: 4,
  crc32c: 4,
  crc64nvme: 8,
  sha1: 20,
  sha256: 32,
} as const satisfies Record<ChecksumAlgorithm, number>;
const checksumAlgorithms = Object.keys(checksumSizes) as readonly ChecksumAlgorithm[];

/** `CRC32`, `SHA256` and so on, as headers and documents name an algorithm. */
export const checksumLabel = (algorithm: ChecksumAlgorithm): string => algorithm.toUpperCase();

/** Reads such a name; case does not matter. */
export function parseChecksumLabel(text: string): ChecksumAlgorithm | undefined {
  const lower = text.toLowerCase();
  return checksumAlgorithms.find((algorithm) => algorithm === lower);
}

/** Strict base64 of exactly `size` bytes. */
export function parseBase64(text: string, size: number): Uint8Array | undefined {
  if (text.length !== Math.ceil(size / 3) * 4) return undefined;
  try {
    const value = Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
    return value.byteLength === size ? value : undefined;
  } catch (reason) {
    if (reason instanceof SyntaxError) return undefined; // the decoder's word for bad base64
    throw reason;
  }
}

/** Base64, and `-N` behind it for a composite. */
export function formatChecksum(checksum: ObjectChecksum): string {
  const text = toBase64(checksum.value);
  return checksum.type === "COMPOSITE" && checksum.partCount > 0
    ? `${text}-${checksum.partCount}`
    : text;
}

export const toBase64 = (source: Uint8Array): string => new Uint8Array(source).toBase64();

const unsupported = (): S3Fault =>
  s3Fault(
    "InvalidRequest",
    "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
  );

/** The one `x-amz-checksum-<algorithm>` header with its raw value; several, or an unknown one, are refused. */
function findChecksumHeader(
  fields: Fields,
): { readonly algorithm: ChecksumAlgorithm; readonly text: string } | undefined | S3Fault {
  let found: { readonly algorithm: ChecksumAlgorithm; readonly text: string } | undefined;
  for (const [name, text] of fields.headers) {
    const label = name.startsWith("x-amz-checksum-") ? name.slice("x-amz-checksum-".length) : "";
    if (label === "" || label === "algorithm" || label === "type" || label === "mode") continue;
    const algorithm = parseChecksumLabel(label);
    if (algorithm === undefined) return unsupported();
    if (found !== undefined) {
      return s3Fault(
        "InvalidRequest",
        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
      );
    }
    found = { algorithm, text };
  }
  return found;
}

const badValue = (algorithm: ChecksumAlgorithm): S3Fault =>
  s3Fault("InvalidRequest", `Value for x-amz-checksum-${algorithm} header is invalid.`);

/** What a body's head says of its checksum: a value, or an algorithm whose value comes as a trailer. */
interface DeclaredChecksum {
  readonly checksum: Checksum | undefined;
  readonly trailerAlgorithm: ChecksumAlgorithm | undefined;
}

/** Checksum headers of a request with a body that S3 verifies. */
export function parseDeclaredChecksum(fields: Fields): DeclaredChecksum | S3Fault {
  const found = findChecksumHeader(fields);
  if (found !== undefined && "kind" in found) return found;
  const trailer = parseTrailerName(fields);
  if (typeof trailer === "object") return trailer;
  if (found !== undefined && trailer !== undefined) {
    return s3Fault("InvalidRequest", "Expecting a single x-amz-checksum- header or trailer.");
  }
  const declared = fields.get("x-amz-sdk-checksum-algorithm");
  if (declared !== undefined) {
    const algorithm = parseChecksumLabel(declared);
    if (algorithm === undefined) return unsupported();
    const sent = found?.algorithm ?? trailer;
    if (sent === undefined) {
      return s3Fault(
        "InvalidRequest",
        "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
      );
    }
    if (sent !== algorithm) {
      return s3Fault("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.");
    }
  }
  if (found === undefined) return { checksum: undefined, trailerAlgorithm: trailer };
  const value = parseBase64(found.text, checksumSizes[found.algorithm]);
  if (value === undefined) return badValue(found.algorithm);
  return { checksum: { algorithm: found.algorithm, value }, trailerAlgorithm: undefined };
}

function parseTrailerName(fields: Fields): ChecksumAlgorithm | undefined | S3Fault {
  const name = fields.get("x-amz-trailer");
  if (name === undefined) return undefined;
  const prefix = "x-amz-checksum-";
  const lower = name.trim().toLowerCase();
  const algorithm = lower.startsWith(prefix)
    ? parseChecksumLabel(lower.slice(prefix.length))
    : undefined;
  if (algorithm === undefined) {
    return s3Fault(
      "InvalidRequest",
      "The value specified in the x-amz-trailer header is not supported",
    );
  }
  if (!(fields.get("x-amz-content-sha256") ?? "").endsWith("-TRAILER")) {
    return s3Fault(
      "InvalidRequest",
      "x-amz-trailer needs an x-amz-content-sha256 that ends in -TRAILER.",
    );
  }
  return algorithm;
}

/**
 * Algorithm and type of a new multipart upload. S3's rules: SHA-1 and SHA-256 are composite,
 * CRC-64/NVME covers the object, the two others may be either and are composite unless asked.
 */
export function parseUploadChecksum(
  fields: Fields,
): { readonly algorithm: ChecksumAlgorithm; readonly type: ChecksumType } | undefined | S3Fault {
  const label = fields.get("x-amz-checksum-algorithm");
  const type = parseChecksumType(fields);
  if (typeof type === "object") return type;
  if (label === undefined) {
    if (type === undefined) return undefined;
    return s3Fault(
      "InvalidRequest",
      "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
    );
  }
  const algorithm = parseChecksumLabel(label);
  if (algorithm === undefined) return unsupported();
  const isFullAllowed = algorithm.startsWith("crc");
  const isCompositeAllowed = algorithm !== "crc64nvme";
  const chosen = type ?? (isCompositeAllowed ? "COMPOSITE" : "FULL_OBJECT");
  if (
    (chosen === "FULL_OBJECT" && !isFullAllowed) ||
    (chosen === "COMPOSITE" && !isCompositeAllowed)
  ) {
    return s3Fault(
      "InvalidRequest",
      `The ${chosen} checksum type cannot be used with the ${algorithm} checksum algorithm.`,
    );
  }
  return { algorithm, type: chosen };
}

/** `x-amz-checksum-algorithm` alone, as CopyObject has it. */
export function parseChecksumAlgorithm(fields: Fields): ChecksumAlgorithm | undefined | S3Fault {
  const label = fields.get("x-amz-checksum-algorithm");
  return label === undefined ? undefined : (parseChecksumLabel(label) ?? unsupported());
}

export function parseChecksumType(fields: Fields): ChecksumType | undefined | S3Fault {
  const text = fields.get("x-amz-checksum-type");
  if (text === undefined || text === "FULL_OBJECT" || text === "COMPOSITE") return text;
  return s3Fault("InvalidRequest", "Value for x-amz-checksum-type header is invalid.");
}

/** What CompleteMultipartUpload's head claims of the whole. Ill-formed text cannot match: `BadDigest`, as S3 says. */
export function parseCompleteChecksum(fields: Fields):
  | {
      readonly algorithm: ChecksumAlgorithm;
      readonly value: Uint8Array;
      readonly partCount: number;
    }
  | undefined
  | S3Fault {
  const found = findChecksumHeader(fields);
  if (found === undefined || "kind" in found) return found;
  const parsed = parseObjectChecksumText(found.algorithm, found.text);
  if (parsed === undefined) {
    return s3Fault(
      "BadDigest",
      `The ${found.algorithm} you specified did not match the calculated checksum.`,
    );
  }
  return { algorithm: found.algorithm, ...parsed };
}

/** Base64 with or without `-N`; `partCount` is 0 without. */
function parseObjectChecksumText(
  algorithm: ChecksumAlgorithm,
  text: string,
): { readonly value: Uint8Array; readonly partCount: number } | undefined {
  const match = /^([A-Za-z0-9+/]+=*)(?:-([1-9][0-9]{0,4}))?$/.exec(text);
  const value = match ? parseBase64(match[1]!, checksumSizes[algorithm]) : undefined;
  return value && match ? { value, partCount: Number(match[2] ?? 0) } : undefined;
}
