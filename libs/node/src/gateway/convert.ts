import { toHex } from "@kiseki/base";
import type { Conditions, FoundObject } from "@kiseki/composition";
import type { Checksum, Etag, ObjectAttributes, ObjectEntry } from "@kiseki/format";
import type {
  ContentHeaders,
  DeleteConditions,
  ListedObject,
  ObjectAttributes as S3Attributes,
  ObjectChecksum,
  ObjectView,
  ShownEncryption,
  Owner,
  Tag,
  WriteConditions,
} from "@kiseki/s3";

import { objectClass } from "./storage-class.ts";

/** ETag text without quotes. */
export const etagText = (etag: Etag): string =>
  etag.parts === 0 ? toHex(etag.md5) : `${toHex(etag.md5)}-${etag.parts}`;

const headerNames = {
  contentType: "content-type",
  cacheControl: "cache-control",
  contentDisposition: "content-disposition",
  contentEncoding: "content-encoding",
  contentLanguage: "content-language",
  expires: "expires",
  websiteRedirectLocation: "x-amz-website-redirect-location",
} as const satisfies Record<keyof ContentHeaders, string>;
const sseName = "x-amz-server-side-encryption";

/** What the map keeps of a request's attributes. */
export function toRowAttributes(
  attributes: S3Attributes,
  checksums: readonly Checksum[],
  encryption?: Uint8Array,
): ObjectAttributes {
  const headers: (readonly [string, string])[] = [];
  for (const [field, name] of Object.entries(headerNames) as [keyof ContentHeaders, string][]) {
    const value = attributes.content[field];
    if (value !== undefined) headers.push([name, value]);
  }
  if (attributes.isSseRequested) headers.push([sseName, "AES256"]);
  const tags = attributes.tags.map(({ key, value }) => [key, value] as const);
  return {
    headers,
    userMetadata: attributes.metadata,
    checksums,
    ...(tags.length === 0 ? {} : { tags }),
    ...(attributes.storageClass === "STANDARD" ? {} : { storageClass: attributes.storageClass }),
    ...attributes.lock,
    ...(encryption === undefined ? {} : { encryption }),
  };
}

/** The request's form of what the map keeps; the reverse of `toRowAttributes`, but for the class, which the entry has. */
export function toS3Attributes(row: ObjectAttributes): S3Attributes {
  const find = (name: string): string | undefined =>
    row.headers.find(([header]) => header === name)?.[1];
  const content: Record<string, string> = {};
  for (const [field, name] of Object.entries(headerNames)) {
    const value = find(name);
    if (value !== undefined) content[field] = value;
  }
  return {
    content,
    metadata: row.userMetadata,
    storageClass: "STANDARD",
    tags: toTags(row),
    isSseRequested: find(sseName) !== undefined,
  };
}

/** In order of their keys. */
export const toTags = ({ tags = [] }: Pick<ObjectAttributes, "tags">): readonly Tag[] =>
  tags.map(([key, value]) => ({ key, value }));

export function toObjectChecksum(
  checksum: Checksum | undefined,
  parts: number,
): ObjectChecksum | undefined {
  if (checksum === undefined) return undefined;
  return {
    algorithm: checksum.algorithm,
    value: checksum.value,
    type: checksum.isComposite ? "COMPOSITE" : "FULL_OBJECT",
    partCount: checksum.isComposite ? parts : 0,
  };
}

const noLock: NonNullable<ObjectView["lock"]> = {};

export function toObjectView(
  found: FoundObject,
  encryption: ShownEncryption = { kind: "s3" },
): ObjectView {
  const { entry, cold } = found;
  const { content, metadata, tags } = toS3Attributes(cold.attributes);
  const { retention, legalHold } = cold.attributes;
  return {
    lock:
      retention === undefined && legalHold === undefined
        ? noLock
        : {
            ...(retention === undefined ? {} : { retention }),
            ...(legalHold === undefined ? {} : { legalHold }),
          },
    size: entry.size,
    etag: etagText(entry.etag),
    lastModified: entry.modified,
    content,
    metadata,
    storageClass: objectClass(entry, cold.attributes),
    tags,
    encryption,
    checksum: toObjectChecksum(cold.attributes.checksums[0], entry.etag.parts),
  };
}

export function toListedObject(key: Uint8Array, entry: ObjectEntry, owner: Owner): ListedObject {
  return {
    key,
    lastModified: entry.modified,
    etag: etagText(entry.etag),
    size: entry.size,
    storageClass: entry.storageClass ?? "STANDARD",
    owner,
    checksumAlgorithm: undefined,
    checksumType: undefined,
  };
}

export function toConditions(conditions: WriteConditions | DeleteConditions): Conditions {
  const list = (match: "*" | readonly string[]): readonly string[] =>
    match === "*" ? ["*"] : match;
  const { ifMatch, ifNoneMatch, ...others } = { ifNoneMatch: undefined, ...conditions };
  return {
    ...others,
    ...(ifMatch === undefined ? {} : { ifMatch: list(ifMatch) }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch: list(ifNoneMatch) }),
  };
}
