import { toUuid } from "@kiseki/base";
import { storageClasses } from "@kiseki/format";
import type { DeviceStatus, PoolStatus } from "@kiseki/chunk-store";
import { checkSpace } from "./check-space.ts";
import { countUsage } from "./buckets.ts";
import { quotaField } from "./quotas.ts";
import type { AdminParts } from "./types.ts";

interface DeviceView {
  readonly deviceId: string;
  readonly path: string;
  readonly state: string;
  readonly reason: string;
  readonly totalBytes: bigint;
  readonly usedBytes: bigint;
  readonly faultCount: bigint;
  readonly pool: string;
}

const toDevice = (pool: string, device: DeviceStatus): DeviceView => ({
  pool,
  deviceId: toUuid(device.id),
  path: device.path ?? "",
  state: device.isLeaving && device.state === "healthy" ? "leaving" : device.state,
  reason: device.reason ?? "",
  totalBytes: BigInt(device.size),
  usedBytes: BigInt(device.used),
  faultCount: BigInt(Object.values(device.faults).reduce((sum, count) => sum + count, 0)),
});

export function listDevices({ node }: AdminParts): readonly DeviceView[] {
  return node.ports.chunkStore
    .pools()
    .flatMap(({ name, status }) => status?.devices.map((device) => toDevice(name, device)) ?? []);
}

/** Used and total of some devices. */
function capacityOf(devices: readonly DeviceStatus[], state: string) {
  const sum = (field: "size" | "used"): bigint =>
    devices.reduce((total, device) => total + BigInt(device[field]), 0n);
  return { totalBytes: sum("size"), usedBytes: sum("used"), state };
}

export const profileText = (
  profile: Exclude<PoolStatus["status"], undefined>["profile"],
): string => {
  if (profile === undefined) return "";
  if (profile.kind === "ec") return `${profile.data}+${profile.parity}`;
  return profile.copies === 1 ? "1 copy" : `${profile.copies} copies`;
};

function toPool({ node }: AdminParts, { number, name, status, reason }: PoolStatus) {
  const { poolOf } = node.ports;
  const devices = status?.devices ?? [];
  return {
    number,
    name,
    storageClasses: storageClasses.filter((each) => poolOf(each) === number),
    capacity: capacityOf(devices, status?.capacity ?? "absent"),
    deviceCount: devices.length,
    profile: profileText(status?.profile),
    reason: reason ?? "",
  };
}

/** What is wrong with a pool, and what to do. */
function* poolAlerts({ name, number, status, reason }: PoolStatus): Generator<string> {
  const of = number === 0 ? "" : ` of pool ${name}`;
  if (status === undefined) {
    yield `Pool ${name} is absent (${reason}). What is in it cannot be read. Bring its devices back and restart the node.`;
    return;
  }
  for (const device of status.devices) {
    const label = `Device ${toUuid(device.id)}${device.path === undefined ? "" : ` (${device.path})`}`;
    if (device.isLeaving && device.living > 0)
      yield `${label} is leaving: what it holds goes to the others by itself. "kiseki device evacuate" shows how far it is.`;
    else if (device.isLeaving)
      yield `${label} is empty. Take it out with "kiseki device remove", or keep it with "kiseki device evacuate --cancel".`;
    if (device.state === "healthy") continue;
    const why = device.reason === undefined ? "" : ` (${device.reason})`;
    yield `${label} is ${device.state}${why}. ${adviceOn(device, status.devices.length)}`;
  }
  if (status.profile === undefined) {
    yield number === 0
      ? "Writes are refused: too few devices can take content. Replace devices or free space."
      : `Writes to pool ${name} are refused: too few of its devices can take content. Replace devices or free space.`;
  }
  if (status.capacity !== "healthy") {
    yield `The devices' space${of} is ${status.capacity}. Delete objects, or add a device; deletes work at any level.`;
  }
}

/** What needs somebody's attention, with what to do, a sentence or two each. */
export function findAlerts(parts: AdminParts, isOpen: boolean): readonly string[] {
  const alerts: string[] = [];
  const { node } = parts;
  if (!isOpen) {
    alerts.push(
      'The default tenant is closed: its key manager does not answer or its shard file cannot be used. "kiseki doctor" says why.',
    );
  }
  const status = node.ports.chunkStore.status();
  for (const pool of node.ports.chunkStore.pools()) alerts.push(...poolAlerts(pool));
  if (status.repairQueued > 0) {
    alerts.push(
      `${status.repairQueued} chunks lack fragments; repair goes on by itself. "kiseki verify" names objects that cannot be repaired.`,
    );
  }
  if (status.narrow > 0) {
    alerts.push(
      `${status.narrow} chunks have not the pool's profile: they were written while devices were out, or before devices came or went. They are written again by themselves once all devices take content.`,
    );
  }
  if (status.damaged > 0) {
    alerts.push(
      `${status.damaged} records were found damaged since the start, and repaired where that was possible; "kiseki verify" names objects that are still damaged.`,
    );
  }
  for (const { directory, state } of node.storage.members.status().members) {
    if (state === "good" || state === "copied") continue;
    alerts.push(
      `Mirror ${directory} is ${state}. Bring its disk back and restart the node: it is then copied anew.`,
    );
  }
  return alerts;
}

const deviceAdvice: Readonly<Record<DeviceStatus["state"], string>> = {
  healthy: "",
  degraded: 'Watch it, and replace it with "kiseki device replace" when its faults grow.',
  failed:
    'When its fault has passed, restart the node, which reads and compares it; else replace it with "kiseki device replace".',
  missing: 'Bring it back and restart the node, or replace it with "kiseki device replace".',
  resyncing: "It is read and compared before it counts again; that goes on by itself.",
};

/** After a failed write or sync nothing that a device shows can be believed, so no restart brings it back. */
export function adviceOn(device: DeviceStatus, deviceCount: number): string {
  if (!device.mustReplace) return deviceAdvice[device.state];
  return deviceCount === 1
    ? "It is only read from now on: copy its content to another node."
    : 'Replace it with "kiseki device replace".';
}

/** The node at a glance. Never fails for a closed tenant: that is what it reports. */
export async function readStatus(parts: AdminParts, signal: AbortSignal) {
  const { node, clock } = parts;
  const tenant = await node.openDefaultTenant(signal).catch(() => undefined);
  const usage = tenant ? await countUsage(tenant) : { buckets: 0, objects: 0n, bytes: 0n };
  const store = node.ports.chunkStore.status();
  const pools = node.ports.chunkStore.pools();
  const scarce = (await checkSpace(node.storage.directories)).filter(
    ({ taken }) => taken !== "all",
  );
  return {
    nodeId: toUuid(node.storage.clusterId),
    version: parts.version,
    startedUnixMs: BigInt(node.startedAt),
    nowUnixMs: BigInt(clock.realtime()),
    s3Endpoint: parts.s3Endpoint,
    epoch: node.epoch,
    isReady: tenant !== undefined && store.profile !== undefined,
    bucketCount: BigInt(usage.buckets),
    objectCount: usage.objects,
    objectBytes: usage.bytes,
    ...tenant?.store.view((map) => quotaField(map)),
    chunkCount: BigInt(store.chunks),
    repairQueued: BigInt(store.repairQueued),
    capacity: capacityOf(store.devices, store.capacity),
    pools: pools.map((pool) => toPool(parts, pool)),
    members: node.storage.members.status().members.map(({ directory, state }) => ({
      directory,
      state,
      isPresent: state === "good" || state === "copied",
    })),
    devices: [...listDevices(parts)],
    alerts: [
      ...findAlerts(parts, tenant !== undefined),
      ...scarce.map(({ detail }) => `${detail}. Free space on its disk.`),
    ],
  };
}
