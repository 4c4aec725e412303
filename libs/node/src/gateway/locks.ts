import { type FoundObject, lookupSetting } from "@kiseki/composition";
import { decodeLockDefault, type LockDefault } from "@kiseki/format";
import {
  type BodyExpectation,
  formatLegalHold,
  formatLockConfiguration,
  formatRetention,
  type LockConfigurationCall,
  type ObjectLockCall,
  parseLegalHoldBody,
  parseLockConfiguration,
  parseRetentionBody,
  type PutLegalHoldCall,
  type PutLockConfigurationCall,
  type PutRetentionCall,
} from "@kiseki/s3";
import { orFail, readCallDocument } from "./buckets.ts";
import { fail, refusalFailure } from "./failure.ts";
import type { CallOutcome } from "./objects.ts";
import { type CallScope, findBucket, submit } from "./scope.ts";
import { findSetting } from "./settings.ts";
import { findVersion, parseVersion, shownVersion } from "./versions.ts";

/** The bucket's default retention, boxed: that there is none is remembered too. */
const lockSetting = {
  stored: "object-lock",
  decode: (kept: Uint8Array): { readonly byDefault: LockDefault | undefined } => ({
    byDefault: decodeLockDefault(kept),
  }),
} as const;

/** @throws {GatewayFailure} where no version is ever locked. */
function checkLockable(scope: CallScope, bucket: string): void {
  if (!findBucket(scope, bucket).isLockEnabled) throw refusalFailure("lock_not_enabled");
}

/** S3 wants the body of what will be locked to be claimed by a digest: what is wrong would stay. */
export function checkClaimed(
  scope: CallScope,
  bucket: string,
  isAsked: boolean,
  body: BodyExpectation,
): void {
  const { isLockEnabled } = findBucket(scope, bucket);
  if (!isLockEnabled || body.md5 !== undefined || body.algorithm !== undefined) return;
  if (!isAsked && findSetting(scope, bucket, lockSetting)?.byDefault === undefined) return;
  throw fail(
    "InvalidRequest",
    "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters",
  );
}

export function showLockConfiguration(scope: CallScope, call: LockConfigurationCall): CallOutcome {
  const { id, isLockEnabled } = findBucket(scope, call.bucket);
  if (!isLockEnabled) throw fail("ObjectLockConfigurationNotFoundError");
  const kept = scope.tenant.store.view((map) => lookupSetting(map, id, "object-lock"));
  const document = formatLockConfiguration(kept && decodeLockDefault(kept));
  return { result: { kind: "setting_shown", document, contentType: undefined } };
}
export async function storeLockConfiguration(
  scope: CallScope,
  call: PutLockConfigurationCall,
): Promise<CallOutcome> {
  const { id: namespace, versioning } = findBucket(scope, call.bucket);
  if (versioning !== "enabled") throw refusalFailure("lock_needs_versioning");
  const { byDefault } = orFail(parseLockConfiguration(await readCallDocument(scope, call)));
  const operation = { kind: "set_object_lock", namespace } as const;
  await submit(scope, byDefault ? { ...operation, byDefault } : operation, "namespace");
  scope.buckets.forget(call.bucket);
  return { result: { kind: "setting_put" } };
}

export function showLock(scope: CallScope, call: ObjectLockCall): CallOutcome {
  checkLockable(scope, call.bucket);
  const found = findVersion(scope, call);
  const document = lockDocument(call.kind, found);
  if (document === undefined) throw fail("NoSuchObjectLockConfiguration");
  const versionId = shownVersion(scope, call.bucket, found.entry);
  return { result: { kind: "setting_shown", versionId, document, contentType: undefined } };
}
function lockDocument(kind: ObjectLockCall["kind"], { cold }: FoundObject): Uint8Array | undefined {
  const { retention, legalHold } = cold.attributes;
  if (kind === "get_object_retention") return retention && formatRetention(retention);
  return legalHold === undefined ? undefined : formatLegalHold(legalHold);
}

export async function storeRetention(
  scope: CallScope,
  call: PutRetentionCall,
): Promise<CallOutcome> {
  checkLockable(scope, call.bucket);
  const { retention } = orFail(parseRetentionBody(await readCallDocument(scope, call)));
  const until = retention && new Date(retention.until).toISOString();
  const asked = {
    "x-amz-object-lock-mode": retention?.mode.toUpperCase(),
    "x-amz-object-lock-retain-until-date": until,
  };
  if (!scope.access.mayPutLock(call, "PutObjectRetention", asked)) throw fail("AccessDenied");
  const { isBypassing } = call;
  return change(scope, call, { changes: { retention: retention ?? null }, isBypassing });
}
export async function storeLegalHold(
  scope: CallScope,
  call: PutLegalHoldCall,
): Promise<CallOutcome> {
  checkLockable(scope, call.bucket);
  const { legalHold } = orFail(parseLegalHoldBody(await readCallDocument(scope, call)));
  const asked = { "x-amz-object-lock-legal-hold": legalHold ? "ON" : "OFF" };
  if (!scope.access.mayPutLock(call, "PutObjectLegalHold", asked)) throw fail("AccessDenied");
  return change(scope, call, { changes: { legalHold } });
}

type Changes = Omit<
  Extract<Parameters<typeof submit>[1], { kind: "set_object_extras" }>,
  "kind" | "namespace" | "key" | "version"
>;
async function change(
  scope: CallScope,
  call: PutRetentionCall | PutLegalHoldCall,
  changes: Changes,
): Promise<CallOutcome> {
  findVersion(scope, call); // its refusals say more than the machine's
  const { id: namespace } = findBucket(scope, call.bucket);
  const version = parseVersion(scope, call.versionId);
  const operation = { kind: "set_object_extras", namespace, key: call.key, ...version } as const;
  const answer = await submit(scope, { ...operation, ...changes }, "version");
  const versionId = shownVersion(scope, call.bucket, answer);
  return { result: { kind: "setting_put", versionId } };
}
