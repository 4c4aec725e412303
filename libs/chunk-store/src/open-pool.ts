import { sameBytes, toHex, toUuid } from "@kiseki/base";
import type { PoolMember, Superblock } from "@kiseki/format";
import { superblockSize } from "@kiseki/format";
import type { ArenaLease } from "@kiseki/ports";
import { DatapathError } from "@kiseki/ports";
import { Device } from "./device.ts";
import { memberState, Pool } from "./pool.ts";
import { loadIndex, recoverDevice, recoverFailed } from "./recover.ts";
import { resync } from "./resync.ts";
import type { OpenedDevice, UnusableDevice } from "./superblocks.ts";
import { openOne } from "./superblocks.ts";
import type { ChunkStorePorts, DeviceState, OpenOptions } from "./types.ts";
import { ChunkStoreError } from "./types.ts";

const never = new AbortController().signal;
const failedBefore =
  "a write or sync of it failed in an earlier run: it is read where nothing else helps, and stays out until it is replaced";

/** Opens what is there of a pool; see `ChunkStore.open`. A failure leaves nothing open but the index. */
export async function openPool(ports: ChunkStorePorts, options: OpenOptions): Promise<Pool> {
  const pool = new Pool(ports, options);
  const lease = await ports.datapath.arena.borrow(superblockSize, never);
  pool.superblockLease = lease;
  const opened: OpenedDevice[] = [];
  try {
    await fillPool(pool, options, lease, opened);
    return pool;
  } catch (reason) {
    const held = new Set(pool.devices.map(({ slot }) => slot));
    for (const { slot } of opened) if (!held.has(slot)) await ports.datapath.closeDevice(slot);
    await closeAll(pool);
    throw reason;
  }
}

async function fillPool(
  pool: Pool,
  options: OpenOptions,
  lease: ArenaLease,
  opened: OpenedDevice[],
): Promise<void> {
  const { ports } = pool;
  const unusable: UnusableDevice[] = [];
  for (const device of options.devices) {
    const result = await openOne(ports, device, pool, lease);
    if ("code" in result) unusable.push(result);
    else if (opened.some((other) => sameBytes(other.superblock.device, result.superblock.device))) {
      await ports.datapath.closeDevice(result.slot);
      const reason = `it has the id ${toUuid(result.superblock.device)} of another one`;
      unusable.push({ path: result.path, code: "bad_superblock", reason });
    } else opened.push(result);
  }
  const newest = newestList(opened);
  if (newest === undefined) throw noneUsable(unusable);
  pool.nodeId = newest.node;
  pool.membersVersion = newest.membersVersion;
  for (const { superblock } of opened)
    if (superblock.epoch > pool.epoch) pool.epoch = superblock.epoch;
  loadIndex(pool);
  const strangers = await addMembers(pool, newest, opened, unusable);
  for (const stranger of strangers) opened.splice(opened.indexOf(stranger), 1);
  await recoverAll(pool);
  if (!pool.devices.some((device) => device.trusted || device.isLastResort))
    throw noneUsable(unusable);
  const changed = pool.devices.some(
    (device, i) => memberState(device) !== newest.members[i]!.state,
  );
  if (changed) pool.changeMembers();
  await pool.membersSettled();
  pool.ready = true;
  pool.flush();
}

function newestList(opened: readonly OpenedDevice[]): Superblock | undefined {
  let newest: Superblock | undefined;
  for (const { superblock } of opened) {
    const isNewer =
      newest === undefined ||
      superblock.membersVersion > newest.membersVersion ||
      (superblock.membersVersion === newest.membersVersion &&
        superblock.generation > newest.generation);
    if (isNewer) newest = superblock;
  }
  return newest;
}
function noneUsable(unusable: readonly UnusableDevice[]): ChunkStoreError {
  const [only, ...others] = unusable;
  const reasons = unusable.map(({ path, reason }) => `${path}: ${reason}`).join("; ");
  const code = only !== undefined && others.every((other) => other.code === only.code);
  return new ChunkStoreError(
    code ? only.code : "unavailable",
    `Cannot open the chunk store: no device is usable (${reasons})`,
  );
}

/** Answers those that are closed because they are no members any more. */
async function addMembers(
  pool: Pool,
  newest: Superblock,
  opened: readonly OpenedDevice[],
  unusable: readonly UnusableDevice[],
): Promise<readonly OpenedDevice[]> {
  const left = new Set(opened);
  for (const member of newest.members) {
    const found = opened.find((other) => sameBytes(other.superblock.device, member.id));
    if (found !== undefined) left.delete(found);
    const device = new Device({
      id: member.id,
      ordinal: pool.ordinalOf(member.id),
      class: member.class,
      size: member.size,
      state: stateAtOpen(pool, member, found),
      reason: undefined,
    });
    if (found !== undefined) {
      device.path = found.path;
      device.slot = found.slot;
      device.superblock = found.superblock;
      if (device.state === "missing") device.reason = "it was away and must be resynced";
      if (device.state === "failed") device.reason = failedBefore;
    } else {
      const reasons = unusable.map(({ path, reason }) => `${path}: ${reason}`);
      const failed = device.state === "failed" ? [failedBefore] : [];
      device.reason = [...failed, "it is not among the given devices", ...reasons].join("; ");
    }
    device.mustReplace = device.state === "failed";
    device.isLeaving = member.state === "leaving" && device.state === "healthy";
    pool.add(device);
  }
  for (const { slot } of left) await pool.ports.datapath.closeDevice(slot); // members of an older list
  return [...left];
}
function stateAtOpen(pool: Pool, member: PoolMember, found: OpenedDevice | undefined): DeviceState {
  if (member.state === "failed" || pool.failuresNoted.has(toHex(member.id))) return "failed";
  if (found === undefined) return "missing";
  return member.state === "away" && pool.safeties.distrustReturning ? "missing" : "healthy";
}

async function recoverAll(pool: Pool): Promise<void> {
  for (const device of pool.devices) {
    if (!device.trusted) continue;
    try {
      await recoverDevice(pool, device);
    } catch (reason) {
      if (!(reason instanceof DatapathError)) throw reason;
      pool.failDevice(device, reason, "read");
    }
  }
  for (const device of pool.devices) if (device.isLastResort) await lookAtFailed(pool, device);
  // Only now: what another device holds may be needed to judge it.
  for (const device of pool.devices) if (device.state === "resyncing") await resync(pool, device);
}

async function lookAtFailed(pool: Pool, device: Device): Promise<void> {
  try {
    await recoverFailed(pool, device);
  } catch (reason) {
    if (!(reason instanceof DatapathError)) throw reason;
    const { slot } = device;
    device.slot = undefined;
    if (slot !== undefined) await pool.ports.datapath.closeDevice(slot);
  }
}

export async function closeAll(pool: Pool): Promise<void> {
  for (const device of pool.devices) {
    await device.writer?.idle();
    device.writer?.dispose();
    if (device.slot !== undefined) await pool.ports.datapath.closeDevice(device.slot);
    device.slot = undefined;
  }
  pool.superblockLease?.[Symbol.dispose]();
  pool.superblockLease = undefined;
}
