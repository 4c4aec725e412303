import type { WallTime } from "@kiseki/base";
import { fromUtf8, toUtf8, wallTime } from "@kiseki/base";
import { RowError } from "./codec.ts";

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
  const refuse = (code: RowError["code"]): never => {
    throw new RowError(code, "a setting of holds");
  };
  let json: unknown;
  try {
    json = JSON.parse(fromUtf8(source) ?? "");
  } catch (reason) {
    if (!(reason instanceof SyntaxError)) throw reason;
    return refuse("bad_field");
  }
  if (typeof json !== "object" || json === null) return refuse("bad_field");
  const { version, holds, ...rest } = json as Record<string, unknown>;
  if (version !== 1) return refuse("unknown_version");
  if (!Array.isArray(holds) || holds.length > holdsMax || Object.keys(rest).length > 0) {
    return refuse("bad_field");
  }
  return (holds as unknown[]).map((hold) => readHold(hold) ?? refuse("bad_field"));
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
