import type { Brand } from "./brand.ts";

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;

/** A size or an offset in bytes: a safe integer ≥ 0. */
export type Bytes = Brand<number, "Bytes">;
/** A duration in milliseconds, never a date. */
export type Millis = Brand<number, "Millis">;
/** Milliseconds since the Unix epoch, as the wall clock showed them. */
export type WallTime = Brand<number, "WallTime">;
/** Fencing generation of a shard; only grows. */
export type Epoch = Brand<bigint, "Epoch">;
/** Number of a delta in its shard; carried over splits and merges. */
export type Sequence = Brand<bigint, "Sequence">;
/** The driver's count of appends to a shard's log; the first append has index 1, an empty log 0. */
export type LogIndex = Brand<bigint, "LogIndex">;
/** Generation of a tenant's two shares. */
export type Keyset = Brand<number, "Keyset">;

/** @throws {RangeError} when `n` is not a safe integer ≥ 0. */
export function bytes(n: number): Bytes {
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`Cannot use ${n} as a byte count`);
  return n as Bytes;
}
/** @throws {RangeError} when `n` is not finite or below 0. */
export function millis(n: number): Millis {
  if (!Number.isFinite(n) || n < 0) throw new RangeError(`Cannot use ${n} as a duration`);
  return n as Millis;
}
/** @throws {RangeError} when `n` is not a safe integer. */
export function wallTime(n: number): WallTime {
  if (!Number.isSafeInteger(n)) throw new RangeError(`Cannot use ${n} as a wall time`);
  return n as WallTime;
}
const u64Max = (1n << 64n) - 1n;
function u64(n: bigint, what: string): bigint {
  if (n < 0n || n > u64Max) throw new RangeError(`Cannot use ${n} as ${what}`);
  return n;
}
export const epoch = (n: bigint): Epoch => u64(n, "an epoch") as Epoch;
export const sequence = (n: bigint): Sequence => u64(n, "a sequence") as Sequence;
export const logIndex = (n: bigint): LogIndex => u64(n, "a log index") as LogIndex;
/** @throws {RangeError} outside `[1, 2^32)`. */
export function keyset(n: number): Keyset {
  if (!Number.isInteger(n) || n < 1 || n > 0xffffffff)
    throw new RangeError(`Cannot use ${n} as a keyset`);
  return n as Keyset;
}
/** Stands where a keyset stands for what is sealed under a customer's key (SSE-C) and so under none of ours. */
export const customerKeyset = 0 as Keyset;
/** As records and rows hold it: a keyset, or `customerKeyset`. @throws {RangeError} */
export const storedKeyset = (n: number): Keyset => (n === 0 ? customerKeyset : keyset(n));
