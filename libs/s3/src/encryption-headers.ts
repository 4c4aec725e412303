/** What a request's head asks of encryption, and what an answer's says of it. */
import { parseBase64, toBase64 } from "./checksum.ts";
import { invalidArgument, isFault, s3Fault, type S3Fault } from "./errors.ts";
import type { Fields } from "./fields.ts";

const sseName = "x-amz-server-side-encryption";
const keyIdName = `${sseName}-aws-kms-key-id`;
const bucketKeyName = `${sseName}-bucket-key-enabled`;
const customerPrefix = `${sseName}-customer-`;
/** Of the source of a copy. */
export const sourceCustomerPrefix = `x-amz-copy-source-${customerPrefix.slice("x-amz-".length)}`;
const keySize = 32;
const keyIdSizeMax = 2048;

/** A key that the customer keeps (SSE-C), out of its three headers. */
export interface CustomerKeyHeaders {
  /** 32 bytes that whoever takes them wipes. */
  readonly key: Uint8Array;
  /** What the client says that the key's MD5 is, 16 bytes. */
  readonly md5: Uint8Array;
}

/** How a new object is to be encrypted. */
export type RequestedEncryption =
  | { readonly kind: "s3" }
  | {
      readonly kind: "kms";
      /** As sent: an id, an ARN or an alias. Undefined: S3's own key of the account. */
      readonly keyId: string | undefined;
      readonly isBucketKey: boolean | undefined;
    }
  | { readonly kind: "customer"; readonly customerKey: CustomerKeyHeaders }
  /** Refused once it is known that the client may write at all: policies look at these headers too. */
  | { readonly kind: "invalid"; readonly fault: S3Fault };

/** How an object is encrypted, as answers say it. */
export type ShownEncryption =
  | { readonly kind: "s3" }
  | { readonly kind: "kms"; readonly keyId: string; readonly isBucketKey: boolean }
  | { readonly kind: "customer"; readonly keyMd5: Uint8Array };

const refuse = (name: string, why: string): S3Fault => invalidArgument(name, "", why);

/** The three headers of a customer's key; undefined when none of them is there. Values stay out of every message. */
export function parseCustomerKey(
  fields: Fields,
  prefix: string = customerPrefix,
): CustomerKeyHeaders | undefined | S3Fault {
  if (!fields.hasPrefix(prefix)) return undefined;
  const algorithm = fields.get(`${prefix}algorithm`);
  const key = fields.get(`${prefix}key`);
  const md5 = fields.get(`${prefix}key-md5`);
  if ((algorithm ?? key ?? md5) === undefined) return undefined;
  if (fields.queryNames.some((name) => name.toLowerCase() === `${prefix}key`)) {
    // URLs end up in logs and histories.
    return refuse(`${prefix}key`, "A customer provided key is sent as a header, never in a URL.");
  }
  if ((algorithm ?? "") === "") {
    const why =
      "Requests specifying Server Side Encryption with Customer provided keys must provide a valid encryption algorithm.";
    return refuse(`${prefix}algorithm`, why);
  }
  if (algorithm !== "AES256") return s3Fault("InvalidEncryptionAlgorithmError");
  if ((key ?? "") === "" || (md5 ?? "") === "") {
    const why =
      "Requests specifying Server Side Encryption with Customer provided keys must provide an appropriate secret key.";
    return refuse(`${prefix}key`, why);
  }
  const bytes = parseBase64(key!, keySize);
  if (bytes === undefined) {
    return refuse(`${prefix}key`, "The secret key was invalid for the specified algorithm.");
  }
  const digest = parseBase64(md5!, 16);
  if (digest === undefined) return refuse(`${prefix}key-md5`, mismatchedKeyMessage);
  return { key: bytes, md5: digest };
}
export const mismatchedKeyMessage =
  "The calculated MD5 hash of the key did not match the hash that was provided.";

function parseBucketKey(fields: Fields): boolean | undefined | S3Fault {
  const text = fields.get(bucketKeyName)?.toLowerCase();
  if (text === undefined || text === "true" || text === "false") {
    return text === undefined ? undefined : text === "true";
  }
  return invalidArgument(bucketKeyName, text.slice(0, 256), "The value must be true or false.");
}

function parseManaged(fields: Fields): RequestedEncryption | undefined | S3Fault {
  const algorithm = fields.get(sseName);
  const keyId = fields.get(keyIdName);
  if (keyId !== undefined && !algorithm?.startsWith("aws:")) {
    const why =
      "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms";
    return refuse(keyIdName, why);
  }
  switch (algorithm) {
    case undefined:
      return undefined;
    case "AES256":
      return { kind: "s3" };
    case "aws:kms": {
      const isBucketKey = parseBucketKey(fields);
      if (isFault(isBucketKey)) return isBucketKey as S3Fault;
      if (keyId !== undefined && (keyId === "" || keyId.length > keyIdSizeMax)) {
        return invalidArgument(keyIdName, keyId.slice(0, 256), "Not the id of a key");
      }
      return { kind: "kms", keyId, isBucketKey: isBucketKey as boolean | undefined };
    }
    case "aws:kms:dsse":
    case "aws:fsx":
      return s3Fault("NotImplemented", undefined, [["Header", sseName]]);
    default:
      return s3Fault("InvalidEncryptionAlgorithmError");
  }
}

/** What a put, a copy or a new upload asks for; undefined: as the bucket says. */
export function parseEncryption(fields: Fields): RequestedEncryption | undefined {
  const customerKey = parseCustomerKey(fields);
  const managed = parseManaged(fields);
  const isBoth =
    fields.get(sseName) !== undefined &&
    fields.headers.some(([name]) => name.startsWith(customerPrefix));
  if (isBoth) {
    const why =
      "Server Side Encryption with Customer provided key is incompatible with the encryption method specified";
    return { kind: "invalid", fault: refuse(sseName, why) };
  }
  if (isFault(managed)) return { kind: "invalid", fault: managed as S3Fault };
  if (isFault(customerKey)) return { kind: "invalid", fault: customerKey as S3Fault };
  if (customerKey === undefined) return managed as RequestedEncryption | undefined;
  return { kind: "customer", customerKey: customerKey as CustomerKeyHeaders };
}

/** Headers of an answer about one object. */
export function encryptionHeaders(
  shown: ShownEncryption,
): readonly (readonly [name: string, value: string])[] {
  switch (shown.kind) {
    case "s3":
      return [[sseName, "AES256"]];
    case "kms": {
      const bucketKey = shown.isBucketKey ? ([[bucketKeyName, "true"]] as const) : [];
      return [[sseName, "aws:kms"], [keyIdName, shown.keyId], ...bucketKey];
    }
    default:
      return [
        [`${customerPrefix}algorithm`, "AES256"],
        ["x-amz-server-side-encryption-customer-key-MD5", toBase64(shown.keyMd5)],
      ];
  }
}
