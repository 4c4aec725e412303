import { type LoggingConfig, loggingSetting } from "@kiseki/s3";
import { fail } from "./failure.ts";
import { type CallScope, findBucket } from "./scope.ts";
import { deleteSetting, putSetting } from "./settings.ts";

/** The target is a bucket of the same tenant; without one the log ends. */
export async function putLogging(
  scope: CallScope,
  bucket: string,
  value: Uint8Array,
): Promise<void> {
  findBucket(scope, bucket);
  const { target }: LoggingConfig = loggingSetting.decode(value);
  if (target === undefined) return deleteSetting(scope, bucket, "logging");
  if (scope.buckets.find(scope.tenant, target.bucket) === undefined) {
    throw fail("InvalidTargetBucketForLogging", undefined, [["TargetBucket", target.bucket]]);
  }
  await putSetting(scope, bucket, "logging", value);
}
