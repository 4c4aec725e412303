import type { MapReader, MapWriter } from "@kiseki/ports";
import type { RowWrite } from "@kiseki/format";
import { decodeRowWrites, encodeRowWrites, isLoggedNoticeKey } from "@kiseki/format";
import { moveNotices, noticeRows } from "./notices.ts";
import { switchSmall } from "./small.ts";
import { noteRepair, removeDrops, switchSeal } from "./chunks.ts";
import { releaseHold, setHold } from "./holds.ts";
import { setObjectLock } from "./lock.ts";
import { createNamespace, deleteNamespace, setVersioning } from "./namespaces.ts";
import { setQuota } from "./quotas.ts";
import { deleteObject, putObject } from "./objects.ts";
import type { Answer, Change, DecideContext, Decision, Operation, Refusal } from "./operation.ts";
import type { Step } from "./step.ts";
import { startStep } from "./step.ts";
import { switchEncryption } from "./encryption.ts";
import { setObjectExtras } from "./extras.ts";
import { deleteSetting, putSetting } from "./settings.ts";
import { copyObject, copyPart } from "./copy.ts";
import { abortUpload, completeUpload, createUpload, putPart } from "./multipart.ts";
import { performPosix } from "./posix/perform.ts";
import { moveContent } from "./transition.ts";
import { reclaimStep } from "./reclaim.ts";

/** Codes of operations in the delta's clear header; never reused. */
export const operationCode: Readonly<Record<Operation["kind"], number>> = {
  create_namespace: 1,
  delete_namespace: 2,
  set_versioning: 3,
  set_quota: 9,
  put_setting: 4,
  delete_setting: 5,
  set_object_lock: 6,
  set_hold: 7,
  release_hold: 8,
  put_object: 16,
  delete_object: 17,
  copy_object: 18,
  set_object_extras: 19,
  move_content: 20,
  create_upload: 32,
  put_part: 33,
  copy_part: 34,
  complete_upload: 35,
  abort_upload: 36,
  reclaim_step: 48,
  dropped: 49,
  resealed: 50,
  repaired: 51,
  small_resealed: 52,
  encryption_resealed: 53,
  move_notices: 54,
  make_node: 64,
  unlink: 65,
  rmdir: 66,
  rename: 67,
  link: 68,
  set_attributes: 69,
  set_xattr: 70,
  remove_xattr: 71,
  open_file: 72,
  close_file: 73,
  lock: 74,
  unlock: 75,
  open_session: 76,
  close_session: 77,
  write_file: 80,
  append_file: 81,
  truncate_file: 82,
  allocate_file: 83,
  copy_range: 84,
  merge_extents: 85,
};

/**
 * Decides one operation against `map`, which must show what earlier operations of the batch wrote.
 * Writes nothing: the change is all that it does, `apply` does it. Throws only for our own bugs
 * (`AssertionError`) and for rows that cannot be read (`RowError`).
 */
export function decide(map: MapReader, operation: Operation, context: DecideContext): Decision {
  const step = startStep(map, context);
  const answer = perform(step, operation);
  if (answer.kind === "refused") return answer;
  const written = step.map.writes();
  if (written.length === 0) return { kind: "answer", answer };
  const notices = noticeRows(step, operation, answer);
  const rows = notices.length === 0 ? written : [...written, ...notices];
  const { chunkRefs, dirKey, name } = step;
  const change = { operation: operationCode[operation.kind], dirKey, name, chunkRefs, rows };
  return { kind: "change", change, answer };
}

function perform(step: Step, operation: Operation): Answer | Refusal {
  switch (operation.kind) {
    case "create_namespace":
      return createNamespace(step, operation);
    case "delete_namespace":
      return deleteNamespace(step, operation);
    case "set_versioning":
      return setVersioning(step, operation);
    case "set_quota":
      return setQuota(step, operation);
    case "put_setting":
      return putSetting(step, operation);
    case "delete_setting":
      return deleteSetting(step, operation);
    case "set_hold":
      return setHold(step, operation);
    case "release_hold":
      return releaseHold(step, operation);
    case "set_object_lock":
      return setObjectLock(step, operation);
    case "put_object":
      return putObject(step, operation);
    case "delete_object":
      return deleteObject(step, operation);
    case "set_object_extras":
      return setObjectExtras(step, operation);
    case "copy_object":
      return copyObject(step, operation);
    case "move_content":
      return moveContent(step, operation);
    case "create_upload":
      return createUpload(step, operation);
    case "put_part":
      return putPart(step, operation);
    case "copy_part":
      return copyPart(step, operation);
    case "complete_upload":
      return completeUpload(step, operation);
    case "abort_upload":
      return abortUpload(step, operation);
    case "reclaim_step":
      return reclaimStep(step);
    case "move_notices":
      return moveNotices(step, operation);
    case "dropped":
      return removeDrops(step, operation);
    case "resealed":
      return switchSeal(step, operation);
    case "small_resealed":
      return switchSmall(step, operation);
    case "encryption_resealed":
      return switchEncryption(step, operation);
    case "repaired":
      return noteRepair(step, operation);
    default:
      return performPosix(step, operation);
  }
}

/** Puts a change's rows into the map; nothing else is asked, so a replay gives the same map. */
export function apply(map: MapWriter, change: { readonly rows: readonly RowWrite[] }): void {
  for (const { key, value } of change.rows) {
    if (isLoggedNoticeKey(key)) continue;
    if (value === undefined) map.delete(key);
    else map.put(key, value);
  }
}

/** The delta's payload of a change (`docs/formats/map.md`), owned by the caller. */
export const encodeChange = (change: Change): Uint8Array => encodeRowWrites(change.rows);

/** What `apply` needs, from a delta's payload. A `RowError`: `unknown_version` halts the view, the rest is damage. */
export function decodeChange(
  payload: Uint8Array,
): { readonly kind: "rows"; readonly rows: readonly RowWrite[] } | { kind: "fault"; code: string } {
  const rows = decodeRowWrites(payload);
  return rows instanceof Error ? { kind: "fault", code: rows.code } : { kind: "rows", rows };
}
