import type { NoticeEvent, NoticePlace, NoticeShelf } from "@kiseki/format";
import { encodeNotice, noticeKey, settingKey } from "@kiseki/format";
import type { NoticeRow, RowWrite } from "@kiseki/format";
import { loggedNoticeKey } from "@kiseki/format";
import { lookupObject } from "./lookup.ts";
import { getNamespace } from "./namespaces.ts";
import type { Answer, Operation, Origin } from "./operation.ts";
import type { About, Step, Told } from "./step.ts";

const textSizeMax = 64;
const noEtag = { md5: new Uint8Array(16), parts: 0 };

interface Happened {
  readonly event: NoticeEvent;
  readonly about: About;
}

/** Short enough for a row, whatever it was; cut between characters. */
const short = (text: string): string => [...text].slice(0, textSizeMax).join("");

const putEvents = {
  put: "created:put",
  form: "created:post",
  copy: "created:copy",
  lifecycle: "created:put",
} as const;

function created(event: NoticeEvent, answer: Answer): Happened | undefined {
  return answer.kind === "object" ? { event, about: answer } : undefined;
}

function removed(
  answer: Answer,
  isNamed: boolean,
  origin: Origin | undefined,
): Happened | undefined {
  if (answer.kind !== "deleted") return undefined;
  const cause = origin?.via === "lifecycle" ? "expired" : "removed";
  const isMarker = answer.isDeleteMarker && !isNamed;
  return {
    event: `${cause}:${isMarker ? "marker" : "delete"}`,
    about: { version: answer.version ?? 0n, isNull: answer.isNull, size: 0, etag: noEtag },
  };
}

function changed(
  step: Step,
  operation: Extract<Operation, { kind: "set_object_extras" }>,
  answer: Answer,
): Happened | undefined {
  const { tags, acl } = operation.changes;
  const isTagged = tags !== undefined;
  if ((!isTagged && acl === undefined) || answer.kind !== "version") return undefined;
  const { dirKeys } = step.context;
  const { namespace, key } = operation;
  const version = answer.isNull ? "null" : answer.version;
  const found = lookupObject(step.map, dirKeys, { namespace, key, version });
  const { size, etag } = found.kind === "object" ? found.entry : { size: 0, etag: noEtag };
  const hasTags = isTagged && tags !== null && tags.length > 0;
  const event = !isTagged ? "acl:put" : hasTags ? "tagging:put" : "tagging:delete";
  return { event, about: { version: answer.version, isNull: answer.isNull, size, etag } };
}

/** The last of it is where it goes. */
function moved(
  step: Step,
  { storageClass, namespace, key, version }: Extract<Operation, { kind: "move_content" }>,
  answer: Answer,
): Happened | undefined {
  if (storageClass === undefined || answer.kind !== "version") return undefined;
  const found = lookupObject(step.map, step.context.dirKeys, { namespace, key, version });
  if (found.kind !== "object") return undefined;
  const { size, etag, isNull } = found.entry;
  return { event: "transition", about: { version, isNull, size, etag } };
}

function whatHappened(step: Step, operation: Operation, answer: Answer): Happened | undefined {
  const { origin } = step.context;
  switch (operation.kind) {
    case "put_object":
      return created(putEvents[origin?.via ?? "put"], answer);
    case "copy_object":
      return created("created:copy", answer);
    case "complete_upload":
      return created("created:complete", answer);
    case "delete_object":
      return removed(answer, operation.version !== undefined, origin);
    case "set_object_extras":
      return changed(step, operation, answer);
    case "move_content":
      return moved(step, operation, answer);
    default:
      return undefined;
  }
}

function rowOf({ map, context }: Step, { event, namespace: id, key, about }: Told): NoticeRow[] {
  const namespace = getNamespace(map, id);
  if (namespace === undefined) return [];
  const { now, origin } = context;
  const row: NoticeRow = {
    event,
    namespace: id,
    bucket: namespace.name,
    key,
    ...about,
    isVersioned: namespace.versioning !== "off",
    time: now,
    principal: short(origin?.principal ?? ""),
    address: short(origin?.address ?? ""),
    requestId: short(origin?.requestId ?? ""),
  };
  return [row];
}

function toldByS3(step: Step, operation: Operation, answer: Answer): readonly Told[] {
  if (!("key" in operation)) return [];
  const { namespace, key } = operation;
  if (step.map.get(settingKey(namespace, "notification")) === undefined) return [];
  const happened = whatHappened(step, operation, answer);
  return happened === undefined ? [] : [{ ...happened, namespace, key }];
}

/** Rows for the log alone: what those who subscribed to the namespace are to be told. */
export function noticeRows(step: Step, operation: Operation, answer: Answer): readonly RowWrite[] {
  const told = step.told.length > 0 ? step.told : toldByS3(step, operation, answer);
  return told
    .flatMap((each) => rowOf(step, each))
    .map((row, index) => ({ key: loggedNoticeKey(index), value: encodeNotice(row) }));
}

/** A notice's place on a shelf of a target. */
export interface ShelvedNotice {
  readonly shelf: NoticeShelf;
  readonly place: NoticePlace;
}
export function moveNotices(
  step: Step,
  { target, put, remove }: Extract<Operation, { kind: "move_notices" }>,
): Answer {
  for (const { shelf, place } of remove) step.map.delete(noticeKey(shelf, target, place));
  for (const { shelf, place, value } of put) step.map.put(noticeKey(shelf, target, place), value);
  return { kind: "none" };
}
