import type { NamespaceId } from "@kiseki/base";
import type { MapReader } from "@kiseki/ports";
import { getNamespace } from "../namespaces.ts";
import type { Refusal } from "../operation.ts";
import { refuse } from "../operation.ts";
import { lookupQuota } from "../quotas.ts";
import { lookupUsage } from "../step.ts";
import type { NamespaceStatus } from "./reading.ts";

const tighter = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : Math.min(a, b);
const left = (max: number | undefined, used: number): number | undefined =>
  max === undefined ? undefined : Math.max(0, max - used);

export function statNamespace(map: MapReader, id: NamespaceId): NamespaceStatus | Refusal {
  const namespace = getNamespace(map, id);
  if (namespace === undefined) return refuse("no_such_namespace");
  const usage = lookupUsage(map, id);
  const quotas = [lookupQuota(map, id), lookupQuota(map)];
  let objectsLeft: number | undefined;
  let bytesLeft: number | undefined;
  for (const quota of quotas) {
    if (quota === undefined) continue;
    objectsLeft = tighter(objectsLeft, left(quota.objectsMax, quota.objects));
    bytesLeft = tighter(bytesLeft, left(quota.bytesMax, quota.bytes));
  }
  return {
    kind: "status",
    root: namespace.root,
    objects: usage.objects + usage.oldVersions,
    bytes: usage.bytes + usage.oldBytes,
    objectsLeft,
    bytesLeft,
    isReadOnly: namespace.isReadOnly,
    isLockEnabled: namespace.isLockEnabled,
  };
}
