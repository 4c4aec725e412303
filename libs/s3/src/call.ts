/** Every request this server understands, typed. A request that is none of these is refused, never guessed at. */
import type { RequestHead } from "@kiseki/http";
import type { AclRequest } from "./acl.ts";
import type {
  BodyExpectation,
  ByteRange,
  ChecksumAlgorithm,
  ChecksumType,
  DeleteConditions,
  ObjectAttributes,
  ReadConditions,
  ResponseOverrides,
  WriteConditions,
} from "./attributes.ts";
import type { CustomerKeyHeaders, RequestedEncryption } from "./encryption-headers.ts";
import type { S3ErrorCode } from "./errors.ts";
import type { BucketSetting } from "./settings/bucket-setting.ts";
import type { ObjectOwnership } from "./settings/ownership.ts";

/** A bucket's name that passed S3's rules for names. */
interface InBucket {
  readonly bucket: string;
}
/** A key in the one canonical form: 1 to 1024 bytes of well-formed UTF-8, otherwise untouched. */
interface OnKey extends InBucket {
  readonly key: Uint8Array;
}
/** The current object, or one version of it. */
interface OnVersion extends OnKey {
  /** As the client sent it, not empty; whether it is one is for whoever has the keys to say. */
  readonly versionId: string | undefined;
}
interface OnUpload extends OnKey {
  /** As the client sent it, at most 256 characters; whether it exists is the store's to say. */
  readonly uploadId: string;
}
/** A body that must be collected before the call can run; never more than `bodySizeMax`. */
interface WithDocument {
  readonly bodySizeMax: number;
  /** What to check the collected bytes against, apart from the signature. */
  readonly body: BodyExpectation;
}

/** Content that is under a customer's key (SSE-C) is opened with that key alone. */
interface WithCustomerKey {
  readonly customerKey: CustomerKeyHeaders | undefined;
}

export interface ListBucketsCall {
  readonly kind: "list_buckets";
  readonly prefix: string;
  /** In `[1, 10000]`. */
  readonly maxBuckets: number;
  readonly isPaged: boolean;
  readonly continuationToken: string | undefined;
}
export interface CreateBucketCall extends InBucket, WithDocument {
  readonly kind: "create_bucket";
  /** Versions may be locked, and are kept from the start. */
  readonly isLockEnabled: boolean;
  readonly acl: AclRequest | undefined;
  readonly ownership: ObjectOwnership | undefined;
}
export interface BucketCall extends InBucket {
  readonly kind: "head_bucket" | "delete_bucket" | "get_bucket_location" | "get_bucket_versioning";
}

export interface PutVersioningCall extends InBucket, WithDocument {
  readonly kind: "put_bucket_versioning";
}

/**
 * A GET of a setting that no bucket here can have yet. Where the bucket exists, `answer` is the
 * truth: tools probe with these and take the code for "not configured".
 */
export interface UnsetSettingCall extends InBucket {
  readonly kind: "get_unset_setting";
  readonly answer: Extract<
    S3ErrorCode,
    | "NoSuchConfiguration"
    | "ObjectLockConfigurationNotFoundError"
    | "ReplicationConfigurationNotFoundError"
  >;
}

/**
 * A GET of a setting whose value is the same for every bucket here, because nobody can change it yet:
 * what AWS gives a new bucket.
 */
export interface FixedSettingCall extends InBucket {
  readonly kind: "get_fixed_setting";
  readonly setting: "accelerate" | "analytics" | "intelligent-tiering" | "inventory" | "metrics";
}
/** A setting that can be set here, moved between the request and its row. */
export interface BucketSettingCall extends InBucket {
  readonly kind: "get_bucket_setting" | "delete_bucket_setting";
  readonly setting: BucketSetting<unknown>;
}
export interface PutBucketSettingCall extends InBucket, WithDocument {
  readonly kind: "put_bucket_setting";
  readonly setting: BucketSetting<unknown>;
}
export interface LockConfigurationCall extends InBucket {
  readonly kind: "get_object_lock_configuration";
}
export interface PutLockConfigurationCall extends InBucket, WithDocument {
  readonly kind: "put_object_lock_configuration";
}
/** The client says that it removes what is retained in governance mode; whether it may is for its policies to say. */
interface MayBypass {
  readonly isBypassing: boolean;
}
export interface ObjectLockCall extends OnVersion {
  readonly kind: "get_object_legal_hold" | "get_object_retention";
}
export interface PutLegalHoldCall extends OnVersion, WithDocument {
  readonly kind: "put_object_legal_hold";
}
export interface PutRetentionCall extends OnVersion, WithDocument, MayBypass {
  readonly kind: "put_object_retention";
}
/** Taking away a setting that no bucket can have: done before it was asked for. */
export interface DeleteSettingCall extends InBucket {
  readonly kind: "delete_unset_setting";
}
/** A bucket's policy: JSON, as it was put. */
export interface PolicyCall extends InBucket {
  readonly kind: "get_bucket_policy" | "delete_bucket_policy" | "get_bucket_policy_status";
}
export interface PutPolicyCall extends InBucket, WithDocument {
  readonly kind: "put_bucket_policy";
}
export interface BucketAclCall extends InBucket {
  readonly kind: "get_bucket_acl";
}
/** `acl`: from headers; else it is the document. */
export interface PutBucketAclCall extends InBucket, WithDocument {
  readonly kind: "put_bucket_acl";
  readonly acl: AclRequest | undefined;
}
export interface OwnershipCall extends InBucket {
  readonly kind: "get_bucket_ownership" | "delete_bucket_ownership";
}
export interface PutOwnershipCall extends InBucket, WithDocument {
  readonly kind: "put_bucket_ownership";
}
export interface ObjectSettingCall extends OnVersion {
  readonly kind: "get_object_acl";
}
export interface PutObjectAclCall extends OnVersion, WithDocument {
  readonly kind: "put_object_acl";
  readonly acl: AclRequest | undefined;
}
export interface ObjectTaggingCall extends OnVersion {
  readonly kind: "get_object_tagging" | "delete_object_tagging";
}
/** All tags of an object at once. */
export interface PutObjectTaggingCall extends OnVersion, WithDocument {
  readonly kind: "put_object_tagging";
}

/** What GetObjectAttributes can be asked for. */
export type ObjectAttributeName =
  "ETag" | "Checksum" | "ObjectParts" | "StorageClass" | "ObjectSize";
export interface GetObjectAttributesCall extends OnVersion, WithCustomerKey {
  readonly kind: "get_object_attributes";
  /** At least one. */
  readonly wanted: ReadonlySet<ObjectAttributeName>;
  /** In `[0, 1000]`. */
  readonly maxParts: number;
  /** Only parts behind it; 0 is from the start. */
  readonly partNumberMarker: number;
}

/** ListObjects version 1 and 2. */
export interface ListObjectsCall extends InBucket {
  readonly kind: "list_objects";
  readonly version: 1 | 2;
  readonly prefix: Uint8Array;
  /** Empty: no grouping. */
  readonly delimiter: Uint8Array;
  /** `marker` or `start-after`: only what sorts behind it. Empty: from the start. */
  readonly after: Uint8Array;
  /** Version 2: opened by `openListToken`; wins over `after`. */
  readonly continuationToken: string | undefined;
  /** In `[0, 1000]`. */
  readonly maxKeys: number;
  readonly isUrlEncoded: boolean;
  readonly isOwnerWanted: boolean;
}
export interface ListVersionsCall extends InBucket {
  readonly kind: "list_object_versions";
  readonly prefix: Uint8Array;
  readonly delimiter: Uint8Array;
  readonly keyMarker: Uint8Array;
  readonly versionIdMarker: string | undefined;
  readonly maxKeys: number;
  readonly isUrlEncoded: boolean;
}
export interface ListUploadsCall extends InBucket {
  readonly kind: "list_multipart_uploads";
  readonly prefix: Uint8Array;
  readonly delimiter: Uint8Array;
  readonly keyMarker: Uint8Array;
  /** Means nothing without `keyMarker`. */
  readonly uploadIdMarker: string | undefined;
  /** In `[0, 1000]`. */
  readonly maxUploads: number;
  readonly isUrlEncoded: boolean;
}
export interface ListPartsCall extends OnUpload {
  readonly kind: "list_parts";
  /** Only parts behind it; 0 is from the start. */
  readonly partNumberMarker: number;
  /** In `[0, 1000]`. */
  readonly maxParts: number;
  readonly isUrlEncoded: boolean;
}
export interface DeleteObjectsCall extends InBucket, WithDocument, MayBypass {
  readonly kind: "delete_objects";
}

export interface PutObjectCall extends OnKey {
  readonly kind: "put_object";
  /** Undefined: as the bucket says. */
  readonly encryption: RequestedEncryption | undefined;
  readonly attributes: ObjectAttributes;
  readonly conditions: WriteConditions;
  readonly body: BodyExpectation;
}
/** A browser's form: a put whose body is the form's file, its size bounded and not known. */
export interface PostObjectCall extends Omit<PutObjectCall, "kind"> {
  readonly kind: "post_object";
  readonly success:
    | { readonly kind: "redirect"; readonly url: string }
    | { readonly kind: "status"; readonly status: 200 | 201 | 204 };
}
/** GetObject and HeadObject. */
export interface ReadObjectCall extends OnVersion, WithCustomerKey {
  readonly kind: "get_object" | "head_object";
  /** Undefined: the whole object. */
  readonly range: ByteRange | undefined;
  /** In `[1, 10000]`; excludes `range`. */
  readonly partNumber: number | undefined;
  readonly conditions: ReadConditions;
  readonly overrides: ResponseOverrides;
  readonly isChecksumWanted: boolean;
}
export interface DeleteObjectCall extends OnVersion, MayBypass {
  readonly kind: "delete_object";
  readonly conditions: DeleteConditions;
}

/** Where a copy reads from. */
export interface CopySource extends WithCustomerKey {
  readonly bucket: string;
  readonly key: Uint8Array;
  readonly versionId: string | undefined;
  readonly conditions: ReadConditions;
}
export interface CopyObjectCall extends OnKey {
  readonly kind: "copy_object";
  /** Of the copy. Undefined: as the target's bucket says. */
  readonly encryption: RequestedEncryption | undefined;
  readonly source: CopySource;
  /** Undefined: the source's are kept. Storage class and SSE come from `attributes` in either case. */
  readonly isMetadataReplaced: boolean;
  /** False: the source's tags are kept, whatever `attributes` says. */
  readonly areTagsReplaced: boolean;
  readonly attributes: ObjectAttributes;
  readonly conditions: WriteConditions;
  /** Undefined: the algorithm of the source stays. */
  readonly algorithm: ChecksumAlgorithm | undefined;
}

export interface CreateUploadCall extends OnKey {
  readonly kind: "create_multipart_upload";
  /** Undefined: as the bucket says. */
  readonly encryption: RequestedEncryption | undefined;
  readonly attributes: ObjectAttributes;
  /** What parts and the whole are checked by. Undefined: CRC-64/NVME over the whole, not said to the client. */
  readonly checksum:
    { readonly algorithm: ChecksumAlgorithm; readonly type: ChecksumType } | undefined;
}
export interface UploadPartCall extends OnUpload, WithCustomerKey {
  readonly kind: "upload_part";
  /** In `[1, 10000]`. */
  readonly partNumber: number;
  readonly body: BodyExpectation;
}
export interface UploadPartCopyCall extends OnUpload, WithCustomerKey {
  readonly kind: "upload_part_copy";
  readonly partNumber: number;
  readonly source: CopySource;
  /** Both ends inclusive. Undefined: the whole source. */
  readonly range: { readonly first: number; readonly last: number } | undefined;
}
export interface CompleteUploadCall extends OnUpload, WithDocument, WithCustomerKey {
  readonly kind: "complete_multipart_upload";
  readonly conditions: WriteConditions;
  /** The whole object's checksum as the client knows it, and for composites its `-N`. */
  readonly expected: { readonly value: Uint8Array; readonly partCount: number } | undefined;
  readonly expectedAlgorithm: ChecksumAlgorithm | undefined;
  readonly checksumType: ChecksumType | undefined;
  /** `x-amz-mp-object-size`. */
  readonly expectedSize: number | undefined;
}
export interface AbortUploadCall extends OnUpload {
  readonly kind: "abort_multipart_upload";
}

export type S3Call =
  | ListBucketsCall
  | CreateBucketCall
  | BucketCall
  | PutVersioningCall
  | BucketSettingCall
  | PutBucketSettingCall
  | UnsetSettingCall
  | FixedSettingCall
  | DeleteSettingCall
  | LockConfigurationCall
  | PutLockConfigurationCall
  | ObjectLockCall
  | PutLegalHoldCall
  | PutRetentionCall
  | PolicyCall
  | PutPolicyCall
  | BucketAclCall
  | PutBucketAclCall
  | PutObjectAclCall
  | OwnershipCall
  | PutOwnershipCall
  | ObjectSettingCall
  | ObjectTaggingCall
  | PutObjectTaggingCall
  | GetObjectAttributesCall
  | ListObjectsCall
  | ListVersionsCall
  | ListUploadsCall
  | ListPartsCall
  | DeleteObjectsCall
  | PutObjectCall
  | PostObjectCall
  | ReadObjectCall
  | DeleteObjectCall
  | CopyObjectCall
  | CreateUploadCall
  | UploadPartCall
  | UploadPartCopyCall
  | CompleteUploadCall
  | AbortUploadCall;

/** What a request's head must offer: `RequestHead` of `libs/http`, and whether it is signed. */
export interface S3Request extends Pick<RequestHead, "method" | "target" | "headers" | "host"> {
  /** False for an anonymous request, which may not ask for `response-*`. */
  readonly isSigned: boolean;
}

/** How this server is addressed. */
export interface S3Addressing {
  /** Host names, lower-case, without port, below which a label is a bucket (`bucket.<name>`). */
  readonly baseHosts: readonly string[];
}
