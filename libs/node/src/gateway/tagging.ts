import {
  isFault,
  objectTagging,
  type ObjectTaggingCall,
  parseDocument,
  type PutObjectTaggingCall,
  type S3Fault,
  sortTags,
  type Tag,
} from "@kiseki/s3";
import { readCallDocument } from "./buckets.ts";
import { toTags } from "./convert.ts";
import { fail, GatewayFailure } from "./failure.ts";
import type { CallOutcome } from "./objects.ts";
import { type CallScope, findBucket, submit } from "./scope.ts";
import { findVersion, parseVersion, shownVersion } from "./versions.ts";

type TaggingCall = ObjectTaggingCall | PutObjectTaggingCall;

/** @throws {GatewayFailure} `NoSuchKey`, `NoSuchVersion`. */
export function showTags(scope: CallScope, call: ObjectTaggingCall): CallOutcome {
  const found = findVersion(scope, call);
  const versionId = shownVersion(scope, call.bucket, found.entry);
  return { result: { kind: "object_tags", versionId, tags: toTags(found.cold.attributes) } };
}

export async function putTags(scope: CallScope, call: PutObjectTaggingCall): Promise<CallOutcome> {
  findVersion(scope, call);
  const document = parseDocument(objectTagging, await readCallDocument(scope, call));
  if (isFault(document)) throw new GatewayFailure(document);
  const { tagSet } = document as Exclude<typeof document, S3Fault>;
  const { bucket, key, versionId } = call;
  if (!scope.access.mayPutTags(bucket, key, versionId, tagSet.tags)) throw fail("AccessDenied");
  return setTags(scope, call, sortTags(tagSet.tags), "setting_put");
}

export function deleteTags(scope: CallScope, call: ObjectTaggingCall): Promise<CallOutcome> {
  return setTags(scope, call, [], "setting_deleted");
}

async function setTags(
  scope: CallScope,
  call: TaggingCall,
  tags: readonly Tag[],
  kind: "setting_put" | "setting_deleted",
): Promise<CallOutcome> {
  findVersion(scope, call);
  const pairs = tags.map(({ key, value }) => [key, value] as const);
  const operation = {
    kind: "set_object_extras",
    namespace: findBucket(scope, call.bucket).id,
    key: call.key,
    ...parseVersion(scope, call.versionId),
    changes: { tags: pairs.length === 0 ? null : pairs },
  } as const;
  const answer = await submit(scope, operation, "version");
  return { result: { kind, versionId: shownVersion(scope, call.bucket, answer) } };
}
