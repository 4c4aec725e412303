import { lookupSetting, type Operation } from "@kiseki/composition";
import {
  decodeDeadNotice,
  decodeNotice,
  type DeadNotice,
  keyAfterPrefix,
  type NamespaceRow,
  noticeKey,
  type NoticePlace,
  noticePrefix,
  type NoticeRow,
  type NoticeShelf,
  parseNoticeKey,
} from "@kiseki/format";
import { type NotificationConfig, notificationSetting } from "@kiseki/s3";
import { newOperationId } from "../gateway/scope.ts";
import type { DataPorts, OpenTenant } from "../object/types.ts";

type Moved = Pick<Extract<Operation, { kind: "move_notices" }>, "put" | "remove">;
export type ShelvedRow = Moved["put"][number];

interface Row {
  readonly place: NoticePlace;
  readonly value: Uint8Array;
}

/** Rows that one operation moves at most: its delta must stay small. */
const rowsPerMove = 256;

/** In the order of the log, those behind `after`. */
export function listShelf(
  { store }: OpenTenant,
  shelf: NoticeShelf,
  target: string,
  countMax: number,
  after?: NoticePlace,
): readonly Row[] {
  const prefix = noticePrefix(shelf, target);
  const start = after === undefined ? prefix : keyAfterPrefix(noticeKey(shelf, target, after));
  const rows: Row[] = [];
  if (countMax === 0 || start === undefined) return rows;
  store.view((map) =>
    map.scan({ start, end: keyAfterPrefix(prefix) }, (key, value) => {
      rows.push({ place: parseNoticeKey(key), value });
      return rows.length < countMax;
    }),
  );
  return rows;
}
export function countShelf({ store }: OpenTenant, shelf: NoticeShelf, target: string): number {
  const prefix = noticePrefix(shelf, target);
  let count = 0;
  store.view((map) =>
    map.scan({ start: prefix, end: keyAfterPrefix(prefix) }, () => {
      count += 1;
      return true;
    }),
  );
  return count;
}

/** Durable when it resolves. @throws {Error} when the shard does not take it now: try again. */
export async function moveNotices(
  { prng }: Pick<DataPorts, "prng">,
  { owner }: OpenTenant,
  target: string,
  { put, remove }: Moved,
): Promise<void> {
  for (let at = 0; at < Math.max(put.length, remove.length); at += rowsPerMove) {
    const outcome = await owner.submit(
      {
        kind: "move_notices",
        target,
        put: put.slice(at, at + rowsPerMove),
        remove: remove.slice(at, at + rowsPerMove),
      },
      newOperationId(prng),
    );
    if (outcome.kind !== "done") throw new Error(`The shard took no notices: ${outcome.code}`);
  }
}

/** What a bucket wants now; `undefined` where nothing is set, or the bucket is gone. */
export function configOf(
  { store }: OpenTenant,
  namespace: NamespaceRow["id"],
): NotificationConfig | undefined {
  const kept = store.view((map) => lookupSetting(map, namespace, "notification"));
  return kept === undefined ? undefined : notificationSetting.decode(kept);
}

export interface DeadLetter {
  readonly place: NoticePlace;
  readonly row: DeadNotice;
  readonly notice: NoticeRow;
}
export function listDead(
  tenant: OpenTenant,
  target: string,
  countMax: number,
  after?: NoticePlace,
): readonly DeadLetter[] {
  return listShelf(tenant, "dead", target, countMax, after).map(({ place, value }) => {
    const row = decodeDeadNotice(value);
    return { place, row, notice: decodeNotice(row.notice) };
  });
}

/** Sends all that a target would not take once more, before what is new. Answers how many. */
export async function retryDead(
  ports: Pick<DataPorts, "prng">,
  tenant: OpenTenant,
  target: string,
): Promise<number> {
  let count = 0;
  for (;;) {
    const letters = listDead(tenant, target, rowsPerMove);
    if (letters.length === 0) return count;
    await moveNotices(ports, tenant, target, {
      put: letters.map(({ place, row }) => ({ shelf: "queued", place, value: row.notice })),
      remove: letters.map(({ place }) => ({ shelf: "dead", place })),
    });
    count += letters.length;
  }
}
