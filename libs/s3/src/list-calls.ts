/** The list calls: their parameters, checked and with S3's defaults. */
import { newBytes, toUtf8 } from "@kiseki/base";
import type {
  ListBucketsCall,
  ListObjectsCall,
  ListPartsCall,
  ListUploadsCall,
  ListVersionsCall,
} from "./call.ts";
import { invalidArgument, isFault, s3Fault, type S3Fault } from "./errors.ts";
import type { Fields } from "./fields.ts";
import { keySizeMax } from "./key.ts";

/** The largest page of any list but ListBuckets. */
const pageSizeMax = 1000;
const bucketPageMax = 10_000;
const uploadIdSizeMax = 256;
const tokenSizeMax = 4096;

/** A count in `[0, 1000]`: larger ones are cut as S3 does, what is no number in `[0, 2^31)` is refused. */
function parseCount(fields: Fields, name: string): number | S3Fault {
  const text = fields.query(name);
  if (text === undefined || text === "") return pageSizeMax;
  const refuse = (why: string) => invalidArgument(name, text.slice(0, 256), why);
  if (!/^[+-]?[0-9]{1,20}$/.test(text))
    return refuse("Provided " + name + " not an integer or within integer range");
  const count = Number(text);
  if (count < 0 || count > 2_147_483_647) {
    return refuse(`Argument ${name} must be an integer between 0 and 2147483647`);
  }
  return Math.min(count, pageSizeMax);
}

/** A prefix, delimiter or marker. One longer than any key can match nothing; it is refused to bound what is carried. */
function parseBound(fields: Fields, name: string): Uint8Array | S3Fault {
  const text = fields.query(name);
  if (text === undefined || text === "") return newBytes(0);
  const bound = text.length > keySizeMax ? undefined : toUtf8(text);
  if (bound !== undefined && bound.byteLength <= keySizeMax) return bound;
  return s3Fault("KeyTooLongError", undefined, [
    ["Parameter", name],
    ["MaxSizeAllowed", String(keySizeMax)],
  ]);
}

function parseEncoding(fields: Fields): boolean | S3Fault {
  const text = fields.query("encoding-type");
  if (text === undefined || text === "") return false;
  if (text.toLowerCase() === "url") return true;
  return invalidArgument(
    "encoding-type",
    text.slice(0, 256),
    "Invalid Encoding Method specified in Request",
  );
}

interface CommonBounds {
  readonly prefix: Uint8Array;
  readonly delimiter: Uint8Array;
  readonly marker: Uint8Array;
  readonly count: number;
  readonly isUrlEncoded: boolean;
}

function parseCommon(
  fields: Fields,
  markerName: string,
  countName: string,
): CommonBounds | S3Fault {
  const prefix = parseBound(fields, "prefix");
  if (isFault(prefix)) return prefix;
  const delimiter = parseBound(fields, "delimiter");
  if (isFault(delimiter)) return delimiter;
  const marker = parseBound(fields, markerName);
  if (isFault(marker)) return marker;
  const count = parseCount(fields, countName);
  if (isFault(count)) return count;
  const isUrlEncoded = parseEncoding(fields);
  if (isFault(isUrlEncoded)) return isUrlEncoded;
  return { prefix, delimiter, marker, count, isUrlEncoded };
}

/** A token is only bounded here; `openListToken` says whether it is ours. */
function parseToken(fields: Fields): string | undefined | S3Fault {
  const token = fields.query("continuation-token");
  if (token === undefined || token.length <= tokenSizeMax) return token;
  return invalidArgument(
    "continuation-token",
    token.slice(0, 256),
    "The continuation token provided is incorrect",
  );
}

export function parseListBuckets(fields: Fields): ListBucketsCall | S3Fault {
  const text = fields.query("max-buckets");
  const count = text === undefined ? bucketPageMax : Number(text);
  if (text !== undefined && !(/^[0-9]{1,5}$/.test(text) && count >= 1 && count <= bucketPageMax)) {
    const why = `Argument max-buckets must be an integer between 1 and ${bucketPageMax}`;
    return invalidArgument("max-buckets", text.slice(0, 256), why);
  }
  const token = parseToken(fields);
  if (isFault(token)) return token;
  return {
    kind: "list_buckets",
    prefix: (fields.query("prefix") ?? "").slice(0, keySizeMax),
    maxBuckets: count,
    isPaged: text !== undefined,
    continuationToken: token,
  };
}

export function parseListObjects(bucket: string, fields: Fields): ListObjectsCall | S3Fault {
  const type = fields.query("list-type");
  if (type !== undefined && type !== "2") {
    return invalidArgument(
      "list-type",
      type.slice(0, 256),
      "Invalid List Type specified in Request",
    );
  }
  const version = type === "2" ? 2 : 1;
  const common = parseCommon(fields, version === 2 ? "start-after" : "marker", "max-keys");
  if (isFault(common)) return common;
  const token = version === 2 ? parseToken(fields) : undefined;
  if (isFault(token)) return token;
  return {
    kind: "list_objects",
    version,
    bucket,
    prefix: common.prefix,
    delimiter: common.delimiter,
    after: common.marker,
    continuationToken: token,
    maxKeys: common.count,
    isUrlEncoded: common.isUrlEncoded,
    isOwnerWanted: version === 1 || fields.query("fetch-owner") === "true",
  };
}

export function parseListVersions(bucket: string, fields: Fields): ListVersionsCall | S3Fault {
  const common = parseCommon(fields, "key-marker", "max-keys");
  if (isFault(common)) return common;
  const marker = fields.query("version-id-marker");
  if (marker === "") {
    return invalidArgument("version-id-marker", "", "A version-id marker cannot be empty.");
  }
  if (marker !== undefined && common.marker.byteLength === 0) {
    const why = "A version-id marker cannot be specified without a key marker.";
    return invalidArgument("version-id-marker", marker.slice(0, 256), why);
  }
  return {
    kind: "list_object_versions",
    bucket,
    prefix: common.prefix,
    delimiter: common.delimiter,
    keyMarker: common.marker,
    versionIdMarker: marker,
    maxKeys: common.count,
    isUrlEncoded: common.isUrlEncoded,
  };
}

export function parseListUploads(bucket: string, fields: Fields): ListUploadsCall | S3Fault {
  const common = parseCommon(fields, "key-marker", "max-uploads");
  if (isFault(common)) return common;
  const marker = fields.query("upload-id-marker") ?? "";
  if (marker.length > uploadIdSizeMax) {
    return invalidArgument("upload-id-marker", marker.slice(0, 256), "Invalid uploadId marker");
  }
  return {
    kind: "list_multipart_uploads",
    bucket,
    prefix: common.prefix,
    delimiter: common.delimiter,
    keyMarker: common.marker,
    uploadIdMarker: marker === "" || common.marker.byteLength === 0 ? undefined : marker,
    maxUploads: common.count,
    isUrlEncoded: common.isUrlEncoded,
  };
}

export function parseListParts(
  bucket: string,
  key: Uint8Array,
  uploadId: string,
  fields: Fields,
): ListPartsCall | S3Fault {
  const maxParts = parseCount(fields, "max-parts");
  if (isFault(maxParts)) return maxParts;
  const text = fields.query("part-number-marker") || "0";
  if (!/^[0-9]{1,10}$/.test(text) || Number(text) > 2_147_483_647) {
    const why = "Argument part-number-marker must be an integer between 0 and 2147483647";
    return invalidArgument("part-number-marker", text.slice(0, 256), why);
  }
  const isUrlEncoded = parseEncoding(fields);
  if (isFault(isUrlEncoded)) return isUrlEncoded;
  const partNumberMarker = Number(text);
  return { kind: "list_parts", bucket, key, uploadId, partNumberMarker, maxParts, isUrlEncoded };
}

/** An upload id as text, bounded; whether there is such an upload is the store's to say. */
export function parseUploadId(fields: Fields): string | S3Fault {
  const id = fields.query("uploadId") ?? "";
  return id === "" || id.length > uploadIdSizeMax ? s3Fault("NoSuchUpload") : id;
}
