import type { DeviceId, Epoch } from "@kiseki/base";

/**
 * The superblock of a device (STORE §5, spec §2.14): whose it is, how it is cut, and who the pool's
 * members are. Two copies, at 0 and `superblockSecondOffset`; the newer valid one counts.
 */
export const superblockSize = 4096;
export const superblockSecondOffset = 61_440;
/** Where zone 0 starts. */
export const deviceDataOffset = 65_536;
export const memberCountMax = 64;
export const superblockVersion = 1;

export type DeviceClass = "nvme" | "ssd" | "hdd" | "custom";
const classNumbers: Record<DeviceClass, number> = { nvme: 1, ssd: 2, hdd: 3, custom: 4 };
const classes: readonly (DeviceClass | undefined)[] = [undefined, "nvme", "ssd", "hdd", "custom"];

/**
 * `active`: it counts. `away`: it was absent, or could not be read, while the rest went on; what it holds is not
 * believed until resynced. `failed`: a write or sync of it failed; it stays out until it is replaced. `leaving`: it
 * counts, is emptied, and takes nothing new.
 */
export type MemberState = "active" | "leaving" | "away" | "failed";
const stateNumbers: Record<MemberState, number> = { active: 1, leaving: 2, away: 3, failed: 4 };
const states: readonly (MemberState | undefined)[] = [
  ...([undefined, "active", "leaving", "away", "failed"] as const),
];

export interface PoolMember {
  readonly id: DeviceId;
  readonly class: DeviceClass;
  readonly state: MemberState;
  readonly size: number;
}
export interface Superblock {
  readonly device: DeviceId;
  /** 16 bytes each. */
  readonly cluster: Uint8Array;
  readonly node: Uint8Array;
  readonly size: number;
  readonly zoneSize: number;
  readonly zoneCount: number;
  readonly class: DeviceClass;
  /** Grows with each writing of this superblock. */
  readonly generation: number;
  /** Highest node epoch noted (STORE §2). */
  readonly epoch: Epoch;
  /** Version of the member list; the highest among the devices counts. */
  readonly membersVersion: number;
  readonly pool: number;
  readonly members: readonly PoolMember[];
}
export type SuperblockFault = "absent" | "unknown_version" | "bad_checksum" | "bad_field";

/** 32 bytes. */
export type Sha256 = (source: Uint8Array) => Uint8Array;

const magic = new Uint8Array([0x4b, 0x49, 0x53, 0x45, 0x4b, 0x49, 0x01, 0x00]); // "KISEKI", 1, 0
const membersOffset = 128;
const memberSize = 32;
const sumOffset = superblockSize - 32;

/** Writes 4096 bytes to the start of `target`. At most 64 members. */
export function encodeSuperblock(block: Superblock, target: Uint8Array, sha256: Sha256): void {
  if (block.members.length > memberCountMax)
    throw new RangeError("Cannot hold more than 64 members");
  target.fill(0, 0, superblockSize);
  target.set(magic, 0);
  const view = new DataView(target.buffer, target.byteOffset, superblockSize);
  view.setUint32(8, superblockVersion, true);
  view.setUint32(12, 4096, true);
  target.set(block.device, 16);
  target.set(block.cluster, 32);
  target.set(block.node, 48);
  view.setBigUint64(64, BigInt(block.size), true);
  view.setBigUint64(72, BigInt(block.zoneSize), true);
  view.setBigUint64(80, BigInt(deviceDataOffset), true);
  view.setUint32(88, block.zoneCount, true);
  view.setUint8(92, classNumbers[block.class]);
  view.setUint16(94, block.members.length, true);
  view.setBigUint64(96, BigInt(block.generation), true);
  view.setBigUint64(104, block.epoch, true);
  view.setUint32(112, block.membersVersion, true);
  view.setUint32(116, block.pool, true);
  let offset = membersOffset;
  for (const member of block.members) {
    target.set(member.id, offset);
    view.setUint8(offset + 16, stateNumbers[member.state]);
    view.setUint8(offset + 17, classNumbers[member.class]);
    view.setBigUint64(offset + 24, BigInt(member.size), true);
    offset += memberSize;
  }
  target.set(sha256(target.subarray(0, sumOffset)), sumOffset);
}

/** True when our magic starts `source`, whatever follows. */
export function hasOwnMagic(source: Uint8Array): boolean {
  if (source.byteLength < magic.byteLength) return false;
  for (let i = 0; i < magic.byteLength; i++) if (source[i] !== magic[i]) return false;
  return true;
}

/**
 * - `absent`: our magic is not there.
 * - `unknown_version`: ours, written by a newer program; nothing else of it is believed.
 * - `bad_checksum`, `bad_field`: damaged.
 */
export function decodeSuperblock(source: Uint8Array, sha256: Sha256): Superblock | SuperblockFault {
  if (source.byteLength < superblockSize || !hasOwnMagic(source)) return "absent";
  const view = new DataView(source.buffer, source.byteOffset, superblockSize);
  if (view.getUint32(8, true) !== superblockVersion) return "unknown_version";
  const sum = sha256(source.subarray(0, sumOffset));
  for (let i = 0; i < 32; i++) if (sum[i] !== source[sumOffset + i]) return "bad_checksum";
  const members = decodeMembers(source, view);
  const size = Number(view.getBigUint64(64, true));
  const zoneSize = Number(view.getBigUint64(72, true));
  const zoneCount = view.getUint32(88, true);
  const kind = classes[view.getUint8(92)];
  const generation = Number(view.getBigUint64(96, true));
  if (members === undefined || kind === undefined) return "bad_field";
  if (!Number.isSafeInteger(size) || !Number.isSafeInteger(generation)) return "bad_field";
  if (zoneSize < 8192 || zoneSize > 0xffff_f000 || zoneSize % 4096 !== 0) return "bad_field";
  if (view.getUint32(12, true) !== 4096) return "bad_field";
  if (view.getBigUint64(80, true) !== BigInt(deviceDataOffset)) return "bad_field";
  if (deviceDataOffset + zoneSize * zoneCount > size) return "bad_field";
  return {
    device: source.slice(16, 32) as DeviceId,
    cluster: source.slice(32, 48),
    node: source.slice(48, 64),
    size,
    zoneSize,
    zoneCount,
    class: kind,
    generation,
    epoch: view.getBigUint64(104, true) as Epoch,
    membersVersion: view.getUint32(112, true),
    pool: view.getUint32(116, true),
    members,
  };
}

function decodeMembers(source: Uint8Array, view: DataView): PoolMember[] | undefined {
  const count = view.getUint16(94, true);
  if (count < 1 || count > memberCountMax) return undefined;
  const members: PoolMember[] = [];
  for (let i = 0; i < count; i++) {
    const offset = membersOffset + i * memberSize;
    const state = states[view.getUint8(offset + 16)];
    const kind = classes[view.getUint8(offset + 17)];
    const size = Number(view.getBigUint64(offset + 24, true));
    if (state === undefined || kind === undefined || !Number.isSafeInteger(size)) return undefined;
    const id = source.slice(offset, offset + 16) as DeviceId;
    members.push({ id, class: kind, state, size });
  }
  return members;
}

/** Bytes from the start of a device that `foreignSignature` looks at. */
export const signatureAreaSize = 128 * 1024;
const ascii = (text: string): number[] => Array.from(text, (letter) => letter.charCodeAt(0));
/** Name, offset and bytes of what other programs write first (util-linux's libblkid documents the same places). */
const signatures: readonly (readonly [string, number, readonly number[]])[] = [
  ["ext2/3/4", 0x438, [0x53, 0xef]],
  ["xfs", 0, ascii("XFSB")],
  ["btrfs", 0x10040, ascii("_BHRfS_M")],
  ["f2fs", 0x400, [0x10, 0x20, 0xf5, 0xf2]],
  ["LUKS", 0, [...ascii("LUKS"), 0xba, 0xbe]],
  ["LVM physical volume", 512, ascii("LABELONE")],
  ["LVM physical volume", 0, ascii("LABELONE")],
  ["GPT partition table", 512, ascii("EFI PART")],
  ["GPT partition table", 4096, ascii("EFI PART")],
  ["md RAID member", 4096, [0xfc, 0x4e, 0x2b, 0xa9]],
  ["md RAID member", 0, [0xfc, 0x4e, 0x2b, 0xa9]],
  ["bcache", 4096 + 24, [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca]],
  ["swap", 4086, ascii("SWAPSPACE2")],
  ["NTFS", 3, ascii("NTFS    ")],
  ["exFAT", 3, ascii("EXFAT   ")],
  ["FAT", 54, ascii("FAT1")],
  ["FAT", 82, ascii("FAT32")],
  ["squashfs", 0, ascii("hsqs")],
  ["jfs", 0x8000, ascii("JFS1")],
  ["ISO 9660", 0x8001, ascii("CD001")],
  ["reiserfs", 0x10034, ascii("ReIsEr")],
  ["ZFS", 0x4000, [0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0]],
  ["Ceph BlueStore", 0, ascii("bluestore block device")],
  ["MBR partition table", 510, [0x55, 0xaa]],
];

/** Name of the foreign content that the first bytes of a device show, or `undefined`. */
export function foreignSignature(source: Uint8Array): string | undefined {
  for (const [name, offset, bytes] of signatures) {
    if (offset + bytes.length > source.byteLength) continue;
    if (bytes.every((byte, i) => source[offset + i] === byte)) return name;
  }
  return undefined;
}
