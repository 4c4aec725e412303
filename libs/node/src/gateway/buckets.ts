import { assert, type NamespaceId, namespaceId, newBytes, toUtf8 } from "@kiseki/base";
import { listNamespaces } from "@kiseki/composition";
import {
  type BucketCall,
  checkLocation,
  type CreateBucketCall,
  type DeleteEntry,
  type DeleteObjectsCall,
  isFault,
  type ListBucketsCall,
  parseCreateBucketBody,
  parseDeleteBody,
  parseVersioningBody,
  type PutVersioningCall,
  type S3ErrorCode,
  type S3Fault,
  type S3Result,
} from "@kiseki/s3";
import { checkNewBucketAccess, keepNewBucketAccess } from "./acls.ts";
import { readDocument } from "./content.ts";
import { toConditions } from "./convert.ts";
import { GatewayFailure, refusalFault, refusalMessage } from "./failure.ts";
import { openPosition, sealPosition } from "./list-position.ts";
import { type CallOutcome, deletedVersion } from "./objects.ts";
import { aliasedBucket, type CallScope, findBucket, newOperationId, submit } from "./scope.ts";
import { openVersionId } from "./versions.ts";

export function orFail<T>(value: T | S3Fault): T {
  if (isFault(value)) throw new GatewayFailure(value);
  return value as T;
}

export function readCallDocument(
  scope: CallScope,
  call: Pick<CreateBucketCall, "body" | "bodySizeMax">,
): Promise<Uint8Array> {
  return readDocument(scope.ports, scope.content, {
    sizeMax: call.bodySizeMax,
    expectation: call.body,
    payload: scope.payload,
    signal: scope.request.signal,
  });
}

export async function createBucket(scope: CallScope, call: CreateBucketCall): Promise<CallOutcome> {
  const document = await readCallDocument(scope, call);
  const { locationConstraint } = orFail(parseCreateBucketBody(document));
  const fault = checkLocation(locationConstraint, scope.regionOnly);
  if (fault) throw new GatewayFailure(fault);
  const ownership = call.ownership ?? scope.defaultOwnership;
  const acl = checkNewBucketAccess(scope, ownership, call.acl);
  const make = async (): Promise<void> => {
    const id = namespaceId(scope.ports.prng.fill(newBytes(16)));
    const { bucket: name, isLockEnabled } = call;
    try {
      await submit(scope, { kind: "create_namespace", id, name, isLockEnabled }, "namespace");
    } finally {
      scope.buckets.forget(name); // it was remembered as missing
    }
    await keepNewBucketAccess(scope, name, { ownership, acl });
  };
  const bucket = aliasedBucket(scope, call.bucket);
  try {
    await (bucket.exists() ? make() : scope.aliases.make(bucket, make));
  } catch (reason) {
    // CreateBucket: making one's own bucket again is no error in us-east-1, and one in any other region.
    const isOwned =
      reason instanceof GatewayFailure && reason.fault.code === "BucketAlreadyOwnedByYou";
    const lacksLocks = call.isLockEnabled && !findBucket(scope, call.bucket).isLockEnabled;
    if (!isOwned || scope.region !== "us-east-1" || lacksLocks) throw reason;
  }
  return { result: { kind: "bucket_created", bucket: call.bucket } };
}

export async function deleteBucket(scope: CallScope, call: BucketCall): Promise<CallOutcome> {
  const namespace = findBucket(scope, call.bucket).id;
  scope.buckets.forget(call.bucket);
  await submit(scope, { kind: "delete_namespace", namespace }, "namespace");
  scope.buckets.forget(call.bucket); // a request in between may have put it back
  await scope.aliases.release(aliasedBucket(scope, call.bucket));
  return { result: { kind: "bucket_deleted" } };
}

export function listBuckets(scope: CallScope, call: ListBucketsCall): CallOutcome {
  const place = { list: "buckets", bucket: "" } as const;
  const after = openPosition(scope, place, call.continuationToken);
  const page = scope.tenant.store.view((map) => {
    const from = after === undefined ? undefined : Buffer.from(after).toString("utf8");
    return listNamespaces(map, from, call.maxBuckets, call.prefix);
  });
  const { region } = scope;
  const buckets = page.namespaces.map(({ name, created }) => ({ name, created, region }));
  const token = page.next === undefined ? undefined : sealPosition(scope, place, toUtf8(page.next));
  return {
    result: { kind: "buckets", call, owner: scope.owner, buckets, continuationToken: token },
  };
}

/** Each key is an operation of its own; all of them join the same batch or two. */
export async function deleteObjects(
  scope: CallScope,
  call: DeleteObjectsCall,
): Promise<CallOutcome> {
  const namespace = findBucket(scope, call.bucket).id;
  const body = orFail(parseDeleteBody(await readCallDocument(scope, call)));
  const outcomes = await Promise.all(
    body.entries.map(async (entry) => {
      const { key, versionId } = entry;
      if (scope.access.mayDelete(call.bucket, key, versionId)) {
        return deleteEntry(scope, namespace, entry, call.isBypassing);
      }
      const error = { code: "AccessDenied" as const, message: undefined };
      return { key, versionId, marker: undefined, error };
    }),
  );
  return { result: { kind: "objects_deleted", isQuiet: body.isQuiet, outcomes } };
}

type DeleteOutcome = Extract<S3Result, { kind: "objects_deleted" }>["outcomes"][number];
async function deleteEntry(
  scope: CallScope,
  namespace: NamespaceId,
  { key, versionId, conditions }: DeleteEntry,
  isBypassing: boolean,
): Promise<DeleteOutcome> {
  const version = versionId === undefined ? undefined : openVersionId(scope, versionId);
  const failed = (code: S3ErrorCode, message?: string): DeleteOutcome => ({
    key,
    versionId,
    marker: undefined,
    error: { code, message },
  });
  if (versionId !== undefined && version === undefined) {
    return failed("InvalidArgument", "Invalid version id specified");
  }
  const outcome = await scope.tenant.owner.submit(
    {
      kind: "delete_object",
      namespace,
      key,
      conditions: toConditions(conditions),
      isBypassing,
      ...(version === undefined ? {} : { version }),
    },
    newOperationId(scope.ports.prng),
    scope.origin,
  );
  if (outcome.kind === "refused") {
    return failed(refusalFault[outcome.code], refusalMessage(outcome.code));
  }
  assert(outcome.answer.kind === "deleted", "a delete answers what was deleted");
  const made = outcome.answer.isDeleteMarker ? deletedVersion(scope, outcome.answer) : undefined;
  const marker = made === undefined ? undefined : { versionId: made };
  return { key, versionId, marker, error: undefined };
}

export async function putVersioning(
  scope: CallScope,
  call: PutVersioningCall,
): Promise<CallOutcome> {
  const namespace = findBucket(scope, call.bucket).id;
  const { versioning } = orFail(parseVersioningBody(await readCallDocument(scope, call)));
  await submit(scope, { kind: "set_versioning", namespace, versioning }, "namespace");
  scope.buckets.forget(call.bucket);
  return { result: { kind: "setting_put" } };
}
