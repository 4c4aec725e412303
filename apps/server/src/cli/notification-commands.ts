import { exitCode } from "@kiseki/cli";
import { formatKey, formatTable, formatTime } from "./format.ts";
import type { Session, Work } from "./session.ts";

const call = ({ signal }: Session) => ({ signal, timeoutMs: 30_000 });

/** What buckets may name. */
export const listTargets: Work = async (session) => {
  const client = await session.client();
  const { targets } = await client.listNotificationTargets({}, call(session));
  for (const { id, type, arn, place } of targets) session.console.emit({ id, type, arn, place });
  const rows = targets.map(({ id, type, arn, place }) => [id, type, arn, place]);
  session.console.say(formatTable(["TARGET", "TYPE", "ARN", "PLACE"], rows));
  return exitCode.ok;
};

/** How far each target is. Exit code 1 when one cannot be reached, or has dead letters. */
export const showNotifications: Work = async (session) => {
  const client = await session.client();
  const { targets } = await client.listNotificationTargets({}, call(session));
  for (const target of targets) session.console.emit(target);
  const rows = targets.map((target) => [
    target.id,
    target.state,
    ...[target.behindCount, target.queuedCount, target.deadCount].map(String),
    target.trouble,
  ]);
  session.console.say(formatTable(["TARGET", "STATE", "BEHIND", "ASIDE", "DEAD", "TROUBLE"], rows));
  const isWell = targets.every(({ state, deadCount }) => state !== "waiting" && deadCount === 0n);
  return isWell ? exitCode.ok : exitCode.general;
};

export const listDeadLetters: Work = async (session, target) => {
  const client = await session.client();
  const rows: string[][] = [];
  for (let after = ""; ;) {
    const request = { target: target ?? "", after };
    const { letters, next } = await client.listDeadLetters(request, call(session));
    for (const letter of letters) {
      session.console.emit(letter);
      const { event, bucket, key, refusedUnixMs, reason } = letter;
      rows.push([formatTime(refusedUnixMs), event, `${bucket}/${formatKey(key)}`, reason]);
    }
    if (next === "") break;
    after = next;
  }
  session.console.say(formatTable(["REFUSED", "EVENT", "OBJECT", "REASON"], rows));
  return exitCode.ok;
};

export const retryDeadLetters: Work = async (session, target) => {
  const client = await session.client();
  const { count } = await client.retryDeadLetters({ target: target ?? "" }, call(session));
  session.console.emit({ target, count });
  session.console.say(`${count} events are sent once more.`);
  return exitCode.ok;
};
