import type { PosixOperation } from "./operation.ts";

const u32Max = 0xffff_ffff;
const u64Max = (1n << 64n) - 1n;
/** Nanoseconds fit 64 bits: years 1677 to 2262. */
const timeMax = 1n << 63n;
const clientIdSize = 16;
const millisMax = Number(timeMax / 1_000_000n);

const isCount = (value: number, max: number): boolean =>
  Number.isSafeInteger(value) && value >= 0 && value <= max;
const isTime = (value: bigint): boolean => value >= -timeMax && value < timeMax;

const counts: Readonly<Record<string, number>> = {
  mode: u32Max,
  uid: u32Max,
  gid: u32Max,
  rdev: u32Max,
  pid: u32Max,
  expires: millisMax,
};
const times: ReadonlySet<string> = new Set(["time", "atime", "mtime"]);
const wide: ReadonlySet<string> = new Set(["owner", "start", "end"]);

function isFit(name: string, value: unknown): boolean {
  // Rows without a client are the index by file.
  if (name === "client") return value instanceof Uint8Array && value.byteLength === clientIdSize;
  const max = counts[name];
  if (max !== undefined && typeof value === "number") return isCount(value, max);
  if (typeof value !== "bigint") return true;
  if (times.has(name)) return isTime(value);
  return !wide.has(name) || (value >= 0n && value <= u64Max);
}

/** Whether the rows can hold what an operation brings: it comes from outside. */
export function hasFitFields(operation: PosixOperation): boolean {
  const lock = operation.kind === "lock" || operation.kind === "unlock" ? operation.lock : {};
  return [...Object.entries(operation), ...Object.entries(lock)].every(
    ([name, value]) => value === undefined || isFit(name, value),
  );
}
