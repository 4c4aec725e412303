import { assert, MiB } from "@kiseki/base";
import type { Content, LeafExtent, SliceExtent } from "@kiseki/format";
import {
  deltaPayloadSizeMax,
  encodeManifestHead,
  manifestHeadKey,
  manifestNodeStart,
  rowExtentsMax,
} from "@kiseki/format";
import {
  depthOver,
  getManifestHead,
  holdManifest,
  makeLeafManifest,
  releaseManifest,
} from "../content.ts";
import { countSmall } from "../chunks.ts";
import type { Refusal } from "../operation.ts";
import { refuse } from "../operation.ts";
import type { Step } from "../step.ts";
import type { ContentEdit, ContentRange } from "./content-list.ts";
import { clipExtents, shiftExtent } from "./content-list.ts";
import type { ManifestRow, Opened } from "./content-rows.ts";
import {
  isOfParts,
  readRange,
  replaceRows,
  rowsWithin,
  slicesBeside,
  takeApart,
  takeFlat,
} from "./content-rows.ts";
import { forget, holdAgain, isOwn, settle } from "./content-settle.ts";

/** Rows of a manifest that one edit rewrites; where it would be more, what stays of it becomes slices. */
const editRowsMax = 32;
/** A manifest of fewer extents goes back into the cold row. */
const flatExtentsMax = rowExtentsMax / 2;
/** Extents of a manifest among which slices are looked for that hold what an edit's slices do. */
const besideExtentsMax = 1024;
/** Extents of a manifest with other holders that an edit counts one by one rather than slicing it. */
const shareExtentsMax = 256;
/** Extents that an edit takes over from a manifest with no other holder, and parts of an upload, which are lighter. */
const takeExtentsMax = 2048;
const takePartsMax = 10_000;
/** Manifests under each other before an edit copies what it would slice, unless some of it is small. */
const depthWanted = 8;
/** Manifests under each other before a range of them is not shared any more. */
const depthMax = 256;

/** About what a change's rows take for an extent that is written, and for one that is dropped. */
const keptCost = 90;
const droppedCost = 270;
const partCost = 40;
/** Of the payload of one change; the rest is for rows that are not of content. */
const costMax = 3 * MiB;
assert(costMax < deltaPayloadSizeMax, "what is left is for other rows");

/** What one operation may still write. Where it is not enough, less is rewritten and more sliced. */
export interface EditBudget {
  left: number;
  /** Rows that are paid for. */
  readonly rows: Set<string>;
}
export const editBudget = (left = costMax): EditBudget => ({ left, rows: new Set() });
function spend(budget: EditBudget, cost: number): boolean {
  if (cost > budget.left) return false;
  budget.left -= cost;
  return true;
}

/** What content was made of before the edit, and its size: nothing lies beyond. */
export interface Edited {
  readonly content: Content;
  readonly size: number;
  readonly budget: EditBudget;
}

/**
 * Content with `[start, end)` replaced, and every reference counted: what goes is released, what is cut in two is held
 * twice. Rows touched do not depend on how long the content is.
 */
export function editContent(step: Step, edited: Edited, edit: ContentEdit): Content {
  const { content, size, budget } = edited;
  if (content.kind === "empty") return editList(step, [], edit, budget);
  if (content.kind === "extents") return editList(step, content.extents, edit, budget);
  const { manifest } = content;
  const head = getManifestHead(step.map, manifest);
  const rows = head.count === 1 ? rowsWithin(step.map, manifest, edit, editRowsMax) : undefined;
  const isOfLeaves = rows?.every(({ isInner }) => !isInner) === true;
  if (!isOfLeaves || !spend(budget, rowsCost(rows, edit, manifest, budget))) {
    return editList(step, sliceOf(step, manifest, size), edit, budget);
  }
  const extents = rows.flatMap((row) => row.extents);
  const hasSlices = extents.some(({ kind }) => kind === "slice");
  const beside = hasSlices ? slicesBeside(step.map, manifest, rows, besideExtentsMax) : [];
  const spliced = settle(step, openSlices(step, extents, edit, beside, budget), edit, beside);
  const depth = Math.max(head.depth ?? 0, depthOver(step, spliced));
  if (depth > (head.depth ?? 0)) {
    step.map.put(manifestHeadKey(manifest), encodeManifestHead({ ...head, depth }));
  }
  const starts = replaceRows(step, manifest, rows, spliced);
  for (const start of starts) budget.rows.add(`${manifest} ${start}`);
  const flat = spliced.length <= flatExtentsMax && takeFlat(step, manifest, flatExtentsMax);
  if (!flat) return content;
  return flat.length === 0 ? { kind: "empty" } : { kind: "extents", extents: flat };
}

/** What an edit of these rows may write at most, but for what it brings. */
function rowsCost(
  rows: readonly ManifestRow[],
  { start, end }: ContentRange,
  manifest: bigint,
  budget: EditBudget,
): number {
  let cost = 0;
  for (const { key, extents } of rows) {
    if (!budget.rows.has(`${manifest} ${manifestNodeStart(key)}`))
      cost += keptCost * extents.length;
    const gone = extents.filter(({ offset, length }) => offset >= start && offset + length <= end);
    cost += droppedCost * gone.length;
  }
  return cost;
}

/** The reference to the manifest becomes the slice's. */
function sliceOf(step: Step, manifest: bigint, size: number): readonly LeafExtent[] {
  if (size === 0) {
    releaseManifest(step, manifest); // of parts without a byte
    return [];
  }
  return [{ kind: "slice", offset: 0, length: size, chunkOffset: 0, manifest }];
}

function editList(
  step: Step,
  extents: readonly LeafExtent[],
  edit: ContentEdit,
  budget: EditBudget,
): Content {
  return listContent(step, settle(step, openSlices(step, extents, edit, [], budget), edit));
}
/** Content of an ordered list whose references are counted. */
function listContent(step: Step, extents: readonly LeafExtent[]): Content {
  if (extents.length === 0) return { kind: "empty" };
  const flat = extents.filter((extent) => extent.kind !== "slice");
  if (flat.length === extents.length && flat.length <= rowExtentsMax) {
    return { kind: "extents", extents: flat };
  }
  const last = extents.at(-1)!;
  const size = last.offset + last.length;
  return { kind: "manifest", manifest: makeLeafManifest(step, extents, size) };
}

/** Slices that the edit would cut give way to what lies in them, as far as that is cheap. */
function openSlices(
  step: Step,
  extents: readonly LeafExtent[],
  { start, end }: ContentRange,
  beside: readonly LeafExtent[],
  budget: EditBudget,
): readonly LeafExtent[] {
  let list = extents;
  for (let i = 0; i < list.length;) {
    const extent = list[i]!;
    const last = extent.offset + extent.length;
    const isTouched = extent.offset < end && last > start;
    const isCut = isTouched && (extent.offset < start || last > end);
    const inner =
      extent.kind === "slice" && isCut
        ? openSlice(step, [...list, ...beside], extent, budget)
        : undefined;
    if (inner === undefined) i += 1;
    else list = [...list.slice(0, i), ...inner, ...list.slice(i + 1)]; // a slice in it may be cut too
  }
  return list;
}
function openSlice(
  step: Step,
  list: readonly LeafExtent[],
  slice: SliceExtent,
  budget: EditBudget,
): readonly LeafExtent[] | undefined {
  const { manifest, chunkOffset, length, offset } = slice;
  const range = { start: chunkOffset, end: chunkOffset + length };
  const { count, depth = 0 } = getManifestHead(step.map, manifest);
  const isParts = isOfParts(step.map, manifest);
  const cost = isParts ? partCost : keptCost + droppedCost;
  const affordable = Math.floor(budget.left / cost);
  const shareMax = Math.min(affordable, depth < depthWanted ? shareExtentsMax : takeExtentsMax);
  const takeMax = Math.min(affordable, isParts ? takePartsMax : takeExtentsMax);
  const isUnseenThen = isOwn(step, list, slice);
  const opened =
    count === 1
      ? takeApart(step, manifest, range, takeMax)
      : shareRange(step, manifest, range, shareMax);
  if (opened === undefined) return undefined;
  spend(budget, cost * opened.count);
  if (count > 1 && isUnseenThen) {
    forget(
      step,
      list.filter((each) => each !== slice),
      slice,
    );
  }
  return opened.extents.map((extent) => shiftExtent(extent, offset - chunkOffset));
}
function shareRange(
  step: Step,
  manifest: bigint,
  range: ContentRange,
  countMax: number,
): Opened | undefined {
  const extents = readRange(step.map, manifest, range, countMax);
  if (extents === undefined || extents.some(({ kind }) => kind === "small")) return undefined;
  for (const extent of extents) holdAgain(step, extent);
  releaseManifest(step, manifest);
  return { extents, count: extents.length };
}

/** Small content of a list is counted, so that all of it can be shared. The content takes the place of what was there. */
export function countAllSmall(step: Step, content: Content): Content {
  if (content.kind !== "extents") return content;
  const extents = content.extents.map((extent) =>
    extent.kind === "small" ? countSmall(step, extent) : extent,
  );
  return { kind: "extents", extents };
}
/** One more file is made of the content, in which nothing small is left uncounted. */
export function holdContent(step: Step, content: Content): void {
  if (content.kind === "manifest") holdManifest(step, content.manifest);
  else if (content.kind === "extents") content.extents.map((extent) => holdAgain(step, extent));
}

/**
 * Extents of `[start, end)` counted once more, to be laid at `target` of some content. What is small in a list must have
 * been counted. Refused with `too_many_extents` when ranges of ranges lie too deep: read it and write it.
 */
export function shareRangeOf(
  step: Step,
  content: Content,
  range: ContentRange,
  target: number,
): readonly LeafExtent[] | Refusal {
  const { start, end } = range;
  if (content.kind === "empty" || start === end) return [];
  const found =
    content.kind === "extents"
      ? clipExtents(content.extents, range)
      : readRange(step.map, content.manifest, range, shareExtentsMax);
  if (found !== undefined && found.every(({ kind }) => kind !== "small")) {
    for (const extent of found) holdAgain(step, extent);
    return found.map((extent) => shiftExtent(extent, target - start));
  }
  assert(content.kind === "manifest", "what is small in a list was counted");
  const { manifest } = content;
  if ((getManifestHead(step.map, manifest).depth ?? 0) > depthMax)
    return refuse("too_many_extents");
  holdManifest(step, manifest);
  return [{ kind: "slice", offset: target, length: end - start, chunkOffset: start, manifest }];
}
