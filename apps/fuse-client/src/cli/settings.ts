/**
 * Settings of a mount: `-o name=value` wins over the variable, the variable over the policy; then the policy's ceilings
 * hold (spec §7.8).
 */
import { GiB, MiB } from "@kiseki/base";
import { type CacheChoice, cacheChoices, type CachePolicy, choiceUnder } from "@kiseki/cache";

export interface MountSettings {
  readonly cacheMode: CacheChoice;
  readonly cacheDirectory: string;
  readonly cacheL1Max: number;
  readonly cacheL2Max: number;
  readonly metaTtlMs: number;
  /** A pool to adopt. */
  readonly poolId?: string;
}
/** Where nobody says anything. */
export const policyUsual: MountSettings = {
  cacheMode: "organic",
  cacheDirectory: "/tmp/kiseki-cache",
  cacheL1Max: 256 * MiB,
  cacheL2Max: 50 * GiB,
  metaTtlMs: 5000,
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
type Settled = Omit<MountSettings, "poolId">;
const rows: { readonly [Name in keyof Settled]: Row<Settled[Name]> } = {
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
/** Said by whoever staged: an environment is how a job gets it. */
const poolVariable = "KISEKI_CACHE_POOL_ID";

export const settingOptions: ReadonlySet<string> = new Set(
  Object.values(rows).map(({ option }) => option),
);
type Environment = Readonly<Record<string, string | undefined>>;

/** What is wanted, with every fault and whatever has no effect. `usual`: what is not said. */
export function resolveSettings(
  options: ReadonlyMap<string, string>,
  environment: Environment,
  usual: MountSettings = policyUsual,
): { readonly settings: MountSettings; readonly faults: string[]; readonly notes: string[] } {
  const faults: string[] = [];
  const notes: string[] = [];
  const value = <T>({ option, variable, range, parse }: Row<T>, otherwise: T): T => {
    const given = options.get(option);
    const text = given ?? (environment[variable] || undefined);
    if (text === undefined) return otherwise;
    const parsed = parse(text);
    if (parsed !== undefined) return parsed;
    const where = given === undefined ? variable : `-o ${option}`;
    faults.push(`${where} cannot be ${JSON.stringify(text)}: it takes ${range}`);
    return otherwise;
  };
  const poolId = environment[poolVariable] || undefined;
  if (poolId !== undefined && !/^[0-9a-f]{32}$/.test(poolId))
    faults.push(`${poolVariable} cannot be ${JSON.stringify(poolId)}: it takes a pool's id`);
  const settings: MountSettings = {
    cacheMode: value(rows.cacheMode, usual.cacheMode),
    cacheDirectory: value(rows.cacheDirectory, usual.cacheDirectory),
    cacheL1Max: value(rows.cacheL1Max, usual.cacheL1Max),
    cacheL2Max: value(rows.cacheL2Max, usual.cacheL2Max),
    metaTtlMs: value(rows.metaTtlMs, usual.metaTtlMs),
    ...(poolId !== undefined && { poolId }),
  };
  if (settings.cacheMode !== "bypass" && settings.cacheL1Max === 0 && settings.cacheL2Max > 0)
    notes.push("with cache_l1_max=0 cache_l2_max holds for staged files alone: no other is kept");
  if (settings.cacheMode === "bypass" && poolId !== undefined)
    notes.push(`${poolVariable} has no effect with cache_mode=bypass`);
  return { settings, faults, notes };
}

/** What policy leaves of what is wanted (spec §7.8), and what it took. */
export function clampSettings(
  wanted: MountSettings,
  policy: CachePolicy,
): { readonly settings: MountSettings; readonly notes: readonly string[] } {
  const notes: string[] = [];
  const lower = (option: string, size: number, ceiling: number): number => {
    if (size <= ceiling) return size;
    notes.push(`${option} is ${ceiling}: policy allows no more`);
    return ceiling;
  };
  const cacheMode = choiceUnder(policy, wanted.cacheMode);
  if (cacheMode !== wanted.cacheMode)
    notes.push(`cache_mode is ${cacheMode}: policy does not allow ${wanted.cacheMode}`);
  const settings = {
    ...wanted,
    cacheMode,
    cacheL1Max: lower("cache_l1_max", wanted.cacheL1Max, policy.sizeMax),
    cacheL2Max: lower("cache_l2_max", wanted.cacheL2Max, policy.sizeMax),
    metaTtlMs: lower("meta_ttl_ms", wanted.metaTtlMs, policy.metadataTtlMs),
  };
  return { settings, notes };
}
