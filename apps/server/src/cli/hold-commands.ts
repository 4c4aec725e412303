import { CommandError, exitCode } from "@kiseki/cli";
import { formatTable, formatTime } from "./format.ts";
import { type Session, textOption, type Work } from "./session.ts";

const call = ({ signal }: Session) => ({ signal, timeoutMs: 30_000 });
interface Hold {
  readonly id: string;
  readonly untilUnixMs?: bigint | undefined;
}

function show({ console }: Session, holds: readonly Hold[]): void {
  for (const { id, untilUnixMs } of holds) console.emit({ id, untilUnixMs: untilUnixMs ?? null });
  const rows = holds.map(({ id, untilUnixMs }) => [
    id,
    untilUnixMs === undefined ? "released" : formatTime(untilUnixMs),
  ]);
  console.say(formatTable(["HOLD", "UNTIL"], rows));
}

export const listHolds: Work = async (session, bucket) => {
  const client = await session.client();
  const { holds } = await client.listHolds({ bucket: bucket ?? "" }, call(session));
  show(session, holds);
  return exitCode.ok;
};

function untilOption(session: Session): { readonly untilUnixMs?: bigint } {
  const text = textOption(session, "until");
  if (text === undefined) return {};
  const time = Date.parse(text);
  if (Number.isNaN(time) || time <= Date.now()) {
    throw new CommandError(
      exitCode.arguments,
      `Cannot hold until ${JSON.stringify(text)}: it is a time to come, such as 2030-01-31T00:00:00Z`,
    );
  }
  return { untilUnixMs: BigInt(time) };
}

/** In place of the hold of the same id. */
export const setHold: Work = async (session, bucket, id) => {
  const request = { bucket: bucket ?? "", id: id ?? "", ...untilOption(session) };
  const client = await session.client();
  const { holds } = await client.setHold(request, call(session));
  show(session, holds);
  return exitCode.ok;
};

export const releaseHold: Work = async (session, bucket, id) => {
  const client = await session.client();
  const request = { bucket: bucket ?? "", id: id ?? "" };
  const { holds } = await client.releaseHold(request, call(session));
  show(session, holds);
  return exitCode.ok;
};
