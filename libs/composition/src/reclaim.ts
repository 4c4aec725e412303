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
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { releaseExtents, releaseManifest } from "./content.ts";
import type { Answer } from "./operation.ts";
import type { Step } from "./step.ts";
import { allocateInode } from "./step.ts";

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

/** Does the oldest task's next step: about 256 rows, whatever the size of what is freed. */
export function reclaimStep(step: Step): Answer {
  const task = firstRows(step.map, reclaimPrefix(), 1)[0];
  if (task === undefined) expireDone(step);
  else if (reclaimSome(step, decodeReclaim(task[1]))) step.map.delete(task[0]);
  return { kind: "reclaimed", hasMore: hasReclaim(step.map, step.context.now) };
}

/** True: nothing of the task is left. */
function reclaimSome(step: Step, row: ReclaimRow): boolean {
  switch (row.kind) {
    case "manifest":
      return reclaimManifest(step, row.manifest);
    case "parts":
      return reclaimParts(step, row);
    case "uploads":
      return reclaimUploads(step, row);
  }
}

function reclaimManifest(step: Step, manifest: bigint): boolean {
  const [first, second] = firstRows(step.map, manifestNodePrefix(manifest), 2);
  if (first !== undefined) {
    const node = decodeManifestNode(first[1]);
    if (node.kind === "leaf") releaseExtents(step, node.extents);
    else for (const child of node.children) releaseManifest(step, child.manifest);
    step.map.delete(first[0]);
  }
  if (second !== undefined) return false;
  step.map.delete(manifestHeadKey(manifest));
  return true;
}

function reclaimParts(step: Step, row: Extract<ReclaimRow, { kind: "parts" }>): boolean {
  const prefix = partPrefix(step.context.dirKeys.dirKey(row.root), row.key, row.upload);
  const parts = firstRows(step.map, prefix, rowsPerStep);
  for (const [key, value] of parts) {
    const part = partKeyNumber(key);
    const isUsed = ((row.used[part >> 3] ?? 0) & (1 << (part & 7))) !== 0;
    if (!isUsed) releaseManifest(step, decodePart(value).manifest);
    step.map.delete(key);
  }
  return parts.length < rowsPerStep;
}

function reclaimUploads(step: Step, row: Extract<ReclaimRow, { kind: "uploads" }>): boolean {
  const prefix = uploadPrefix(step.context.dirKeys.dirKey(row.root));
  const uploads = firstRows(step.map, prefix, rowsPerStep);
  for (const [rowKey] of uploads) {
    const { key, upload } = parseUploadKey(rowKey);
    step.map.delete(rowKey);
    const parts = { kind: "parts", root: row.root, key, upload, used: new Uint8Array(0) } as const;
    step.map.put(reclaimKey(allocateInode(step)), encodeReclaim(parts));
  }
  return uploads.length < rowsPerStep;
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
