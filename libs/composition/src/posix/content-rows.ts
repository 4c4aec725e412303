import { assert } from "@kiseki/base";
import type { Extent, LeafExtent } from "@kiseki/format";
import {
  decodeManifestNode,
  keyAfterPrefix,
  manifestHeadKey,
  manifestNodeKey,
  manifestNodePrefix,
  manifestNodeStart,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { getManifestHead, putLeaf, releaseExtents } from "../content.ts";
import type { Step } from "../step.ts";
import type { ContentRange } from "./content-list.ts";
import { clipExtent, clipExtents, shiftExtent } from "./content-list.ts";

/** Extents that an edit leaves in a row: short rows keep later edits cheap. */
const rowExtentsWanted = 64;
/** A row shorter than this is joined to the one before. */
const rowExtentsFew = 16;
/** Rows that one scan takes. */
const rowsPerScan = 64;

/** A row of a manifest whose offsets count from the manifest's start. */
export interface ManifestRow {
  readonly key: Uint8Array;
  /** Children of a node of parts, as slices. */
  readonly extents: readonly LeafExtent[];
  readonly isInner: boolean;
}
function readRow(key: Uint8Array, value: Uint8Array): ManifestRow {
  const start = manifestNodeStart(key);
  const node = decodeManifestNode(value);
  if (node.kind === "leaf") {
    return { key, extents: node.extents.map((one) => shiftExtent(one, start)), isInner: false };
  }
  const extents: LeafExtent[] = [];
  let offset = start;
  for (const { manifest, size } of node.children) {
    extents.push({ kind: "slice", offset, length: size, chunkOffset: 0, manifest });
    offset += size;
  }
  return { key, extents, isInner: true };
}

/** The rows that hold what lies in `[start, end)`; `undefined` when there are more than `rowsMax`. */
export function rowsWithin(
  map: MapReader,
  manifest: bigint,
  { start, end }: ContentRange,
  rowsMax: number,
): readonly ManifestRow[] | undefined {
  const rows: ManifestRow[] = [];
  const prefix = manifestNodePrefix(manifest);
  let from = manifestNodeKey(manifest, start);
  map.scan({ start: prefix, end: manifestNodeKey(manifest, start + 1), backward: true }, (key) => {
    from = key;
    return false;
  });
  map.scan({ start: from, end: manifestNodeKey(manifest, end) }, (key, value) => {
    rows.push(readRow(key, value));
    return rows.length <= rowsMax;
  });
  return rows.length > rowsMax ? undefined : rows;
}

/** The first row that may hold something of `[start, end)`, and where the one behind it starts. */
export function firstRowWithin(
  map: MapReader,
  manifest: bigint,
  { start, end }: ContentRange,
): { readonly row: ManifestRow; readonly nextStart: number | undefined } | undefined {
  let row = rowBefore(map, manifest, start + 1);
  let nextStart: number | undefined;
  const last = keyAfterPrefix(manifestNodePrefix(manifest));
  map.scan({ start: manifestNodeKey(manifest, start + 1), end: last }, (key, value) => {
    if (row !== undefined) nextStart = manifestNodeStart(key);
    else if (manifestNodeStart(key) < end) row = readRow(key, value);
    return row !== undefined && nextStart === undefined;
  });
  return row === undefined ? undefined : { row, nextStart };
}

/** The row before the one that starts at `start`. */
function rowBefore(map: MapReader, manifest: bigint, start: number): ManifestRow | undefined {
  let row: ManifestRow | undefined;
  const range = { start: manifestNodePrefix(manifest), end: manifestNodeKey(manifest, start) };
  map.scan({ ...range, backward: true }, (key, value) => {
    row = readRow(key, value);
    return false;
  });
  return row;
}
function hasRowFrom(map: MapReader, manifest: bigint, start: number): boolean {
  let hasRow = false;
  const end = keyAfterPrefix(manifestNodePrefix(manifest));
  map.scan({ start: manifestNodeKey(manifest, start), end }, () => {
    hasRow = true;
    return false;
  });
  return hasRow;
}

/** Whether the manifest was completed from parts of an upload. */
export const isOfParts = (map: MapReader, manifest: bigint): boolean =>
  rowsWithin(map, manifest, { start: 0, end: 1 }, 1)?.[0]?.isInner === true;

/** Puts `extents` in the place of `rows`, which held all that lies between the first and the last of them. Answers where the new rows start. */
export function replaceRows(
  step: Step,
  manifest: bigint,
  rows: readonly ManifestRow[],
  extents: readonly LeafExtent[],
): readonly number[] {
  const { map } = step;
  for (const { key } of rows) map.delete(key);
  if (extents.length === 0) return [];
  let all = extents;
  if (all.length < rowExtentsFew) {
    const before = rowBefore(map, manifest, all[0]!.offset);
    if (before !== undefined && before.extents.length + all.length <= rowExtentsWanted) {
      map.delete(before.key);
      all = [...before.extents, ...all];
    }
  }
  const last = all.at(-1)!;
  const rowCount = Math.ceil(all.length / rowExtentsWanted);
  const isAppended = rowCount > 1 && !hasRowFrom(map, manifest, last.offset + last.length);
  // What is appended to leaves full rows behind; elsewhere each row gets room.
  const perRow = isAppended ? rowExtentsWanted : Math.ceil(all.length / rowCount);
  const starts: number[] = [];
  for (let i = 0; i < all.length; i += perRow) {
    putLeaf(step, manifest, all.slice(i, i + perRow));
    starts.push(all[i]!.offset);
  }
  return starts;
}

/** All rows of the manifest, or `undefined` when they hold more than `countMax` extents. */
function readRows(
  map: MapReader,
  manifest: bigint,
  countMax: number,
): readonly ManifestRow[] | undefined {
  const rows: ManifestRow[] = [];
  let count = 0;
  const prefix = manifestNodePrefix(manifest);
  map.scan({ start: prefix, end: keyAfterPrefix(prefix) }, (key, value) => {
    const row = readRow(key, value);
    rows.push(row);
    count += row.extents.length;
    return count <= countMax;
  });
  return count > countMax ? undefined : rows;
}

/** Slices in the manifest's other rows; none, when they are too many to look at. */
export function slicesBeside(
  map: MapReader,
  manifest: bigint,
  rows: readonly ManifestRow[],
  countMax: number,
): readonly LeafExtent[] {
  const known = new Set(rows.map(({ key }) => manifestNodeStart(key)));
  const others = readRows(map, manifest, countMax) ?? [];
  return others
    .filter(({ key }) => !known.has(manifestNodeStart(key)))
    .flatMap(({ extents }) => extents.filter(({ kind }) => kind === "slice"));
}

/** Extents of `[start, end)` as the manifest names them, clipped; `undefined` when they are more than `countMax`. */
export function readRange(
  map: MapReader,
  manifest: bigint,
  range: ContentRange,
  countMax: number,
): readonly LeafExtent[] | undefined {
  const rows = rowsWithin(map, manifest, range, rowsPerScan);
  const extents =
    rows &&
    clipExtents(
      rows.flatMap((row) => row.extents),
      range,
    );
  return extents === undefined || extents.length > countMax ? undefined : extents;
}

/** Extents that take the place of a slice, and how many were looked at for them. */
export interface Opened {
  readonly extents: readonly LeafExtent[];
  readonly count: number;
}
/**
 * Takes a manifest with one holder apart: its extents in `[start, end)`, clipped, are the caller's from here on, and the
 * rest is released. `undefined`, and nothing done, when there are more than `countMax`.
 */
export function takeApart(
  step: Step,
  manifest: bigint,
  range: ContentRange,
  countMax: number,
): Opened | undefined {
  const { map } = step;
  assert(getManifestHead(map, manifest).count === 1, "what is taken apart has one holder");
  const rows = readRows(map, manifest, countMax);
  if (rows === undefined) return undefined;
  const kept: LeafExtent[] = [];
  const all = rows.flatMap((row) => row.extents);
  for (const extent of all) {
    const { offset, length } = extent;
    if (length > 0 && offset + length > range.start && offset < range.end) {
      kept.push(clipExtent(extent, range));
    } else releaseExtents(step, [extent]);
  }
  for (const { key } of rows) map.delete(key);
  map.delete(manifestHeadKey(manifest));
  return { extents: kept, count: all.length };
}

/** The whole manifest when it fits a cold row again, which is its only holder: it has one row at most, of few extents. */
export function takeFlat(
  step: Step,
  manifest: bigint,
  extentsMax: number,
): readonly Extent[] | undefined {
  const rows = readRows(step.map, manifest, extentsMax);
  if (rows === undefined) return undefined;
  const flat = rows.flatMap((row) => row.extents).filter((extent) => extent.kind !== "slice");
  if (flat.length !== rows.reduce((sum, row) => sum + row.extents.length, 0)) return undefined;
  for (const { key } of rows) step.map.delete(key);
  step.map.delete(manifestHeadKey(manifest));
  return flat;
}
