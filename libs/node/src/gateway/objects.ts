import { assert, AssertionError, type OperationId } from "@kiseki/base";
import { type FoundObject, lookupObject, type NewContent } from "@kiseki/composition";
import type { Checksum, Etag } from "@kiseki/format";
import type { HashAlgorithm } from "@kiseki/ports";
import {
  type BodyExpectation,
  type ByteRange,
  type DeleteObjectCall,
  evaluateRead,
  evaluateWrite,
  type PutObjectCall,
  type ReadObjectCall,
  resolveRange,
  type S3Result,
} from "@kiseki/s3";
import { ContentReader } from "../object/read-content.ts";
import { type WrittenContent, writeContent } from "../object/write-content.ts";
import { checkDigests, claimedAlgorithms } from "./content.ts";
import {
  etagText,
  toConditions,
  toObjectChecksum,
  toObjectView,
  toRowAttributes,
} from "./convert.ts";
import { fail } from "./failure.ts";
import { type CallScope, findBucket, newOperationId, submit } from "./scope.ts";

/** A result, and for GET the object's bytes. */
export interface CallOutcome {
  readonly result: S3Result;
  readonly content?: ContentReader;
}

/** A body that was stored, with what it turned out to be. */
export interface StoredBody {
  readonly content: NewContent;
  readonly md5: Uint8Array;
  readonly checksums: readonly Checksum[];
}

/**
 * Stores a request's body, checks it against every claim, then runs `commit`; what was stored goes again
 * when that fails.
 */
export async function storeBody<T>(
  scope: CallScope,
  expectation: BodyExpectation,
  algorithm: BodyExpectation["algorithm"],
  commit: (body: StoredBody, operationId: OperationId) => Promise<T>,
): Promise<T> {
  const { ports, payload, request, content, tenant } = scope;
  const operationId = newOperationId(ports.prng);
  const algorithms: Set<HashAlgorithm> = claimedAlgorithms(expectation, payload);
  if (algorithm) algorithms.add(algorithm);
  using written = await writeContent(ports, tenant, content, {
    operationId,
    size: expectation.size,
    algorithms,
    signal: request.signal,
  });
  try {
    const { digests } = written;
    checkDigests(ports.crypto, digests, { expectation, payload, trailers: content.trailers });
    return await commit(describeBody(written, algorithm), operationId);
  } catch (reason) {
    // After a bug nobody knows whether a commit names what was stored; a refusal says that none does.
    if (!(reason instanceof AssertionError)) written.discard();
    throw reason;
  }
}

function describeBody(
  written: WrittenContent,
  algorithm: BodyExpectation["algorithm"],
): StoredBody {
  const md5 = written.digests.get("md5");
  assert(md5 !== undefined, "the ETag's MD5 is always computed");
  const value = algorithm && written.digests.get(algorithm);
  const checksums = algorithm && value ? [{ algorithm, value, isComposite: false }] : [];
  return { content: written.content, md5, checksums };
}

export async function putObject(scope: CallScope, call: PutObjectCall): Promise<CallOutcome> {
  const namespace = findBucket(scope, call.bucket).id;
  refuseEarly(scope, call);
  const { size } = call.body;
  const algorithm = call.body.algorithm ?? "crc64nvme";
  const answer = await storeBody(scope, call.body, algorithm, (body, operationId) => {
    const etag: Etag = { md5: body.md5, parts: 0 };
    return submit(
      scope,
      {
        kind: "put_object",
        namespace,
        key: call.key,
        content: body.content,
        size,
        etag,
        attributes: toRowAttributes(call.attributes, body.checksums),
        conditions: toConditions(call.conditions),
      },
      "object",
      operationId,
    );
  });
  return {
    result: {
      kind: "object_put",
      etag: etagText(answer.etag),
      checksum: toObjectChecksum(answer.checksums[0], 0),
      isSse: call.attributes.isSseRequested,
    },
  };
}

/** A conditional write that cannot succeed is refused before its body is asked for; the commit decides all the same. */
function refuseEarly(scope: CallScope, call: PutObjectCall): void {
  if (call.conditions.ifMatch === undefined && call.conditions.ifNoneMatch === undefined) return;
  const found = lookUp(scope, call.bucket, call.key);
  const code = evaluateWrite(call.conditions, found && etagText(found.entry.etag));
  if (code) throw fail(code);
}

/** The current object, or `undefined`. Enter the readers before, if its content will be read. */
export function lookUp(scope: CallScope, bucket: string, key: Uint8Array): FoundObject | undefined {
  const namespace = findBucket(scope, bucket).id;
  const keyring = scope.tenant.keys("read");
  const dirKeys = scope.tenant.dirKeys(keyring);
  const found = scope.tenant.store.view((map) => lookupObject(map, dirKeys, { namespace, key }));
  if (found.kind === "object") return found;
  if (found.kind === "refused" && found.code === "key_too_long") throw fail("KeyTooLongError");
  return undefined;
}

export async function readObject(scope: CallScope, call: ReadObjectCall): Promise<CallOutcome> {
  using held = new DisposableStack();
  const place = held.use(scope.tenant.readers.enter());
  const found = lookUp(scope, call.bucket, call.key);
  if (found === undefined) throw fail("NoSuchKey");
  const view = toObjectView(found);
  const verdict = evaluateRead(call.conditions, view);
  if (verdict === "precondition_failed") throw fail("PreconditionFailed");
  if (verdict === "not_modified") {
    return { result: { kind: "not_modified", etag: view.etag, lastModified: view.lastModified } };
  }
  const selection = select(found, call.range, call.partNumber);
  const result: S3Result = {
    kind: "object_read",
    view,
    range: selection.range,
    partCount: selection.partCount,
    overrides: call.overrides,
    isChecksumWanted: call.isChecksumWanted && selection.range === undefined,
  };
  const start = selection.range?.offset ?? 0;
  const end = selection.range ? start + selection.range.length : view.size;
  if (call.kind === "head_object" || start === end) return { result };
  const { request, ports, tenant } = scope;
  held.move(); // the reader leaves in its own time
  const content = new ContentReader(ports, tenant, {
    found,
    start,
    end,
    place,
    signal: request.signal,
  });
  return { result, content };
}

/** What of the object is asked for. @throws {GatewayFailure} `InvalidRange`, `InvalidPartNumber`. */
function select(
  found: FoundObject,
  range: ByteRange | undefined,
  partNumber: number | undefined,
): {
  readonly range: { offset: number; length: number } | undefined;
  readonly partCount: number | undefined;
} {
  const { size, etag } = found.entry;
  if (partNumber !== undefined && etag.parts === 0) {
    if (partNumber !== 1) throw fail("InvalidPartNumber");
    return { range: undefined, partCount: undefined };
  }
  if (partNumber !== undefined) throw fail("NotImplemented");
  if (range === undefined) return { range: undefined, partCount: undefined };
  const resolved = resolveRange(range, size);
  if (resolved === "unsatisfiable") throw fail("InvalidRange");
  return { range: resolved, partCount: undefined };
}

export async function deleteObject(scope: CallScope, call: DeleteObjectCall): Promise<CallOutcome> {
  const namespace = findBucket(scope, call.bucket).id;
  const conditions = call.ifMatch === undefined ? {} : toConditions({ ifMatch: call.ifMatch });
  await submit(
    scope,
    {
      kind: "delete_object",
      namespace,
      key: call.key,
      conditions,
      ...(call.isNullVersion ? { version: "null" as const } : {}),
    },
    "deleted",
  );
  return { result: { kind: "object_deleted", isNullVersion: call.isNullVersion } };
}
