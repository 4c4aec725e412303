import { fromUtf8, toUtf8 } from "@kiseki/base";
import { RowError } from "./codec.ts";
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
  const refuse = (code: RowError["code"]): never => {
    throw new RowError(code, "an object lock setting");
  };
  let json: unknown;
  try {
    json = JSON.parse(fromUtf8(source) ?? "");
  } catch (reason) {
    if (!(reason instanceof SyntaxError)) throw reason;
    return refuse("bad_field");
  }
  if (typeof json !== "object" || json === null) return refuse("bad_field");
  const { version, mode, unit, count, ...rest } = json as Record<string, unknown>;
  if (version !== 1) return refuse("unknown_version");
  if (Object.keys(rest).length > 0) return refuse("bad_field");
  if (mode === undefined && unit === undefined && count === undefined) return undefined;
  if (mode !== "governance" && mode !== "compliance") return refuse("bad_field");
  if (unit !== "days" && unit !== "years") return refuse("bad_field");
  if (!isCount(count, unit)) return refuse("bad_field");
  return { mode, unit, count };
}

/** Whether S3 takes that many. */
export function isLockPeriod(count: number, unit: LockDefault["unit"]): boolean {
  return isCount(count, unit);
}
function isCount(count: unknown, unit: LockDefault["unit"]): count is number {
  return Number.isInteger(count) && Number(count) >= 1 && Number(count) <= countMax[unit];
}
