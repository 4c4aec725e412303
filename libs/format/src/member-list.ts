import { assert, newBytes, sameBytes, toUtf8 } from "@kiseki/base";

/**
 * Who belongs to a set of mirror directories (STORE §1). One file `members` in each of them, and without
 * `self` the note in the config directory. Little-endian; drawn in `docs/formats/member-list.md`.
 *
 *     0   8  "KSKIMEMB"
 *     8   2  format version, 1
 *    10   1  count of members, 1 to 8
 *    11   5  zero
 *    16   8  list version: grows with each writing; the highest counts
 *    24  16  id of the set, random
 *    40  16  id of the member that holds this copy; zero in the note
 *    56  16  id of each member, in the order of reading
 *     …   4  CRC-32C of all bytes before
 */
export const memberListVersion = 1;
export const memberListCountMax = 8;
const headSize = 56;
const idSize = 16;
const checksumSize = 4;
export const memberListSizeMax = headSize + memberListCountMax * idSize + checksumSize;

export interface MemberList {
  readonly version: bigint;
  /** 16 bytes. */
  readonly set: Uint8Array;
  /** 16 bytes; zeros in the note. */
  readonly self: Uint8Array;
  /** 16 bytes each, all different. */
  readonly members: readonly Uint8Array[];
}
export type MemberListFault =
  "bad_size" | "bad_magic" | "bad_checksum" | "bad_version" | "bad_field";

const magic = toUtf8("KSKIMEMB");
type Checksum = (initial: number, source: Uint8Array) => number;

export function encodeMemberList(list: MemberList, crc32c: Checksum): Uint8Array {
  const count = list.members.length;
  assert(count >= 1 && count <= memberListCountMax, "a list has 1 to 8 members");
  assert(list.set.byteLength === idSize && list.self.byteLength === idSize, "ids have 16 bytes");
  const target = newBytes(headSize + count * idSize + checksumSize);
  const view = new DataView(target.buffer);
  target.set(magic, 0);
  view.setUint16(8, memberListVersion, true);
  view.setUint8(10, count);
  view.setBigUint64(16, list.version, true);
  target.set(list.set, 24);
  target.set(list.self, 40);
  for (const [index, id] of list.members.entries()) {
    assert(id.byteLength === idSize, "ids have 16 bytes");
    target.set(id, headSize + index * idSize);
  }
  const end = target.byteLength - checksumSize;
  view.setUint32(end, crc32c(0, target.subarray(0, end)), true);
  return target;
}

/** Reads a list; ids are views into `source`. */
export function decodeMemberList(
  source: Uint8Array,
  crc32c: Checksum,
): MemberList | MemberListFault {
  const size = source.byteLength;
  if (size < headSize + idSize + checksumSize || size > memberListSizeMax) return "bad_size";
  if (!sameBytes(source.subarray(0, 8), magic)) return "bad_magic";
  const view = new DataView(source.buffer, source.byteOffset, size);
  const end = size - checksumSize;
  if (crc32c(0, source.subarray(0, end)) !== view.getUint32(end, true)) return "bad_checksum";
  if (view.getUint16(8, true) !== memberListVersion) return "bad_version";
  const count = view.getUint8(10);
  if (size !== headSize + count * idSize + checksumSize) return "bad_size";
  if (source.subarray(11, 16).some((byte) => byte !== 0)) return "bad_version";
  const members = Array.from({ length: count }, (_, index) =>
    source.subarray(headSize + index * idSize, headSize + (index + 1) * idSize),
  );
  const isDistinct = members.every((id, i) => members.findIndex((m) => sameBytes(m, id)) === i);
  if (!isDistinct) return "bad_field";
  return {
    version: view.getBigUint64(16, true),
    set: source.subarray(24, 40),
    self: source.subarray(40, 56),
    members,
  };
}
