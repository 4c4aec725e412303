/** Headers that describe a new object, and those whose features are not here and must not be ignored. */
import { isStorageClass } from "@kiseki/format";
import type { ContentHeaders, ObjectAttributes, ResponseOverrides } from "./attributes.ts";
import { invalidArgument, isFault, s3Fault, type S3Fault } from "./errors.ts";
import { parseLockHeaders } from "./object-lock.ts";
import { type AclRequest, parseAclHeaders } from "./acl.ts";
import { isHeaderText, toHeaderText, type Fields } from "./fields.ts";
import { parseTaggingHeader, type Tag } from "./settings/tags.ts";

/** Names and values of `x-amz-meta-*` together, in bytes; AWS's limit. */
const metadataSizeMax = 2048;

const contentHeaderNames = {
  contentType: "content-type",
  cacheControl: "cache-control",
  contentDisposition: "content-disposition",
  contentEncoding: "content-encoding",
  contentLanguage: "content-language",
  expires: "expires",
} as const satisfies Partial<Record<keyof ContentHeaders, string>>;
type OverridableHeader = keyof typeof contentHeaderNames;
const overridable = Object.keys(contentHeaderNames) as readonly OverridableHeader[];

/** Presence of any of these means something that is not done here; ignoring it would be a wrong success. */
const notImplementedHeaders: ReadonlySet<string> = new Set([
  "x-amz-mfa",
  "x-amz-server-side-encryption-context",
  "x-amz-write-offset-bytes",
  "x-amz-rename-source",
  "x-amz-bucket-namespace",
]);

/** Refuses what is not implemented, whichever call carries it. */
export function refuseUnsupported(fields: Fields): S3Fault | undefined {
  const found = fields.nameIn(notImplementedHeaders);
  return found === undefined
    ? undefined
    : s3Fault("NotImplemented", undefined, [["Header", found]]);
}

/** Without `aws-chunked`, wherever it stands in the list. */
function stripChunked(encoding: string): string {
  const kept = encoding.split(",").filter((piece) => piece.trim().toLowerCase() !== "aws-chunked");
  return kept.join(",").trim();
}

function parseContentHeaders(fields: Fields): ContentHeaders | S3Fault {
  const content: Partial<Record<keyof ContentHeaders, string>> = {};
  for (const property of overridable) {
    const sent = fields.get(contentHeaderNames[property]);
    const value = property === "contentEncoding" && sent !== undefined ? stripChunked(sent) : sent;
    if (value !== undefined && value !== "") content[property] = value;
  }
  const redirect = fields.get("x-amz-website-redirect-location");
  if (redirect !== undefined) {
    if (!/^(\/|https?:\/\/)/.test(redirect)) {
      const why =
        "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.";
      return s3Fault("InvalidArgument", why, [["ArgumentName", "x-amz-website-redirect-location"]]);
    }
    content.websiteRedirectLocation = redirect;
  }
  return content as ContentHeaders;
}

function parseMetadata(fields: Fields): ObjectAttributes["metadata"] | S3Fault {
  const metadata = new Map<string, string>();
  let size = 0;
  for (const [name, value] of fields.headers) {
    if (!name.startsWith("x-amz-meta-")) continue;
    const short = name.slice("x-amz-meta-".length);
    const before = metadata.get(short);
    size += value.length + (before === undefined ? short.length : 1);
    metadata.set(short, before === undefined ? value : `${before},${value}`);
  }
  if (size <= metadataSizeMax) return [...metadata];
  return s3Fault("MetadataTooLarge", undefined, [
    ["Size", String(size)],
    ["MaxSizeAllowed", String(metadataSizeMax)],
  ]);
}

function parseStorageClass(fields: Fields): ObjectAttributes["storageClass"] | S3Fault {
  const name = fields.get("x-amz-storage-class") ?? "STANDARD";
  if (isStorageClass(name)) return name; // whether a pool has it is for the node to say
  return s3Fault("InvalidStorageClass", undefined, [["StorageClassRequested", name.slice(0, 64)]]);
}

/** The attributes that a put, a copy or a new upload gives its object. */
export function parseObjectAttributes(fields: Fields): ObjectAttributes | S3Fault {
  const content = parseContentHeaders(fields);
  if (isFault(content)) return content;
  const metadata = parseMetadata(fields);
  if (isFault(metadata)) return metadata;
  const storageClass = parseStorageClass(fields);
  if (typeof storageClass !== "string") return storageClass;
  const tags = parseTaggingHeader(fields.get("x-amz-tagging") ?? "");
  if (isFault(tags)) return tags;
  const isSseRequested = fields.get("x-amz-server-side-encryption") === "AES256";
  const lock = parseLockHeaders(fields);
  if (isFault(lock)) return lock;
  const locked = lock === undefined ? {} : { lock };
  const acl = parseAclHeaders(fields);
  if (isFault(acl)) return acl;
  return {
    content,
    metadata,
    storageClass,
    tags: tags as readonly Tag[],
    isSseRequested,
    ...locked,
    ...(acl === undefined ? {} : { acl: acl as AclRequest }),
  };
}

/** Most requests ask for none. */
export const noOverrides: ResponseOverrides = {};

/** `response-*` of a GET or HEAD. Values go into headers, so line ends are refused here. */
export function parseOverrides(fields: Fields, isSigned: boolean): ResponseOverrides | S3Fault {
  if (fields.queryNames.length === 0) return noOverrides;
  const overrides: Partial<Record<OverridableHeader, string>> = {};
  for (const property of overridable) {
    const name = `response-${contentHeaderNames[property]}`;
    const value = fields.query(name);
    if (value === undefined) continue;
    if (!isSigned) {
      return s3Fault(
        "InvalidRequest",
        "Request specific response headers cannot be used for anonymous GET requests.",
      );
    }
    const text = toHeaderText(value);
    if (!isHeaderText(text)) {
      return invalidArgument(name, value.slice(0, 256), "Not fit to be a header");
    }
    overrides[property] = text;
  }
  return overrides;
}

/** The pairs to send for `content`; `overrides` win. */
export function contentHeaderPairs(
  content: ContentHeaders,
  overrides: ResponseOverrides,
): readonly (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = [
    ["Content-Type", overrides.contentType ?? content.contentType ?? "binary/octet-stream"],
  ];
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined) pairs.push([name, value]);
  };
  add("Cache-Control", overrides.cacheControl ?? content.cacheControl);
  add("Content-Disposition", overrides.contentDisposition ?? content.contentDisposition);
  add("Content-Encoding", overrides.contentEncoding ?? content.contentEncoding);
  add("Content-Language", overrides.contentLanguage ?? content.contentLanguage);
  add("Expires", overrides.expires ?? content.expires);
  add("x-amz-website-redirect-location", content.websiteRedirectLocation);
  return pairs;
}
