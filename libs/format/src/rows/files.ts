import type { InodeId } from "@kiseki/base";
import { assert, inodeId, namespaceId } from "@kiseki/base";
import { RowReader, RowWriter } from "./codec.ts";
import {
  readAttributes,
  readContentField,
  readEtag,
  writeAttributes,
  writeContent,
  writeEtag,
} from "./content.ts";
import { extrasVersion } from "./extras.ts";
import type { StorageClass } from "./storage-class.ts";
import { storageClassCode, storageClassOf } from "./storage-class.ts";
import type {
  ColdRow,
  EntryRow,
  HeadNode,
  HeadRow,
  InodeRow,
  NodeFields,
  NodeTimes,
  NodeType,
  ObjectEntry,
  Xattr,
} from "./types.ts";

/** Rows of files and directories. Version 2 of entry and head: POSIX made or changed what they stand for. */
const nameSizeMax = 64 * 1024;
const xattrNameSizeMax = 255;
const xattrSizeMax = 64 * 1024;
const symlinkTargetSizeMax = 4095;
const u32Max = 0xffff_ffff;
const second = 1_000_000_000n;
const bit = (holds: boolean, mask: number): number => (holds ? mask : 0);

export function readInode(from: RowReader): InodeId {
  const id = from.big();
  return id === 0n ? from.fail("bad_field") : inodeId(id);
}

/** Seconds, rounded down, then nanoseconds behind them. */
export function writeNanos(to: RowWriter, time: bigint): void {
  const rest = ((time % second) + second) % second;
  to.signed(Number((time - rest) / second)).number(Number(rest));
}
export function readNanos(from: RowReader): bigint {
  const seconds = from.signed();
  return BigInt(seconds) * second + BigInt(from.number(999_999_999));
}
function writeTimes(to: RowWriter, { atime, mtime, ctime, btime }: NodeTimes): void {
  for (const time of [atime, mtime, ctime, btime]) writeNanos(to, time);
}
const readTimes = (from: RowReader): NodeTimes => ({
  atime: readNanos(from),
  mtime: readNanos(from),
  ctime: readNanos(from),
  btime: readNanos(from),
});

const typeNames: readonly NodeType[] = ["file", "symlink", "fifo", "socket", "char", "block"];
function writeNode(to: RowWriter, node: NodeFields): void {
  to.u8(1 + typeNames.indexOf(node.type)).number(node.rdev);
  writeTimes(to, node);
  to.number(node.revision).number(node.contentRevision).number(node.allocated);
}
const readNode = (from: RowReader): NodeFields => ({
  type: typeNames[from.u8() - 1] ?? from.fail("bad_field"),
  rdev: from.number(),
  ...readTimes(from),
  revision: from.number(),
  contentRevision: from.number(),
  allocated: from.number(),
});

function writeObjectEntry(to: RowWriter, row: ObjectEntry): void {
  const { storageClass } = row;
  to.u8(bit(row.isNull, 1) | bit(row.home !== undefined, 2) | bit(storageClass !== undefined, 4));
  to.big(row.inode).big(row.version).number(row.size);
  if (row.home !== undefined) to.big(row.home);
  writeEtag(to, row.etag);
  to.signed(row.modified).signed(row.created);
  to.number(row.mode).number(row.uid).number(row.gid);
  if (storageClass !== undefined) to.u8(storageClassCode(storageClass));
  if (row.node !== undefined) writeNode(to, row.node);
}
const readStorageClass = (from: RowReader): StorageClass =>
  storageClassOf(from.u8()) ?? from.fail("bad_field");
function readObjectEntry(
  from: RowReader,
  kind: ObjectEntry["kind"],
  hasNode: boolean,
): ObjectEntry {
  const flags = from.flags(7);
  const inode = readInode(from);
  const version = from.big();
  const size = from.number();
  const home = (flags & 2) !== 0 ? readInode(from) : undefined;
  const etag = readEtag(from);
  const entry = {
    kind,
    inode,
    version,
    isNull: (flags & 1) !== 0,
    home,
    size,
    etag,
    modified: from.time(),
    created: from.time(),
    mode: from.number(0xffff),
    uid: from.number(u32Max),
    gid: from.number(u32Max),
    ...((flags & 4) === 0 ? {} : { storageClass: readStorageClass(from) }),
  };
  return hasNode ? { ...entry, node: readNode(from) } : entry;
}

export function encodeEntry(row: EntryRow): Uint8Array {
  const to = new RowWriter();
  if (row.kind === "directory") {
    return to.u8(1).u8(2).u8(bit(row.isExplicit, 1)).big(row.inode).done();
  }
  to.u8(row.node === undefined ? 1 : 2);
  writeObjectEntry(to.u8(row.kind === "object" ? 1 : 3), row);
  return to.done();
}
export function decodeEntry(source: Uint8Array): EntryRow {
  const from = new RowReader(source, "an entry row", 2);
  const hasNode = from.version === 2;
  const code = from.u8();
  let row: EntryRow;
  if (code === 2 && !hasNode) {
    const isExplicit = (from.flags(1) & 1) !== 0;
    row = { kind: "directory", isExplicit, inode: readInode(from) };
  } else if (code === 1 || (code === 3 && !hasNode)) {
    row = readObjectEntry(from, code === 1 ? "object" : "delete_marker", hasNode);
  } else return from.fail("bad_field");
  from.end();
  return row;
}

function writeHeadNode(to: RowWriter, node: HeadNode): void {
  writeTimes(to, node);
  to.number(node.revision).number(node.directories === undefined ? 0 : 1 + node.directories);
}
function readHeadNode(from: RowReader): HeadNode {
  const times = readTimes(from);
  const revision = from.number();
  const counted = from.number();
  return { ...times, revision, directories: counted === 0 ? undefined : counted - 1 };
}
export function encodeHead(row: HeadRow): Uint8Array {
  const to = new RowWriter().u8(row.node === undefined ? 1 : 2);
  to.u8(bit(row.isOpen, 1) | bit(row.isExplicit, 2));
  to.big(row.inode)
    .big(row.parent ?? 0n)
    .bytes(row.name)
    .raw(row.namespace);
  to.number(row.generation).number(row.live).number(row.total).number(row.hidden);
  to.signed(row.modified).number(row.mode).number(row.uid).number(row.gid);
  if (row.node !== undefined) writeHeadNode(to, row.node);
  return to.done();
}
export function decodeHead(source: Uint8Array): HeadRow {
  const from = new RowReader(source, "a head row", 2);
  const flags = from.flags(3);
  const inode = readInode(from);
  const parent = from.big();
  const head = {
    inode,
    parent: parent === 0n ? undefined : inodeId(parent),
    name: from.bytes(255),
    namespace: namespaceId(from.raw(16)),
    isOpen: (flags & 1) !== 0,
    isExplicit: (flags & 2) !== 0,
    generation: from.number(),
    live: from.number(),
    total: from.number(),
    hidden: from.number(),
    modified: from.time(),
    mode: from.number(0xffff),
    uid: from.number(u32Max),
    gid: from.number(u32Max),
  };
  const row: HeadRow = from.version === 1 ? head : { ...head, node: readHeadNode(from) };
  from.end();
  return row;
}

/** Version 2 says where the file belongs. */
export function encodeInode(row: InodeRow): Uint8Array {
  const { place, namespace, entry } = row;
  const to = new RowWriter().u8(namespace === undefined ? 1 : 2).number(row.links);
  if (namespace === undefined) {
    assert(entry.node === undefined && place === undefined, "version 1 has none of these");
    to.u8(bit(row.isOpen, 1));
  } else {
    const given = bit(place !== undefined, 2) | bit(entry.node !== undefined, 4);
    to.u8(bit(row.isOpen, 1) | given).raw(namespace);
    if (place !== undefined) to.big(place.directory).bytes(place.name);
  }
  writeObjectEntry(to, entry);
  return to.done();
}
export function decodeInode(source: Uint8Array): InodeRow {
  const from = new RowReader(source, "an inode row", 2);
  const links = from.number(u32Max);
  const flags = from.flags(from.version === 1 ? 1 : 7);
  const isOpen = (flags & 1) !== 0;
  const namespace = from.version === 1 ? {} : { namespace: namespaceId(from.raw(16)) };
  const place =
    (flags & 2) === 0
      ? {}
      : { place: { directory: readInode(from), name: from.bytes(nameSizeMax) } };
  const entry = readObjectEntry(from, "object", (flags & 4) !== 0);
  from.end();
  return { entry, links, isOpen, ...namespace, ...place };
}

function writeXattrs(to: RowWriter, xattrs: readonly Xattr[]): void {
  to.number(xattrs.length);
  for (const { name, value } of xattrs) to.bytes(name).bytes(value);
}
function readXattrs(from: RowReader): readonly Xattr[] {
  const length = from.count(2);
  if (length === 0) from.fail("bad_field");
  return Array.from({ length }, () => ({
    name: from.bytes(xattrNameSizeMax),
    value: from.bytes(xattrSizeMax),
  }));
}
/** Version 3 starts with the name. */
export function encodeCold(row: ColdRow): Uint8Array {
  const { name, target, xattrs } = row;
  const isOld = name === undefined && target === undefined && xattrs === undefined;
  const to = new RowWriter().u8(isOld ? extrasVersion(row.attributes) : 3);
  if (!isOld) {
    assert(xattrs === undefined || xattrs.length > 0, "no attributes are said by leaving them out");
    const given = bit(name !== undefined, 1) | bit(target !== undefined, 2);
    to.u8(given | bit(xattrs !== undefined, 4));
    if (name !== undefined) to.bytes(name);
  }
  writeContent(to, row.content);
  writeAttributes(to, row.attributes, !isOld);
  if (target !== undefined) to.bytes(target);
  if (xattrs !== undefined) writeXattrs(to, xattrs);
  return to.done();
}
export function decodeCold(source: Uint8Array): ColdRow {
  const from = new RowReader(source, "a cold row", 3);
  const given = from.version === 3 ? from.flags(7) : 0;
  const name = (given & 1) === 0 ? {} : { name: from.bytes(nameSizeMax) };
  const content = readContentField(from);
  const attributes = readAttributes(from);
  const target = (given & 2) === 0 ? {} : { target: from.bytes(symlinkTargetSizeMax) };
  const xattrs = (given & 4) === 0 ? {} : { xattrs: readXattrs(from) };
  from.end();
  return { ...name, content, attributes, ...target, ...xattrs };
}
