/** Devices that come and go: the admin's commands, beside clients and faults. */
import { ChunkStoreError } from "@kiseki/chunk-store";
import { pick } from "./sim-choices.ts";
import { collect, widen } from "./sim-housekeeping.ts";
import { must, type SimNode } from "./sim-node.ts";

type Device = ReturnType<SimNode["ports"]["chunkStore"]["status"]>["devices"][number];

/** Of the default pool; the archive's stay. */
const devicesOf = ({ ports }: SimNode): readonly Device[] =>
  ports.chunkStore.pools()[0]!.status!.devices;
const unusedPaths = (node: SimNode): readonly string[] => {
  const used = new Set(devicesOf(node).map(({ path }) => path));
  return node.world.paths.filter((path) => !used.has(path));
};

async function told(work: () => Promise<string>): Promise<string> {
  try {
    return await work();
  } catch (reason) {
    if (!(reason instanceof ChunkStoreError)) throw reason;
    return reason.code;
  }
}

/** Where the pool survives as many losses without it: faults of other devices go on beside it. */
export function evacuate(node: SimNode): Promise<string> {
  const { world, ports } = node;
  const device = pick(world.prng, devicesOf(node));
  if (device === undefined || device.isLeaving) return Promise.resolve("skipped");
  return told(async () => {
    await node.alive(ports.chunkStore.evacuateDevice(device.id));
    world.count("evacuations begun");
    return `${device.path}`;
  });
}
/** As housekeeping does it: what has too many fragments for the devices that stay is sealed anew meanwhile. */
export function moveLeaving(node: SimNode): Promise<string> {
  const { world, ports } = node;
  const device = devicesOf(node).find(({ isLeaving }) => isLeaving);
  if (device === undefined) return Promise.resolve("skipped");
  return told(async () => {
    await widen(node);
    await collect(node);
    const { moved, left } = await node.alive(
      ports.chunkStore.moveLeaving(device.id, undefined, node.signal),
    );
    world.count("chunks moved off devices", moved);
    return `${device.path} ${moved} moved, ${left} left`;
  });
}
/** One that leaves, or is out: refused while something needs it. */
export function remove(node: SimNode): Promise<string> {
  const { world, ports } = node;
  const device = pick(
    world.prng,
    devicesOf(node).filter(({ isLeaving }) => isLeaving),
  );
  if (device === undefined) return Promise.resolve("skipped");
  return told(async () => {
    await node.alive(ports.chunkStore.removeDevice(device.id));
    world.count("devices removed");
    return `${device.path}`;
  });
}
/** A disk that no member has: blank, or it carries what a removed one held. */
export function add(node: SimNode): Promise<string> {
  const { world, ports } = node;
  const isWhole = devicesOf(node).every(({ state }) => state === "healthy" || state === "degraded");
  const path = pick(world.prng, unusedPaths(node));
  if (path === undefined || !isWhole || world.disks.get(path)!.gone)
    return Promise.resolve("skipped");
  return told(async () => {
    await node.alive(ports.chunkStore.addDevice(0, { path, force: true }));
    world.count("devices added");
    return path;
  });
}

/** The admin makes the pool what it was. */
export async function restoreMembers(node: SimNode): Promise<void> {
  const { world, ports } = node;
  for (const { id, isLeaving } of devicesOf(node))
    if (isLeaving) await ports.chunkStore.keepDevice(id);
  const lacking = world.paths.length - devicesOf(node).length;
  const free = unusedPaths(node);
  must(free.length >= lacking, "each device that was removed has its place");
  for (const path of free.slice(0, lacking)) {
    const disk = world.disks.get(path)!;
    disk.zero();
    world.damaged.delete(disk);
    await ports.chunkStore.addDevice(0, { path, force: true });
  }
}
