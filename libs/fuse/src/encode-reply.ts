import { assert, unreachable } from "@kiseki/base";
import { errnoMax } from "./errno.ts";
import { hasFlag, type Negotiated, minorMax } from "./init.ts";
import { nameSizeMax, pageSize } from "./limits.ts";
import type { FileSystemUsage, FuseReply, NodeAttributes, NodeEntry } from "./reply.ts";
import type { LockRange } from "./request.ts";
import type { Writer } from "./writer.ts";

const billion = 1_000_000_000n;

/** Seconds rounded down, so that nanoseconds are never negative, before 1970 neither. */
function split(at: bigint): readonly [seconds: bigint, nanoseconds: number] {
  const rest = ((at % billion) + billion) % billion;
  return [BigInt.asUintN(64, (at - rest) / billion), Number(rest)];
}

function validity(writer: Writer, milliseconds: readonly number[]): void {
  for (const each of milliseconds) writer.number(Math.floor(each / 1000));
  for (const each of milliseconds) writer.u32((each % 1000) * 1_000_000);
}

function attributes(writer: Writer, of: NodeAttributes): void {
  const times = [split(of.accessedAt), split(of.modifiedAt), split(of.changedAt)];
  writer.u64(of.inode).number(of.size).number(of.blocks);
  for (const [seconds] of times) writer.u64(seconds);
  for (const [, nanoseconds] of times) writer.u32(nanoseconds);
  writer.u32(of.mode).u32(of.links).u32(of.uid).u32(of.gid).u32(of.device).u32(of.blockSize).u32(0);
}

export function writeEntry(writer: Writer, entry: NodeEntry): void {
  writer.number(entry.node).number(entry.generation);
  validity(writer, [entry.validity.name, entry.validity.attributes]);
  attributes(writer, entry.attributes);
}

function init(writer: Writer, of: Negotiated | "again"): void {
  if (of === "again") {
    writer.u32(7).u32(minorMax).zeros(56);
    return;
  }
  const flags = [Number(of.flags & 0xffff_ffffn), Number(of.flags >> 32n)] as const;
  writer.u32(7).u32(of.minor).u32(of.readaheadMax).u32(flags[0]);
  writer.u16(of.backgroundMax).u16(Math.floor((of.backgroundMax * 3) / 4));
  writer.u32(of.writeSizeMax).u32(1); // times in nanoseconds
  writer.u16(of.pagesMax).u16(0).u32(flags[1]);
  // Files that are passed through lie on file systems that pass nothing on themselves.
  writer.u32(hasFlag(of.flags, "PASSTHROUGH") ? 1 : 0).zeros(24);
}

function usage(writer: Writer, of: FileSystemUsage): void {
  writer.number(of.blocks).number(of.blocksFree).number(of.blocksAvailable);
  writer.number(of.files).number(of.filesFree);
  writer.u32(of.blockSize).u32(of.nameSizeMax).u32(of.blockSize).zeros(28);
}

const lockNumbers = { read: 0, write: 1, unlock: 2 } as const;
function lock(writer: Writer, { start, end, type, pid }: LockRange): void {
  writer.u64(start).u64(end).u32(lockNumbers[type]).u32(pid);
}

function body(writer: Writer, reply: FuseReply): void {
  switch (reply.kind) {
    case "error":
    case "done":
    case "bytes":
      return;
    case "init":
      return init(writer, reply.negotiated);
    case "entry":
      return writeEntry(writer, reply.entry);
    case "attributes":
      validity(writer, [reply.validity]);
      writer.u32(0);
      return attributes(writer, reply.attributes);
    case "opened":
      return void writer
        .number(reply.handle)
        .u32(reply.flags)
        .u32(reply.backing ?? 0);
    case "created":
      writeEntry(writer, reply.entry);
      return void writer.number(reply.handle).u32(reply.flags).u32(0);
    case "written":
    case "xattr_size":
      return void writer.u32(reply.size).u32(0);
    case "copied":
      return void (reply.isWide ? writer.number(reply.size) : writer.u32(reply.size).u32(0));
    case "usage":
      return usage(writer, reply.usage);
    case "lock":
      return lock(writer, reply.lock);
    case "offset":
      return void writer.number(reply.offset);
    default:
      return unreachable(reply);
  }
}

/**
 * Head and body of the answer to `unique`, into `writer` from its start; those of `bytes` follow it on the device as a
 * piece of their own, without a copy.
 */
export function encodeReply(writer: Writer, unique: number, reply: FuseReply): Uint8Array {
  const errno = reply.kind === "error" ? reply.errno : 0;
  assert(errno >= 0 && errno <= errnoMax, "the kernel takes this errno");
  writer
    .restart()
    .u32(0)
    .u32(-errno >>> 0)
    .number(unique);
  body(writer, reply);
  const extra = reply.kind === "bytes" ? reply.bytes.byteLength : 0;
  writer.patchU32(0, writer.size + extra);
  return writer.done();
}

/** Room that each answer but those of `bytes` fits in. */
export const replySizeMax = pageSize;

/** As dirent(3) numbers types: those of `S_IFMT`, twelve bits down. */
const typeOf = (mode: number): number => (mode >> 12) & 15;

export interface DirectoryRow {
  readonly name: Uint8Array;
  readonly inode: bigint;
  /** Where the listing goes on after this row. */
  readonly cookie: number;
  /** Type and permissions; the type alone counts. */
  readonly mode: number;
}

function row(writer: Writer, { name, inode, cookie, mode }: DirectoryRow): void {
  assert(name.byteLength >= 1 && name.byteLength <= nameSizeMax, "a name has its size");
  writer.u64(inode).number(cookie).u32(name.byteLength).u32(typeOf(mode)).bytes(name);
  writer.zeros((8 - (name.byteLength % 8)) % 8);
}
const rowSize = (name: Uint8Array): number => 24 + Math.ceil(name.byteLength / 8) * 8;

/** Adds a row of READDIR; false, and nothing is written, when it does not fit. */
export function addRow(writer: Writer, each: DirectoryRow): boolean {
  if (!writer.hasRoom(rowSize(each.name))) return false;
  row(writer, each);
  return true;
}
const entrySize = 128;
/** Adds a row of READDIRPLUS. The kernel counts a look-up of `entry` unless its node is 0. */
export function addRowPlus(writer: Writer, each: DirectoryRow, entry: NodeEntry): boolean {
  if (!writer.hasRoom(entrySize + rowSize(each.name))) return false;
  writeEntry(writer, entry);
  row(writer, each);
  return true;
}

/** An entry that tells nothing: of `.`, `..`, and names that are not looked up along the way. */
export const noEntry: NodeEntry = {
  node: 0,
  generation: 0,
  validity: { name: 0, attributes: 0 },
  attributes: {
    inode: 0n,
    size: 0,
    blocks: 0,
    accessedAt: 0n,
    modifiedAt: 0n,
    changedAt: 0n,
    mode: 0,
    links: 0,
    uid: 0,
    gid: 0,
    device: 0,
    blockSize: 0,
  },
};
