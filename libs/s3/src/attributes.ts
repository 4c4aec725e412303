/** What S3 keeps beside an object's bytes, as parsed from a request and as written into an answer. */
import type { WallTime } from "@kiseki/base";
import type { AclRequest } from "./acl.ts";
import type { Tag } from "./settings/tags.ts";
import type { Retention, StorageClass } from "@kiseki/format";

/** The five checksums of S3, by the last word of their header. */
export type ChecksumAlgorithm = "crc32" | "crc32c" | "crc64nvme" | "sha1" | "sha256";
/** Whether a multipart object's checksum covers its bytes or its parts' checksums. */
export type ChecksumType = "FULL_OBJECT" | "COMPOSITE";

/** A checksum of known value: 4, 4, 8, 20 or 32 bytes, big-endian as on the wire. */
export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly value: Uint8Array;
}

/** A checksum as stored with an object. `partCount` is the `-N` of a composite, else 0 (also for one part of such an object). */
export interface ObjectChecksum extends Checksum {
  readonly type: ChecksumType;
  readonly partCount: number;
}

/**
 * Headers that are stored and sent back byte for byte. Absent ones were not sent. Text holds one
 * character per byte (0x20 to 0xff, tab), as `libs/http` reads and writes header values.
 */
export interface ContentHeaders {
  readonly contentType?: string;
  readonly cacheControl?: string;
  readonly contentDisposition?: string;
  /** Without `aws-chunked`, which is how a body travels and no property of the object. */
  readonly contentEncoding?: string;
  readonly contentLanguage?: string;
  /** As sent; S3 does not read it. */
  readonly expires?: string;
  readonly websiteRedirectLocation?: string;
}

/** What keeps a version from being removed. */
export interface ObjectLock {
  readonly retention?: Retention;
  /** False: set to off, which is told apart from never set. */
  readonly legalHold?: boolean;
}

/** The attributes of a new object. */
export interface ObjectAttributes {
  readonly content: ContentHeaders;
  /** `x-amz-meta-*`, names lower-case without the prefix, in arrival order, one character per byte; at most 2 KiB together. */
  readonly metadata: readonly (readonly [name: string, value: string])[];
  readonly storageClass: StorageClass;
  /** In order of their keys. */
  readonly tags: readonly Tag[];
  /** The client asked for `AES256`; everything is sealed anyway, this is only said back. */
  readonly isSseRequested: boolean;
  readonly lock?: ObjectLock;
  readonly acl?: AclRequest;
}

/** What the body must turn out to be. Whoever reads it checks all that is here. */
export interface BodyExpectation {
  /** Decoded size in bytes, known before the first byte, unless `sizeMin` is given. */
  readonly size: number;
  /** The body ends by itself: it has this many bytes at least, and `size` at most. */
  readonly sizeMin?: number;
  /** 16 bytes. Wrong: `BadDigest`. */
  readonly md5: Uint8Array | undefined;
  /** From a header. Wrong: `BadDigest`. */
  readonly checksum: Checksum | undefined;
  /** Comes after the body as `x-amz-checksum-<algorithm>`; missing there: `MalformedTrailerError`. */
  readonly trailerAlgorithm: ChecksumAlgorithm | undefined;
  /** What to compute and store, as declared. Undefined: nothing was asked for (S3 itself then takes `crc64nvme`). */
  readonly algorithm: ChecksumAlgorithm | undefined;
}

/** One `Range: bytes=` of a request, before the size is known. */
export type ByteRange =
  | { readonly kind: "from_to"; readonly first: number; readonly last: number }
  | { readonly kind: "from"; readonly first: number }
  | { readonly kind: "suffix"; readonly size: number };

/** ETags named by a condition, without quotes; `"*"` stands for any. */
export type EtagMatch = "*" | readonly string[];

/** Conditions of a read, or of a copy's source. */
export interface ReadConditions {
  readonly ifMatch?: EtagMatch;
  readonly ifNoneMatch?: EtagMatch;
  readonly ifModifiedSince?: WallTime;
  readonly ifUnmodifiedSince?: WallTime;
}

/** Conditions of a write; at most one of the two. */
export interface WriteConditions {
  /** The current object must have this ETag; none there: `NoSuchKey`. */
  readonly ifMatch?: EtagMatch;
  /** Nothing may be there. */
  readonly ifNoneMatch?: "*";
}

/** Conditions of a delete; all of them must hold, and none does harm to an object that is not there. */
export interface DeleteConditions {
  readonly ifMatch?: EtagMatch;
  /** In bytes. */
  readonly ifSize?: number;
  /** The object was written in this second. */
  readonly ifModified?: WallTime;
}

/** Headers of an answer that a signed GET or HEAD overrode by `response-*`. */
export interface ResponseOverrides extends ContentHeaders {}
