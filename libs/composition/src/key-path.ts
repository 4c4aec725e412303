import { fromUtf8 } from "@kiseki/base";
import type { Limits, Refusal } from "./operation.ts";
import { refuse } from "./operation.ts";

const slash = 0x2f;
const dot = 0x2e;
export const componentSizeMax = 255;

/** Where a key's row lies (STORE §3): directories from the root, and the row's name in the last. */
export interface KeyPath {
  /** Names without slashes, each fit to be a directory's. */
  readonly directories: readonly Uint8Array[];
  /** May be empty (a key that ends in a slash) and, in a tail, hold slashes. */
  readonly name: Uint8Array;
  /** The rest of the key from the first component that is empty, `.`, `..`, too long or holds NUL. */
  readonly isTail: boolean;
}

/** Whether `[start, end)` of `key` may be the name of a directory. */
export function isComponent(key: Uint8Array, start: number, end: number): boolean {
  const size = end - start;
  if (size === 0 || size > componentSizeMax) return false;
  if (size <= 2 && key[start] === dot && (size === 1 || key[start + 1] === dot)) return false;
  for (let i = start; i < end; i++) if (key[i] === 0) return false;
  return true;
}

export function splitKey(key: Uint8Array): KeyPath {
  const directories: Uint8Array[] = [];
  let start = 0;
  for (;;) {
    const end = key.indexOf(slash, start);
    if (end < 0) {
      const isTail = start < key.byteLength && !isComponent(key, start, key.byteLength);
      return { directories, name: key.slice(start), isTail };
    }
    if (!isComponent(key, start, end)) {
      return { directories, name: key.slice(start), isTail: true };
    }
    directories.push(key.slice(start, end));
    start = end + 1;
  }
}

/** S3 keys are 1 … keySizeMax bytes of UTF-8. */
export function checkKey(key: Uint8Array, limits: Limits): Refusal | undefined {
  if (key.byteLength === 0) return refuse("invalid_key");
  if (key.byteLength > limits.keySizeMax) return refuse("key_too_long");
  return isShown(key) ? undefined : refuse("invalid_key");
}

/** Whether S3 may see the name: it is UTF-8. */
export function isShown(name: Uint8Array): boolean {
  for (let i = 0; i < name.byteLength; i++) {
    if (name[i]! >= 0x80) return fromUtf8(name) !== undefined;
  }
  return true;
}

/** The name of a directory's row. */
export function withSlash(name: Uint8Array): Uint8Array {
  const target = new Uint8Array(name.byteLength + 1);
  target.set(name);
  target[name.byteLength] = slash;
  return target;
}
