import { CommandError, exitCode } from "@kiseki/cli";
import { formatQuota } from "./format.ts";
import { type Session, sizeOption, countOption, type Work } from "./session.ts";

const call = ({ signal }: Session) => ({ signal, timeoutMs: 30_000 });
const whose = (bucket: string | undefined): string =>
  bucket === undefined ? "The tenant" : `Bucket ${bucket}`;

/** Of a bucket, or of the tenant when none is named. */
export const showQuota: Work = async (session, bucket) => {
  const client = await session.client();
  const { quota } = await client.getQuota({ bucket: bucket ?? "" }, call(session));
  session.console.emit({ bucket: bucket ?? null, quota: quota ?? null });
  session.console.say(
    quota === undefined
      ? `${whose(bucket)} has no quota.`
      : `${whose(bucket)}: ${formatQuota(quota)}`,
  );
  return exitCode.ok;
};

/** What an option leaves out is no limit from then on. */
export const setQuota: Work = async (session, bucket) => {
  const client = await session.client();
  const bytesMax = sizeOption(session, "bytes");
  const objectsMax = countOption(session, "objects");
  if (bytesMax === undefined && objectsMax === undefined) {
    throw new CommandError(
      exitCode.arguments,
      "Cannot set a quota without a limit: give --bytes, --objects or both",
      '"kiseki quota clear" takes a quota away',
    );
  }
  const limits = {
    ...(bytesMax === undefined ? {} : { bytesMax }),
    ...(objectsMax === undefined ? {} : { objectsMax }),
  };
  const { quota } = await client.setQuota({ bucket: bucket ?? "", ...limits }, call(session));
  session.console.emit({ bucket: bucket ?? null, quota: quota ?? null });
  if (quota) session.console.say(`${whose(bucket)}: ${formatQuota(quota)}`);
  return exitCode.ok;
};

export const clearQuota: Work = async (session, bucket) => {
  const client = await session.client();
  await client.setQuota({ bucket: bucket ?? "" }, call(session));
  session.console.emit({ bucket: bucket ?? null, quota: null });
  session.console.say(`${whose(bucket)} has no quota.`);
  return exitCode.ok;
};
