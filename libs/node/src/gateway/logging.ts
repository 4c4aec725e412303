import { toUtf8 } from "@kiseki/base";
import { type LoggingConfig, loggingSetting } from "@kiseki/s3";
import { fail } from "./failure.ts";
import { type CallScope, findBucket } from "./scope.ts";
import { deleteSetting, putSetting } from "./settings.ts";

/**
 * The target is a bucket of the same tenant, in which whoever asks may put objects under the prefix: the log goes there
 * in nobody's name. Without a target the log ends. @throws {GatewayFailure}
 */
export async function putLogging(
  scope: CallScope,
  bucket: string,
  value: Uint8Array,
): Promise<void> {
  findBucket(scope, bucket);
  const { target }: LoggingConfig = loggingSetting.decode(value);
  if (target === undefined) return deleteSetting(scope, bucket, "logging");
  const key = toUtf8(target.prefix);
  const put = { action: "s3:PutObject", bucket: target.bucket, key, versionId: undefined };
  if (!scope.access.isAllowed({ ...put, isNew: true })) throw fail("AccessDenied");
  if (scope.buckets.find(scope.tenant, target.bucket) === undefined) {
    throw fail("InvalidTargetBucketForLogging", undefined, [["TargetBucket", target.bucket]]);
  }
  await putSetting(scope, bucket, "logging", value);
}
