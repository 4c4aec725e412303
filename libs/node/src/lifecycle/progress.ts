import { fromHex, fromUtf8, toHex, toUtf8, wallTime, type WallTime } from "@kiseki/base";

/** What a round did. */
export interface RoundCounts {
  /** Versions, delete markers and uploads looked at. */
  readonly looked: number;
  /** Current versions that a rule deleted. */
  readonly expired: number;
  /** Noncurrent versions and delete markers removed for good. */
  readonly removed: number;
  /** Uploads aborted. */
  readonly aborted: number;
  /** Left alone since somebody changed them meanwhile; the next round looks again. */
  readonly changed: number;
  /** Left alone since a lock holds them, or the bucket takes no writes. */
  readonly held: number;
  /** Moved to another storage class. */
  readonly moved: number;
  /** Left in their class: under a customer's key, changed by a mount, or their pool does not take them now. */
  readonly skipped: number;
}
export const noCounts: RoundCounts = {
  looked: 0,
  expired: 0,
  removed: 0,
  aborted: 0,
  changed: 0,
  held: 0,
  moved: 0,
  skipped: 0,
};
/** Counts that programs before them did not keep: left out when there is nothing to count. */
const later: ReadonlySet<string> = new Set(["moved", "skipped"]);

/** How far a bucket's round is; kept with the bucket, so that a start goes on where the last one ended. */
export interface Progress {
  readonly started: WallTime;
  /** Undefined: the round goes on. */
  readonly finished: WallTime | undefined;
  readonly phase: "versions" | "uploads";
  /** Everything up to this key is done in this phase. */
  readonly after: Uint8Array | undefined;
  readonly counts: RoundCounts;
}

const version = 1;
const phases: readonly Progress["phase"][] = ["versions", "uploads"];

export function encodeProgress({ started, finished, phase, after, counts }: Progress): Uint8Array {
  const key = after === undefined ? undefined : toHex(after);
  const kept = Object.entries(counts).filter(([name, count]) => count > 0 || !later.has(name));
  const shown = Object.fromEntries(kept);
  return toUtf8(JSON.stringify({ version, started, finished, phase, after: key, counts: shown }));
}

const isTime = (value: unknown): value is number => Number.isSafeInteger(value);

/** `undefined`: nothing that can be gone on with, so that a round begins anew. */
export function decodeProgress(source: Uint8Array): Progress | undefined {
  const json = parseObject(source);
  if (json?.["version"] !== version) return undefined;
  const { started, finished, after } = json;
  const phase = phases.find((known) => known === json["phase"]);
  const counts = parseCounts(json["counts"]);
  if (!isTime(started) || phase === undefined || counts === undefined) return undefined;
  if (finished !== undefined && !isTime(finished)) return undefined;
  if (after !== undefined && (typeof after !== "string" || !/^([0-9a-f]{2})*$/.test(after))) {
    return undefined;
  }
  return {
    started: wallTime(started),
    finished: finished === undefined ? undefined : wallTime(finished),
    phase,
    after: after === undefined ? undefined : fromHex(after),
    counts,
  };
}

function parseObject(source: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const json: unknown = JSON.parse(fromUtf8(source) ?? "");
    return typeof json === "object" && json !== null
      ? (json as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function parseCounts(json: unknown): RoundCounts | undefined {
  if (typeof json !== "object" || json === null) return undefined;
  const source = json as Readonly<Record<string, unknown>>;
  const counts: Record<string, number> = {};
  for (const name of Object.keys(noCounts)) {
    const count = source[name] ?? (later.has(name) ? 0 : undefined);
    if (!Number.isSafeInteger(count) || (count as number) < 0) return undefined;
    counts[name] = count as number;
  }
  return counts as unknown as RoundCounts;
}
