import { type NotificationConfig, notificationSetting } from "@kiseki/s3";
import { fail, type GatewayFailure } from "./failure.ts";
import { type CallScope, findBucket } from "./scope.ts";
import { deleteSetting, putSetting } from "./settings.ts";

const skipName = "x-amz-skip-destination-validation";
const hostId = "kiseki";

const notValidated = (arn: string): GatewayFailure =>
  fail("InvalidArgument", "Unable to validate the following destination configurations", [
    ["ArgumentName", arn],
    ["ArgumentValue", "Unknown to this node, or it did not take a test event"],
  ]);

/** Each target is known and has taken a test event, unless the client asked not to look. Without rules nothing is kept. */
export async function putNotification(
  scope: CallScope,
  bucket: string,
  value: Uint8Array,
): Promise<void> {
  findBucket(scope, bucket);
  const config: NotificationConfig = notificationSetting.decode(value);
  if (config.rules.length === 0) return deleteSetting(scope, bucket, "notification");
  const { notifier, request } = scope;
  const [unknown] = notifier.unknownArns(config);
  if (unknown !== undefined) throw notValidated(unknown);
  const isSkipped = request.head.headers.some(
    ({ name, value: said }) => name === skipName && said.toLowerCase() === "true",
  );
  if (!isSkipped) {
    const about = { bucket, requestId: request.id, hostId };
    const [failed] = await notifier.test(config, about, request.signal);
    if (failed !== undefined) throw notValidated(failed);
  }
  await putSetting(scope, bucket, "notification", value);
}
