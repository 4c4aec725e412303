import { compareBytes, concatBytes } from "@kiseki/base";
import { keyAfterPrefix } from "@kiseki/format";
import { afterKey } from "./row-cursor.ts";

export function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  if (key.byteLength < prefix.byteLength) return false;
  for (let i = 0; i < prefix.byteLength; i++) if (key[i] !== prefix[i]) return false;
  return true;
}

/** Prefix and delimiter of a listing, applied to whole keys. */
export interface Roll {
  readonly prefix: Uint8Array;
  readonly delimiter: Uint8Array;
}

/** Offset of `wanted` in `key` from `start` on, or -1. */
function indexOfBytes(key: Uint8Array, wanted: Uint8Array, start: number): number {
  const last = key.byteLength - wanted.byteLength;
  for (let at = key.indexOf(wanted[0]!, start); at >= 0 && at <= last;) {
    let i = 1;
    while (i < wanted.byteLength && key[at + i] === wanted[i]) i += 1;
    if (i === wanted.byteLength) return at;
    at = key.indexOf(wanted[0]!, at + 1);
  }
  return -1;
}

/** The common prefix that `key` is shown as: up to the first delimiter behind the prefix. */
export function commonPrefix({ prefix, delimiter }: Roll, key: Uint8Array): Uint8Array | undefined {
  if (delimiter.byteLength === 0 || !startsWith(key, prefix)) return undefined;
  const at = indexOfBytes(key, delimiter, prefix.byteLength);
  return at < 0 ? undefined : key.slice(0, at + delimiter.byteLength);
}

/**
 * The least key that may be shown above item `after`. An `after` that rolls up stands for its common
 * prefix: what lies under that was shown. Undefined: nothing is left.
 */
export function startOf(roll: Roll, after: Uint8Array | undefined): Uint8Array | undefined {
  if (after === undefined || compareBytes(after, roll.prefix) < 0) return roll.prefix;
  const shown = commonPrefix(roll, after);
  return shown === undefined ? afterKey(after) : keyAfterPrefix(shown);
}

/** An `after` below all keys of directory `path` and above all keys before it: no key holds byte ff. */
export const beforeDirectory = (path: Uint8Array): Uint8Array =>
  concatBytes(path.subarray(0, -1), Uint8Array.of(0x2e, 0xff));
