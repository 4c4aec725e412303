import { assert } from "@kiseki/base";
import type { Profile } from "@kiseki/ports";

/** STORE §5: the profile of new chunks on a pool of `devices`. */
export function defaultProfile(devices: number): Profile {
  assert(Number.isInteger(devices) && devices >= 1, "a pool has a device");
  if (devices <= 2) return { kind: "copies", copies: devices };
  if (devices === 3) return { kind: "ec", data: 2, parity: 1 };
  if (devices === 4) return { kind: "ec", data: 3, parity: 1 };
  if (devices === 5) return { kind: "ec", data: 3, parity: 2 };
  return { kind: "ec", data: 4, parity: 2 };
}
/** Small content is kept as copies: as many as survive what `profile` survives. */
export function smallProfile(profile: Profile): Profile {
  return profile.kind === "copies" ? profile : { kind: "copies", copies: profile.parity + 1 };
}
/** Fragments that a complete chunk has. */
export const fragmentCount = (profile: Profile): number =>
  profile.kind === "copies" ? profile.copies : profile.data + profile.parity;
/** Devices that a complete chunk may lose and be read still. */
export const lossesSurvived = (profile: Profile): number =>
  fragmentCount(profile) - fragmentsNeeded(profile);
/** Fragments that are enough to read it. */
export const fragmentsNeeded = (profile: Profile): number =>
  profile.kind === "copies" ? 1 : profile.data;
/** Fewest synced fragments with which a put may be answered: one loss must be survived (STORE §4). */
export const ackMin = (profile: Profile): number =>
  Math.min(fragmentCount(profile), fragmentsNeeded(profile) + 1);
