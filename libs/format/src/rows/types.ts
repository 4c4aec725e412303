import type { ChunkId, InodeId, Keyset, NamespaceId, SealId, WallTime } from "@kiseki/base";
import type { StorageClass } from "./storage-class.ts";

/** How a chunk becomes fragments; the same shape as `Profile` of the datapath port. */
export type RowProfile =
  | { readonly kind: "copies"; readonly copies: number }
  | { readonly kind: "ec"; readonly data: number; readonly parity: number };

/** Names a chunk's one live seal: key of its row. `pool` is the pool's number, `[0, 2^32)`. */
export interface ChunkAddress {
  readonly chunkId: ChunkId;
  readonly pool: number;
  readonly profile: RowProfile;
}

/** One sealing of a chunk and where it was put. */
export interface ChunkSeal {
  readonly sealId: SealId;
  readonly keyset: Keyset;
  /** Generation of the placement map that chose the devices; `[0, 2^32)`. */
  readonly placementEpoch: number;
  /** Plaintext bytes of the whole chunk, `[1, 4 MiB]`. */
  readonly size: number;
  /** How many fragments were not synced when the seal was committed; repair is due if any. */
  readonly missing: number;
}

/** Content of at most one segment: a chunk with a random id and no chunk row; this is its only reference. */
export interface SmallRef extends ChunkAddress, ChunkSeal {}

/** A range of a file that lies in a chunk. */
export interface ChunkExtent extends ChunkAddress {
  readonly kind: "chunk";
  /** Bytes from the start of the content (in a manifest node: of the node). */
  readonly offset: number;
  readonly length: number;
  readonly chunkOffset: number;
}
/** A range that lies in a small chunk owned by this extent alone. */
export interface SmallExtent extends SmallRef {
  readonly kind: "small";
  readonly offset: number;
  readonly length: number;
  readonly chunkOffset: number;
}
/** Ordered, disjoint; what no extent covers is a hole of zeros. */
export type Extent = ChunkExtent | SmallExtent;
/** A range of another manifest, which this extent holds as an object would. */
export interface SliceExtent {
  readonly kind: "slice";
  readonly offset: number;
  readonly length: number;
  /** Where the range begins in that manifest. */
  readonly chunkOffset: number;
  readonly manifest: bigint;
}
/** What leaves of manifests hold. */
export type LeafExtent = Extent | SliceExtent;

/** What an object or file is made of. Its size is in the entry. */
export type Content =
  | { readonly kind: "empty" }
  | { readonly kind: "extents"; readonly extents: readonly Extent[] }
  /** `manifest` is counted in its own head row. */
  | { readonly kind: "manifest"; readonly manifest: bigint };

/** MD5 of the content (`parts` 0), or MD5 of the parts' MD5s and how many there were. */
export interface Etag {
  readonly md5: Uint8Array;
  readonly parts: number;
}

export type ChecksumAlgorithm = "crc32" | "crc32c" | "crc64nvme" | "sha1" | "sha256";
export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  /** Big-endian digest as S3 sends it in base64. */
  readonly value: Uint8Array;
  /** True: checksum of the parts' checksums; false: of the whole content. */
  readonly isComposite: boolean;
}

/** Until then nobody may remove the version; `compliance` cannot be shortened by anybody. */
export interface Retention {
  readonly mode: "governance" | "compliance";
  readonly until: WallTime;
}
/** What few objects have; each of them may be missing. */
export interface ObjectExtras {
  /** In the order given; never empty. */
  readonly tags?: readonly (readonly [name: string, value: string])[];
  /** JSON of `libs/policy`; at most 16 KiB. */
  readonly acl?: Uint8Array;
  readonly retention?: Retention;
  /** False: set to off, which S3 tells apart from never set. */
  readonly legalHold?: boolean;
  /** What is needed to open the content beside the tenant's keys; at most 512 bytes. */
  readonly encryption?: Uint8Array;
  readonly storageClass?: string;
  readonly redirect?: string;
}
/** What S3 keeps with an object and gives back as it came. */
export interface ObjectAttributes extends ObjectExtras {
  /** Content headers such as `content-type`, lower-case names, in the order given. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Without `x-amz-meta-`, lower-case names. */
  readonly userMetadata: readonly (readonly [name: string, value: string])[];
  readonly checksums: readonly Checksum[];
}

/** Number of a version, unique in its shard and growing per name; what S3 shows as version id unless `isNull`. */
export type VersionNumber = bigint;

/** Value of rows `entry` (current) and `old` (noncurrent and delete markers). */
export type EntryRow = ObjectEntry | DirectoryEntry;
export interface ObjectEntry {
  readonly kind: "object" | "delete_marker";
  readonly inode: InodeId;
  readonly version: VersionNumber;
  /** The version S3 calls `null`: written while versioning was not enabled. */
  readonly isNull: boolean;
  /** The inode lies in table `inode` (several links, moved, or open); `home` is its directory's inode. */
  readonly home: InodeId | undefined;
  readonly size: number;
  readonly etag: Etag;
  readonly modified: WallTime;
  readonly created: WallTime;
  /** POSIX permission bits, owner and group. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Absent: STANDARD. */
  readonly storageClass?: StorageClass;
  /** What POSIX made, or changed; an object that S3 alone has seen has none. */
  readonly node?: NodeFields;
}
export type NodeType = "file" | "symlink" | "fifo" | "socket" | "char" | "block";
/** Nanoseconds since 1970. */
export interface NodeTimes {
  readonly atime: bigint;
  readonly mtime: bigint;
  readonly ctime: bigint;
  readonly btime: bigint;
}
export interface NodeFields extends NodeTimes {
  /** Anything but a file is no object: S3 does not see it. */
  readonly type: NodeType;
  /** Of a device. */
  readonly rdev: number;
  /** Grows with each change of content and attributes. */
  readonly revision: number;
  /** Grows with each change of content. */
  readonly contentRevision: number;
  /** Bytes of the content that are no holes. */
  readonly allocated: number;
}
export interface DirectoryEntry {
  readonly kind: "directory";
  readonly inode: InodeId;
  readonly isExplicit: boolean;
}

/** A directory's own row. */
export interface HeadRow {
  readonly inode: InodeId;
  /** Undefined for a namespace's root. */
  readonly parent: InodeId | undefined;
  /** Name in the parent, without the slash; empty for a root. */
  readonly name: Uint8Array;
  readonly namespace: NamespaceId;
  readonly isOpen: boolean;
  readonly isExplicit: boolean;
  /** Raised when the directory is renamed or removed: cached paths are checked against it. */
  readonly generation: number;
  /** Objects and live child directories. */
  readonly live: number;
  /** Rows of the directory, live or not: entries, child directories, old versions, delete markers. */
  readonly total: number;
  /** Tails and objects behind a directory's name, which POSIX shows under other names. */
  readonly hidden: number;
  readonly modified: WallTime;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Since POSIX made or changed it. */
  readonly node?: HeadNode;
}
export interface HeadNode extends NodeTimes {
  readonly revision: number;
  /** Child directories that are live; undefined when it held some before they were counted. */
  readonly directories: number | undefined;
}

/** The part of a file that look-ups seldom need. */
export interface ColdRow {
  /** Of the entry that embeds the inode, in its home; rows of older programs have none. */
  readonly name?: Uint8Array;
  readonly content: Content;
  readonly attributes: ObjectAttributes;
  /** Of a symlink. */
  readonly target?: Uint8Array;
  /** In the order of their names; absent rather than empty. */
  readonly xattrs?: readonly Xattr[];
}
export interface Xattr {
  readonly name: Uint8Array;
  readonly value: Uint8Array;
}

/** A file that its entry no longer embeds. */
export interface InodeRow {
  readonly entry: ObjectEntry;
  /** Names; 0 while sessions hold it open. */
  readonly links: number;
  readonly isOpen: boolean;
  /** Absent in a row of version 1 alone. */
  readonly namespace?: NamespaceId;
  /** The name of a file with one; where there are more nobody asks. */
  readonly place?: { readonly directory: InodeId; readonly name: Uint8Array };
}

export type Versioning = "off" | "enabled" | "suspended";
export interface NamespaceRow {
  readonly id: NamespaceId;
  readonly name: string;
  readonly root: InodeId;
  readonly created: WallTime;
  readonly versioning: Versioning;
  readonly isReadOnly: boolean;
  /** Versions may be locked here; never taken back. */
  readonly isLockEnabled: boolean;
}
/** Names of what can be set on a namespace; each is a row of its own, so they are never renamed. */
export type NamespaceSetting =
  | "acl"
  | "cors"
  | "encryption"
  | "holds"
  | "lifecycle"
  | "lifecycle-progress"
  | "logging"
  | "notification"
  | "object-lock"
  | "ownership"
  | "policy"
  | "public-access-block"
  | "quota"
  | "request-payment"
  | "tags"
  | "website";

export interface UploadRow {
  readonly initiated: WallTime;
  readonly attributes: ObjectAttributes;
  /** What the client chose at the start; `undefined` when it named none. */
  readonly checksumAlgorithm: ChecksumAlgorithm | undefined;
  readonly isChecksumComposite: boolean;
}
export interface PartRow {
  readonly manifest: bigint;
  readonly size: number;
  readonly md5: Uint8Array;
  readonly modified: WallTime;
  readonly checksums: readonly Checksum[];
}

export interface ChunkRow extends ChunkSeal {
  /** References from extents and manifests; at least 1. */
  readonly count: number;
}
/** A seal that nothing names any more, to be deleted from its devices. */
export interface DropRow extends ChunkAddress, ChunkSeal {}

export interface ManifestHead {
  readonly count: number;
  readonly size: number;
  /** How many manifests lie under each other at most, beneath this one; absent: none but parts. */
  readonly depth?: number;
}
/** Rows of a manifest, keyed by the offset at which they start. */
export type ManifestNode =
  | { readonly kind: "leaf"; readonly extents: readonly LeafExtent[] }
  | {
      readonly kind: "inner";
      /** All of them or none with a part: those of older programs have none. */
      readonly children: readonly ManifestChild[];
    };
export interface ManifestChild {
  readonly manifest: bigint;
  readonly size: number;
  /** Which part of an upload it was. */
  readonly part?: ManifestPart;
}
export interface ManifestPart {
  /** As the client numbered it, `[1, 2^16)`; grows along the children. */
  readonly number: number;
  readonly checksums: readonly Checksum[];
}

/** Outcome of a complete, kept for a day for those who ask again. */
export interface DoneRow {
  readonly namespace: NamespaceId;
  readonly key: Uint8Array;
  readonly finished: WallTime;
  readonly etag: Etag;
  readonly size: number;
  readonly version: VersionNumber;
  readonly isNull: boolean;
  readonly checksums: readonly Checksum[];
}

/** What a file or directory was after an operation. */
export interface FileFacts extends NodeTimes {
  /** Of a file: inode of the directory of its creation; 0 for a directory. */
  readonly home: bigint;
  readonly inode: InodeId;
  readonly type: NodeType | "directory";
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly allocated: number;
  readonly links: number;
  readonly rdev: number;
  readonly revision: number;
  readonly contentVersion: bigint;
  readonly generation: number;
  readonly isHidden: boolean;
  /** Of a directory. */
  readonly parent?: InodeId;
  readonly place?: { readonly directory: InodeId; readonly name: Uint8Array };
}
/** Outcome of an operation of a file protocol, kept for an hour for those who repeat it. */
export interface OutcomeRow {
  readonly namespace: NamespaceId;
  /** Absent: it answered nothing. */
  readonly file?: FileFacts;
  readonly isMade?: boolean;
  readonly offset?: number;
  readonly length?: number;
}

/** Space that is freed in bounded steps. */
export type ReclaimRow =
  | { readonly kind: "manifest"; readonly manifest: bigint }
  /** `[start, end)` of a manifest that stays, where nobody can see it any more. */
  | {
      readonly kind: "range";
      readonly manifest: bigint;
      readonly start: number;
      readonly end: number;
    }
  /** Part rows of an upload that ended; bit n of `used` (byte n >> 3): part n lives on in the object. */
  | {
      readonly kind: "parts";
      readonly root: InodeId;
      readonly key: Uint8Array;
      readonly upload: Uint8Array;
      readonly used: Uint8Array;
    }
  /** Uploads left in a namespace that was deleted. */
  | { readonly kind: "uploads"; readonly root: InodeId };

export interface CountersRow {
  /** Next inode id, also used for manifests. */
  readonly nextInode: bigint;
  readonly nextVersion: bigint;
}
/** What a namespace holds. */
export interface UsageRow {
  /** Current objects and their bytes. */
  readonly objects: number;
  readonly bytes: number;
  /** Noncurrent versions (delete markers among them) and their bytes. */
  readonly oldVersions: number;
  readonly oldBytes: number;
}

/** Limits, and what counts against them: current and old versions, delete markers as objects, parts of open uploads as bytes. */
export interface QuotaRow {
  readonly bytesMax: number | undefined;
  readonly objectsMax: number | undefined;
  readonly bytes: number;
  readonly objects: number;
}

export interface LeaseRow {
  readonly epoch: bigint;
  readonly expires: WallTime;
  readonly payload: Uint8Array;
}
