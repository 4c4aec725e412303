import { compareBytes, toUtf8 } from "@kiseki/base";
import type { Hold, NamespaceRow } from "@kiseki/format";
import {
  decodeHolds,
  encodeHolds,
  encodeSetting,
  holdsMax,
  isHoldId,
  namespaceKey,
  settingKey,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import type { Answer, Operation, Refusal } from "./operation.ts";
import { refuse } from "./operation.ts";
import { lookupSetting } from "./settings.ts";
import type { Step } from "./step.ts";

type Of<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;

/** Those that ended too, until they are replaced or released. */
export function lookupHolds(map: MapReader, namespace: NamespaceRow["id"]): readonly Hold[] {
  const kept = lookupSetting(map, namespace, "holds");
  return kept === undefined ? [] : decodeHolds(kept);
}
/** Nothing of the namespace may be removed now: not its versions, and not itself. Nobody bypasses it. */
export function isHeld(step: Step, namespace: NamespaceRow["id"]): boolean {
  const { now } = step.context;
  return lookupHolds(step.map, namespace).some(({ until }) => until === undefined || until > now);
}

function writeHolds(step: Step, namespace: NamespaceRow["id"], holds: readonly Hold[]): void {
  const key = settingKey(namespace, "holds");
  if (holds.length === 0) step.map.delete(key);
  else step.map.put(key, encodeSetting(encodeHolds(holds)));
}

export function setHold(step: Step, operation: Of<"set_hold">): Answer | Refusal {
  const { namespace, hold } = operation;
  if (step.map.get(namespaceKey(namespace)) === undefined) return refuse("no_such_namespace");
  if (!isHoldId(hold.id)) return refuse("invalid_hold");
  if (hold.until !== undefined && hold.until <= step.context.now)
    return refuse("retention_in_past");
  const others = lookupHolds(step.map, namespace).filter(({ id }) => id !== hold.id);
  if (others.length >= holdsMax) return refuse("invalid_hold");
  const holds = [...others, hold].toSorted((a, b) => compareBytes(toUtf8(a.id), toUtf8(b.id)));
  writeHolds(step, namespace, holds);
  return { kind: "none" };
}

export function releaseHold(step: Step, operation: Of<"release_hold">): Answer | Refusal {
  const { namespace, id } = operation;
  if (step.map.get(namespaceKey(namespace)) === undefined) return refuse("no_such_namespace");
  const before = lookupHolds(step.map, namespace);
  const holds = before.filter((hold) => hold.id !== id);
  if (holds.length === before.length) return refuse("no_such_hold");
  writeHolds(step, namespace, holds);
  return { kind: "none" };
}
