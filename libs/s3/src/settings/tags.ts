/** Tags of objects and buckets: the header, the document, and AWS's limits on both. */
import { KiB } from "@kiseki/base";
import { percentDecode, percentEncode } from "@kiseki/http";
import { invalidArgument, s3Fault, type S3Fault } from "../errors.ts";
import { defineDocumentSetting, type DocumentKind } from "./document.ts";
import { many, one, record, text, type ValueOf } from "./shape.ts";

/** Fifty tags at their longest, each character escaped. */
export const taggingSizeMax = 512 * KiB;
const objectTagCountMax = 10;
const bucketTagCountMax = 50;
const keyLengthMax = 128;
const valueLengthMax = 256;

export const tagShape = record({ key: one("Key", text), value: one("Value", text) });
/** A key with its value, as the client wrote them. */
export type Tag = ValueOf<typeof tagShape>;

const taggingShape = record({ tagSet: one("TagSet", record({ tags: many("Tag", tagShape) })) });

const kindOf = (
  validate: (tags: readonly Tag[]) => S3Fault | undefined,
): DocumentKind<ValueOf<typeof taggingShape>> => ({
  root: "Tagging",
  shape: taggingShape,
  validate: ({ tagSet }) => validate(tagSet.tags),
});

/** The Tagging document of an object. */
export const objectTagging = kindOf((tags) => validateObjectTags(tags));

export const taggingSetting = defineDocumentSetting({
  subresource: "tagging",
  stored: "tags",
  documentSizeMax: taggingSizeMax,
  isRemovable: true,
  unset: "NoSuchTagSet",
  putStatus: 204,
  ...kindOf((tags) => {
    if (tags.length > bucketTagCountMax) {
      return s3Fault("InvalidTag", `Bucket tag count cannot be greater than ${bucketTagCountMax}`);
    }
    return validateTags(tags);
  }),
});

/** Refuses more than ten tags, a key twice, and what `validateTag` refuses. */
export function validateObjectTags(tags: readonly Tag[]): S3Fault | undefined {
  if (tags.length > objectTagCountMax) {
    return s3Fault("InvalidTag", `Object tags cannot be greater than ${objectTagCountMax}`);
  }
  return validateTags(tags);
}

function validateTags(tags: readonly Tag[]): S3Fault | undefined {
  const keys = new Set<string>();
  for (const tag of tags) {
    const fault = validateTag(tag);
    if (fault !== undefined) return fault;
    if (keys.has(tag.key)) {
      return s3Fault("InvalidTag", "Cannot provide multiple Tags with the same key", [
        ["TagKey", tag.key],
      ]);
    }
    keys.add(tag.key);
  }
  return undefined;
}

/** Letters, digits, spaces of any script, and `+ - = . _ : / @`: "Tag restrictions" of the AWS documentation. */
const isTagText = /^[\p{L}\p{N}\p{Z}+\-=._:/@]*$/u;

/** Length counts characters, as AWS does, not UTF-16 units. */
export function validateTag({ key, value }: Tag): S3Fault | undefined {
  if (key === "" || [...key].length > keyLengthMax || !isTagText.test(key)) {
    return s3Fault("InvalidTag", "The TagKey you have provided is invalid", [
      ["TagKey", key.slice(0, 2 * keyLengthMax)],
    ]);
  }
  if ([...value].length > valueLengthMax || !isTagText.test(value)) {
    return s3Fault("InvalidTag", "The TagValue you have provided is invalid", [
      ["TagKey", key],
      ["TagValue", value.slice(0, 2 * valueLengthMax)],
    ]);
  }
  if (!key.toLowerCase().startsWith("aws:")) return undefined;
  return s3Fault("InvalidTag", "System tags cannot be added/updated by requester", [
    ["TagKey", key],
  ]);
}

const headerName = "x-amz-tagging";

/** `x-amz-tagging`: pairs as in a query, `+` a space; a key without `=` has an empty value. */
export function parseTaggingHeader(header: string): readonly Tag[] | S3Fault {
  const refuse = (): S3Fault =>
    invalidArgument(
      headerName,
      header.slice(0, 256),
      "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
    );
  if (header === "") return [];
  const tags: Tag[] = [];
  for (const piece of header.split("&", objectTagCountMax + 2)) {
    const cut = piece.indexOf("=");
    const key = decodePiece(cut < 0 ? piece : piece.slice(0, cut));
    const value = decodePiece(cut < 0 ? "" : piece.slice(cut + 1));
    if (key === undefined || value === undefined || tags.some((tag) => tag.key === key)) {
      return refuse();
    }
    tags.push({ key, value });
  }
  return validateObjectTags(tags) ?? sortTags(tags);
}

/** Tags as `parseTaggingHeader` reads them. */
export function formatTaggingHeader(tags: readonly Tag[]): string {
  return tags.map(({ key, value }) => `${percentEncode(key)}=${percentEncode(value)}`).join("&");
}

/** By key: the order in which tags are shown, whatever way they came. */
export function sortTags(tags: readonly Tag[]): readonly Tag[] {
  return tags.toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

const decodePiece = (piece: string): string | undefined => percentDecode(piece, "plus_is_space");
