import type { DeviceId } from "@kiseki/base";
import { deviceId, failpoint, newBytes, sameBytes, toUuid } from "@kiseki/base";
import {
  memberCountMax,
  signatureAreaSize,
  type Superblock,
  superblockSecondOffset,
  superblockSize,
} from "@kiseki/format";
import { type ArenaLease, DatapathError, type DeviceSlot } from "@kiseki/ports";
import { Device } from "./device.ts";
import { keysOn, leaveNothing } from "./evacuate.ts";
import { layOut, openBlank, writeSuperblock } from "./format-devices.ts";
import type { Pool } from "./pool.ts";
import { resync } from "./resync.ts";
import { keyChunkId, keySealId } from "./row.ts";
import { yieldTurn } from "./scan-rows.ts";
import { openOne } from "./superblocks.ts";
import type { DevicePath } from "./types.ts";
import { ChunkStoreError } from "./types.ts";
import { ZoneTable } from "./zone-table.ts";

const never = new AbortController().signal;

const unknown = (what: string): ChunkStoreError =>
  new ChunkStoreError("unknown_device", `Cannot use ${what}: it is not a member of the pool`);

/** Makes a blank device the member in the place of `old`. */
export async function replaceMember(
  pool: Pool,
  old: DeviceId,
  replacement: DevicePath & { readonly force?: boolean },
): Promise<DeviceId> {
  const place = pool.devices.findIndex((device) => sameBytes(device.id, old));
  const gone = pool.devices[place];
  const pattern = pool.devices.find((device) => device.trusted)?.superblock;
  if (gone === undefined) throw unknown(toUuid(old));
  if (pattern === undefined)
    throw new ChunkStoreError(
      "unavailable",
      `Cannot replace ${gone.label}: no other device is healthy, so nothing would be left of the pool`,
    );
  const device = await makeMember(pool, pattern, gone.class, replacement);
  await retire(pool, gone);
  await pool.startWriter(device, 0, undefined);
  pool.devices[place] = device;
  pool.byOrdinal[gone.ordinal] = undefined;
  pool.byOrdinal[device.ordinal] = device;
  pool.changeMembers();
  await pool.membersSettled();
  pool.flush();
  return device.id;
}

/** Formats a blank device for the pool. It is no member yet. */
async function makeMember(
  pool: Pool,
  pattern: Superblock,
  kind: Superblock["class"],
  blank: DevicePath & { readonly force?: boolean },
): Promise<Device> {
  const { ports } = pool;
  using room = await ports.datapath.arena.borrow(signatureAreaSize, never);
  // One that was formatted for this pool and never became a member was to be added when the process died.
  const { slot, size } = await openBlank(
    ports,
    blank,
    (block) => blank.force === true || isOrphan(pool, block),
    room,
  );
  const id = deviceId(ports.prng.fill(newBytes(16)));
  let block;
  try {
    block = {
      ...pattern,
      device: id,
      ...layOut(blank.path, size, pattern.zoneSize),
      class: kind,
      generation: 1,
      epoch: pool.epoch,
      membersVersion: 0, // the list that holds it follows; until then it is no member
      members: pattern.members,
    };
    await writeSuperblock(ports, slot, block, room);
  } catch (reason) {
    await ports.datapath.closeDevice(slot);
    throw reason;
  }
  const ordinal = pool.ordinalOf(id);
  const device = new Device({
    ...{ id, ordinal, class: kind, size },
    state: "healthy",
    reason: undefined,
  });
  device.path = blank.path;
  device.slot = slot;
  device.superblock = block;
  device.zones = new ZoneTable(block.zoneCount, block.zoneSize);
  return device;
}
const isOrphan = (pool: Pool, block: Superblock | string): boolean =>
  typeof block !== "string" &&
  block.membersVersion === 0 &&
  block.pool === pool.number &&
  sameBytes(block.cluster, pool.clusterId) &&
  !pool.devices.some(({ id }) => sameBytes(id, block.device));

/** Makes a blank device one more member: new chunks count on it from now on. */
export async function addMember(
  pool: Pool,
  blank: DevicePath & { readonly force?: boolean },
): Promise<DeviceId> {
  const pattern = pool.devices.find((device) => device.trusted);
  if (pattern?.superblock === undefined)
    throw new ChunkStoreError(
      "unavailable",
      `Cannot add ${blank.path}: no device of the pool is healthy`,
    );
  if (pool.devices.length >= memberCountMax)
    throw new ChunkStoreError(
      "bad_size",
      `Cannot add ${blank.path}: a pool has ${memberCountMax} devices at most`,
    );
  const device = await makeMember(pool, pattern.superblock, pattern.class, blank);
  await pool.startWriter(device, 0, undefined);
  pool.add(device);
  pool.changeMembers();
  await pool.membersSettled();
  pool.flush();
  return device.id;
}

export function findMember(pool: Pool, id: DeviceId): Device {
  const device = pool.devices.find((one) => sameBytes(one.id, id));
  if (device === undefined) throw unknown(toUuid(id));
  return device;
}

/** Takes a device that holds nothing, or is out, from the list, and its superblocks from it. */
export async function removeMember(pool: Pool, id: DeviceId): Promise<void> {
  const device = findMember(pool, id);
  if (device.trusted && !device.isLeaving)
    throw new ChunkStoreError(
      "not_empty",
      `Cannot remove ${device.label}: it is in use; evacuate it first`,
    );
  const staying = pool.devices.filter((other) => other !== device);
  if (!staying.some((other) => other.trusted))
    throw new ChunkStoreError(
      "unavailable",
      `Cannot remove ${device.label}: no other device of its pool is healthy`,
    );
  await leaveNothing(pool, device);
  const isThere = device.trusted;
  device.state = "failed";
  device.reason = "removed";
  await queueLate(pool, device);
  pool.devices.splice(pool.devices.indexOf(device), 1);
  pool.byOrdinal[device.ordinal] = undefined;
  pool.changeMembers();
  await pool.membersSettled();
  failpoint("device-removed");
  pool.flush();
  pool.ports.index.checkpoint();
  if (isThere && device.slot !== undefined) await wipe(pool, device.slot);
  await retire(pool, device);
}
/** What was on its way there when it was looked through is repaired elsewhere. */
async function queueLate(pool: Pool, device: Device): Promise<void> {
  await device.writer?.idle();
  await yieldTurn(pool);
  for (const key of await keysOn(pool, device, undefined))
    pool.queueRepair({ chunkId: keyChunkId(key), sealId: keySealId(key) });
}
/** Without superblocks it may be used for anything, and is never taken for a member. */
async function wipe({ ports }: Pool, slot: DeviceSlot): Promise<void> {
  using room: ArenaLease = await ports.datapath.arena.borrow(superblockSize, never);
  room.bytes.fill(0, 0, superblockSize);
  const ranges = [{ lease: room, offset: 0, size: superblockSize }];
  try {
    for (const offset of [0, superblockSecondOffset])
      await ports.datapath.append({ device: slot, offset, ranges, sync: true });
  } catch (reason) {
    if (!(reason instanceof DatapathError)) throw reason; // an older list than the others': nobody believes it
  }
}
/** Nothing is read from or written to it any more. */
async function retire(pool: Pool, device: Device): Promise<void> {
  if (device.state !== "failed") {
    device.state = "failed";
    device.reason = "replaced";
  }
  await device.writer?.idle();
  device.writer?.dispose();
  device.writer = undefined;
  const slot = device.slot;
  device.slot = undefined;
  if (slot !== undefined) await pool.ports.datapath.closeDevice(slot);
}

/** Opens a member again and believes what a full read of it shows. */
export async function resyncMember(pool: Pool, path: DevicePath): Promise<void> {
  const { datapath } = pool.ports;
  const known = pool.devices.find(
    (device) => device.path === path.path && !device.trusted && !device.mustReplace,
  );
  if (known?.slot !== undefined) {
    await known.writer?.idle();
    known.writer?.dispose();
    known.writer = undefined;
    await datapath.closeDevice(known.slot);
    known.slot = undefined;
  }
  using room = await datapath.arena.borrow(superblockSize, never);
  const opened = await openOne(pool.ports, path, pool, room);
  if ("code" in opened)
    throw new ChunkStoreError(opened.code, `Cannot resync ${path.path}: ${opened.reason}`);
  const id = opened.superblock.device;
  const device = pool.devices.find((other) => sameBytes(other.id, id));
  if (device === undefined || device.trusted || device.mustReplace) {
    await datapath.closeDevice(opened.slot);
    if (device?.mustReplace !== true) throw unknown(path.path);
    throw new ChunkStoreError(
      "unavailable",
      `Cannot resync ${path.path}: a write or sync of it failed, it must be replaced`,
    );
  }
  await device.writer?.idle();
  device.writer?.dispose();
  device.writer = undefined;
  device.path = opened.path;
  device.slot = opened.slot;
  device.superblock = opened.superblock;
  await resync(pool, device);
  await pool.membersSettled();
  pool.flush();
}
