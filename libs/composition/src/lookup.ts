import type { ObjectEntry } from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { defaultLimits } from "./limits.ts";
import type { DirKeys } from "./operation.ts";
import { isRefusal, refuse } from "./operation.ts";
import type { Found, LookupQuery } from "./reading.ts";
import { isObject } from "./inodes.ts";
import { getCold, getCurrentNode, getNewestOld, getOld, getOldNull, openTarget } from "./target.ts";

/**
 * The object a key names now, or one version of it. Without version, a newest version that is a delete
 * marker is answered as such: S3 says 404 with `x-amz-delete-marker`.
 */
export function lookupObject(map: MapReader, dirKeys: DirKeys, query: LookupQuery): Found {
  const context = { dirKeys, limits: defaultLimits };
  const target = openTarget(map, context, query);
  if (isRefusal(target)) return target;
  const { key, version } = query;
  const found = (entry: ObjectEntry, isLatest: boolean): Found =>
    entry.kind === "delete_marker"
      ? { kind: "delete_marker", key, entry, isLatest }
      : { kind: "object", key, entry, isLatest, cold: getCold(map, context, target, entry) };

  const node = getCurrentNode(map, context, target);
  const current = node !== undefined && isObject(node) ? node : undefined;
  if (version === undefined) {
    const newest = node === undefined ? getNewestOld(map, target) : current;
    return newest === undefined ? refuse("no_such_key") : found(newest, true);
  }
  if (
    current !== undefined &&
    (version === "null" ? current.isNull : current.version === version)
  ) {
    return found(current, true);
  }
  const old = version === "null" ? getOldNull(map, target) : getOld(map, target, version);
  if (old === undefined) return refuse("no_such_version");
  return found(old, node === undefined && getNewestOld(map, target)?.version === old.version);
}
