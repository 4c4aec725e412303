/**
 * What those who subscribed to a namespace are told of file protocols. A program writes a file in many operations: while a
 * session holds it open they leave a mark with the holder, and the close tells; without one each operation does.
 */
import type { InodeId, NamespaceId } from "@kiseki/base";
import { concatBytes, namespaceId, toUtf8, wallTime } from "@kiseki/base";
import type { NoticeEvent } from "@kiseki/format";
import {
  decodeHead,
  decodeLease,
  encodeLease,
  headKey,
  keyAfterPrefix,
  settingKey,
} from "@kiseki/format";
import { isShown } from "../key-path.ts";
import { lookupObject } from "../lookup.ts";
import type { Answer } from "../operation.ts";
import { isRefusal } from "../operation.ts";
import type { About, Step } from "../step.ts";
import { findFile } from "./file.ts";
import { holdersPrefix, leaseKind } from "./holders.ts";
import { isHiddenName } from "./names.ts";
import type { FileRef, PlaceName, PosixOperation } from "./operation.ts";

const slash = toUtf8("/");
const nothing: About = {
  version: 0n,
  isNull: true,
  size: 0,
  etag: { md5: new Uint8Array(16), parts: 0 },
};

const isSubscribed = ({ map }: Step, namespace: NamespaceId): boolean =>
  map.get(settingKey(namespace, "notification")) !== undefined;

/** The key of a name; `undefined` for what S3 does not show. */
function keyOf(step: Step, { directory, name }: PlaceName): Uint8Array | undefined {
  if (isHiddenName(name)) return undefined;
  const parts = [name];
  let inode = directory;
  for (;;) {
    const value = step.map.get(headKey(step.context.dirKeys.dirKey(inode)));
    if (value === undefined) return undefined;
    const head = decodeHead(value);
    if (head.parent === undefined) break;
    parts.unshift(head.name, slash);
    inode = head.parent;
  }
  const key = concatBytes(...parts);
  return isShown(key) ? key : undefined;
}

/** Tells of the object that has the name now; of `inode` alone, where that is given. */
function tellMade(
  step: Step,
  event: NoticeEvent,
  namespace: NamespaceId,
  place: PlaceName,
  inode?: InodeId,
): void {
  const key = keyOf(step, place);
  if (key === undefined) return;
  const found = lookupObject(step.map, step.context.dirKeys, { namespace, key });
  if (found.kind !== "object") return;
  if (inode !== undefined && found.entry.inode !== inode) return;
  const { version, isNull, size, etag } = found.entry;
  step.told.push({ event, namespace, key, about: { version, isNull, size, etag } });
}
/** Tells that the name has no object any more, unless another has taken it. */
function tellGone(step: Step, namespace: NamespaceId, place: PlaceName): void {
  const key = keyOf(step, place);
  if (key === undefined) return;
  const found = lookupObject(step.map, step.context.dirKeys, { namespace, key });
  if (found.kind === "object") return;
  const isMarker = found.kind === "delete_marker";
  const about = isMarker
    ? { ...nothing, version: found.entry.version, isNull: found.entry.isNull }
    : nothing;
  step.told.push({ event: isMarker ? "removed:marker" : "removed:delete", namespace, key, about });
}

/** A file's content is another. */
function changed(step: Step, namespace: NamespaceId, ref: FileRef): void {
  const file = findFile(step.map, step.context.dirKeys, ref);
  if (isRefusal(file) || file.isOld) return;
  const { inode } = file.entry;
  const start = holdersPrefix(leaseKind.open, file.home, inode);
  let holder: Uint8Array | undefined;
  step.map.scan({ start, end: keyAfterPrefix(start) }, (key) => {
    holder = key;
    return false;
  });
  const place = file.place ?? ref.hint; // of several names the one that it was reached by
  if (holder !== undefined)
    step.map.put(holder, encodeLease({ epoch: 0n, expires: wallTime(0), payload: namespace }));
  else if (place !== undefined) tellMade(step, "created:put", namespace, place, inode);
}

/** After a change by a file protocol. */
export function tellChange(step: Step, operation: PosixOperation, answer: Answer): void {
  if (answer.kind !== "file" || !("namespace" in operation)) return;
  const { namespace } = operation;
  if (answer.attributes.type !== "file" || !isSubscribed(step, namespace)) return;
  switch (operation.kind) {
    case "make_node":
      if (answer.isMade !== true) return;
      return changed(step, namespace, answer.attributes.ref);
    case "write_file":
    case "append_file":
    case "truncate_file":
    case "allocate_file":
    case "copy_range":
      return changed(step, namespace, { ...answer.attributes.ref, ...operation.file, namespace });
    case "unlink":
      return tellGone(step, namespace, operation);
    case "link":
      return tellMade(step, "created:copy", namespace, operation);
    case "rename":
      if (operation.flag === "exchange") tellMade(step, "created:copy", namespace, operation.from);
      else tellGone(step, namespace, operation.from);
      return tellMade(step, "created:copy", namespace, operation.to);
    default:
  }
}

/** A session has let go of a file: `row` is what was kept of that by file. */
export function tellClosed(step: Step, row: Uint8Array, home: bigint, inode: InodeId): void {
  const { payload } = decodeLease(row);
  if (payload.byteLength === 0) return;
  const namespace = namespaceId(payload.slice());
  if (!isSubscribed(step, namespace)) return;
  const file = findFile(step.map, step.context.dirKeys, { namespace, home, inode });
  if (isRefusal(file) || file.place === undefined || file.isOld) return;
  tellMade(step, "created:put", namespace, file.place);
}
