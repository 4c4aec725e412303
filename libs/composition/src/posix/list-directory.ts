import type { InodeId, NamespaceId } from "@kiseki/base";
import { entryKey, entryKeyName, decodeEntry, keyAfterPrefix } from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { getHead, isLive } from "../directories.ts";
import type { DirKeys, Refusal } from "../operation.ts";
import { isRefusal } from "../operation.ts";
import type { CursorRow } from "../row-cursor.ts";
import { afterKey, RowCursor } from "../row-cursor.ts";
import { targetIn } from "./places.ts";
import { nodeAttributes } from "./lookup.ts";
import type { NamedNode, PosixDirectory } from "./names.ts";
import { childHead, findDirectory, hiddenName } from "./names.ts";
import type { DirectoryItem, DirectoryPage } from "./reading.ts";

/** Rows of one call at most: a page ends early rather than walk over many that are not shown. */
const rowsMax = 10_000;
const nothing = new Uint8Array(0);

export interface DirectoryQuery {
  readonly namespace: NamespaceId;
  readonly directory: InodeId;
  /** Behind this cookie, or `next` of the page before. */
  readonly after?: Uint8Array | undefined;
  readonly countMax: number;
}

/**
 * Names of a directory with their attributes, in the order of their rows. A cookie is the name of a row: what is there
 * from begin to end is shown once, whatever comes and goes meanwhile.
 */
export function listDirectory(
  map: MapReader,
  dirKeys: DirKeys,
  query: DirectoryQuery,
): DirectoryPage | Refusal {
  const directory = findDirectory(map, dirKeys, query.namespace, query.directory);
  if (isRefusal(directory)) return directory;
  const { dirKey } = directory;
  const prefix = entryKey(dirKey, nothing);
  const start = query.after === undefined ? prefix : afterKey(entryKey(dirKey, query.after));
  const cursor = new RowCursor(map, start, keyAfterPrefix(prefix));
  const items: DirectoryItem[] = [];
  let next: Uint8Array | undefined;
  for (let count = 0; ; count++) {
    const row = cursor.peek();
    if (row === undefined) return { kind: "page", items, next: undefined };
    if (items.length >= query.countMax || count >= rowsMax) return { kind: "page", items, next };
    const rowName = entryKeyName(row.key);
    const item = itemOf(map, dirKeys, directory, rowName, row);
    if (item !== undefined) items.push({ ...item, cookie: rowName });
    next = rowName;
    cursor.advance();
  }
}

/** Undefined for a row that POSIX does not show. */
function itemOf(
  map: MapReader,
  dirKeys: DirKeys,
  directory: PosixDirectory,
  rowName: Uint8Array,
  { value }: CursorRow,
): Omit<DirectoryItem, "cookie"> | undefined {
  const entry = decodeEntry(value);
  if (entry.kind === "delete_marker") return undefined;
  if (entry.kind === "directory") {
    const head = getHead(map, dirKeys.dirKey(entry.inode));
    if (!isLive(head)) return undefined;
    const node: NamedNode = { kind: "directory", entry, head };
    const attributes = nodeAttributes(map, dirKeys, directory, node);
    return { name: rowName.subarray(0, -1), attributes };
  }
  const isOwn = rowName.byteLength === 0;
  if (isOwn && entry.size === 0) return undefined; // stands for the directory itself
  const isHidden = isOwn || isBehind(map, dirKeys, directory, rowName);
  const node: NamedNode = { kind: "file", entry, rowName, isHidden };
  const attributes = nodeAttributes(map, dirKeys, directory, node);
  const name = isHidden ? hiddenName(dirKeys, directory.dirKey, rowName) : rowName;
  return { name, attributes };
}

/** Whether POSIX cannot name the row: a tail, or a directory has its name. */
function isBehind(
  map: MapReader,
  dirKeys: DirKeys,
  directory: PosixDirectory,
  rowName: Uint8Array,
): boolean {
  if (directory.head.hidden === 0) return false;
  if (targetIn(directory, rowName, 0n).path.isTail) return true;
  const child = childHead(map, dirKeys, directory.dirKey, rowName);
  return child !== undefined && isLive(child.head);
}
