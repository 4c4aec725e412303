import type { DeviceId } from "@kiseki/base";
import { deviceId, newBytes, sameBytes, toUuid } from "@kiseki/base";
import { signatureAreaSize, superblockSize } from "@kiseki/format";
import { Device } from "./device.ts";
import { layOut, openBlank, writeSuperblock } from "./format-devices.ts";
import type { Pool } from "./pool.ts";
import { resync } from "./resync.ts";
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
  const { ports } = pool;
  using room = await ports.datapath.arena.borrow(signatureAreaSize, never);
  const { slot, size } = await openBlank(
    ports,
    replacement,
    () => replacement.force === true,
    room,
  );
  const id = deviceId(ports.prng.fill(newBytes(16)));
  let block;
  try {
    block = {
      ...pattern,
      device: id,
      ...layOut(replacement.path, size, pattern.zoneSize),
      class: gone.class,
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
  const state = "healthy";
  const device = new Device({ id, ordinal, class: gone.class, size, state, reason: undefined });
  device.path = replacement.path;
  device.slot = slot;
  device.superblock = block;
  device.zones = new ZoneTable(block.zoneCount, block.zoneSize);
  await retire(pool, gone);
  await pool.startWriter(device, 0, undefined);
  pool.devices[place] = device;
  pool.byOrdinal[gone.ordinal] = undefined;
  pool.byOrdinal[ordinal] = device;
  pool.changeMembers();
  await pool.membersSettled();
  pool.flush();
  return id;
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
