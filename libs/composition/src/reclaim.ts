import type { ReclaimRow } from "@kiseki/format";
import {
  decodeManifestNode,
  decodePart,
  decodeReclaim,
  doneKey,
  encodeReclaim,
  expiryPrefix,
  keyAfterPrefix,
  manifestHeadKey,
  manifestNodePrefix,
  parseExpiryKey,
  parseUploadKey,
  partKeyNumber,
  partPrefix,
  reclaimKey,
  reclaimPrefix,
  uploadPrefix,
  uploadSumKey,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { releaseExtents, releaseManifest } from "./content.ts";
import type { Answer } from "./operation.ts";
import type { Step } from "./step.ts";
import { allocateInode } from "./step.ts";
import { reclaimRange } from "./posix/content-trim.ts";

/** Rows that one step takes at most; a manifest's step takes one node. */
const rowsPerStep = 256;
type Row = readonly [key: Uint8Array, value: Uint8Array];

function firstRows(map: MapReader, prefix: Uint8Array, countMax: number): readonly Row[] {
  const rows: Row[] = [];
  map.scan({ start: prefix, end: keyAfterPrefix(prefix) }, (key, value) => {
    rows.push([key, value]);
    return rows.length < countMax;
  });
  return rows;
}

/** Whether a `reclaim_step` would do something now. */
export function hasReclaim(map: MapReader, now: number): boolean {
  if (firstRows(map, reclaimPrefix(), 1).length > 0) return true;
  const expiry = firstRows(map, expiryPrefix(), 1)[0];
  return expiry !== undefined && parseExpiryKey(expiry[0]).time <= now;
}

/** What a task did: whether nothing of it is left, and about how many rows it took. */
interface Progress {
  readonly isDone: boolean;
  /** What the task is from here on, if not what it was. */
  readonly next?: ReclaimRow;
  readonly cost: number;
}

/** Works on the oldest tasks until about 256 rows are done, whatever the size of what is freed. */
export function reclaimStep(step: Step): Answer {
  const { map } = step;
  let left = rowsPerStep;
  let task = firstRows(map, reclaimPrefix(), 1)[0];
  if (task === undefined) expireDone(step);
  while (task !== undefined && left > 0) {
    const { isDone, next, cost } = reclaimSome(step, decodeReclaim(task[1]), left);
    if (isDone) map.delete(task[0]);
    else if (next !== undefined) map.put(task[0], encodeReclaim(next));
    left -= cost + 1;
    task = firstRows(map, reclaimPrefix(), 1)[0];
  }
  return { kind: "reclaimed", hasMore: hasReclaim(map, step.context.now) };
}

function reclaimSome(step: Step, row: ReclaimRow, left: number): Progress {
  switch (row.kind) {
    case "manifest":
      return reclaimNode(step, row.manifest);
    case "range": {
      const { next, cost } = reclaimRange(step, row);
      return next === undefined ? { isDone: true, cost } : { isDone: false, next, cost };
    }
    case "parts":
      return reclaimParts(step, row, left);
    case "uploads":
      return reclaimUploads(step, row, left);
  }
}

/** One node of a manifest, with its head when it was the last. */
function reclaimNode(step: Step, manifest: bigint): Progress {
  const [first, second] = firstRows(step.map, manifestNodePrefix(manifest), 2);
  let cost = 1;
  if (first !== undefined) {
    const node = decodeManifestNode(first[1]);
    if (node.kind === "leaf") releaseExtents(step, node.extents);
    else for (const child of node.children) releaseManifest(step, child.manifest);
    cost += node.kind === "leaf" ? node.extents.length : node.children.length;
    step.map.delete(first[0]);
  }
  if (second !== undefined) return { isDone: false, cost };
  step.map.delete(manifestHeadKey(manifest));
  return { isDone: true, cost };
}

function reclaimParts(
  step: Step,
  row: Extract<ReclaimRow, { kind: "parts" }>,
  left: number,
): Progress {
  const prefix = partPrefix(step.context.dirKeys.dirKey(row.root), row.key, row.upload);
  const parts = firstRows(step.map, prefix, left);
  for (const [key, value] of parts) {
    const part = partKeyNumber(key);
    const isUsed = ((row.used[part >> 3] ?? 0) & (1 << (part & 7))) !== 0;
    if (!isUsed) releaseManifest(step, decodePart(value).manifest);
    step.map.delete(key);
  }
  return { isDone: parts.length < left, cost: parts.length };
}

function reclaimUploads(
  step: Step,
  row: Extract<ReclaimRow, { kind: "uploads" }>,
  left: number,
): Progress {
  const prefix = uploadPrefix(step.context.dirKeys.dirKey(row.root));
  const uploads = firstRows(step.map, prefix, left);
  for (const [rowKey] of uploads) {
    const { key, upload } = parseUploadKey(rowKey);
    step.map.delete(rowKey);
    step.map.delete(uploadSumKey(upload)); // its namespace is gone with what counted there
    const parts = { kind: "parts", root: row.root, key, upload, used: new Uint8Array(0) } as const;
    step.map.put(reclaimKey(allocateInode(step)), encodeReclaim(parts));
  }
  return { isDone: uploads.length < left, cost: uploads.length };
}

/** Outcomes that nobody may ask for any more. */
function expireDone(step: Step): void {
  for (const [key] of firstRows(step.map, expiryPrefix(), rowsPerStep)) {
    const { time, id } = parseExpiryKey(key);
    if (time > step.context.now) return;
    step.map.delete(key);
    step.map.delete(doneKey(id));
  }
}
