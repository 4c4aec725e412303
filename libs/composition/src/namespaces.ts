import { namespaceId, toUtf8 } from "@kiseki/base";
import type { NamespaceRow } from "@kiseki/format";
import {
  decodeNamespace,
  encodeNamespace,
  encodeReclaim,
  headKey,
  keyAfterPrefix,
  namespaceKey,
  namespaceNameKey,
  namespaceNamePrefix,
  reclaimKey,
  uploadPrefix,
  usageKey,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { getHead, writeDirectory } from "./directories.ts";
import type { Answer, Operation, Refusal } from "./operation.ts";
import { refuse } from "./operation.ts";
import { dropQuota } from "./quotas.ts";
import { isHeld } from "./holds.ts";
import { deleteSettings } from "./settings.ts";
import type { Step } from "./step.ts";
import { allocateInode } from "./step.ts";

type Of<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;

export function getNamespace(map: MapReader, id: NamespaceRow["id"]): NamespaceRow | undefined {
  const value = map.get(namespaceKey(id));
  return value === undefined ? undefined : decodeNamespace(value);
}
/** By name; undefined when there is none. */
export function lookupNamespace(map: MapReader, name: string): NamespaceRow | undefined {
  const id = map.get(namespaceNameKey(name));
  return id === undefined ? undefined : getNamespace(map, namespaceId(id));
}
/** In order of their names, at most `countMax`, those above `after` whose names begin with `prefix`. */
export function listNamespaces(
  map: MapReader,
  after: string | undefined,
  countMax: number,
  prefix = "",
): { readonly namespaces: readonly NamespaceRow[]; readonly next: string | undefined } {
  const ids: Uint8Array[] = [];
  const within = prefix === "" ? namespaceNamePrefix() : namespaceNameKey(prefix);
  const isInside = after !== undefined && after >= prefix;
  const start = isInside ? namespaceNameKey(`${after}\0`) : within;
  if (countMax < 1) return { namespaces: [], next: undefined };
  if (isInside && !after.startsWith(prefix)) return { namespaces: [], next: undefined };
  map.scan({ start, end: keyAfterPrefix(within) }, (_, value) => {
    ids.push(value);
    return ids.length <= countMax;
  });
  const namespaces: NamespaceRow[] = [];
  for (const id of ids.slice(0, countMax)) {
    const row = getNamespace(map, namespaceId(id));
    if (row !== undefined) namespaces.push(row);
  }
  return { namespaces, next: ids.length > countMax ? namespaces.at(-1)?.name : undefined };
}

export function createNamespace(step: Step, operation: Of<"create_namespace">): Answer | Refusal {
  const { map, context } = step;
  if (map.get(namespaceNameKey(operation.name)) !== undefined) return refuse("namespace_exists");
  if (map.get(namespaceKey(operation.id)) !== undefined) return refuse("namespace_exists");
  const root = allocateInode(step);
  const isLockEnabled = operation.isLockEnabled ?? false;
  const namespace: NamespaceRow = {
    id: operation.id,
    name: operation.name,
    root,
    created: context.now,
    versioning: isLockEnabled ? "enabled" : (operation.versioning ?? "off"),
    isReadOnly: false,
    isLockEnabled,
  };
  map.put(namespaceKey(namespace.id), encodeNamespace(namespace));
  map.put(namespaceNameKey(namespace.name), namespace.id);
  writeDirectory(step, namespace.id, root, undefined, new Uint8Array(0));
  step.name = toUtf8(operation.name);
  return { kind: "namespace", namespace };
}

export function deleteNamespace(step: Step, operation: Of<"delete_namespace">): Answer | Refusal {
  const { map, context } = step;
  const namespace = getNamespace(map, operation.namespace);
  if (namespace === undefined) return refuse("no_such_namespace");
  if (isHeld(step, namespace.id)) return refuse("object_locked");
  const rootKey = context.dirKeys.dirKey(namespace.root);
  if (getHead(map, rootKey).total > 0) return refuse("namespace_not_empty");
  map.delete(namespaceKey(namespace.id));
  map.delete(namespaceNameKey(namespace.name));
  map.delete(usageKey(namespace.id));
  dropQuota(step, namespace.id);
  deleteSettings(step, namespace.id);
  map.delete(headKey(rootKey));
  let hasUploads = false;
  const start = uploadPrefix(rootKey);
  map.scan({ start, end: keyAfterPrefix(start) }, () => {
    hasUploads = true;
    return false;
  });
  if (hasUploads) {
    const row = encodeReclaim({ kind: "uploads", root: namespace.root });
    map.put(reclaimKey(allocateInode(step)), row);
  }
  step.name = toUtf8(namespace.name);
  return { kind: "namespace", namespace };
}

export function setVersioning(step: Step, operation: Of<"set_versioning">): Answer | Refusal {
  const before = getNamespace(step.map, operation.namespace);
  if (before === undefined) return refuse("no_such_namespace");
  if (operation.versioning === "off" && before.versioning !== "off") {
    return refuse("invalid_versioning");
  }
  if (before.isLockEnabled && operation.versioning !== "enabled") {
    return refuse("versioning_locked");
  }
  const namespace = { ...before, versioning: operation.versioning };
  step.map.put(namespaceKey(namespace.id), encodeNamespace(namespace));
  return { kind: "namespace", namespace };
}
