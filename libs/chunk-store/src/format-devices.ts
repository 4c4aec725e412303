import type { DeviceId, Epoch } from "@kiseki/base";
import { assert, bytes, deviceId, MiB, newBytes, sameBytes } from "@kiseki/base";
import type { PoolMember, Superblock, SuperblockFault } from "@kiseki/format";
import {
  decodeSuperblock,
  deviceBlockSize,
  deviceDataOffset,
  encodeSuperblock,
  foreignSignature,
  hasOwnMagic,
  memberCountMax,
  signatureAreaSize,
  superblockSecondOffset,
  superblockSize,
} from "@kiseki/format";
import type { ArenaLease, DeviceSlot } from "@kiseki/ports";
import type { ChunkStorePorts, DevicePath, FormatOptions } from "./types.ts";
import { ChunkStoreError } from "./types.ts";

type FormatPorts = Pick<ChunkStorePorts, "crypto" | "prng" | "datapath">;
const never = new AbortController().signal;
/** Two are kept back, one is open, one more is needed to fill anything. */
const zoneCountMin = 4;
const zoneCountMax = 16_384;
/** Zones hold the largest record many times, and a scan of one takes a moment only. */
const zoneSizeMin = 16 * MiB;
const zoneSizeUsual = 64 * MiB;

/** Zone size of a device of `size` bytes: 64 MiB, smaller on small ones, larger where there would be too many. */
export function zoneSizeFor(size: number): number {
  const room = size - deviceDataOffset;
  const wanted = Math.max(zoneSizeMin, Math.min(zoneSizeUsual, room / 64), room / zoneCountMax);
  return Math.ceil(wanted / deviceBlockSize) * deviceBlockSize;
}

/** Whether a superblock of ours may be overwritten: what it decodes to. */
type MayGo = (block: Superblock | SuperblockFault) => boolean;

/**
 * Opens a device and refuses what must not be overwritten: `mayGo` lets a device of ours be formatted anew, and nothing
 * else (spec §2.14). The slot is the caller's to close.
 */
export async function openBlank(
  ports: FormatPorts,
  device: DevicePath,
  mayGo: MayGo,
  room: ArenaLease,
): Promise<{ readonly slot: DeviceSlot; readonly size: number }> {
  const { path } = device;
  const opened = await ports.datapath.openDevice({ path, direct: device.direct ?? false });
  try {
    const size = Math.min(signatureAreaSize, opened.size - (opened.size % deviceBlockSize));
    await ports.datapath.read(opened.slot, 0, { lease: room, offset: 0, size });
    refuseUsed(ports, path, mayGo, room.bytes.subarray(0, size));
  } catch (reason) {
    await ports.datapath.closeDevice(opened.slot);
    throw reason;
  }
  return opened;
}
function refuseUsed(ports: FormatPorts, path: string, mayGo: MayGo, start: Uint8Array): void {
  for (const offset of [0, superblockSecondOffset]) {
    const block = start.subarray(offset, offset + superblockSize);
    if (!hasOwnMagic(block)) continue;
    const decoded = decodeSuperblock(block, (source) => ports.crypto.sha256(source));
    if (decoded === "unknown_version")
      throw new ChunkStoreError(
        "unknown_version",
        `Cannot format ${path}: it holds a Kiseki superblock of a newer program`,
      );
    if (mayGo(decoded)) continue;
    throw new ChunkStoreError(
      "already_formatted",
      `Cannot format ${path}: it is a Kiseki device already`,
    );
  }
  const foreign = foreignSignature(start);
  if (foreign !== undefined)
    throw new ChunkStoreError(
      "foreign_signature",
      `Cannot format ${path}: it holds ${foreign}; if that may go, remove it with wipefs and try again`,
    );
}

/** Size and zones of a new device; refuses one that is too small. */
export function layOut(
  path: string,
  size: number,
  zoneSize: number | undefined,
): Pick<Superblock, "size" | "zoneSize" | "zoneCount"> {
  const zone = zoneSize ?? zoneSizeFor(size);
  assert(zone % deviceBlockSize === 0 && zone >= 4 * deviceBlockSize, "a zone is whole blocks");
  const zoneCount = Math.floor((size - deviceDataOffset) / zone);
  if (zoneCount < zoneCountMin) {
    throw new ChunkStoreError(
      "bad_size",
      `Cannot format ${path}: ${size} bytes hold ${Math.max(0, zoneCount)} zones of ${zone}, at least ${zoneCountMin} are needed`,
    );
  }
  return { size: bytes(size), zoneSize: zone, zoneCount: Math.min(zoneCount, zoneCountMax * 4) };
}

/** Writes both copies, each synced. */
export async function writeSuperblock(
  ports: FormatPorts,
  slot: DeviceSlot,
  block: Superblock,
  room: ArenaLease,
): Promise<void> {
  encodeSuperblock(block, room.bytes, (source) => ports.crypto.sha256(source));
  const ranges = [{ lease: room, offset: 0, size: superblockSize }];
  for (const offset of [superblockSecondOffset, 0])
    await ports.datapath.append({ device: slot, offset, ranges, sync: true });
}

function ruleOf({ force, unfinished, clusterId }: FormatOptions, { path }: DevicePath): MayGo {
  const isUnfinished = unfinished?.includes(path) === true;
  return (block) =>
    force === true ||
    (isUnfinished && block === "bad_checksum") ||
    (isUnfinished && typeof block !== "string" && sameBytes(block.cluster, clusterId));
}

/**
 * Writes superblocks that make `devices` one pool. Files must exist with their size
 * (`createDeviceFile`); block devices as they are.
 * @throws {ChunkStoreError} `foreign_signature`, `already_formatted` (unless `force`), `bad_size`; nothing is written then.
 */
export async function formatDevices(
  ports: FormatPorts,
  options: FormatOptions,
): Promise<readonly DeviceId[]> {
  const count = options.devices.length;
  assert(count >= 1 && count <= memberCountMax, "a pool has 1 to 64 devices");
  using room = await ports.datapath.arena.borrow(signatureAreaSize, never);
  const slots: DeviceSlot[] = [];
  try {
    const blocks: Superblock[] = [];
    for (const device of options.devices) {
      const { slot, size } = await openBlank(ports, device, ruleOf(options, device), room);
      slots.push(slot);
      blocks.push({
        device: deviceId(ports.prng.fill(newBytes(16))),
        cluster: options.clusterId,
        node: options.nodeId,
        ...layOut(device.path, size, options.zoneSize),
        class: device.class ?? "ssd",
        generation: 1,
        epoch: 0n as Epoch,
        membersVersion: 1,
        pool: options.pool ?? 0,
        members: [],
      });
    }
    await options.onBlank?.();
    const members: PoolMember[] = blocks.map((block) => ({
      id: block.device,
      class: block.class,
      state: "active",
      size: block.size,
    }));
    for (const [i, block] of blocks.entries())
      await writeSuperblock(ports, slots[i]!, { ...block, members }, room);
    return members.map((member) => member.id);
  } finally {
    for (const slot of slots) await ports.datapath.closeDevice(slot);
  }
}
