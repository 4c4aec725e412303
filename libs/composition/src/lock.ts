import { wallTime } from "@kiseki/base";
import type { NamespaceRow, ObjectAttributes, Retention } from "@kiseki/format";
import {
  decodeLockDefault,
  decodeNamespace,
  encodeLockDefault,
  encodeNamespace,
  encodeSetting,
  namespaceKey,
  settingKey,
} from "@kiseki/format";
import type { Answer, ExtrasChanges, Operation, Refusal } from "./operation.ts";
import { refuse } from "./operation.ts";
import { lookupSetting } from "./settings.ts";
import type { Step } from "./step.ts";

const dayMs = 24 * 3600 * 1000;
/** With leap days, rounded up: never shorter than by the calendar. */
const daysOf = { days: (n: number) => n, years: (n: number) => Math.ceil(n * 365.25) } as const;

const isActive = (retention: Retention | undefined, now: number): retention is Retention =>
  retention !== undefined && retention.until > now;

/**
 * Whether the version must stay. Nothing lifts a legal hold or retention in compliance mode but its end;
 * governance mode yields to who may bypass it and says so.
 */
export function isLocked(
  { retention, legalHold }: ObjectAttributes,
  now: number,
  isBypassing: boolean,
): boolean {
  if (legalHold === true) return true;
  return isActive(retention, now) && (retention.mode === "compliance" || !isBypassing);
}

/** Whether a new version may begin with the locks that its writer asks for. */
export function refuseLock(
  step: Step,
  { isLockEnabled }: NamespaceRow,
  { retention, legalHold }: Pick<ObjectAttributes, "retention" | "legalHold">,
): Refusal | undefined {
  if (retention === undefined && legalHold === undefined) return undefined;
  if (!isLockEnabled) return refuse("lock_not_enabled");
  if (retention !== undefined && !isActive(retention, step.context.now)) {
    return refuse("retention_in_past");
  }
  return undefined;
}

/** The attributes with the namespace's default retention where the writer asked for none. */
export function withDefaultLock(
  step: Step,
  namespace: NamespaceRow,
  attributes: ObjectAttributes,
): ObjectAttributes {
  if (!namespace.isLockEnabled || attributes.retention !== undefined) return attributes;
  const kept = lookupSetting(step.map, namespace.id, "object-lock");
  const byDefault = kept && decodeLockDefault(kept);
  if (byDefault === undefined) return attributes;
  const { mode, unit, count } = byDefault;
  const until = wallTime(step.context.now + daysOf[unit](count) * dayMs);
  return { ...attributes, retention: { mode, until } };
}

/** Whether retention and legal hold of a version that is there may become what `changes` say. */
export function refuseLockChange(
  step: Step,
  namespace: NamespaceRow,
  { retention: before }: ObjectAttributes,
  changes: ExtrasChanges,
  isBypassing: boolean,
): Refusal | undefined {
  const { retention: next, legalHold } = changes;
  if (next === undefined && legalHold === undefined) return undefined;
  if (!namespace.isLockEnabled) return refuse("lock_not_enabled");
  if (next === undefined) return undefined;
  const { now } = step.context;
  if (next !== null && !isActive(next, now)) return refuse("retention_in_past");
  if (!isActive(before, now)) return undefined;
  const isKept = next !== null && next.mode === before.mode && next.until >= before.until;
  if (isKept || (isBypassing && before.mode === "governance")) return undefined;
  return refuse("object_locked");
}

/** Locks are on from now on, for good; the default for new versions is replaced. */
export function setObjectLock(
  step: Step,
  operation: Extract<Operation, { kind: "set_object_lock" }>,
): Answer | Refusal {
  const { map } = step;
  const key = namespaceKey(operation.namespace);
  const value = map.get(key);
  if (value === undefined) return refuse("no_such_namespace");
  const namespace = decodeNamespace(value);
  if (namespace.versioning !== "enabled") return refuse("lock_needs_versioning");
  const locked = { ...namespace, isLockEnabled: true };
  if (!namespace.isLockEnabled) map.put(key, encodeNamespace(locked));
  const kept = encodeSetting(encodeLockDefault(operation.byDefault));
  map.put(settingKey(namespace.id, "object-lock"), kept);
  return { kind: "namespace", namespace: locked };
}
