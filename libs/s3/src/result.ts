/** What a call came to, typed; `toResponse` turns it into status, headers and document. */
import type { HeaderBlock } from "@kiseki/http";
import type { WallTime } from "@kiseki/base";
import type { Acl } from "@kiseki/policy";
import type {
  Checksum,
  ChecksumAlgorithm,
  ChecksumType,
  ContentHeaders,
  ObjectAttributes,
  ObjectChecksum,
  ObjectLock,
  ResponseOverrides,
} from "./attributes.ts";
import type {
  FixedSettingCall,
  GetObjectAttributesCall,
  ListObjectsCall,
  ListPartsCall,
  ListUploadsCall,
  ListVersionsCall,
  ListBucketsCall,
  PostObjectCall,
} from "./call.ts";
import type { ShownEncryption } from "./encryption-headers.ts";
import type { S3ErrorCode } from "./errors.ts";
import type { CorsGrant } from "./settings/cors.ts";
import type { Due } from "./settings/lifecycle-evaluate.ts";
import type { Tag } from "./settings/tags.ts";

/** Whoever owns a bucket or an object: 64 hex digits in S3, any text here. */
export interface Owner {
  readonly id: string;
  readonly displayName: string;
}

/** One object as a list shows it. `etag` without quotes. */
export interface ListedObject {
  readonly key: Uint8Array;
  readonly lastModified: WallTime;
  readonly etag: string;
  readonly size: number;
  readonly storageClass: string;
  readonly owner: Owner;
  readonly checksumAlgorithm: ChecksumAlgorithm | undefined;
  readonly checksumType: ChecksumType | undefined;
}

/** The state of an object that a GET or HEAD shows. */
export interface ObjectView {
  readonly size: number;
  /** Without quotes. */
  readonly etag: string;
  readonly lastModified: WallTime;
  readonly content: ContentHeaders;
  readonly metadata: ObjectAttributes["metadata"];
  readonly tags: readonly Tag[];
  readonly storageClass: string;
  readonly encryption: ShownEncryption;
  readonly checksum: ObjectChecksum | undefined;
  readonly lock?: ObjectLock;
}

/** One version or delete marker as ListObjectVersions shows it. */
export interface ListedVersion extends ListedObject {
  readonly versionId: string;
  readonly isLatest: boolean;
  readonly isDeleteMarker: boolean;
}

/** What an answer says of versions, whatever else it says; nothing where the bucket never had any. */
interface OfVersion {
  readonly versionId?: string | undefined;
}

export type S3Result = OfVersion & AnyResult;
type AnyResult =
  | {
      readonly kind: "buckets";
      readonly call: ListBucketsCall;
      readonly owner: Owner;
      readonly buckets: readonly {
        readonly name: string;
        readonly created: WallTime;
        readonly region: string;
      }[];
      /** Sealed token; undefined at the end. */
      readonly continuationToken: string | undefined;
    }
  | { readonly kind: "bucket_created"; readonly bucket: string }
  | { readonly kind: "bucket_found"; readonly region: string }
  | { readonly kind: "bucket_deleted" }
  /** A browser may send the request that it asked about. */
  | { readonly kind: "preflight"; readonly grant: CorsGrant }
  /** `us-east-1` is sent as the empty constraint, as S3 does. */
  | { readonly kind: "bucket_location"; readonly region: string }
  /** `off`: it never was set. */
  | { readonly kind: "bucket_versioning"; readonly versioning: "off" | "enabled" | "suspended" }
  | { readonly kind: "fixed_setting"; readonly setting: FixedSettingCall["setting"] }
  | { readonly kind: "acl"; readonly acl: Acl }
  | { readonly kind: "object_tags"; readonly tags: readonly Tag[] }
  | { readonly kind: "setting_put" | "setting_deleted" }
  /** A setting's own document. */
  | {
      readonly kind: "setting_shown";
      readonly document: Uint8Array;
      readonly contentType: string | undefined;
    }
  | {
      readonly kind: "object_attributes";
      readonly call: GetObjectAttributesCall;
      readonly view: ObjectView;
      /** Undefined: not a multipart object. */
      readonly parts:
        | {
            readonly count: number;
            /** Those numbered above `call.partNumberMarker`, `call.maxParts` at most. */
            readonly listed: readonly {
              readonly number: number;
              readonly size: number;
              readonly checksum: Checksum | undefined;
            }[];
            readonly isTruncated: boolean;
          }
        | undefined;
    }
  | {
      readonly kind: "objects";
      readonly call: ListObjectsCall;
      /** Objects and prefixes each in order; together at most `call.maxKeys`. */
      readonly objects: readonly ListedObject[];
      readonly commonPrefixes: readonly Uint8Array[];
      readonly isTruncated: boolean;
      /** Version 1: the last key or prefix shown, sent as NextMarker when truncated and a delimiter was given. */
      readonly nextMarker: Uint8Array | undefined;
      /** Version 2: sealed token, when truncated. */
      readonly nextToken: string | undefined;
    }
  | {
      readonly kind: "object_versions";
      readonly call: ListVersionsCall;
      /** By key, each from its newest to its oldest. */
      readonly versions: readonly ListedVersion[];
      readonly commonPrefixes: readonly Uint8Array[];
      readonly isTruncated: boolean;
      readonly nextKeyMarker: Uint8Array | undefined;
      readonly nextVersionIdMarker: string | undefined;
    }
  | {
      readonly kind: "uploads";
      readonly call: ListUploadsCall;
      readonly uploads: readonly {
        readonly key: Uint8Array;
        readonly uploadId: string;
        readonly initiated: WallTime;
        readonly storageClass: string;
        readonly owner: Owner;
        readonly checksumAlgorithm: ChecksumAlgorithm | undefined;
        readonly checksumType: ChecksumType | undefined;
      }[];
      readonly commonPrefixes: readonly Uint8Array[];
      readonly isTruncated: boolean;
      readonly nextKeyMarker: Uint8Array | undefined;
      readonly nextUploadIdMarker: string | undefined;
    }
  | {
      readonly kind: "parts";
      readonly call: ListPartsCall;
      readonly parts: readonly {
        readonly partNumber: number;
        readonly lastModified: WallTime;
        readonly etag: string;
        readonly size: number;
        readonly checksum: Uint8Array | undefined;
      }[];
      readonly isTruncated: boolean;
      /** By the bucket's lifecycle. */
      readonly abortion?: Due;
      readonly storageClass: string;
      readonly owner: Owner;
      readonly checksumAlgorithm: ChecksumAlgorithm | undefined;
      readonly checksumType: ChecksumType | undefined;
    }
  | {
      readonly kind: "object_put";
      readonly etag: string;
      readonly checksum: ObjectChecksum | undefined;
      readonly encryption: ShownEncryption;
      /** By the bucket's lifecycle. */
      readonly expiration?: Due;
    }
  | {
      readonly kind: "object_posted";
      readonly call: PostObjectCall;
      /** As the client can reach it: `http(s)://host/bucket/key`. */
      readonly location: string;
      readonly put: Extract<S3Result, { readonly kind: "object_put" }>;
    }
  | {
      readonly kind: "object_read";
      readonly view: ObjectView;
      /** What is sent of it. Undefined: all. `length` ≥ 1. */
      readonly range: { readonly offset: number; readonly length: number } | undefined;
      /** Said only when the request named a part. */
      readonly partCount: number | undefined;
      readonly overrides: ResponseOverrides;
      /** Of what is sent, where the request asked for it: one of other bytes clients would take for a fault. */
      readonly checksum: ObjectChecksum | undefined;
      /** By the bucket's lifecycle. */
      readonly expiration?: Due;
    }
  /** All of an object, of which nothing is said that is not in `headers`. */
  | {
      readonly kind: "plain_read";
      readonly headers: HeaderBlock;
      readonly size: number;
    }
  | {
      readonly kind: "not_modified";
      readonly view: ObjectView;
      readonly overrides: ResponseOverrides;
    }
  /** `isDeleteMarker`: one was made, or the version removed was one. */
  | { readonly kind: "object_deleted"; readonly isDeleteMarker: boolean }
  | {
      readonly kind: "objects_deleted";
      readonly isQuiet: boolean;
      /** In the order of the request. */
      readonly outcomes: readonly {
        readonly key: Uint8Array;
        /** As the request named it. */
        readonly versionId: string | undefined;
        /** The delete marker that was made, or removed by its id. */
        readonly marker: { readonly versionId: string } | undefined;
        readonly error:
          { readonly code: S3ErrorCode; readonly message: string | undefined } | undefined;
      }[];
    }
  | {
      readonly kind: "object_copied" | "part_copied";
      readonly sourceVersionId?: string | undefined;
      readonly etag: string;
      readonly lastModified: WallTime;
      readonly checksum: ObjectChecksum | undefined;
      readonly encryption: ShownEncryption;
      /** By the bucket's lifecycle. */
      readonly expiration?: Due;
    }
  | {
      readonly kind: "upload_created";
      readonly bucket: string;
      readonly key: Uint8Array;
      readonly uploadId: string;
      readonly checksum:
        { readonly algorithm: ChecksumAlgorithm; readonly type: ChecksumType } | undefined;
      readonly encryption: ShownEncryption;
      /** By the bucket's lifecycle. */
      readonly abortion?: Due;
    }
  | {
      readonly kind: "part_uploaded";
      readonly etag: string;
      readonly checksum: ObjectChecksum | undefined;
      readonly encryption: ShownEncryption;
    }
  | {
      readonly kind: "upload_completed";
      /** As the client reached it: `http(s)://host/bucket/key`. */
      readonly location: string;
      readonly bucket: string;
      readonly key: Uint8Array;
      readonly etag: string;
      readonly checksum: ObjectChecksum | undefined;
      readonly encryption: ShownEncryption;
      /** By the bucket's lifecycle. */
      readonly expiration?: Due;
    }
  | { readonly kind: "upload_aborted" };

/** An answer's head, and its body where S3 and not the store makes it. */
export interface S3Response {
  readonly status: number;
  /** Names as S3 writes them. Without Date, Server and Connection, which the front adds. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Further headers, which other answers have too. */
  readonly shared?: HeaderBlock;
  /** Undefined: none, or (`object_read` and `plain_read` with GET) the object's bytes, as many as Content-Length says. */
  readonly body: Uint8Array | undefined;
}

/** What every answer carries. */
export interface ResponseContext {
  /** 16 upper-case hex digits in S3. */
  readonly requestId: string;
  readonly hostId: string;
  /** True for HEAD: the head of the answer without its document. */
  readonly isHead: boolean;
  /** The path as requested, for `Resource` in error documents. */
  readonly resource: string;
  /** The call's, named by some error documents. */
  readonly bucket: string | undefined;
  readonly key: Uint8Array | undefined;
}
