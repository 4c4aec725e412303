import { lookupSetting } from "@kiseki/composition";
import type { NamespaceSetting } from "@kiseki/format";
import {
  type BucketSetting,
  type BucketSettingCall,
  classesOf,
  lifecycleSetting,
  noSuchClass,
  type PutBucketSettingCall,
} from "@kiseki/s3";
import { GatewayFailure } from "./failure.ts";
import { orFail, readCallDocument } from "./buckets.ts";
import { putLogging } from "./logging.ts";
import { putNotification } from "./notifications.ts";
import type { CallOutcome } from "./objects.ts";
import { type CallScope, findBucket, submit } from "./scope.ts";

function keptBytes(
  { tenant }: Pick<CallScope, "tenant">,
  namespace: ReturnType<typeof findBucket>["id"],
  stored: NamespaceSetting,
): Uint8Array | undefined {
  return tenant.store.view((map) => lookupSetting(map, namespace, stored));
}

/**
 * What is set on the bucket, decoded once and remembered with its row; `undefined`: nothing. The same
 * object for all who ask: nobody writes to it.
 * @throws {GatewayFailure} `NoSuchBucket`. @throws {Error} of `decode`: the request must fail.
 */
export function findSetting<Config>(
  scope: Pick<CallScope, "tenant" | "buckets">,
  bucket: string,
  setting: Pick<BucketSetting<Config>, "stored" | "decode">,
): Config | undefined {
  const { id } = findBucket(scope, bucket);
  return scope.buckets.findSetting(bucket, setting.stored, () => {
    const kept = keptBytes(scope, id, setting.stored);
    return kept === undefined ? undefined : setting.decode(kept);
  }) as Config | undefined;
}

/** Durable, and seen by every request after it, when it resolves. */
export async function putSetting(
  scope: CallScope,
  bucket: string,
  setting: NamespaceSetting,
  value: Uint8Array,
): Promise<void> {
  const namespace = findBucket(scope, bucket).id;
  await submit(scope, { kind: "put_setting", namespace, setting, value }, "none");
  scope.buckets.forget(bucket);
}
export async function deleteSetting(
  scope: CallScope,
  bucket: string,
  setting: NamespaceSetting,
): Promise<void> {
  const namespace = findBucket(scope, bucket).id;
  await submit(scope, { kind: "delete_setting", namespace, setting }, "none");
  scope.buckets.forget(bucket);
}

export function showSetting(scope: CallScope, call: BucketSettingCall): CallOutcome {
  const { stored, show, contentType } = call.setting;
  const document = orFail(show(keptBytes(scope, findBucket(scope, call.bucket).id, stored)));
  return { result: { kind: "setting_shown", document, contentType } };
}
export async function storeSetting(
  scope: CallScope,
  call: PutBucketSettingCall,
): Promise<CallOutcome> {
  const { stored, store, putStatus } = call.setting;
  findBucket(scope, call.bucket);
  const value = orFail(store(await readCallDocument(scope, call)));
  if (stored === "notification") await putNotification(scope, call.bucket, value);
  else if (stored === "logging") await putLogging(scope, call.bucket, value);
  else if (stored === "lifecycle") await putLifecycle(scope, call.bucket, value);
  else await putSetting(scope, call.bucket, stored, value);
  return { result: { kind: putStatus === 204 ? "setting_deleted" : "setting_put" } };
}
/** @throws {GatewayFailure} `InvalidStorageClass`: a rule moves to a class that no pool has here. */
async function putLifecycle(scope: CallScope, bucket: string, value: Uint8Array): Promise<void> {
  for (const storageClass of classesOf(lifecycleSetting.decode(value))) {
    if (scope.ports.poolOf(storageClass) !== undefined) continue;
    throw new GatewayFailure(noSuchClass(storageClass));
  }
  await putSetting(scope, bucket, "lifecycle", value);
}
export async function removeSetting(
  scope: CallScope,
  call: BucketSettingCall,
): Promise<CallOutcome> {
  await deleteSetting(scope, call.bucket, call.setting.stored);
  return { result: { kind: "setting_deleted" } };
}
