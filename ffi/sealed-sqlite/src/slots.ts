import { assert, newBytes } from "@kiseki/base";
import { native } from "./native.ts";
import type { SlotKeys, SlotNumber } from "./types.ts";

/**
 * Copies the keys of one file into locked memory that core dumps leave out.
 * @throws {Error} when memory cannot be locked (RLIMIT_MEMLOCK) or 16,384 slots are open.
 */
export function openSlot(keys: SlotKeys): SlotNumber {
  assert(keys.pageKey.byteLength === 32 && keys.maskKey.byteLength === 32, "keys have 32 bytes");
  const both = newBytes(64);
  both.set(keys.pageKey, 0);
  both.set(keys.maskKey, 32);
  const number = Number(native().kiseki_slot_open(both));
  both.fill(0);
  if (number === -1)
    throw new Error("Cannot lock memory for keys: raise the limit of locked memory");
  if (number === -2) throw new Error("Cannot open another key slot: 16384 are open");
  return number;
}

/** Zeroes the keys. Every later call on files of that slot fails; false: it was closed already. */
export function closeSlot(slot: SlotNumber): boolean {
  return native().kiseki_slot_close(slot) === 1;
}
