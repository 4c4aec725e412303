import { toUtf8 } from "@kiseki/base";
import type { ObjectAttributes, ObjectEntry } from "@kiseki/format";
import type { Answer, ExtrasChanges, Limits, Operation, Refusal, VersionRef } from "./operation.ts";
import { refuseLockChange } from "./lock.ts";
import { isRefusal, refuse } from "./operation.ts";
import type { Step } from "./step.ts";
import type { Target } from "./target.ts";
import {
  getCold,
  getCurrent,
  getOld,
  getOldNull,
  openTarget,
  putCold,
  settleTarget,
} from "./target.ts";

const aclSizeMax = 16 * 1024;
const encryptionSizeMax = 512;

/** What a copy takes over from its source: all but who may use it, its locks and its keys, which are the target's own. */
export function copiedAttributes(source: ObjectAttributes): ObjectAttributes {
  const { acl: _acl, retention: _retention, legalHold: _hold, encryption: _keys, ...kept } = source;
  return kept;
}

const textSize = (pairs: readonly (readonly [string, string])[]): number =>
  pairs.reduce(
    (size, [name, value]) => size + toUtf8(name).byteLength + toUtf8(value).byteLength,
    0,
  );

/** Whether headers, user metadata and extras fit. */
export function attributesFit(attributes: ObjectAttributes, limits: Limits): boolean {
  const { headers, userMetadata, tags = [], acl, encryption } = attributes;
  const isHeadFit = textSize([...headers, ...userMetadata]) <= limits.attributesSizeMax;
  return (
    isHeadFit &&
    textSize(tags) <= limits.attributesSizeMax &&
    (acl?.byteLength ?? 0) <= aclSizeMax &&
    (encryption?.byteLength ?? 0) <= encryptionSizeMax
  );
}

/** The version named, or the current object. */
function findVersion(
  step: Step,
  target: Target,
  version: VersionRef | undefined,
): ObjectEntry | undefined {
  const current = getCurrent(step.map, step.context, target);
  if (version === undefined) return current;
  if (version === "null") {
    return current?.isNull === true ? current : getOldNull(step.map, target);
  }
  return current?.version === version ? current : getOld(step.map, target, version);
}

function changed(attributes: ObjectAttributes, changes: ExtrasChanges): ObjectAttributes {
  const next: Record<string, unknown> = { ...attributes };
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || (name === "tags" && (value as readonly unknown[]).length === 0)) {
      delete next[name];
    } else if (value !== undefined) next[name] = value;
  }
  return next as unknown as ObjectAttributes;
}

export function setObjectExtras(
  step: Step,
  operation: Extract<Operation, { kind: "set_object_extras" }>,
): Answer | Refusal {
  const target = openTarget(step.map, step.context, operation);
  if (isRefusal(target)) return target;
  if (target.namespace.isReadOnly) return refuse("namespace_read_only");
  const entry = findVersion(step, target, operation.version);
  if (entry === undefined) {
    return refuse(operation.version === undefined ? "no_such_key" : "no_such_version");
  }
  if (entry.kind === "delete_marker") return refuse("is_delete_marker");
  const cold = getCold(step.map, step.context, target, entry);
  const { changes, isBypassing = false } = operation;
  const kept = refuseLockChange(step, target.namespace, cold.attributes, changes, isBypassing);
  if (kept !== undefined) return kept;
  const attributes = changed(cold.attributes, changes);
  if (!attributesFit(attributes, step.context.limits)) return refuse("attributes_too_large");
  putCold(step, target, entry, { ...cold, attributes });
  settleTarget(step, target);
  return { kind: "version", version: entry.version, isNull: entry.isNull };
}
