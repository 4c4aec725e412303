/** Every setting of a bucket that can be set here; a setting joins by a file of its own and a line in this list. */
import type { BucketSetting } from "./bucket-setting.ts";
import { corsSetting } from "./cors.ts";
import { encryptionSetting } from "./encryption.ts";
import { lifecycleSetting } from "./lifecycle.ts";
import { publicAccessBlockSetting } from "./public-access-block.ts";
import { loggingSetting } from "./logging.ts";
import { notificationSetting } from "./notification.ts";
import { requestPaymentSetting } from "./request-payment.ts";
import { taggingSetting } from "./tags.ts";
import { websiteSetting } from "./website.ts";

export const bucketSettings: readonly BucketSetting<unknown>[] = [
  // by subresource, one a line
  corsSetting,
  encryptionSetting,
  lifecycleSetting,
  publicAccessBlockSetting,
  loggingSetting,
  notificationSetting,
  requestPaymentSetting,
  taggingSetting,
  websiteSetting,
];

export function findBucketSetting(subresource: string): BucketSetting<unknown> | undefined {
  return bucketSettings.find((setting) => setting.subresource === subresource);
}
