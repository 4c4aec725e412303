import { namespaceId } from "@kiseki/base";
import { RowReader, RowWriter } from "./codec.ts";
import { readInode, readNanos, writeNanos } from "./files.ts";
import type { FileFacts, OutcomeRow } from "./types.ts";

const nameSizeMax = 64 * 1024;
const u32Max = 0xffff_ffff;
const bit = (holds: boolean, mask: number): number => (holds ? mask : 0);
const types: readonly FileFacts["type"][] = [
  "file",
  "symlink",
  "fifo",
  "socket",
  "char",
  "block",
  "directory",
];

function writeFacts(to: RowWriter, facts: FileFacts): void {
  const { parent, place } = facts;
  const given = bit(parent !== undefined, 2) | bit(place !== undefined, 4);
  to.u8(1 + types.indexOf(facts.type)).u8(bit(facts.isHidden, 1) | given);
  to.big(facts.home).big(facts.inode);
  if (parent !== undefined) to.big(parent);
  if (place !== undefined) to.big(place.directory).bytes(place.name);
  to.number(facts.mode).number(facts.uid).number(facts.gid);
  to.number(facts.size).number(facts.allocated).number(facts.links).number(facts.rdev);
  for (const time of [facts.atime, facts.mtime, facts.ctime, facts.btime]) writeNanos(to, time);
  to.number(facts.revision).big(facts.contentVersion).number(facts.generation);
}
function readFacts(from: RowReader): FileFacts {
  const type = types[from.u8() - 1] ?? from.fail("bad_field");
  const flags = from.flags(7);
  const home = from.big();
  const inode = readInode(from);
  const parent = (flags & 2) === 0 ? {} : { parent: readInode(from) };
  const place =
    (flags & 4) === 0
      ? {}
      : { place: { directory: readInode(from), name: from.bytes(nameSizeMax) } };
  return {
    type,
    isHidden: (flags & 1) !== 0,
    home,
    inode,
    ...parent,
    ...place,
    mode: from.number(0o7777),
    uid: from.number(u32Max),
    gid: from.number(u32Max),
    size: from.number(),
    allocated: from.number(),
    links: from.number(),
    rdev: from.number(),
    atime: readNanos(from),
    mtime: readNanos(from),
    ctime: readNanos(from),
    btime: readNanos(from),
    revision: from.number(),
    contentVersion: from.big(),
    generation: from.number(),
  };
}

/** Value of a done row of a file protocol, whose key ends in 01. */
export function encodeOutcome(row: OutcomeRow): Uint8Array {
  const { file, offset, length } = row;
  const given = bit(file !== undefined, 1) | bit(row.isMade === true, 2);
  const to = new RowWriter().u8(1).raw(row.namespace);
  to.u8(given | bit(offset !== undefined, 4) | bit(length !== undefined, 8));
  if (file !== undefined) writeFacts(to, file);
  if (offset !== undefined) to.number(offset);
  if (length !== undefined) to.number(length);
  return to.done();
}
export function decodeOutcome(source: Uint8Array): OutcomeRow {
  const from = new RowReader(source, "an outcome");
  const namespace = namespaceId(from.raw(16));
  const flags = from.flags(15);
  const row: OutcomeRow = {
    namespace,
    ...((flags & 1) === 0 ? {} : { file: readFacts(from) }),
    ...((flags & 2) === 0 ? {} : { isMade: true }),
    ...((flags & 4) === 0 ? {} : { offset: from.number() }),
    ...((flags & 8) === 0 ? {} : { length: from.number() }),
  };
  from.end();
  return row;
}
