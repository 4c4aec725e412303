import type { InodeId, NamespaceId } from "@kiseki/base";
import { fromHex, fromUtf8, sameBytes, toHex, toUtf8 } from "@kiseki/base";
import type { DirectoryEntry, HeadRow, NamespaceRow, ObjectEntry } from "@kiseki/format";
import {
  decodeEntry,
  decodeHead,
  decodeHidden,
  entryKey,
  headKey,
  hiddenKey,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { getHead, headNode, isLive } from "../directories.ts";
import { componentSizeMax, isComponent, withSlash } from "../key-path.ts";
import { getNamespace } from "../namespaces.ts";
import type { DirKeys, Refusal } from "../operation.ts";
import { refuse } from "../operation.ts";
import type { FileAttributes } from "./operation.ts";

const hiddenPattern = /^\.s3~([0-9a-f]{32})$/;
const hiddenNameSize = 36;
const nothing = new Uint8Array(0);

/** A directory of a namespace, for file protocols. */
export interface PosixDirectory {
  readonly namespace: NamespaceRow;
  readonly inode: InodeId;
  readonly dirKey: Uint8Array;
  readonly head: HeadRow;
}

/** Refused with `stale_file` when it is not, or no longer, a directory that the namespace shows. */
export function findDirectory(
  map: MapReader,
  dirKeys: DirKeys,
  namespaceId: NamespaceId,
  inode: InodeId,
): PosixDirectory | Refusal {
  const namespace = getNamespace(map, namespaceId);
  if (namespace === undefined) return refuse("no_such_namespace");
  const dirKey = dirKeys.dirKey(inode);
  const value = map.get(headKey(dirKey));
  if (value === undefined) return refuse("stale_file");
  const head = decodeHead(value);
  if (!sameBytes(head.namespace, namespace.id) || !isLive(head)) return refuse("stale_file");
  return { namespace, inode, dirKey, head };
}

/** How POSIX shows what it cannot name. */
export const hiddenName = (dirKeys: DirKeys, dirKey: Uint8Array, name: Uint8Array): Uint8Array =>
  toUtf8(`.s3~${toHex(dirKeys.hiddenName(dirKey, name))}`);
function parseHiddenName(name: Uint8Array): Uint8Array | undefined {
  if (name.byteLength !== hiddenNameSize) return undefined;
  const hash = hiddenPattern.exec(fromUtf8(name) ?? "")?.[1];
  return hash === undefined ? undefined : fromHex(hash);
}

/** Whether POSIX shows something else under the name than S3 does. */
export const isHiddenName = (name: Uint8Array): boolean => parseHiddenName(name) !== undefined;

/** Whether something may be made or found under the name. */
export function refuseName(name: Uint8Array): Refusal | undefined {
  if (name.byteLength > componentSizeMax) return refuse("name_too_long");
  const isFit = isComponent(name, 0, name.byteLength) && !name.includes(0x2f);
  return isFit ? undefined : refuse("invalid_name");
}
export function refuseNewName(name: Uint8Array): Refusal | undefined {
  return refuseName(name) ?? (parseHiddenName(name) && refuse("name_reserved"));
}

/** What a name of a directory stands for. */
export type NamedNode =
  | { readonly kind: "directory"; readonly entry: DirectoryEntry; readonly head: HeadRow }
  | {
      readonly kind: "file";
      /** As the row says it: see `fileOfEntry`. */
      readonly entry: ObjectEntry;
      /** Of its row: another than the one asked for when that is a hidden one. */
      readonly rowName: Uint8Array;
      readonly isHidden: boolean;
    };

/** The directory of that name, live or not. */
export function childHead(
  map: MapReader,
  dirKeys: DirKeys,
  dirKey: Uint8Array,
  name: Uint8Array,
): Extract<NamedNode, { kind: "directory" }> | undefined {
  const value = map.get(entryKey(dirKey, withSlash(name)));
  if (value === undefined) return undefined;
  const entry = decodeEntry(value);
  if (entry.kind !== "directory") return undefined;
  return { kind: "directory", entry, head: getHead(map, dirKeys.dirKey(entry.inode)) };
}
function objectAt(map: MapReader, dirKey: Uint8Array, name: Uint8Array): ObjectEntry | undefined {
  const value = map.get(entryKey(dirKey, name));
  const entry = value === undefined ? undefined : decodeEntry(value);
  return entry?.kind === "object" ? entry : undefined;
}

/** What POSIX finds under a fit name: a live directory, else the file; under a hidden name what that hides. */
export function findName(
  map: MapReader,
  dirKeys: DirKeys,
  { dirKey, head }: Pick<PosixDirectory, "dirKey" | "head">,
  name: Uint8Array,
): NamedNode | undefined {
  const hash = parseHiddenName(name);
  if (hash !== undefined) {
    const row = map.get(hiddenKey(dirKey, hash));
    const ownHash = dirKeys.hiddenName(dirKey, nothing);
    const rowName = row === undefined ? nothing : decodeHidden(row);
    const entry =
      row !== undefined || sameBytes(ownHash, hash) ? objectAt(map, dirKey, rowName) : undefined;
    if (entry !== undefined) return { kind: "file", entry, rowName, isHidden: true };
  }
  const child = childHead(map, dirKeys, dirKey, name);
  if (child !== undefined && isLive(child.head)) return child;
  const entry = head.live === 0 ? undefined : objectAt(map, dirKey, name);
  return entry && { kind: "file", entry, rowName: name, isHidden: false };
}

/** What `stat` tells of a directory. */
export function directoryAttributes(head: HeadRow): FileAttributes {
  const { atime, mtime, ctime, btime, revision, directories } = headNode(head);
  return {
    ref: { namespace: head.namespace, home: 0n, inode: head.inode },
    type: "directory",
    mode: head.mode & 0o7777,
    uid: head.uid,
    gid: head.gid,
    size: head.live,
    allocated: 0,
    contentVersion: 0n,
    generation: head.generation,
    links: directories === undefined ? 1 : 2 + directories,
    rdev: 0,
    ...{ atime, mtime, ctime, btime, revision },
    isHidden: false,
    parent: head.parent,
  };
}
