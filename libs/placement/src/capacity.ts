import type { DeviceClass } from "@kiseki/format";

/** healthy → warning (logged) → critical (no new placements) → readonly (drain) → full. */
export type CapacityState = "healthy" | "warning" | "critical" | "readonly" | "full";

const order: readonly CapacityState[] = ["healthy", "warning", "critical", "readonly", "full"];
/** Percent of the device used from which each state holds. */
const thresholds: Record<DeviceClass, readonly [number, number, number, number]> = {
  nvme: [75, 85, 92, 97],
  ssd: [75, 85, 92, 97],
  hdd: [85, 92, 97, 99],
  custom: [80, 90, 95, 99],
};

/** The state of a device of `size` bytes with `used` of them taken. */
export function capacityState(kind: DeviceClass, used: number, size: number): CapacityState {
  const percent = size <= 0 ? 100 : (used / size) * 100;
  const [warning, critical, readonly, full] = thresholds[kind];
  if (percent >= full) return "full";
  if (percent >= readonly) return "readonly";
  if (percent >= critical) return "critical";
  return percent >= warning ? "warning" : "healthy";
}
/** Bytes that a device of `size` takes beside `used` before new chunks are placed elsewhere. */
export function roomBelowCritical(kind: DeviceClass, used: number, size: number): number {
  const [, critical] = thresholds[kind];
  return Math.max(0, (size * critical) / 100 - used);
}
/** True while new chunks may be placed there. */
export const acceptsFragments = (state: CapacityState): boolean =>
  order.indexOf(state) < order.indexOf("critical");
/** Repair and compaction may go on until the device is full. */
export const acceptsRepair = (state: CapacityState): boolean => state !== "full";
/** The worse of two states. */
export const worstCapacity = (a: CapacityState, b: CapacityState): CapacityState =>
  order.indexOf(a) >= order.indexOf(b) ? a : b;
