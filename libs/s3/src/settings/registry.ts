/** Every setting of a bucket that can be set here; a setting joins by a file of its own and a line in this list. */
import type { BucketSetting } from "./bucket-setting.ts";
import { requestPaymentSetting } from "./request-payment.ts";

const bucketSettings: readonly BucketSetting<unknown>[] = [
  // by subresource, one a line
  requestPaymentSetting,
];

export function findBucketSetting(subresource: string): BucketSetting<unknown> | undefined {
  return bucketSettings.find((setting) => setting.subresource === subresource);
}
