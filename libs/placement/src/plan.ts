import type { ChunkId, DeviceId } from "@kiseki/base";
import { compareBytes } from "@kiseki/base";
import type { Profile } from "@kiseki/ports";
import { ackMin, defaultProfile, fragmentCount, smallProfile } from "./profiles.ts";

/** A member of the pool as placement sees it. */
export interface PlacementDevice {
  readonly id: DeviceId;
  /** Takes new fragments: healthy or degraded, and below its threshold. */
  readonly writable: boolean;
  /** It is being emptied: no profile counts on it. */
  readonly isLeaving?: boolean;
}
/** Those that profiles count on. */
export function countStaying(devices: readonly PlacementDevice[]): number {
  let count = 0;
  for (const { isLeaving } of devices) if (isLeaving !== true) count += 1;
  return count;
}
export interface PlacementPlan {
  readonly kind: "plan";
  readonly profile: Profile;
  /** Device of each fragment, by index; `undefined` where none is left for it. */
  readonly targets: readonly (number | undefined)[];
  readonly missing: number;
}
export interface PlacementRefusal {
  readonly kind: "refused";
}

/** A 32-bit mix of the id's word and the device's (lowbias32 of C. Wellons, public domain). */
function mix(x: number): number {
  let h = x >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}
function word(source: Uint8Array, offset: number): number {
  return (
    (source[offset]! |
      (source[offset + 1]! << 8) |
      (source[offset + 2]! << 16) |
      (source[offset + 3]! << 24)) >>>
    0
  );
}
/** Highest random weight of (chunk, device): depends on nothing else, so a device's coming or going moves only its share. */
function weight(chunkId: ChunkId, device: DeviceId): number {
  let h = 0;
  for (let i = 0; i < 16; i += 4)
    h = mix(h ^ word(device, i) ^ mix((word(chunkId, i) ^ word(chunkId, i + 16)) >>> 0));
  return h;
}

/** Indexes of `devices`, best first, for `chunkId`. Equal weights are ordered by id. */
export function rankDevices(chunkId: ChunkId, devices: readonly PlacementDevice[]): number[] {
  const weights = devices.map((device) => weight(chunkId, device.id));
  return devices
    .map((_, i) => i)
    .toSorted((a, b) => weights[b]! - weights[a]! || compareBytes(devices[a]!.id, devices[b]!.id));
}

/**
 * Profile of a new chunk, whichever it is: the pool's own while k+1 devices are writable, else the default
 * profile of as many devices as are (STORE §4). `undefined`: it would be refused.
 */
export function planProfile(
  devices: readonly PlacementDevice[],
  options: { readonly small: boolean; readonly allowSingleCopy: boolean },
): Profile | undefined {
  let writable = 0;
  for (const device of devices) if (device.writable) writable += 1;
  if (writable === 0) return undefined;
  const staying = countStaying(devices);
  if (writable === 1 && staying > 1 && !options.allowSingleCopy) return undefined;
  const own = defaultProfile(staying);
  const profile = options.small ? smallProfile(own) : own;
  if (writable >= ackMin(profile)) return profile;
  const left = defaultProfile(writable);
  return options.small ? smallProfile(left) : left;
}

/**
 * Profile and devices of a new chunk in a pool of `devices` (all members, present or not).
 * What the profile lacks in devices is `missing`.
 */
export function planPut(
  chunkId: ChunkId,
  devices: readonly PlacementDevice[],
  options: { readonly small: boolean; readonly allowSingleCopy: boolean },
): PlacementPlan | PlacementRefusal {
  const profile = planProfile(devices, options);
  if (profile === undefined) return { kind: "refused" };
  const count = fragmentCount(profile);
  const targets: (number | undefined)[] = [];
  for (const device of rankDevices(chunkId, devices)) {
    if (targets.length === count) break;
    if (devices[device]!.writable) targets.push(device);
  }
  const missing = count - targets.length;
  while (targets.length < count) targets.push(undefined);
  return { kind: "plan", profile, targets, missing };
}

/**
 * Devices for the fragments that lack: `holders` are devices (by number) that already have one.
 * As many as there are devices for; the rest waits.
 */
export function planRepair(
  chunkId: ChunkId,
  devices: readonly PlacementDevice[],
  missing: readonly number[],
  holders: ReadonlySet<number>,
): { readonly index: number; readonly device: number }[] {
  const free = rankDevices(chunkId, devices).filter(
    (device) => devices[device]!.writable && !holders.has(device),
  );
  return missing.slice(0, free.length).map((index, i) => ({ index, device: free[i]! }));
}
