import { assert, AssertionError, toHex } from "@kiseki/base";
import { type Answer, type FoundObject, readContent } from "@kiseki/composition";
import type { Checksum } from "@kiseki/format";
import type { HashAlgorithm } from "@kiseki/ports";
import {
  type CopyObjectCall,
  type CopySource,
  evaluateRead,
  type ObjectAttributes,
  type UploadPartCopyCall,
} from "@kiseki/s3";
import { ContentReader } from "../object/read-content.ts";
import { takeTurn } from "../object/rewrite-turn.ts";
import { type WrittenContent, writeContent } from "../object/write-content.ts";
import { newObjectAcl } from "./acls.ts";
import {
  etagText,
  toConditions,
  toObjectChecksum,
  toObjectView,
  toRowAttributes,
  toS3Attributes,
  toTags,
} from "./convert.ts";
import { expirationFor } from "./expiration.ts";
import { conditionDetail, fail } from "./failure.ts";
import {
  encryptTarget,
  type ObjectEncryption,
  openEncrypted,
  openUploadEncryption,
} from "./encryption.ts";
import { uploadOf, uploadRowOf } from "./multipart.ts";
import { type CallOutcome, refuseEarly } from "./objects.ts";
import { type CallScope, findBucket, newOperationId, submit } from "./scope.ts";
import { poolFor, uploadClass } from "./storage-class.ts";
import { findSource, madeVersion, parseVersion, shownVersion } from "./versions.ts";

const partSourceSizeMax = 5 * 1024 ** 3;

/** The source as it stands, its conditions met, with what opens it. @throws {GatewayFailure} */
interface OpenSource extends Disposable {
  readonly found: FoundObject;
  readonly encryption: ObjectEncryption;
}
function openSource(scope: CallScope, source: CopySource): OpenSource {
  const found = findSource(scope, source);
  const encryption = openEncrypted(scope, found.cold.attributes, source.customerKey);
  const verdict = evaluateRead(source.conditions, toObjectView(found));
  if (verdict.kind !== "proceed") {
    const details = conditionDetail(verdict.condition, "x-amz-copy-source-");
    encryption[Symbol.dispose]();
    throw fail("PreconditionFailed", undefined, details);
  }
  return { found, encryption, [Symbol.dispose]: () => encryption[Symbol.dispose]() };
}

/** True when the content can be named again instead of being written again: it is not small, and in the pool. */
function isReferable(scope: CallScope, found: FoundObject, pool: number): boolean {
  const range = { start: 0, end: found.entry.size };
  const page = scope.tenant.store.view((map) => readContent(map, found.cold.content, range, 1));
  return page.pieces.every(
    (piece) => piece.kind === "hole" || (!piece.isSmall && piece.address.pool === pool),
  );
}

/** Reads `[start, end)` of an object and stores it anew; `commit` names it. */
async function rewrite<T>(
  scope: CallScope,
  source: OpenSource & { readonly start: number; readonly end: number },
  target: {
    readonly algorithm: Checksum["algorithm"];
    readonly encryption: ObjectEncryption;
    readonly pool: number;
  },
  commit: (written: WrittenContent, md5: Uint8Array, checksums: readonly Checksum[]) => Promise<T>,
): Promise<T> {
  const { ports, tenant, request } = scope;
  const from = (scope.source ?? scope).tenant;
  const { found, start, end } = source;
  const { algorithm, encryption, pool } = target;
  using place = new DisposableStack();
  place.use(from.readers.enter());
  place.use(source);
  using _turn = await takeTurn(ports.budget, end - start, request.signal);
  using content = new ContentReader(ports, from, {
    found,
    start,
    end,
    place: place.move(),
    signal: request.signal,
    cipher: source.encryption.cipher,
  });
  const algorithms = new Set<HashAlgorithm>([algorithm]);
  using written = await writeContent(ports, tenant, content, {
    operationId: newOperationId(ports.prng),
    size: end - start,
    algorithms,
    signal: request.signal,
    cipher: encryption.cipher,
    pool,
  });
  const md5 = written.digests.get("md5");
  const value = written.digests.get(algorithm);
  assert(md5 !== undefined && value !== undefined, "both digests were asked for");
  try {
    return await commit(written, encryption.cipher?.etag(md5) ?? md5, [
      { algorithm, value, isComposite: false },
    ]);
  } catch (reason) {
    // After a bug nobody knows whether a commit names what was stored; a refusal says that none does.
    if (!(reason instanceof AssertionError)) written.discard();
    throw reason;
  }
}

/**
 * A multipart object's copy has the ETag of one upload, another algorithm asks for another digest, and content
 * under a customer's key is sealed for one object alone. Another storage class is another pool.
 */
function mustRewrite(
  scope: CallScope,
  call: CopyObjectCall,
  { found, encryption: source }: OpenSource,
  target: ObjectEncryption,
  pool: number,
): boolean {
  if (scope.source !== undefined) return true; // keys of one tenant do not open another's content
  if (source.cipher !== undefined || target.cipher !== undefined) return true;
  const known = found.cold.attributes.checksums[0];
  if (found.entry.etag.parts > 0 && found.entry.size <= partSourceSizeMax) return true;
  if (call.algorithm !== undefined && call.algorithm !== known?.algorithm) return true;
  return found.entry.size > 0 && !isReferable(scope, found, pool);
}

/** Redirect and storage class are never copied, whatever the directive: they are as the request says, or none. */
function wantedAttributes(call: CopyObjectCall, found: FoundObject): ObjectAttributes {
  const { attributes } = call;
  const tags = call.areTagsReplaced ? attributes.tags : toTags(found.cold.attributes);
  if (call.isMetadataReplaced) return { ...attributes, tags };
  const kept = toS3Attributes(found.cold.attributes);
  const { websiteRedirectLocation: _, ...content } = kept.content;
  const { websiteRedirectLocation } = attributes.content;
  return {
    ...kept,
    content:
      websiteRedirectLocation === undefined ? content : { ...content, websiteRedirectLocation },
    storageClass: attributes.storageClass,
    tags,
    ...(attributes.lock === undefined ? {} : { lock: attributes.lock }),
  };
}

/** The source as the shard's operations name it. @throws {GatewayFailure} `NoSuchBucket`. */
const sourceName = (from: CallScope, { bucket, key, versionId }: CopySource) => ({
  namespace: findBucket(from, bucket).id,
  key,
  ...parseVersion(from, versionId),
});

export async function copyObject(scope: CallScope, call: CopyObjectCall): Promise<CallOutcome> {
  const namespace = findBucket(scope, call.bucket).id;
  const pool = poolFor(scope, call.attributes.storageClass);
  const from = scope.source ?? scope;
  const source = sourceName(from, call.source);
  using _place = from.tenant.readers.enter();
  using opened = openSource(from, call.source);
  const { found } = opened;
  using encryption = encryptTarget(scope, call.bucket, call.encryption);
  const told = refuseEarly(scope, call);
  if (found.entry.size > partSourceSizeMax) throw fail("InvalidRequest");
  const tags = call.areTagsReplaced ? [] : toTags(found.cold.attributes);
  if (tags.length > 0 && !scope.access.mayCopyTags(call, tags)) throw fail("AccessDenied");
  const wanted = wantedAttributes(call, found);
  const acl = newObjectAcl(scope, call.bucket, call.attributes.acl);
  const conditions = toConditions(call.conditions);
  let answer: Extract<Answer, { kind: "object" }>;
  if (mustRewrite(scope, call, opened, encryption, pool)) {
    const algorithm =
      call.algorithm ?? found.cold.attributes.checksums[0]?.algorithm ?? "crc64nvme";
    answer = await told(() =>
      rewrite(
        scope,
        { ...opened, start: 0, end: found.entry.size },
        { algorithm, encryption, pool },
        (written, md5, checksums) =>
          submit(
            scope,
            {
              kind: "put_object",
              namespace,
              key: call.key,
              content: written.content,
              size: found.entry.size,
              etag: { md5, parts: 0 },
              attributes: { ...toRowAttributes(wanted, checksums, encryption.stored), ...acl },
              conditions,
            },
            "object",
          ),
      ),
    );
  } else {
    const { checksums } = found.cold.attributes;
    const attributes = { ...toRowAttributes(wanted, checksums, encryption.stored), ...acl };
    const operation = {
      kind: "copy_object",
      namespace,
      key: call.key,
      source,
      sourceConditions: { ifMatch: [etagText(found.entry.etag)] },
      attributes,
      conditions,
    } as const;
    answer = await told(() => submit(scope, operation, "object"));
  }
  return {
    result: {
      kind: "object_copied",
      versionId: madeVersion(scope, answer),
      sourceVersionId: shownVersion(from, call.source.bucket, found.entry),
      etag: etagText(answer.etag),
      lastModified: answer.modified,
      checksum: toObjectChecksum(answer.checksums[0], answer.etag.parts),
      encryption: encryption.shown,
      ...expirationFor(scope, call, { ...answer, tags: wanted.tags }),
    },
  };
}

export async function copyPart(scope: CallScope, call: UploadPartCopyCall): Promise<CallOutcome> {
  const namespace = findBucket(scope, call.bucket).id;
  const upload = uploadOf(call.uploadId);
  const begun = uploadRowOf(scope, call);
  const algorithm = begun.checksumAlgorithm ?? "crc64nvme";
  const pool = poolFor(scope, uploadClass(begun.attributes));
  using encryption = openUploadEncryption(scope, begun.attributes, call.customerKey);
  const from = scope.source ?? scope;
  using _place = from.tenant.readers.enter();
  using opened = openSource(from, call.source);
  const { found } = opened;
  const { size } = found.entry;
  const start = call.range?.first ?? 0;
  const end = call.range === undefined ? size : call.range.last + 1;
  if (end > size) {
    const { headers } = scope.request.head;
    const range = headers.find(({ name }) => name === "x-amz-copy-source-range")?.value ?? "";
    throw fail("InvalidRange", undefined, [
      ["RangeRequested", range],
      ["ActualObjectSize", String(size)],
    ]);
  }
  if (end - start > partSourceSizeMax) throw fail("InvalidRequest");
  const answer = await rewrite(
    scope,
    { ...opened, start, end },
    { algorithm, encryption, pool },
    async (written, md5, checksums) => {
      // The bytes were read for the part's MD5; chunks cut at the same offsets are dedup hits, not second copies.
      const part = await submit(
        scope,
        {
          kind: "put_part",
          namespace,
          key: call.key,
          upload,
          part: call.partNumber,
          content: written.content,
          size: end - start,
          md5,
          checksums,
        },
        "part",
      );
      return { ...part, checksums };
    },
  );
  return {
    result: {
      kind: "part_copied",
      sourceVersionId: shownVersion(from, call.source.bucket, found.entry),
      etag: toHex(answer.md5),
      lastModified: answer.modified,
      checksum: toObjectChecksum(answer.checksums[0], 0),
      encryption: encryption.shown,
    },
  };
}
