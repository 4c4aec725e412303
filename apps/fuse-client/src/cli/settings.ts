/**
 * Settings of a mount: `-o name=value` wins over the variable, the variable over the policy; then the policy's ceilings
 * hold (spec §7.8).
 */
import { GiB, MiB } from "@kiseki/base";
import { type CacheChoice, cacheChoices } from "@kiseki/cache";

export interface MountSettings {
  readonly cacheMode: CacheChoice;
  readonly cacheDirectory: string;
  readonly cacheL1Max: number;
  readonly cacheL2Max: number;
  readonly metaTtlMs: number;
}

/** What operators allow, narrowed from the cluster down to the workload. */
export interface CachePolicy extends MountSettings {
  readonly modesAllowed: readonly CacheChoice[];
  readonly cacheSizeCeiling: number;
  readonly metaTtlMsCeiling: number;
}
/** Where no policy is known. */
export const policyUsual: CachePolicy = {
  cacheMode: "organic",
  cacheDirectory: "/tmp/kiseki-cache",
  cacheL1Max: 256 * MiB,
  cacheL2Max: 50 * GiB,
  metaTtlMs: 5000,
  modesAllowed: cacheChoices,
  cacheSizeCeiling: Number.MAX_SAFE_INTEGER,
  metaTtlMsCeiling: 3_600_000,
};

const powers = "KMGT";
/** `512`, `64k`, `100G`, `1 GiB`: binary units only. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,15})\s*([kmgt]?)(?:iB|B)?$/i.exec(text.trim());
  if (!match) return undefined;
  const size = Number(match[1]) * 1024 ** (powers.indexOf(match[2]!.toUpperCase() || "?") + 1);
  return Number.isSafeInteger(size) ? size : undefined;
}
function parseMillis(text: string): number | undefined {
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}
function parsePath(text: string): string | undefined {
  return text.startsWith("/") ? text : undefined;
}

interface Row<T> {
  /** Of `-o`. */
  readonly option: string;
  readonly variable: string;
  readonly range: string;
  readonly parse: (text: string) => T | undefined;
}
const rows: { readonly [Name in keyof MountSettings]: Row<MountSettings[Name]> } = {
  cacheMode: {
    option: "cache_mode",
    variable: "KISEKI_CACHE_MODE",
    range: cacheChoices.join(", "),
    parse: (text) => cacheChoices.find((mode) => mode === text),
  },
  cacheDirectory: {
    option: "cache_dir",
    variable: "KISEKI_CACHE_DIR",
    range: "an absolute path",
    parse: parsePath,
  },
  cacheL1Max: {
    option: "cache_l1_max",
    variable: "KISEKI_CACHE_L1_MAX",
    range: "a size such as 256M",
    parse: parseSize,
  },
  cacheL2Max: {
    option: "cache_l2_max",
    variable: "KISEKI_CACHE_L2_MAX",
    range: "a size such as 50G",
    parse: parseSize,
  },
  metaTtlMs: {
    option: "meta_ttl_ms",
    variable: "KISEKI_CACHE_META_TTL_MS",
    range: "milliseconds",
    parse: parseMillis,
  },
};
/** Adopted by staging, which is not there yet. */
const poolVariable = "KISEKI_CACHE_POOL_ID";

export const settingOptions: ReadonlySet<string> = new Set(
  Object.values(rows).map(({ option }) => option),
);
type Environment = Readonly<Record<string, string | undefined>>;

/** The settings, with every fault and whatever has no effect. */
export function resolveSettings(
  options: ReadonlyMap<string, string>,
  environment: Environment,
  policy: CachePolicy,
): { readonly settings: MountSettings; readonly faults: string[]; readonly notes: string[] } {
  const faults: string[] = [];
  const notes: string[] = [];
  const value = <T>({ option, variable, range, parse }: Row<T>, usual: T): T => {
    const given = options.get(option);
    const text = given ?? (environment[variable] || undefined);
    if (text === undefined) return usual;
    const parsed = parse(text);
    if (parsed !== undefined) return parsed;
    const where = given === undefined ? variable : `-o ${option}`;
    faults.push(`${where} cannot be ${JSON.stringify(text)}: it takes ${range}`);
    return usual;
  };
  const wanted: MountSettings = {
    cacheMode: value(rows.cacheMode, policy.cacheMode),
    cacheDirectory: value(rows.cacheDirectory, policy.cacheDirectory),
    cacheL1Max: value(rows.cacheL1Max, policy.cacheL1Max),
    cacheL2Max: value(rows.cacheL2Max, policy.cacheL2Max),
    metaTtlMs: value(rows.metaTtlMs, policy.metaTtlMs),
  };
  const settings = clamp(wanted, policy, notes);
  if (settings.cacheMode === "pinned")
    notes.push("cache_mode=pinned keeps what was read first: nothing can be staged yet");
  if (settings.cacheMode !== "bypass" && settings.cacheL1Max === 0 && settings.cacheL2Max > 0)
    notes.push("cache_l2_max has no effect: with cache_l1_max=0 nothing is kept");
  if (environment[poolVariable])
    notes.push(`${poolVariable} has no effect: no pool can be adopted yet`);
  return { settings, faults, notes };
}

function clamp(wanted: MountSettings, policy: CachePolicy, notes: string[]): MountSettings {
  const lower = (option: string, size: number, ceiling: number): number => {
    if (size <= ceiling) return size;
    notes.push(`${option} is ${ceiling}: policy allows no more`);
    return ceiling;
  };
  const isAllowed = policy.modesAllowed.includes(wanted.cacheMode);
  if (!isAllowed) notes.push(`cache_mode is ${policy.cacheMode}: policy does not allow another`);
  return {
    ...wanted,
    cacheMode: isAllowed ? wanted.cacheMode : policy.cacheMode,
    cacheL1Max: lower("cache_l1_max", wanted.cacheL1Max, policy.cacheSizeCeiling),
    cacheL2Max: lower("cache_l2_max", wanted.cacheL2Max, policy.cacheSizeCeiling),
    metaTtlMs: lower("meta_ttl_ms", wanted.metaTtlMs, policy.metaTtlMsCeiling),
  };
}
