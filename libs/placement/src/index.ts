/**
 * Where fragments go (STORE §4–5, spec §2.11–2.12): default profiles by number of devices, the profile
 * that is left when devices are, rendezvous hashing of fragments over distinct devices, thresholds
 * of capacity per class, repair plans, versions of the placement map.
 *
 * Pure: states in, plans out. A chunk never has two fragments on one device. A plan never holds
 * fewer than k+1 fragments (2 copies) unless single copies are allowed or the pool has one device;
 * it is refused instead.
 */
export type { CapacityState } from "./capacity.ts";
export {
  acceptsFragments,
  acceptsRepair,
  capacityState,
  roomBelowCritical,
  worstCapacity,
} from "./capacity.ts";
export type { PlacementDevice, PlacementPlan } from "./plan.ts";
export { countStaying, planProfile, planPut, planRepair, rankDevices } from "./plan.ts";
export {
  defaultProfile,
  fragmentCount,
  fragmentsNeeded,
  ackMin,
  lossesSurvived,
  smallProfile,
} from "./profiles.ts";
