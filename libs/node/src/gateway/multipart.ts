import { createHash } from "node:crypto";
import { failpoint, newBytes, toHex } from "@kiseki/base";
import { listParts, type PartListPage } from "@kiseki/composition";
import type { Checksum, PartRow, UploadRow } from "@kiseki/format";
import {
  type AbortUploadCall,
  checkComplete,
  checkCompletePart,
  type CompletePart,
  type CompleteUploadCall,
  compositeChecksum,
  type CreateUploadCall,
  fullObjectChecksum,
  isFault,
  type ObjectChecksum,
  parseCompleteBody,
  type ShownEncryption,
  type UploadPartCall,
} from "@kiseki/s3";
import { readCallDocument } from "./buckets.ts";
import { newObjectAcl } from "./acls.ts";
import { etagText, toConditions, toObjectChecksum, toRowAttributes } from "./convert.ts";
import { abortionFor, currentExpiration } from "./expiration.ts";
import { encryptTarget, openUploadEncryption, shownOf } from "./encryption.ts";
import { fail, GatewayFailure } from "./failure.ts";
import { parseUploadId, uploadIdText } from "./listings.ts";
import { type CallOutcome, conditionalCommit, storeBody } from "./objects.ts";
import { type CallScope, findBucket, submit } from "./scope.ts";
import { poolFor, uploadClass } from "./storage-class.ts";
import { madeVersion } from "./versions.ts";

const partsPerPage = 1000;
/** What S3 computes when the client names no algorithm. */
export const defaultAlgorithm = "crc64nvme";

/** The upload's id. @throws {GatewayFailure} `NoSuchUpload`. */
export function uploadOf(text: string): Uint8Array {
  const upload = parseUploadId(text);
  if (upload === undefined) throw fail("NoSuchUpload", undefined, [["UploadId", text]]);
  return upload;
}

export async function createUpload(scope: CallScope, call: CreateUploadCall): Promise<CallOutcome> {
  const { checksum, attributes, bucket, key } = call;
  const algorithm = checksum?.algorithm;
  poolFor(scope, attributes.storageClass);
  using encryption = encryptTarget(scope, bucket, call.encryption);
  const acl = newObjectAcl(scope, bucket, attributes.acl);
  const answer = await submit(
    scope,
    {
      kind: "create_upload",
      namespace: findBucket(scope, bucket).id,
      key,
      random: scope.ports.prng.fill(newBytes(16)),
      attributes: { ...toRowAttributes(attributes, [], encryption.stored), ...acl },
      ...(algorithm === undefined ? {} : { checksumAlgorithm: algorithm }),
      isChecksumComposite: checksum?.type === "COMPOSITE",
    },
    "upload",
  );
  return {
    result: {
      kind: "upload_created",
      bucket,
      key,
      uploadId: uploadIdText(answer.upload),
      checksum,
      encryption: encryption.shown,
      ...abortionFor(scope, call, scope.ports.clock.realtime()),
    },
  };
}

/** One page of an upload's parts. @throws {GatewayFailure} `NoSuchUpload`. */
function partPage(
  scope: CallScope,
  call: { readonly bucket: string; readonly key: Uint8Array; readonly uploadId: string },
  after: number,
  countMax: number,
): PartListPage | undefined {
  const namespace = findBucket(scope, call.bucket).id;
  const upload = uploadOf(call.uploadId);
  const dirKeys = scope.tenant.dirKeys(scope.tenant.keys("read"));
  const page = scope.tenant.store.view((map) =>
    listParts(map, dirKeys, { namespace, key: call.key, upload, after, countMax }),
  );
  return page.kind === "page" ? page : undefined;
}

/** What the upload was begun with. @throws {GatewayFailure} `NoSuchUpload`. */
export function uploadRowOf(
  scope: CallScope,
  call: { readonly bucket: string; readonly key: Uint8Array; readonly uploadId: string },
): UploadRow {
  const page = partPage(scope, call, 0, 1);
  if (page === undefined) throw fail("NoSuchUpload", undefined, [["UploadId", call.uploadId]]);
  return page.upload;
}

export async function uploadPart(scope: CallScope, call: UploadPartCall): Promise<CallOutcome> {
  const namespace = findBucket(scope, call.bucket).id;
  const upload = uploadOf(call.uploadId);
  const { checksumAlgorithm: declared, attributes } = uploadRowOf(scope, call);
  const pool = poolFor(scope, uploadClass(attributes));
  using encryption = openUploadEncryption(scope, attributes, call.customerKey);
  const sent = call.body.algorithm;
  if (declared !== undefined && sent !== undefined && sent !== declared) {
    const types = `expected checksum Type: ${declared}, actual checksum Type: ${sent}`;
    throw fail("InvalidRequest", `Checksum Type mismatch occurred, ${types}`);
  }
  const algorithm = declared ?? sent ?? defaultAlgorithm;
  const { size } = call.body;
  const { body: expected } = call;
  const { cipher } = encryption;
  const { md5, checksums } = await storeBody(
    scope,
    expected,
    algorithm,
    { cipher, pool },
    async (body, id) => {
      const operation = {
        kind: "put_part",
        namespace,
        key: call.key,
        upload,
        part: call.partNumber,
        content: body.content,
        size,
        md5: body.md5,
        checksums: body.checksums,
      } as const;
      await submit(scope, operation, "part", id);
      return body;
    },
  );
  return {
    result: {
      kind: "part_uploaded",
      etag: toHex(md5),
      checksum: toObjectChecksum(checksums[0], 0),
      encryption: encryption.shown,
    },
  };
}

export async function abortUpload(scope: CallScope, call: AbortUploadCall): Promise<CallOutcome> {
  const namespace = findBucket(scope, call.bucket).id;
  const upload = uploadOf(call.uploadId);
  await submit(scope, { kind: "abort_upload", namespace, key: call.key, upload }, "none");
  return { result: { kind: "upload_aborted" } };
}

/** What the named parts come to. */
interface Combined {
  readonly checksum: ObjectChecksum | undefined;
  readonly encryption: ShownEncryption;
}

/** Every part of the upload by its number; `undefined` when it was completed before: the machine knows the outcome. */
function allParts(
  scope: CallScope,
  call: CompleteUploadCall,
): { readonly upload: PartListPage["upload"]; readonly rows: Map<number, PartRow> } | undefined {
  const rows = new Map<number, PartRow>();
  for (let after: number | undefined = 0; ;) {
    const page = partPage(scope, call, after, partsPerPage);
    if (page === undefined) return undefined;
    for (const { part, row } of page.parts) rows.set(part, row);
    if (page.next === undefined) return { upload: page.upload, rows };
    after = page.next;
  }
}

/** The checksum of the whole, from those of its parts. @throws {GatewayFailure} when a claim does not hold. */
function combine(
  scope: CallScope,
  call: CompleteUploadCall,
  named: readonly CompletePart[],
): Combined {
  const known = allParts(scope, call);
  if (known === undefined) return { checksum: undefined, encryption: { kind: "s3" } };
  const { attributes } = known.upload;
  if (call.customerKey) {
    openUploadEncryption(scope, attributes, call.customerKey)[Symbol.dispose]();
  }
  const { checksumAlgorithm, isChecksumComposite } = known.upload;
  const declared =
    checksumAlgorithm === undefined
      ? undefined
      : ({
          algorithm: checksumAlgorithm,
          type: isChecksumComposite ? "COMPOSITE" : "FULL_OBJECT",
        } as const);
  const algorithm = checksumAlgorithm ?? defaultAlgorithm;
  const parts: { value: Uint8Array; size: number }[] = [];
  let size = 0;
  for (const part of named) {
    const row = known.rows.get(part.partNumber);
    if (row === undefined) throw fail("InvalidPart");
    const stored = row.checksums.find((checksum) => checksum.algorithm === algorithm);
    const fault = checkCompletePart(part, declared, stored?.value);
    if (fault) throw new GatewayFailure(fault);
    size += row.size;
    if (stored) parts.push({ value: stored.value, size: row.size });
  }
  const checksum =
    parts.length === named.length
      ? combineParts(scope, algorithm, isChecksumComposite, parts)
      : undefined;
  const fault = checkComplete(call, checksum, size);
  if (fault) throw new GatewayFailure(fault);
  return { checksum, encryption: shownOf(scope, attributes) };
}

function combineParts(
  scope: CallScope,
  algorithm: Checksum["algorithm"],
  isComposite: boolean,
  parts: readonly { readonly value: Uint8Array; readonly size: number }[],
): ObjectChecksum | undefined {
  if (parts.length === 0) return undefined;
  if (isComposite && algorithm !== "crc64nvme") {
    const sha1 = (source: Uint8Array) => new Uint8Array(createHash("sha1").update(source).digest());
    return compositeChecksum(scope.ports.crypto, algorithm, parts, sha1);
  }
  if (algorithm === "sha1" || algorithm === "sha256") return undefined;
  return fullObjectChecksum(algorithm, parts);
}

export async function completeUpload(
  scope: CallScope,
  call: CompleteUploadCall,
): Promise<CallOutcome> {
  const namespace = findBucket(scope, call.bucket).id;
  const upload = uploadOf(call.uploadId);
  const told = conditionalCommit(scope, call);
  const named = parseCompleteBody(await readCallDocument(scope, call));
  if (isFault(named)) throw new GatewayFailure(named);
  const { checksum, encryption } = combine(scope, call, named as readonly CompletePart[]);
  failpoint("complete-checked");
  const operation = {
    kind: "complete_upload",
    namespace,
    key: call.key,
    upload,
    parts: (named as readonly CompletePart[]).map(({ partNumber, etag }) => ({
      part: partNumber,
      etag,
    })),
    checksums: checksum
      ? [
          {
            algorithm: checksum.algorithm,
            value: checksum.value,
            isComposite: checksum.type === "COMPOSITE",
          },
        ]
      : [],
    conditions: toConditions(call.conditions),
  } as const;
  const answer = await told(() => submit(scope, operation, "object"));
  failpoint("complete-committed");
  const { host } = scope.request.head;
  const path = scope.request.head.target.split("?", 1)[0]!;
  return {
    result: {
      kind: "upload_completed",
      versionId: madeVersion(scope, answer),
      location: `${scope.request.isTls ? "https" : "http"}://${host}${path}`,
      bucket: call.bucket,
      key: call.key,
      etag: etagText(answer.etag),
      checksum: toObjectChecksum(answer.checksums[0], answer.etag.parts),
      encryption,
      ...currentExpiration(scope, call, answer),
    },
  };
}
