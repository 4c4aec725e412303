import { toUtf8 } from "@kiseki/base";
import { RowError } from "./codec.ts";
import { readJsonSetting } from "./json-setting.ts";
import type { Retention } from "./types.ts";

/** Retention that a new version gets when its writer asks for none. */
export interface LockDefault {
  readonly mode: Retention["mode"];
  /** The larger of the two units that S3 knows is kept as it was set. */
  readonly unit: "days" | "years";
  readonly count: number;
}
const countMax = { days: 36_500, years: 100 } as const;

/** Value of the setting `object-lock`; `undefined`: locks are on, without a default. */
export function encodeLockDefault(value: LockDefault | undefined): Uint8Array {
  return toUtf8(JSON.stringify({ version: 1, ...value }));
}

/** @throws {RowError} for anything that `encodeLockDefault` did not write. */
export function decodeLockDefault(source: Uint8Array): LockDefault | undefined {
  const what = "an object lock setting";
  const fields = readJsonSetting(source, what);
  if (Object.keys(fields).length === 0) return undefined;
  const { mode, unit, count, ...rest } = fields;
  const isMode = mode === "governance" || mode === "compliance";
  const isUnit = unit === "days" || unit === "years";
  if (!isMode || !isUnit || !isCount(count, unit) || Object.keys(rest).length > 0) {
    throw new RowError("bad_field", what);
  }
  return { mode, unit, count };
}

/** Whether S3 takes that many. */
export function isLockPeriod(count: number, unit: LockDefault["unit"]): boolean {
  return isCount(count, unit);
}
function isCount(count: unknown, unit: LockDefault["unit"]): count is number {
  return Number.isInteger(count) && Number(count) >= 1 && Number(count) <= countMax[unit];
}
