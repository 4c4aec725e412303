import { toUtf8 } from "@kiseki/base";
import type { NamespaceRow, NamespaceSetting } from "@kiseki/format";
import {
  decodeSetting,
  encodeSetting,
  keyAfterPrefix,
  namespaceKey,
  settingKey,
  settingPrefix,
  settingSizeMax,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import type { Answer, Operation, Refusal } from "./operation.ts";
import { refuse } from "./operation.ts";
import type { Step } from "./step.ts";

type Of<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;

/** The bytes that were set; undefined when nothing was. */
export function lookupSetting(
  map: MapReader,
  namespace: NamespaceRow["id"],
  setting: NamespaceSetting,
): Uint8Array | undefined {
  const value = map.get(settingKey(namespace, setting));
  return value === undefined ? undefined : decodeSetting(value);
}

/** What keeps versions has operations of its own. */
const isGuarded = (setting: NamespaceSetting): boolean =>
  setting === "object-lock" || setting === "holds";

export function putSetting(step: Step, operation: Of<"put_setting">): Answer | Refusal {
  const { namespace, setting, value } = operation;
  if (isGuarded(setting)) return refuse("object_locked");
  if (step.map.get(namespaceKey(namespace)) === undefined) return refuse("no_such_namespace");
  if (value.byteLength > settingSizeMax) return refuse("setting_too_large");
  step.map.put(settingKey(namespace, setting), encodeSetting(value));
  step.name = toUtf8(setting);
  return { kind: "none" };
}

export function deleteSetting(step: Step, operation: Of<"delete_setting">): Answer | Refusal {
  const { namespace, setting } = operation;
  if (isGuarded(setting)) return refuse("object_locked");
  if (step.map.get(namespaceKey(namespace)) === undefined) return refuse("no_such_namespace");
  const key = settingKey(namespace, setting);
  if (step.map.get(key) !== undefined) step.map.delete(key);
  step.name = toUtf8(setting);
  return { kind: "none" };
}

/** There are few: one for each name at most. */
export function deleteSettings(step: Step, namespace: NamespaceRow["id"]): void {
  const start = settingPrefix(namespace);
  const keys: Uint8Array[] = [];
  step.map.scan({ start, end: keyAfterPrefix(start) }, (key) => {
    keys.push(key);
    return true;
  });
  for (const key of keys) step.map.delete(key);
}
