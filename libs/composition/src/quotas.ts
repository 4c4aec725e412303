import type { NamespaceId } from "@kiseki/base";
import { assert } from "@kiseki/base";
import type { QuotaRow, UsageRow } from "@kiseki/format";
import {
  decodeQuota,
  decodeSum,
  decodeUsage,
  encodeQuota,
  encodeSum,
  keyAfterPrefix,
  namespaceKey,
  pendingKey,
  pendingPrefix,
  quotaKey,
  uploadSumKey,
  usageKey,
  usagePrefix,
} from "@kiseki/format";
import type { MapReader, MapWriter } from "@kiseki/ports";
import type { Answer, Operation, Refusal } from "./operation.ts";
import { refuse } from "./operation.ts";
import type { Step } from "./step.ts";

/** What an operation adds to, or takes from, what counts against quotas. */
interface Growth {
  readonly bytes: number;
  readonly objects: number;
}
const counted = ({ objects, bytes, oldVersions, oldBytes }: UsageRow): Growth => ({
  bytes: bytes + oldBytes,
  objects: objects + oldVersions,
});

/** The limits of a namespace, or of the tenant, with what counts against them; `undefined`: none are set. */
export function lookupQuota(map: MapReader, namespace?: NamespaceId): QuotaRow | undefined {
  const value = map.get(quotaKey(namespace));
  return value === undefined ? undefined : decodeQuota(value);
}

const exceeds = ({ bytesMax, objectsMax, bytes, objects }: QuotaRow, by: Growth): boolean =>
  (by.bytes > 0 && bytes > (bytesMax ?? Infinity)) ||
  (by.objects > 0 && objects > (objectsMax ?? Infinity));

/**
 * Counts against the namespace's and the tenant's quota; refused when something grows beyond its limit, unless
 * `isDelete`: a delete marker is an object more, and deletes always work.
 */
export function charge(
  step: Step,
  namespace: NamespaceId,
  by: Growth,
  isDelete = false,
): Refusal | undefined {
  if (by.bytes === 0 && by.objects === 0) return undefined;
  for (const key of [quotaKey(namespace), quotaKey()]) {
    const value = step.map.get(key);
    if (value === undefined) continue;
    const row = decodeQuota(value);
    const bytes = row.bytes + by.bytes;
    const objects = row.objects + by.objects;
    assert(bytes >= 0 && objects >= 0, "what counts against a quota is not negative");
    const next = { ...row, bytes, objects };
    if (!isDelete && exceeds(next, by)) return refuse("quota_exceeded");
    step.map.put(key, encodeQuota(next));
  }
  return undefined;
}
export const chargeUsage = (
  step: Step,
  namespace: NamespaceId,
  { pending, ...usage }: UsageRow & { readonly pending: number },
  isDelete: boolean,
): Refusal | undefined => {
  const { bytes, objects } = counted(usage);
  return charge(step, namespace, { bytes: bytes + pending, objects }, isDelete);
};

const sumAt = (map: MapReader, key: Uint8Array): number => {
  const value = map.get(key);
  return value === undefined ? 0 : decodeSum(value);
};
function putSum(map: MapWriter, key: Uint8Array, sum: number): void {
  if (sum === 0) map.delete(key);
  else map.put(key, encodeSum(sum));
}

/** A part of `size` bytes took the place of one of `before` bytes (0: of none). */
export function notePart(
  step: Step,
  namespace: NamespaceId,
  upload: Uint8Array,
  { size, before }: { readonly size: number; readonly before: number },
): Refusal | undefined {
  const { map } = step;
  const key = uploadSumKey(upload);
  const old = sumAt(map, key);
  // Parts of an upload that an older program began are not in its sum.
  const sum = Math.max(0, old - before) + size;
  putSum(map, key, sum);
  putSum(map, pendingKey(namespace), sumAt(map, pendingKey(namespace)) + sum - old);
  return charge(step, namespace, { bytes: sum - old, objects: 0 });
}
/** The upload is over: its parts do not count any more. Answers how many bytes they were; quotas are the caller's to change. */
export function takePending(step: Step, namespace: NamespaceId, upload: Uint8Array): number {
  const { map } = step;
  const key = uploadSumKey(upload);
  const sum = sumAt(map, key);
  map.delete(key);
  putSum(map, pendingKey(namespace), sumAt(map, pendingKey(namespace)) - sum);
  return sum;
}
/** The namespace is empty and goes; the sums of its open uploads follow with them. */
export function dropQuota(step: Step, namespace: NamespaceId): void {
  const { map } = step;
  const bytes = sumAt(map, pendingKey(namespace));
  map.delete(quotaKey(namespace));
  map.delete(pendingKey(namespace));
  charge(step, namespace, { bytes: -bytes, objects: 0 });
}

/** Everything of one namespace, or of all, that counts. */
function measure(map: MapReader, namespace: NamespaceId | undefined): Growth {
  if (namespace !== undefined) {
    const value = map.get(usageKey(namespace));
    const usage = value === undefined ? { bytes: 0, objects: 0 } : counted(decodeUsage(value));
    return { ...usage, bytes: usage.bytes + sumAt(map, pendingKey(namespace)) };
  }
  let bytes = 0;
  let objects = 0;
  map.scan({ start: usagePrefix(), end: keyAfterPrefix(usagePrefix()) }, (_, value) => {
    const usage = counted(decodeUsage(value));
    bytes += usage.bytes;
    objects += usage.objects;
    return true;
  });
  map.scan({ start: pendingPrefix(), end: keyAfterPrefix(pendingPrefix()) }, (_, value) => {
    bytes += decodeSum(value);
    return true;
  });
  return { bytes, objects };
}

/** Nothing that is stored goes when a limit is below it; what adds is refused until enough was deleted. */
export function setQuota(
  step: Step,
  { namespace, limits }: Extract<Operation, { kind: "set_quota" }>,
): Answer | Refusal {
  if (namespace !== undefined && step.map.get(namespaceKey(namespace)) === undefined) {
    return refuse("no_such_namespace");
  }
  const { bytesMax, objectsMax } = limits;
  const key = quotaKey(namespace);
  if (bytesMax === undefined && objectsMax === undefined) step.map.delete(key);
  else step.map.put(key, encodeQuota({ bytesMax, objectsMax, ...measure(step.map, namespace) }));
  return { kind: "none" };
}
