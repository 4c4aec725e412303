/** What a bucket's rules want done with a version or an upload, and when. Pure: the time is an argument. */
import { KiB, toUtf8, wallTime, type WallTime } from "@kiseki/base";
import {
  classOf,
  coldness,
  dateOf,
  filterOf,
  type LifecycleConfiguration,
  type LifecycleFilter,
  type LifecycleRule,
  type TransitionClass,
} from "./lifecycle.ts";
import type { Tag } from "./tags.ts";

/** How long a rule's day is. */
export interface LifecycleDay {
  readonly ms: number;
  /** Actions fall due at the next midnight UTC, as in S3; not so where days are shortened for tests. */
  readonly isRounded: boolean;
}
export const calendarDay: LifecycleDay = { ms: 86_400_000, isRounded: true };

/** A rule in force, with its filter at hand. */
interface ActiveRule {
  readonly id: string;
  readonly rule: LifecycleRule;
  readonly filter: LifecycleFilter;
  readonly prefix: Uint8Array;
}
export type ActiveRules = readonly ActiveRule[];

/** The enabled rules. */
export function activeRules({ rules }: LifecycleConfiguration): ActiveRules {
  return rules
    .filter(({ status }) => status === "Enabled")
    .map((rule) => {
      const filter = filterOf(rule);
      return { id: rule.id ?? "", rule, filter, prefix: toUtf8(filter.prefix) };
    });
}

/** Whether any rule looks at tags: they are read only then. */
export function needsTags(rules: ActiveRules): boolean {
  return rules.some(({ filter }) => filter.tags.length > 0);
}

/** What rules look at, of one version or delete marker. */
export interface VersionState {
  readonly key: Uint8Array;
  readonly isDeleteMarker: boolean;
  /** 0 for a delete marker. */
  readonly size: number;
  readonly tags: readonly Tag[];
  readonly modified: WallTime;
  /** When the next newer one took its place. Undefined: it is the current one. */
  readonly noncurrentSince: WallTime | undefined;
  /** Noncurrent versions that are newer. */
  readonly newerNoncurrentCount: number;
  /** The key has no other version. */
  readonly isOnly: boolean;
  /** STANDARD unless given. */
  readonly storageClass?: string;
}

/** When, and by which rule. */
export interface Due {
  readonly at: WallTime;
  readonly ruleId: string;
}
/** `expire`: as a DELETE without a version. `remove`: this version or marker, for good. */
export type LifecycleAction = Due & { readonly kind: "expire" | "remove" };

function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return prefix.byteLength <= key.byteLength && prefix.every((byte, i) => byte === key[i]);
}

/** Tags and sizes are an object's: a marker has neither, and no rule that asks for them is about it. */
function isAbout({ prefix, filter }: ActiveRule, version: VersionState): boolean {
  if (!startsWith(version.key, prefix)) return false;
  const { tags, sizeGreaterThan, sizeLessThan } = filter;
  if (version.isDeleteMarker) {
    return tags.length === 0 && sizeGreaterThan === undefined && sizeLessThan === undefined;
  }
  if (sizeGreaterThan !== undefined && version.size <= sizeGreaterThan) return false;
  if (sizeLessThan !== undefined && version.size >= sizeLessThan) return false;
  return tags.every(({ key, value }) =>
    version.tags.some((tag) => tag.key === key && tag.value === value),
  );
}

/** Beyond it no date can be written; nothing falls due there. */
const timeMax = Date.UTC(9999, 11, 31);

function after(since: WallTime, days: number, day: LifecycleDay): WallTime {
  const at = since + days * day.ms;
  const rounded = day.isRounded ? Math.ceil(at / calendarDay.ms) * calendarDay.ms : at;
  return wallTime(Math.min(rounded, timeMax));
}

function expirationAt(
  { rule }: ActiveRule,
  version: VersionState,
  day: LifecycleDay,
): WallTime | undefined {
  const { days, date } = rule.expiration ?? {};
  if (days !== undefined) return after(version.modified, days, day);
  return date === undefined ? undefined : dateOf(date);
}

function earliest<T extends Due>(candidates: readonly (T | undefined)[]): T | undefined {
  let first: T | undefined;
  for (const candidate of candidates) {
    if (candidate !== undefined && (first === undefined || candidate.at < first.at)) {
      first = candidate;
    }
  }
  return first;
}

/** When the current version expires: what `x-amz-expiration` says. */
export function expirationOf(
  rules: ActiveRules,
  version: VersionState,
  day: LifecycleDay,
): Due | undefined {
  if (version.noncurrentSince !== undefined || version.isDeleteMarker) return undefined;
  return earliest(
    rules.map((active) => {
      if (!isAbout(active, version)) return undefined;
      const at = expirationAt(active, version, day);
      return at === undefined ? undefined : { at, ruleId: active.id };
    }),
  );
}

/** What happens to the version first. `undefined`: it stays. */
export function decideVersion(
  rules: ActiveRules,
  version: VersionState,
  day: LifecycleDay,
): LifecycleAction | undefined {
  const expiration = expirationOf(rules, version, day);
  if (expiration !== undefined) return { kind: "expire", ...expiration };
  return earliest(
    rules.map((active) => {
      if (!isAbout(active, version)) return undefined;
      const at =
        version.noncurrentSince === undefined
          ? markerAt(active, version, day)
          : noncurrentAt(active, version, version.noncurrentSince, day);
      return at === undefined ? undefined : { kind: "remove", at, ruleId: active.id };
    }),
  );
}

/** Smaller objects are moved only by rules that speak of sizes, as in S3. */
const movedSizeMin = 128 * KiB;

/**
 * The class that the version is to be moved to by `now`; `undefined`: it stays in the one that it has. Never to one less
 * cold, and of several that are due to the coldest.
 */
export function transitionOf(
  rules: ActiveRules,
  version: VersionState,
  day: LifecycleDay,
  now: WallTime,
): TransitionClass | undefined {
  if (version.isDeleteMarker) return undefined;
  let coldest: TransitionClass | undefined;
  for (const active of rules) {
    if (!isAbout(active, version)) continue;
    const { sizeGreaterThan, sizeLessThan } = active.filter;
    const isSized = sizeGreaterThan !== undefined || sizeLessThan !== undefined;
    if (!isSized && version.size < movedSizeMin) continue;
    for (const { at, to } of transitionsOf(active, version, day)) {
      if (at <= now && coldness(to) > coldness(coldest ?? version.storageClass ?? "STANDARD"))
        coldest = to;
    }
  }
  return coldest;
}

interface Transition {
  readonly at: WallTime;
  readonly to: TransitionClass;
}
function* transitionsOf(
  { rule }: ActiveRule,
  version: VersionState,
  day: LifecycleDay,
): Generator<Transition> {
  const since = version.noncurrentSince;
  if (since === undefined) {
    for (const transition of rule.transitions) {
      const { days, date } = transition;
      const at = days === undefined ? dateOf(date ?? "") : after(version.modified, days, day);
      if (at !== undefined) yield { at, to: classOf(transition) };
    }
    return;
  }
  for (const transition of rule.noncurrentTransitions) {
    if (version.newerNoncurrentCount < (transition.newerVersions ?? 0)) continue;
    yield { at: after(since, transition.days ?? 0, day), to: classOf(transition) };
  }
}

/** A current delete marker with nothing left behind it: it goes at once where the rule says so, else in its time. */
function markerAt(
  active: ActiveRule,
  version: VersionState,
  day: LifecycleDay,
): WallTime | undefined {
  if (!version.isDeleteMarker || !version.isOnly) return undefined;
  if (active.rule.expiration?.expiredObjectDeleteMarker === true) return version.modified;
  return expirationAt(active, version, day);
}

function noncurrentAt(
  { rule }: ActiveRule,
  version: VersionState,
  since: WallTime,
  day: LifecycleDay,
): WallTime | undefined {
  const { days, newerVersions } = rule.noncurrentExpiration ?? {};
  if (days === undefined || version.newerNoncurrentCount < (newerVersions ?? 0)) return undefined;
  return after(since, days, day);
}

/** When an upload that nobody completes is aborted. */
export function abortionOf(
  rules: ActiveRules,
  upload: { readonly key: Uint8Array; readonly initiated: WallTime },
  day: LifecycleDay,
): Due | undefined {
  return earliest(
    rules.map((active) => {
      const days = active.rule.abortUploads?.days;
      if (days === undefined || !startsWith(upload.key, active.prefix)) return undefined;
      return { at: after(upload.initiated, days, day), ruleId: active.id };
    }),
  );
}
