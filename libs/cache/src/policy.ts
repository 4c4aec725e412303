/** What operators allow of client caches, narrowed from the cluster to the tenant to the session (spec §7.8). */

export type CacheChoice = "pinned" | "organic" | "bypass";
export const cacheChoices: readonly CacheChoice[] = ["pinned", "organic", "bypass"];

/** What one level says; absent: what is above it holds. */
export interface CacheRules {
  readonly isEnabled?: boolean;
  readonly modesAllowed?: readonly CacheChoice[];
  /** Bytes of one process' pool. */
  readonly sizeMax?: number;
  /** Bytes of all pools of a compute node. Of the cluster alone. */
  readonly nodeSizeMax?: number;
  readonly metadataTtlMs?: number;
  /** Without an answer of any node for so long a client erases what it has. Of the cluster alone. */
  readonly disconnectSecondsMax?: number;
  /** How often a client asks after the tenant's key. Of the cluster alone. */
  readonly keyHealthIntervalMs?: number;
  readonly isStagingEnabled?: boolean;
}
/** What holds for a client. `nodeSizeMax` absent: 80 % of the file system. */
export type CachePolicy = Required<Omit<CacheRules, "nodeSizeMax">> & {
  readonly nodeSizeMax?: number;
};

const GiB = 1024 ** 3;
/** Where nobody has said anything. */
export const policyUsual: CachePolicy = {
  isEnabled: true,
  modesAllowed: cacheChoices,
  sizeMax: 50 * GiB,
  metadataTtlMs: 5000,
  disconnectSecondsMax: 300,
  keyHealthIntervalMs: 30_000,
  isStagingEnabled: true,
};
/** Where nobody can be asked. */
export const policyConservative: CachePolicy = {
  ...policyUsual,
  modesAllowed: ["organic", "bypass"],
  sizeMax: 10 * GiB,
  isStagingEnabled: false,
};

const clusterOnly = ["nodeSizeMax", "disconnectSecondsMax", "keyHealthIntervalMs"] as const;
/** Names of rules that a tenant cannot have. */
export const clusterRulesOf = (rules: CacheRules): readonly string[] =>
  clusterOnly.filter((name) => rules[name] !== undefined);

/** The cluster's rules in place of the usual ones. */
export function clusterPolicy(rules: CacheRules): CachePolicy {
  return { ...policyUsual, ...rules };
}
/** `rules` below `policy`: never more than it allows. */
export function narrowPolicy(policy: CachePolicy, rules: CacheRules): CachePolicy {
  const { modesAllowed, sizeMax, metadataTtlMs } = rules;
  return {
    ...policy,
    isEnabled: policy.isEnabled && rules.isEnabled !== false,
    modesAllowed: policy.modesAllowed.filter((mode) => modesAllowed?.includes(mode) ?? true),
    sizeMax: Math.min(policy.sizeMax, sizeMax ?? policy.sizeMax),
    metadataTtlMs: Math.min(policy.metadataTtlMs, metadataTtlMs ?? policy.metadataTtlMs),
    isStagingEnabled: policy.isStagingEnabled && rules.isStagingEnabled !== false,
  };
}

/** The mode for a client that wants `wanted`, or does not say. `bypass` where nothing else is allowed. */
export function choiceUnder(policy: CachePolicy, wanted: CacheChoice = "organic"): CacheChoice {
  if (!policy.isEnabled) return "bypass";
  const order = [wanted, "organic", "pinned"] as const;
  return order.find((mode) => policy.modesAllowed.includes(mode)) ?? "bypass";
}

const sizeMaxMax = Number.MAX_SAFE_INTEGER;
type Check = (value: unknown) => boolean;
const isBoolean: Check = (value) => typeof value === "boolean";
const within =
  (min: number, max: number): Check =>
  (value) =>
    typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max;
const areModes: Check = (value) =>
  Array.isArray(value) &&
  new Set(value).size === value.length &&
  value.every((mode) => (cacheChoices as readonly unknown[]).includes(mode));

/** What each rule may be; the limits of the CLI and of the wire. */
const checks: { readonly [Name in keyof CacheRules]-?: Check } = {
  isEnabled: isBoolean,
  modesAllowed: areModes,
  sizeMax: within(0, sizeMaxMax),
  nodeSizeMax: within(0, sizeMaxMax),
  metadataTtlMs: within(0, 3_600_000),
  disconnectSecondsMax: within(1, 86_400),
  keyHealthIntervalMs: within(100, 3_600_000),
  isStagingEnabled: isBoolean,
};
/** Names of rules whose value cannot be. */
export const faultsOfRules = (rules: CacheRules): readonly string[] =>
  (Object.keys(checks) as (keyof CacheRules)[]).filter(
    (name) => rules[name] !== undefined && !checks[name](rules[name]),
  );

const version = 1;
export function encodeRules(rules: CacheRules): string {
  const names = (Object.keys(checks) as (keyof CacheRules)[]).filter(
    (name) => rules[name] !== undefined,
  );
  return JSON.stringify({
    version,
    ...Object.fromEntries(names.map((name) => [name, rules[name]])),
  });
}
/** `undefined`: no `encodeRules` of this version made it. */
export function parseRules(text: string): CacheRules | undefined {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof found !== "object" || found === null || Array.isArray(found)) return undefined;
  const { version: theirs, ...rules } = found as Readonly<Record<string, unknown>>;
  const isKnown = Object.keys(rules).every((name) => Object.hasOwn(checks, name));
  if (theirs !== version || !isKnown || faultsOfRules(rules).length > 0) return undefined;
  return rules;
}
/** A whole policy, as a client keeps it for when it reaches no node. */
export function parsePolicy(text: string): CachePolicy | undefined {
  const rules = parseRules(text);
  const names = Object.keys(policyUsual) as (keyof CacheRules)[];
  if (rules === undefined || names.some((name) => rules[name] === undefined)) return undefined;
  return rules as CachePolicy;
}
