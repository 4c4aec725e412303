/** The documents of the list calls, element by element in S3's order. */
import { assert, fromUtf8 } from "@kiseki/base";
import { percentEncode } from "@kiseki/http";
import type { ChecksumAlgorithm, ChecksumType } from "./attributes.ts";
import { checksumLabel, toBase64 } from "./checksum.ts";
import { ContentsWriter } from "./contents-writer.ts";
import { formatIsoDate } from "./date.ts";
import type { Owner, S3Result } from "./result.ts";
import { s3Namespace, writeXml, writeXmlAround, type XmlNode } from "./xml-write.ts";

type ResultOf<Kind extends S3Result["kind"]> = Extract<S3Result, { readonly kind: Kind }>;

/** A key or prefix as text. Only well-formed UTF-8 is ever listed over S3. */
export function keyText(key: Uint8Array): string {
  const text = fromUtf8(key);
  assert(text !== undefined, "a listed key is UTF-8");
  return text;
}

/** As `encoding-type` asks: percent-escaped but for `/`, or plain. */
function encode(key: Uint8Array, isUrlEncoded: boolean): string {
  const text = keyText(key);
  return isUrlEncoded ? percentEncode(text, "keep_slash") : text;
}

/** The element when there is something to say. */
function optional(name: string, value: string | number | undefined): readonly XmlNode[] {
  return value === undefined ? [] : [[name, value]];
}

const ownerNode = (name: "Owner" | "Initiator", owner: Owner): XmlNode => [
  name,
  [
    ["ID", owner.id],
    ["DisplayName", owner.displayName],
  ],
];

const quoted = (etag: string): string => `"${etag}"`;

function checksumNodes(
  algorithm: ChecksumAlgorithm | undefined,
  type: ChecksumType | undefined,
): readonly XmlNode[] {
  if (algorithm === undefined) return [];
  return [["ChecksumAlgorithm", checksumLabel(algorithm)], ...optional("ChecksumType", type)];
}

function boundNodes(delimiter: Uint8Array, isUrlEncoded: boolean): readonly XmlNode[] {
  const nodes: XmlNode[] = [];
  if (delimiter.byteLength > 0) nodes.push(["Delimiter", encode(delimiter, isUrlEncoded)]);
  if (isUrlEncoded) nodes.push(["EncodingType", "url"]);
  return nodes;
}

const prefixNodes = (prefixes: readonly Uint8Array[], isUrlEncoded: boolean): readonly XmlNode[] =>
  prefixes.map((prefix) => ["CommonPrefixes", [["Prefix", encode(prefix, isUrlEncoded)]]]);

export function bucketsDocument(result: ResultOf<"buckets">): Uint8Array {
  const buckets = result.buckets.map((bucket): XmlNode => [
    "Bucket",
    [
      ["Name", bucket.name],
      ["CreationDate", formatIsoDate(bucket.created)],
      ...(result.call.isPaged ? optional("BucketRegion", bucket.region) : []),
    ],
  ]);
  return writeXml("ListAllMyBucketsResult", s3Namespace, [
    ownerNode("Owner", result.owner),
    ["Buckets", buckets],
    ...optional("ContinuationToken", result.continuationToken),
    ...optional("Prefix", result.call.prefix || undefined),
  ]);
}

export function objectsDocument(result: ResultOf<"objects">): Uint8Array {
  const { call, objects, commonPrefixes, isTruncated } = result;
  const { isUrlEncoded } = call;
  const count = objects.length + commonPrefixes.length;
  assert(count <= call.maxKeys, "a page holds at most what was asked for");
  assert(
    call.version === 1 || !isTruncated || result.nextToken !== undefined,
    "a cut page says where to go on",
  );
  const nextMarker =
    isTruncated && call.delimiter.byteLength > 0 && result.nextMarker !== undefined
      ? encode(result.nextMarker, isUrlEncoded)
      : undefined;
  const after = encode(call.after, isUrlEncoded);
  const head: readonly XmlNode[] =
    call.version === 1
      ? [["Marker", after], ...optional("NextMarker", nextMarker)]
      : [
          ...optional("StartAfter", after || undefined),
          ...optional("ContinuationToken", call.continuationToken),
          ...optional("NextContinuationToken", isTruncated ? result.nextToken : undefined),
          ["KeyCount", count],
        ];
  const contents = new ContentsWriter({
    isUrlEncoded,
    isOwnerShown: call.isOwnerWanted,
    count: objects.length,
  });
  for (const object of objects) contents.add(object);
  return writeXmlAround("ListBucketResult", s3Namespace, {
    before: [
      ["Name", call.bucket],
      ["Prefix", encode(call.prefix, isUrlEncoded)],
      ...head,
      ["MaxKeys", call.maxKeys],
      ...boundNodes(call.delimiter, isUrlEncoded),
      ["IsTruncated", isTruncated],
    ],
    middle: contents.done(),
    after: prefixNodes(commonPrefixes, isUrlEncoded),
  });
}

export function versionsDocument(result: ResultOf<"object_versions">): Uint8Array {
  const { call, isTruncated } = result;
  const { isUrlEncoded } = call;
  const versions = result.versions.map((version): XmlNode => {
    const head: readonly XmlNode[] = [
      ["Key", encode(version.key, isUrlEncoded)],
      ["VersionId", version.versionId],
      ["IsLatest", version.isLatest],
      ["LastModified", formatIsoDate(version.lastModified)],
    ];
    const owner = ownerNode("Owner", version.owner);
    if (version.isDeleteMarker) return ["DeleteMarker", [...head, owner]];
    return [
      "Version",
      [
        ...head,
        ["ETag", quoted(version.etag)],
        ...checksumNodes(version.checksumAlgorithm, version.checksumType),
        ["Size", version.size],
        ["StorageClass", version.storageClass],
        owner,
      ],
    ];
  });
  const nextKey = result.nextKeyMarker && encode(result.nextKeyMarker, isUrlEncoded);
  return writeXml("ListVersionsResult", s3Namespace, [
    ["Name", call.bucket],
    ["Prefix", encode(call.prefix, isUrlEncoded)],
    ["KeyMarker", encode(call.keyMarker, isUrlEncoded)],
    ["VersionIdMarker", call.versionIdMarker ?? ""],
    ...(isTruncated ? optional("NextKeyMarker", nextKey) : []),
    ...(isTruncated ? optional("NextVersionIdMarker", result.nextVersionIdMarker) : []),
    ["MaxKeys", call.maxKeys],
    ...boundNodes(call.delimiter, isUrlEncoded),
    ["IsTruncated", isTruncated],
    ...versions,
    ...prefixNodes(result.commonPrefixes, isUrlEncoded),
  ]);
}

export function uploadsDocument(result: ResultOf<"uploads">): Uint8Array {
  const { call, isTruncated } = result;
  const { isUrlEncoded } = call;
  const uploads = result.uploads.map((upload): XmlNode => [
    "Upload",
    [
      ["Key", encode(upload.key, isUrlEncoded)],
      ["UploadId", upload.uploadId],
      ownerNode("Initiator", upload.owner),
      ownerNode("Owner", upload.owner),
      ["StorageClass", upload.storageClass],
      ["Initiated", formatIsoDate(upload.initiated)],
      ...checksumNodes(upload.checksumAlgorithm, upload.checksumType),
    ],
  ]);
  const nextKey = result.nextKeyMarker && encode(result.nextKeyMarker, isUrlEncoded);
  return writeXml("ListMultipartUploadsResult", s3Namespace, [
    ["Bucket", call.bucket],
    ["KeyMarker", encode(call.keyMarker, isUrlEncoded)],
    ["UploadIdMarker", call.uploadIdMarker ?? ""],
    ...(isTruncated ? optional("NextKeyMarker", nextKey) : []),
    ...(isTruncated ? optional("NextUploadIdMarker", result.nextUploadIdMarker) : []),
    ["Prefix", encode(call.prefix, isUrlEncoded)],
    ...boundNodes(call.delimiter, isUrlEncoded),
    ["MaxUploads", call.maxUploads],
    ["IsTruncated", isTruncated],
    ...uploads,
    ...prefixNodes(result.commonPrefixes, isUrlEncoded),
  ]);
}

export function partsDocument(result: ResultOf<"parts">): Uint8Array {
  const { call, isTruncated, checksumAlgorithm } = result;
  const parts = result.parts.map((part): XmlNode => {
    const checksum =
      part.checksum !== undefined && checksumAlgorithm !== undefined
        ? optional(`Checksum${checksumLabel(checksumAlgorithm)}`, toBase64(part.checksum))
        : [];
    return [
      "Part",
      [
        ["PartNumber", part.partNumber],
        ["LastModified", formatIsoDate(part.lastModified)],
        ["ETag", quoted(part.etag)],
        ["Size", part.size],
        ...checksum,
      ],
    ];
  });
  const last = result.parts.at(-1)?.partNumber ?? call.partNumberMarker;
  return writeXml("ListPartsResult", s3Namespace, [
    ["Bucket", call.bucket],
    ["Key", encode(call.key, call.isUrlEncoded)],
    ["UploadId", call.uploadId],
    ownerNode("Initiator", result.owner),
    ownerNode("Owner", result.owner),
    ["StorageClass", result.storageClass],
    ["PartNumberMarker", call.partNumberMarker],
    ["NextPartNumberMarker", last],
    ["MaxParts", call.maxParts],
    ...(call.isUrlEncoded ? optional("EncodingType", "url") : []),
    ["IsTruncated", isTruncated],
    ...checksumNodes(checksumAlgorithm, result.checksumType),
    ...parts,
  ]);
}
