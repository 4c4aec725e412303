import type { ChunkId, InodeId, NamespaceId, OperationId, SealId, WallTime } from "@kiseki/base";
import type {
  Checksum,
  ChecksumAlgorithm,
  ChunkAddress,
  ChunkRef,
  ChunkSeal,
  Content,
  Etag,
  Hold,
  LockDefault,
  NamespaceRow,
  NamespaceSetting,
  ObjectAttributes,
  Retention,
  RowWrite,
  SmallRef,
  StorageClass,
  Versioning,
  VersionNumber,
} from "@kiseki/format";
import type { ShelvedNotice } from "./notices.ts";
import type { PosixAnswer, PosixOperation, PosixRefusalCode } from "./posix/operation.ts";

/** Names of a tenant turned into keys; both are functions of the tenant's dirSecret alone. */
export interface DirKeys {
  /** AES-256(dirSecret, inode id): 16 bytes, not written to by anybody. Asked often: cache it. */
  dirKey(inode: InodeId): Uint8Array;
  /** Keyed hash of a name that POSIX cannot show, 16 bytes. */
  hiddenName(dirKey: Uint8Array, name: Uint8Array): Uint8Array;
}

export interface Limits {
  /** Longest key in bytes. */
  readonly keySizeMax: number;
  /** Smallest part but the last. */
  readonly partSizeMin: number;
  readonly partNumberMax: number;
  /** Bytes of header and user metadata names and values together. */
  readonly attributesSizeMax: number;
  /** Extents that one operation may bring or copy. */
  readonly extentsMax: number;
  /** Largest object. */
  readonly objectSizeMax: number;
  /** How long the outcome of a complete is kept, in milliseconds. */
  readonly doneMs: number;
}

/** Who asked for an operation, as those who subscribed are told. */
export interface Origin {
  readonly principal: string;
  readonly address: string;
  readonly requestId: string;
  /** How it came to the operation: a copy may be a put of what was read. */
  readonly via?: "form" | "copy" | "lifecycle";
}

/** What a decision needs besides the map; all of it ends up in the change, so replay asks for none of it. */
export interface DecideContext {
  /** Who asked, for notices; absent: the node itself. */
  readonly origin?: Origin | undefined;
  /** Never goes back within an owner's epoch (the physical part of its HLC): drop rows are ordered by it. */
  readonly now: WallTime;
  readonly operationId: OperationId;
  readonly dirKeys: DirKeys;
  /** MD5 of the parts one after another, for the ETag of multipart objects. */
  /**
   * Who keeps a file whose last name goes, though no session holds it open: one may have opened it a moment ago. Absent, or
   * `undefined`: nobody.
   */
  readonly keeper?: ((inode: InodeId) => Uint8Array | undefined) | undefined;
  readonly md5: (...parts: readonly Uint8Array[]) => Uint8Array;
  readonly limits: Limits;
}

/** Entity tags without quotes, or `*`. Any of `ifMatch` must fit; none of `ifNoneMatch` may. */
export interface Conditions {
  readonly ifMatch?: readonly string[];
  readonly ifNoneMatch?: readonly string[];
  /** The object has this many bytes. */
  readonly ifSize?: number;
  /** The object was written in the second in which this time lies. */
  readonly ifModified?: WallTime;
}

/**
 * A range of new content. `seal` present: the caller sealed and synced the chunk under it just now.
 * Absent: a dedup hit. `pinned` is then the seal that was live when the owner gave the hit and pinned it: if
 * the chunk's last reference went meanwhile, that seal is taken back from `drop`, where the pin has kept it
 * from the collector. Refused with `chunk_gone` if neither row nor pinned seal is there.
 */
export interface NewExtent extends ChunkAddress {
  readonly offset: number;
  readonly length: number;
  readonly chunkOffset: number;
  readonly seal?: ChunkSeal;
  readonly pinned?: SealId;
}
/** Content that is synced on its devices. Extents are ordered and disjoint. */
export type NewContent =
  | { readonly kind: "empty" }
  | { readonly kind: "small"; readonly ref: SmallRef }
  | { readonly kind: "extents"; readonly extents: readonly NewExtent[] };

/** Version named by a client: its number, or the one called `null`. */
export type VersionRef = VersionNumber | "null";
export interface ObjectName {
  readonly namespace: NamespaceId;
  readonly key: Uint8Array;
}

/** `null` clears, an absent name leaves what is there. */
export interface ExtrasChanges {
  readonly tags?: NonNullable<ObjectAttributes["tags"]> | null;
  readonly acl?: Uint8Array | null;
  readonly retention?: Retention | null;
  readonly legalHold?: boolean | null;
}

export type Operation =
  | {
      readonly kind: "create_namespace";
      readonly id: NamespaceId;
      /** A valid bucket name; the caller checked its form. */
      readonly name: string;
      readonly versioning?: Versioning;
      /** Versions may be locked; `versioning` is `enabled` then, and stays so. */
      readonly isLockEnabled?: boolean;
    }
  /** Refused while objects, old versions or delete markers are there; open uploads are aborted. */
  | { readonly kind: "delete_namespace"; readonly namespace: NamespaceId }
  /** `off` is refused with `invalid_versioning` once versioning was set. */
  | {
      readonly kind: "set_versioning";
      readonly namespace: NamespaceId;
      readonly versioning: Versioning;
    }
  /** Of the namespace, or of the tenant when none is named. Limits left out are none; without any the quota goes. */
  | {
      readonly kind: "set_quota";
      readonly namespace?: NamespaceId;
      readonly limits: { readonly bytesMax?: number; readonly objectsMax?: number };
    }
  /** What was set under that name before is replaced. `value`: at most 256 KiB. Not for `object-lock`. */
  | {
      readonly kind: "put_setting";
      readonly namespace: NamespaceId;
      readonly setting: NamespaceSetting;
      readonly value: Uint8Array;
    }
  /** No refusal when nothing was set. Not for `object-lock`. */
  | {
      readonly kind: "delete_setting";
      readonly namespace: NamespaceId;
      readonly setting: NamespaceSetting;
    }
  /** Keeps every version of the namespace, in place of the hold with the same id. */
  | { readonly kind: "set_hold"; readonly namespace: NamespaceId; readonly hold: Hold }
  | { readonly kind: "release_hold"; readonly namespace: NamespaceId; readonly id: string }
  /** Switches locks on where they are not yet; refused where versioning is not enabled. */
  | {
      readonly kind: "set_object_lock";
      readonly namespace: NamespaceId;
      /** For versions made from now on; absent: none. */
      readonly byDefault?: LockDefault;
    }
  | (ObjectName & {
      readonly kind: "put_object";
      readonly content: NewContent;
      readonly size: number;
      readonly etag: Etag;
      readonly attributes: ObjectAttributes;
      readonly conditions?: Conditions;
    })
  /** Without `version`: what S3 DELETE does; a key that is not there is an answer, not a refusal. */
  | (ObjectName & {
      readonly kind: "delete_object";
      readonly version?: VersionRef;
      readonly conditions?: Conditions;
      /** Refused with `precondition_failed` unless this is the key's newest version or delete marker still. */
      readonly ifNewest?: VersionNumber;
      /** As `ifNewest`, unless that was changed last at this time (`changedAt`): a file is written in place. */
      readonly ifChanged?: WallTime;
      /** Refused with `precondition_failed` unless what is deleted has exactly these tags. */
      readonly ifTags?: readonly (readonly [string, string])[];
      /** The caller may, and says so: retention in governance mode does not hold it back. */
      readonly isBypassing?: boolean;
    })
  /** Changes extras of the current object, or of the version named, in place. */
  | (ObjectName & {
      readonly kind: "set_object_extras";
      readonly version?: VersionRef;
      readonly changes: ExtrasChanges;
      /** As of `delete_object`, for retention that is shortened, removed or changed in mode. */
      readonly isBypassing?: boolean;
    })
  /**
   * Content that was stored again, in another pool, takes the place of the version's own, or of one part's (counted from
   * 0); what it replaces is released. Refused with `precondition_failed` unless the content is `before` still. The version
   * changes in nothing else but `storageClass`, where that is given: with the last of it, or without any.
   */
  | (ObjectName & {
      readonly kind: "move_content";
      readonly version: VersionNumber;
      readonly before: Content;
      readonly part?: number;
      readonly content?: NewContent;
      readonly storageClass?: StorageClass;
      /** As of `delete_object`. */
      readonly ifTags?: readonly (readonly [string, string])[];
    })
  /**
   * Copies by reference; moves no data. `attributes` present: they replace the source's, whose checksums the
   * caller gives along. Absent: the source's without what `copiedAttributes` leaves out. Refused with `source_is_small` when the content is small or under a customer's key: read it and put it.
   */
  | (ObjectName & {
      readonly kind: "copy_object";
      readonly source: ObjectName & { readonly version?: VersionRef };
      readonly sourceConditions?: Conditions;
      readonly attributes?: ObjectAttributes;
      readonly conditions?: Conditions;
    })
  | (ObjectName & {
      readonly kind: "create_upload";
      /** 16 random bytes; the upload id is made of the time and the last 10 of them. */
      readonly random: Uint8Array;
      readonly attributes: ObjectAttributes;
      readonly checksumAlgorithm?: ChecksumAlgorithm;
      readonly isChecksumComposite?: boolean;
    })
  | (ObjectName & {
      readonly kind: "put_part";
      readonly upload: Uint8Array;
      /** `[1, partNumberMax]`. */
      readonly part: number;
      readonly content: NewContent;
      readonly size: number;
      readonly md5: Uint8Array;
      readonly checksums: readonly Checksum[];
    })
  /** A part by reference to `[start, end)` of an object. `md5` is of that range; refused like `copy_object`. */
  | (ObjectName & {
      readonly kind: "copy_part";
      readonly upload: Uint8Array;
      readonly part: number;
      readonly source: ObjectName & { readonly version?: VersionRef };
      readonly start: number;
      readonly end: number;
      readonly md5: Uint8Array;
      readonly checksums: readonly Checksum[];
      readonly sourceConditions?: Conditions;
    })
  | (ObjectName & {
      readonly kind: "complete_upload";
      readonly upload: Uint8Array;
      /** In the order the client sent; `etag` is hex without quotes. */
      readonly parts: readonly { readonly part: number; readonly etag: string }[];
      /** Of the whole object, worked out by the caller from the parts. */
      readonly checksums: readonly Checksum[];
      readonly conditions?: Conditions;
    })
  | (ObjectName & { readonly kind: "abort_upload"; readonly upload: Uint8Array })
  /** Notices that a target waits for, or would not take, come and go. */
  | {
      readonly kind: "move_notices";
      readonly target: string;
      readonly put: readonly (ShelvedNotice & { readonly value: Uint8Array })[];
      readonly remove: readonly ShelvedNotice[];
    }
  /** One bounded step of freeing; answer `reclaimed` says whether more is to do. */
  | { readonly kind: "reclaim_step" }
  /** The collector has deleted these seals from every present device: their `drop` rows go. */
  | {
      readonly kind: "dropped";
      readonly drops: readonly {
        readonly time: WallTime;
        readonly chunkId: ChunkId;
        readonly sealId: SealId;
      }[];
    }
  /**
   * A chunk was sealed again, under a newer keyset or as fragments of another profile: if `sealId` is live
   * still, `seal` becomes the live one and the other goes to `drop`; else `seal` goes there. The address stays.
   */
  | {
      readonly kind: "resealed";
      readonly address: ChunkAddress;
      readonly sealId: SealId;
      /** Of a keyset that is no older. */
      readonly seal: ChunkSeal;
    }
  /**
   * Small content was sealed again, under a newer keyset or as more copies: where `row` (of `Reference.row`) names it by
   * `sealId` still, `ref` takes its place and the other seal goes to `drop`; else `ref` goes there.
   */
  | {
      readonly kind: "small_resealed";
      readonly row: Uint8Array;
      readonly sealId: SealId;
      /** Of the same chunk id and size, and of a keyset that is no older. */
      readonly ref: SmallRef;
    }
  /**
   * The secret salt of an object under a customer's key was sealed under a newer keyset: where `row` (of
   * `listEncryptions`) has the facts `before` still, `encryption` takes their place.
   */
  | {
      readonly kind: "encryption_resealed";
      readonly row: Uint8Array;
      readonly before: Uint8Array;
      readonly encryption: Uint8Array;
    }
  /** Repair brought the live seal's fragments to `missing`; ignored when another seal is live now. */
  | {
      readonly kind: "repaired";
      readonly address: ChunkAddress;
      readonly sealId: SealId;
      readonly missing: number;
    }
  | PosixOperation;

/** Closed set; the edge maps each to its protocol's error. */
export type RefusalCode =
  | "no_such_namespace"
  | "namespace_exists"
  | "namespace_not_empty"
  | "namespace_read_only"
  | "invalid_versioning"
  /** Versioning of a namespace with locks cannot be suspended. */
  | "versioning_locked"
  | "lock_needs_versioning"
  | "lock_not_enabled"
  | "retention_in_past"
  /** Retention or a hold keeps the version, or the namespace. */
  | "object_locked"
  /** Its id is none, or there are too many. */
  | "invalid_hold"
  | "no_such_hold"
  | "no_such_key"
  | "no_such_version"
  /** The version named is a delete marker (copy source). */
  | "is_delete_marker"
  | "invalid_key"
  | "key_too_long"
  | "precondition_failed"
  | "source_precondition_failed"
  | "source_is_small"
  | "no_such_source_namespace"
  | "no_such_source_key"
  | "no_such_source_version"
  | "invalid_range"
  | "attributes_too_large"
  | "setting_too_large"
  | "too_many_extents"
  | "object_too_large"
  | "quota_exceeded"
  | "chunk_gone"
  | "no_such_upload"
  | "invalid_part"
  | "invalid_part_number"
  | "invalid_part_order"
  | "entity_too_small"
  | "directory_closed"
  | PosixRefusalCode;

export interface Refusal {
  readonly kind: "refused";
  readonly code: RefusalCode;
}

/** What the caller tells its client once the batch is durable. */
export type Answer =
  | { readonly kind: "namespace"; readonly namespace: NamespaceRow }
  | { readonly kind: "none" }
  | {
      readonly kind: "object";
      readonly etag: Etag;
      readonly size: number;
      readonly modified: WallTime;
      readonly version: VersionNumber;
      readonly isNull: boolean;
      readonly checksums: readonly Checksum[];
    }
  | {
      readonly kind: "deleted";
      /** The version removed or the marker made; undefined when nothing was there (unversioned). */
      readonly version: VersionNumber | undefined;
      readonly isNull: boolean;
      /** A marker was made, or the version removed was one. */
      readonly isDeleteMarker: boolean;
    }
  /** The version whose extras were set. */
  | { readonly kind: "version"; readonly version: VersionNumber; readonly isNull: boolean }
  | { readonly kind: "upload"; readonly upload: Uint8Array }
  | {
      readonly kind: "part";
      readonly md5: Uint8Array;
      readonly size: number;
      readonly modified: WallTime;
    }
  | { readonly kind: "reclaimed"; readonly hasMore: boolean }
  | PosixAnswer;

/** What the log keeps of an operation. `payload` is sealed there; the rest is its clear header. */
export interface Change {
  /** Code of the operation's kind (`operationCode`). */
  readonly operation: number;
  /** Of the directory changed; zeros when there is none. */
  readonly dirKey: Uint8Array;
  /** Name in that directory; the log keeps a keyed tag of it only. */
  readonly name: Uint8Array;
  /** Seals that this change makes live. */
  readonly chunkRefs: readonly ChunkRef[];
  /**
   * In the order of their keys; notices, which are for the log alone, are the last. `encodeChange` turns them into the
   * delta's payload.
   */
  readonly rows: readonly RowWrite[];
}

export type Decision =
  /** Apply `change` to the batch's transaction, log it, and answer after COMMIT. */
  | { readonly kind: "change"; readonly change: Change; readonly answer: Answer }
  /** Nothing to write; answer once what the batch did before is durable. */
  | { readonly kind: "answer"; readonly answer: Answer }
  | Refusal;

export const refuse = (code: RefusalCode): Refusal => ({ kind: "refused", code });
/** Tells a refusal from whatever else a step answers. */
export function isRefusal(outcome: object | undefined): outcome is Refusal {
  return outcome !== undefined && "kind" in outcome && outcome.kind === "refused";
}
