import type { InodeId, WallTime } from "@kiseki/base";
import { assert, fromHex } from "@kiseki/base";
import type { Etag, InodeRow, NodeFields, ObjectEntry } from "@kiseki/format";
import { decodeInode, inodeKey } from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { millisOf, nanosOf } from "./directories.ts";
import type { DirKeys } from "./operation.ts";
import type { Step } from "./step.ts";

/** Of content without a byte. */
export const emptyEtag: Etag = { md5: fromHex("d41d8cd98f00b204e9800998ecf8427e"), parts: 0 };

/** The row of an inode that its entries do not embed. */
export function getInode(
  map: MapReader,
  dirKeys: DirKeys,
  home: InodeId,
  inode: InodeId,
): InodeRow {
  const value = map.get(inodeKey(dirKeys.dirKey(home), inode));
  assert(value !== undefined, "an inode that is named has a row");
  return decodeInode(value);
}
/** What an entry row stands for now: of an inode that lies in its own table, that row says it. */
export function resolveEntry(map: MapReader, dirKeys: DirKeys, entry: ObjectEntry): ObjectEntry {
  if (entry.home === undefined) return entry;
  return getInode(map, dirKeys, entry.home, entry.inode).entry;
}

/** How many names the file of an entry has. */
export const linksOf = (
  { map, context }: Step,
  { home, inode }: Pick<ObjectEntry, "home" | "inode">,
): number => (home === undefined ? 1 : getInode(map, context.dirKeys, home, inode).links);

/** S3 sees it. */
export const isObject = (entry: ObjectEntry): boolean =>
  entry.node === undefined || entry.node.type === "file";

/** What POSIX tells of an object that it never touched. */
export function nodeOf(entry: ObjectEntry): NodeFields {
  if (entry.node !== undefined) return entry.node;
  const mtime = nanosOf(entry.modified);
  const times = { atime: mtime, mtime, ctime: mtime, btime: nanosOf(entry.created) };
  const counts = { revision: 0, contentRevision: 0, allocated: entry.size };
  return { type: "file", rdev: 0, ...times, ...counts };
}
/** When the version became what it is, by the node's clock: a file's mtime is what its owner says. */
export const changedAt = (entry: ObjectEntry): WallTime =>
  entry.node === undefined ? entry.modified : millisOf(entry.node.ctime);
/** Its status changed at `time`, such as by getting or losing a name. */
export function touchNode(entry: ObjectEntry, time: bigint): ObjectEntry {
  const node = nodeOf(entry);
  return { ...entry, node: { ...node, ctime: time, revision: node.revision + 1 } };
}
