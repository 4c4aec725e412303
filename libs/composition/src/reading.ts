import type { WallTime } from "@kiseki/base";
import type {
  ChunkAddress,
  ChunkSeal,
  ColdRow,
  DropRow,
  NamespaceRow,
  ObjectEntry,
  PartRow,
  UploadRow,
} from "@kiseki/format";
import type { Refusal, VersionRef } from "./operation.ts";

/** An object as it stands: hot row and cold row. Times, size and ETag are in `entry`; `content` is read by `readContent`. */
export interface FoundObject {
  readonly kind: "object";
  readonly key: Uint8Array;
  readonly entry: ObjectEntry;
  readonly cold: ColdRow;
  readonly isLatest: boolean;
}
/** The version asked for is a delete marker (asked by number), or the newest is one (asked by key). */
export interface FoundMarker {
  readonly kind: "delete_marker";
  readonly key: Uint8Array;
  readonly entry: ObjectEntry;
  readonly isLatest: boolean;
}
/** `no_such_namespace`, `no_such_key`, `no_such_version`, `invalid_key` or `key_too_long`. */
export type Found = FoundObject | FoundMarker | Refusal;

export interface LookupQuery {
  readonly namespace: NamespaceRow["id"];
  readonly key: Uint8Array;
  readonly version?: VersionRef;
}

/** A piece of content with all that is needed to open it. */
export type ContentPiece =
  | {
      readonly kind: "chunk";
      /** Where the piece lies in the content: `[offset, offset + length)`. */
      readonly offset: number;
      readonly length: number;
      /** Where it starts in the chunk's plaintext. */
      readonly chunkOffset: number;
      readonly address: ChunkAddress;
      /** The live seal; it stays readable until pins and reads begun before its drop have ended. */
      readonly seal: ChunkSeal;
      /** True: no chunk row, no dedup, this is the only reference. */
      readonly isSmall: boolean;
    }
  | { readonly kind: "hole"; readonly offset: number; readonly length: number };
export interface ContentPage {
  readonly pieces: readonly ContentPiece[];
  /** Where to go on; undefined at the end of the range. */
  readonly next: number | undefined;
  /** The content is none any more: it was replaced since it was looked up. */
  readonly isGone?: true;
}

export interface ListQuery {
  readonly namespace: NamespaceRow["id"];
  /** Empty: all keys. */
  readonly prefix: Uint8Array;
  /** Empty: no roll-up. */
  readonly delimiter: Uint8Array;
  /** Items (keys and common prefixes) above this one only: marker, start-after, or `next` of the page before. */
  readonly after?: Uint8Array | undefined;
  /** Keys and common prefixes together; `[0, 1000]` for S3, any for others. */
  readonly countMax: number;
}
export type ListItem =
  | { readonly kind: "object"; readonly key: Uint8Array; readonly entry: ObjectEntry }
  | { readonly kind: "prefix"; readonly prefix: Uint8Array };
export interface ListPage {
  readonly kind: "page";
  /** In key order, prefixes in their places. */
  readonly items: readonly ListItem[];
  /** `after` of the next page; undefined: this was the last. May be set though fewer than `countMax` came. */
  readonly next: Uint8Array | undefined;
}

export interface VersionListQuery extends Omit<ListQuery, "after"> {
  /** Above this key; with `version`: or at this key, older than that version. */
  readonly after?: { readonly key: Uint8Array; readonly version?: VersionRef } | undefined;
}
export type VersionListItem =
  | {
      /** Delete markers too: `entry.kind`. `entry.isNull`: S3's version id is `null`. */
      readonly kind: "version";
      readonly key: Uint8Array;
      readonly entry: ObjectEntry;
      readonly isLatest: boolean;
    }
  | { readonly kind: "prefix"; readonly prefix: Uint8Array };
export interface VersionListPage {
  readonly kind: "page";
  readonly items: readonly VersionListItem[];
  readonly next: { readonly key: Uint8Array; readonly version?: VersionRef } | undefined;
}

export interface UploadListQuery extends Omit<ListQuery, "after"> {
  /** Above this key; with `upload`: or at this key, above that upload id. */
  readonly after?: { readonly key: Uint8Array; readonly upload?: Uint8Array } | undefined;
}
export type UploadListItem =
  | {
      readonly kind: "upload";
      readonly key: Uint8Array;
      readonly upload: Uint8Array;
      readonly row: UploadRow;
    }
  | { readonly kind: "prefix"; readonly prefix: Uint8Array };
export interface UploadListPage {
  readonly kind: "page";
  readonly items: readonly UploadListItem[];
  readonly next: { readonly key: Uint8Array; readonly upload?: Uint8Array } | undefined;
}

export interface PartListQuery {
  readonly namespace: NamespaceRow["id"];
  readonly key: Uint8Array;
  readonly upload: Uint8Array;
  /** Part numbers above this one. */
  readonly after: number;
  readonly countMax: number;
}
export interface PartListPage {
  readonly kind: "page";
  readonly upload: UploadRow;
  readonly parts: readonly { readonly part: number; readonly row: PartRow }[];
  /** `after` of the next page. */
  readonly next: number | undefined;
}

/** Live seal of a chunk, for dedup: a hit only if the caller finds it durable, complete and in a live keyset. */
export interface LiveChunk extends ChunkSeal {
  readonly count: number;
}

/**
 * A condemned seal. The collector deletes it from its devices once every GET, upload, pin and lease begun before
 * `time` has ended, then sends `dropped`.
 */
export interface Drop extends DropRow {
  readonly time: WallTime;
}

/** Something of the map that names a (chunk id, seal id): what scrub walks. */
export interface Reference extends ChunkAddress, ChunkSeal {
  readonly from: "chunk" | "condemned" | "drop" | "cold" | "manifest";
  /** Key of the row that names it. */
  readonly row: Uint8Array;
}

/** One page of references and where to go on. */
export interface ReferencePage {
  readonly references: readonly Reference[];
  readonly next: Uint8Array | undefined;
}
