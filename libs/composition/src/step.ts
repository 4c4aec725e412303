import type { InodeId, NamespaceId } from "@kiseki/base";
import { assert, inodeId, newBytes } from "@kiseki/base";
import type {
  ChunkRef,
  CountersRow,
  NamespaceRow,
  NoticeEvent,
  NoticeRow,
  UsageRow,
} from "@kiseki/format";
import {
  countersKey,
  decodeCounters,
  decodeUsage,
  encodeCounters,
  encodeUsage,
  usageKey,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import type { DecideContext } from "./operation.ts";
import type { Overlay } from "./overlay.ts";
import { overlayOf } from "./overlay.ts";

/** Something that those who subscribed to a namespace are told. */
export type About = Pick<NoticeRow, "version" | "isNull" | "size" | "etag">;
export interface Told {
  readonly event: NoticeEvent;
  readonly namespace: NamespaceId;
  readonly key: Uint8Array;
  readonly about: About;
}

/** One operation being decided: what it has written so far and what its delta will say in the clear. */
export interface Step {
  readonly map: Overlay;
  readonly context: DecideContext;
  readonly chunkRefs: ChunkRef[];
  /** By file protocols. */
  readonly told: Told[];
  dirKey: Uint8Array;
  name: Uint8Array;
}
export const noDirKey = newBytes(16);

export function startStep(map: MapReader, context: DecideContext): Step {
  return {
    map: overlayOf(map),
    context,
    chunkRefs: [],
    told: [],
    dirKey: noDirKey,
    name: newBytes(0),
  };
}

const firstCounters: CountersRow = { nextInode: 1n, nextVersion: 1n };
function counters(map: MapReader): CountersRow {
  const value = map.get(countersKey());
  return value === undefined ? firstCounters : decodeCounters(value);
}
/** A number that no inode or manifest of the shard ever had. */
export function allocateInode(step: Step): InodeId {
  const row = counters(step.map);
  step.map.put(countersKey(), encodeCounters({ ...row, nextInode: row.nextInode + 1n }));
  return inodeId(row.nextInode);
}
/** An inode and a version at once. */
export function allocateBoth(step: Step): { readonly inode: InodeId; readonly version: bigint } {
  const { nextInode, nextVersion } = counters(step.map);
  const next = { nextInode: nextInode + 1n, nextVersion: nextVersion + 1n };
  step.map.put(countersKey(), encodeCounters(next));
  return { inode: inodeId(nextInode), version: nextVersion };
}
/** Above all versions of the shard. */
export function allocateVersion(step: Step): bigint {
  const row = counters(step.map);
  step.map.put(countersKey(), encodeCounters({ ...row, nextVersion: row.nextVersion + 1n }));
  return row.nextVersion;
}

/** What a namespace holds; zeros before its first object. */
export function lookupUsage(map: MapReader, namespace: NamespaceRow["id"]): UsageRow {
  const value = map.get(usageKey(namespace));
  if (value === undefined) return { objects: 0, bytes: 0, oldVersions: 0, oldBytes: 0 };
  return decodeUsage(value);
}
export function adjustUsage(step: Step, namespace: NamespaceRow["id"], by: UsageRow): void {
  const row = lookupUsage(step.map, namespace);
  const next: UsageRow = {
    objects: row.objects + by.objects,
    bytes: row.bytes + by.bytes,
    oldVersions: row.oldVersions + by.oldVersions,
    oldBytes: row.oldBytes + by.oldBytes,
  };
  assert(next.objects >= 0 && next.oldVersions >= 0, "a namespace's counts are not negative");
  step.map.put(usageKey(namespace), encodeUsage(next));
}
