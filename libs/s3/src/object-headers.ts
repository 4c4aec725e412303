/** Headers that describe a new object, and those whose features are not here and must not be ignored. */
import type { ContentHeaders, ObjectAttributes, ResponseOverrides } from "./attributes.ts";
import { invalidArgument, isFault, s3Fault, type S3Fault } from "./errors.ts";
import { parseLockHeaders } from "./object-lock.ts";
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
  "x-amz-grant-read",
  "x-amz-grant-write",
  "x-amz-grant-read-acp",
  "x-amz-grant-write-acp",
  "x-amz-grant-full-control",
  "x-amz-write-offset-bytes",
  "x-amz-rename-source",
  "x-amz-bucket-namespace",
]);

/** These say what is so anyway; any other value asks for more than there is. */
const harmlessValues: ReadonlyMap<string, readonly string[]> = new Map([
  ["x-amz-acl", ["private", "bucket-owner-full-control"]],
  ["x-amz-object-ownership", ["BucketOwnerEnforced"]],
]);
const cannedAcls = [
  "public-read",
  "public-read-write",
  "authenticated-read",
  "aws-exec-read",
  "bucket-owner-read",
  "log-delivery-write",
];

/** Refuses what is not implemented, whichever call carries it. */
export function refuseUnsupported(fields: Fields): S3Fault | undefined {
  for (const [name, value] of fields.headers) {
    const harmless = harmlessValues.get(name);
    if (harmless?.includes(value)) continue;
    if (name === "x-amz-acl" && !cannedAcls.includes(value)) {
      return invalidArgument(name, value.slice(0, 256), "");
    }
    if (harmless === undefined && !notImplementedHeaders.has(name)) continue;
    return s3Fault("NotImplemented", undefined, [["Header", name]]);
  }
  return undefined;
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
  if (name === "STANDARD" || name === "REDUCED_REDUNDANCY") return name;
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
  return {
    content,
    metadata,
    storageClass,
    tags: tags as readonly Tag[],
    isSseRequested,
    ...locked,
  };
}

/** `response-*` of a GET or HEAD. Values go into headers, so line ends are refused here. */
export function parseOverrides(fields: Fields, isSigned: boolean): ResponseOverrides | S3Fault {
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
