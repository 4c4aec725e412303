import type { WallTime } from "@kiseki/base";
import { toUtf8, wallTime } from "@kiseki/base";
import { RowError } from "./codec.ts";
import { readJsonSetting } from "./json-setting.ts";

/** Keeps every version of a namespace, until a time or until it is released. */
export interface Hold {
  readonly id: string;
  readonly until?: WallTime;
}
/** Holds of one namespace. */
export const holdsMax = 64;
export const isHoldId = (text: string): boolean => /^[A-Za-z0-9._-]{1,64}$/.test(text);

/** Value of the setting `holds`, in the order of their ids. */
export function encodeHolds(holds: readonly Hold[]): Uint8Array {
  return toUtf8(JSON.stringify({ version: 1, holds }));
}

/** @throws {RowError} for anything that `encodeHolds` did not write. */
export function decodeHolds(source: Uint8Array): readonly Hold[] {
  const what = "a setting of holds";
  const { holds, ...rest } = readJsonSetting(source, what);
  const read = Array.isArray(holds) ? (holds as unknown[]).map(readHold) : [undefined];
  if (read.length > holdsMax || read.includes(undefined) || Object.keys(rest).length > 0) {
    throw new RowError("bad_field", what);
  }
  return read as Hold[];
}
function readHold(hold: unknown): Hold | undefined {
  if (typeof hold !== "object" || hold === null) return undefined;
  const { id, until, ...rest } = hold as Record<string, unknown>;
  if (typeof id !== "string" || !isHoldId(id) || Object.keys(rest).length > 0) return undefined;
  if (until === undefined) return { id };
  return typeof until === "number" && Number.isSafeInteger(until)
    ? { id, until: wallTime(until) }
    : undefined;
}
