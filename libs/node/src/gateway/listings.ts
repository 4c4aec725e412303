import { fromHex, toHex } from "@kiseki/base";
import {
  listObjects as listObjectPage,
  listParts as listPartPage,
  listUploads as listUploadPage,
  listVersions as listVersionPage,
} from "@kiseki/composition";
import type { ListObjectsCall, ListPartsCall, ListUploadsCall, ListVersionsCall } from "@kiseki/s3";
import { ownerOfObject } from "./acls.ts";
import { toListedObject } from "./convert.ts";
import { abortionFor } from "./expiration.ts";
import { fail, refusalFailure } from "./failure.ts";
import { openPosition, sealPosition } from "./list-position.ts";
import type { CallOutcome } from "./objects.ts";
import { type CallScope, findBucket } from "./scope.ts";
import { uploadClass } from "./storage-class.ts";
import { parseVersion, versionIdText } from "./versions.ts";

/** An upload id as clients see it; `undefined`: no upload has such an id. */
export function parseUploadId(text: string): Uint8Array | undefined {
  return /^[0-9a-f]{32}$/.test(text) ? fromHex(text) : undefined;
}
export const uploadIdText = (upload: Uint8Array): string => toHex(upload);

const orUndefined = (bytes: Uint8Array): Uint8Array | undefined =>
  bytes.byteLength === 0 ? undefined : bytes;

export function listObjects(scope: CallScope, call: ListObjectsCall): CallOutcome {
  const namespace = findBucket(scope, call.bucket).id;
  const place = { list: "objects", bucket: call.bucket } as const;
  const { prefix, delimiter } = call;
  const after = openPosition(scope, place, call.continuationToken) ?? orUndefined(call.after);
  const dirKeys = scope.tenant.dirKeys(scope.tenant.keys("read"));
  const page = scope.tenant.store.view((map) =>
    listObjectPage(map, dirKeys, { namespace, prefix, delimiter, after, countMax: call.maxKeys }),
  );
  if (page.kind === "refused") throw refusalFailure(page.code);
  const objects = page.items
    .filter((item) => item.kind === "object")
    .map(({ key, entry }) => toListedObject(key, entry, scope.owner));
  const commonPrefixes = page.items
    .filter((item) => item.kind === "prefix")
    .map((item) => item.prefix);
  const isTruncated = page.next !== undefined && call.maxKeys > 0;
  const { next } = page;
  return {
    result: {
      kind: "objects",
      call,
      objects,
      commonPrefixes,
      isTruncated,
      nextMarker: isTruncated && call.delimiter.byteLength > 0 ? next : undefined,
      nextToken: isTruncated && call.version === 2 ? sealPosition(scope, place, next!) : undefined,
    },
  };
}

export function listVersions(scope: CallScope, call: ListVersionsCall): CallOutcome {
  const namespace = findBucket(scope, call.bucket).id;
  const { prefix, delimiter, maxKeys: countMax } = call;
  const key = orUndefined(call.keyMarker);
  const dirKeys = scope.tenant.dirKeys(scope.tenant.keys("read"));
  const after =
    key === undefined
      ? undefined
      : { key, ...parseVersion(scope, call.versionIdMarker, "version-id-marker") };
  const page = scope.tenant.store.view((map) =>
    listVersionPage(map, dirKeys, { namespace, prefix, delimiter, after, countMax }),
  );
  if (page.kind === "refused") throw refusalFailure(page.code);
  const isTruncated = page.next !== undefined && countMax > 0;
  const last = page.items.at(-1);
  return {
    result: {
      kind: "object_versions",
      call,
      versions: page.items
        .filter((item) => item.kind === "version")
        .map(({ key: itemKey, entry, isLatest }) => ({
          ...toListedObject(itemKey, entry, scope.owner),
          versionId: versionIdText(scope, entry),
          isLatest,
          isDeleteMarker: entry.kind === "delete_marker",
        })),
      commonPrefixes: page.items
        .filter((item) => item.kind === "prefix")
        .map((item) => item.prefix),
      isTruncated,
      nextKeyMarker: isTruncated ? page.next?.key : undefined,
      nextVersionIdMarker:
        isTruncated && last?.kind === "version" && page.next?.version !== undefined
          ? versionIdText(scope, last.entry)
          : undefined,
    },
  };
}

export function listUploads(scope: CallScope, call: ListUploadsCall): CallOutcome {
  const namespace = findBucket(scope, call.bucket).id;
  const { prefix, delimiter, maxUploads: countMax } = call;
  const key = orUndefined(call.keyMarker);
  const upload = call.uploadIdMarker === undefined ? undefined : parseUploadId(call.uploadIdMarker);
  const dirKeys = scope.tenant.dirKeys(scope.tenant.keys("read"));
  const after =
    key === undefined ? undefined : { key, ...(upload === undefined ? {} : { upload }) };
  const page = scope.tenant.store.view((map) =>
    listUploadPage(map, dirKeys, { namespace, prefix, delimiter, after, countMax }),
  );
  if (page.kind === "refused") throw refusalFailure(page.code);
  const isTruncated = page.next !== undefined && countMax > 0;
  return {
    result: {
      kind: "uploads",
      call,
      uploads: page.items
        .filter((item) => item.kind === "upload")
        .map((item) => ({
          key: item.key,
          uploadId: uploadIdText(item.upload),
          initiated: item.row.initiated,
          storageClass: uploadClass(item.row.attributes),
          owner: ownerOfObject(scope, call.bucket, item.row.attributes),
          checksumAlgorithm: item.row.checksumAlgorithm,
          checksumType: item.row.isChecksumComposite ? "COMPOSITE" : "FULL_OBJECT",
        })),
      commonPrefixes: page.items
        .filter((item) => item.kind === "prefix")
        .map((item) => item.prefix),
      isTruncated,
      nextKeyMarker: isTruncated ? page.next?.key : undefined,
      nextUploadIdMarker:
        isTruncated && page.next?.upload !== undefined ? uploadIdText(page.next.upload) : undefined,
    },
  };
}

export function listParts(scope: CallScope, call: ListPartsCall): CallOutcome {
  const namespace = findBucket(scope, call.bucket).id;
  const upload = parseUploadId(call.uploadId);
  if (upload === undefined) throw fail("NoSuchUpload", undefined, [["UploadId", call.uploadId]]);
  const { key, partNumberMarker: after, maxParts: countMax } = call;
  const dirKeys = scope.tenant.dirKeys(scope.tenant.keys("read"));
  const page = scope.tenant.store.view((map) =>
    listPartPage(map, dirKeys, { namespace, key, upload, after, countMax }),
  );
  if (page.kind === "refused") {
    const isUpload = page.code === "no_such_upload";
    throw refusalFailure(page.code, isUpload ? [["UploadId", call.uploadId]] : []);
  }
  const { checksumAlgorithm, isChecksumComposite } = page.upload;
  return {
    result: {
      kind: "parts",
      call,
      parts: page.parts.map(({ part, row }) => ({
        partNumber: part,
        lastModified: row.modified,
        etag: toHex(row.md5),
        size: row.size,
        checksum: row.checksums[0]?.value,
      })),
      isTruncated: page.next !== undefined && countMax > 0,
      storageClass: uploadClass(page.upload.attributes),
      owner: ownerOfObject(scope, call.bucket, page.upload.attributes),
      ...abortionFor(scope, call, page.upload.initiated),
      checksumAlgorithm,
      checksumType: isChecksumComposite ? "COMPOSITE" : "FULL_OBJECT",
    },
  };
}
