import {
  decodePart,
  decodeUpload,
  keyAfterPrefix,
  partKey,
  partKeyNumber,
  partPrefix,
  parseUploadKey,
  uploadKey,
  uploadPrefix,
  uploadStart,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { getNamespace } from "./namespaces.ts";
import type { DirKeys, Refusal } from "./operation.ts";
import { refuse } from "./operation.ts";
import type {
  PartListPage,
  PartListQuery,
  UploadListItem,
  UploadListPage,
  UploadListQuery,
} from "./reading.ts";
import { commonPrefix, startOf, startsWith } from "./roll-up.ts";
import { afterKey, RowCursor } from "./row-cursor.ts";

/** Open uploads by key and then by their beginning; rolled up like keys. */
export function listUploads(
  map: MapReader,
  dirKeys: DirKeys,
  query: UploadListQuery,
): UploadListPage | Refusal {
  const namespace = getNamespace(map, query.namespace);
  if (namespace === undefined) return refuse("no_such_namespace");
  const rootKey = dirKeys.dirKey(namespace.root);
  const items: UploadListItem[] = [];
  const { after } = query;
  const start = startOf(query, after?.key);
  const last = (): UploadListPage["next"] => {
    const item = items.at(-1);
    if (item === undefined) return undefined;
    return item.kind === "prefix" ? { key: item.prefix } : { key: item.key, upload: item.upload };
  };
  if (query.countMax < 1 || start === undefined) return { kind: "page", items, next: undefined };
  const isWithin =
    after?.upload !== undefined &&
    startsWith(after.key, query.prefix) &&
    commonPrefix(query, after.key) === undefined;
  const first =
    isWithin && after.upload !== undefined
      ? afterKey(uploadKey(rootKey, after.key, after.upload))
      : uploadStart(rootKey, start);
  const cursor = new RowCursor(map, first, keyAfterPrefix(uploadPrefix(rootKey)));
  for (let row = cursor.peek(); row !== undefined; row = cursor.peek()) {
    const { key, upload } = parseUploadKey(row.key);
    if (!startsWith(key, query.prefix)) break;
    if (items.length === query.countMax) return { kind: "page", items, next: last() };
    const prefix = commonPrefix(query, key);
    if (prefix === undefined) {
      items.push({ kind: "upload", key, upload, row: decodeUpload(row.value) });
      cursor.advance();
      continue;
    }
    items.push({ kind: "prefix", prefix });
    const bound = keyAfterPrefix(prefix);
    if (bound === undefined) break;
    cursor.seek(uploadStart(rootKey, bound));
  }
  return { kind: "page", items, next: undefined };
}

/** Parts of an open upload by number. */
export function listParts(
  map: MapReader,
  dirKeys: DirKeys,
  query: PartListQuery,
): PartListPage | Refusal {
  const namespace = getNamespace(map, query.namespace);
  if (namespace === undefined) return refuse("no_such_namespace");
  const rootKey = dirKeys.dirKey(namespace.root);
  const value =
    query.upload.byteLength === 16
      ? map.get(uploadKey(rootKey, query.key, query.upload))
      : undefined;
  if (value === undefined) return refuse("no_such_upload");
  const parts: { part: number; row: ReturnType<typeof decodePart> }[] = [];
  let hasMore = false;
  const after = Math.min(0xfffe, Math.max(0, Math.floor(query.after)));
  const start = partKey(rootKey, query.key, query.upload, after + 1);
  const end = keyAfterPrefix(partPrefix(rootKey, query.key, query.upload));
  map.scan({ start, end }, (key, row) => {
    if (parts.length >= query.countMax) hasMore = true;
    else parts.push({ part: partKeyNumber(key), row: decodePart(row) });
    return !hasMore;
  });
  const next = hasMore ? (parts.at(-1)?.part ?? after) : undefined;
  return { kind: "page", upload: decodeUpload(value), parts, next };
}
