import { concatBytes } from "@kiseki/base";
import type { Content, Extent } from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { getManifestHead } from "../content.ts";
import type { Answer, DecideContext, DirKeys, Refusal } from "../operation.ts";
import { isRefusal, refuse } from "../operation.ts";
import { visitExtents } from "../read-content.ts";
import type { Step } from "../step.ts";
import { editBudget, editContent } from "./content-edit.ts";
import type { ContentRange } from "./content-list.ts";
import type { ContentOperation } from "./content-operation.ts";
import { admitPieces } from "./content-pieces.ts";
import { openRegular } from "./content-read.ts";
import { fileCold, putFileContent, refuseChange } from "./file.ts";
import type { FileRef } from "./operation.ts";

/** Content is merged where more extents than this lie in a window (STORE §4). */
const mergeExtentsMin = 64;
export const mergeWindow = 4 * 1024 * 1024;
/** Extents of one run: what is looked at, and what the commit looks at again. */
const runExtentsMax = 1024;
/** Extents that are worth to be merged. */
const runExtentsMin = 8;

interface Extended {
  readonly offset: number;
  readonly length: number;
}
/**
 * The pieces of a window that should become one: side by side, and none of the first ones longer than all behind it
 * together, so that what is merged once is not read again with each few bytes that are appended. `undefined`: none.
 */
export function chooseRun(extents: readonly Extended[]): ContentRange | undefined {
  let chosen: readonly Extended[] = [];
  let begun = 0;
  for (let i = 1; i <= extents.length; i++) {
    const last = extents[i - 1]!;
    const next = extents[i];
    if (next !== undefined && next.offset === last.offset + last.length) continue;
    const run = withoutLongHead(extents.slice(begun, i));
    if (run.length > chosen.length) chosen = run;
    begun = i;
  }
  const [first] = chosen;
  const last = chosen.at(-1);
  if (first === undefined || last === undefined || chosen.length < runExtentsMin) return undefined;
  return { start: first.offset, end: last.offset + last.length };
}
function withoutLongHead(run: readonly Extended[]): readonly Extended[] {
  let rest = run.reduce((sum, { length }) => sum + length, 0);
  const start = run.findIndex(({ length }) => {
    rest -= length;
    return length <= rest;
  });
  return start < 0 ? [] : run.slice(start);
}

/** What should be merged, as it was when it was looked at. */
export interface MergeRun extends ContentRange {
  readonly content: Content;
  /** Where its first piece lies. */
  readonly pool: number;
  /** For `merge_extents`. */
  readonly before: Uint8Array;
}
/** The pieces of the window at `start`, a multiple of `mergeWindow`, that should become one. */
export function findMerge(
  map: MapReader,
  { dirKeys, md5 }: { readonly dirKeys: DirKeys; readonly md5: DecideContext["md5"] },
  { file: ref, start }: { readonly file: FileRef; readonly start: number },
): MergeRun | undefined {
  const file = openRegular(map, dirKeys, ref);
  if (isRefusal(file) || file.isOld || start >= file.entry.size) return undefined;
  const { content } = fileCold(map, dirKeys, file);
  if (content.kind !== "manifest") return undefined;
  // What others hold too would be there twice.
  if (getManifestHead(map, content.manifest).count > 1) return undefined;
  const end = Math.min(file.entry.size, start + mergeWindow);
  const extents: Extent[] = [];
  visitExtents(map, content, { start, end }, (extent) => {
    extents.push(extent);
    return extents.length < runExtentsMax;
  });
  const run = extents.length > mergeExtentsMin ? chooseRun(extents) : undefined;
  const first = run && extents.find(({ offset }) => offset === run.start);
  return first && { ...run, content, pool: first.pool, before: markOf(map, content, run, md5) };
}

/** What a range is made of. Chunks never change, so an equal mark means equal bytes. */
function markOf(
  map: MapReader,
  content: Content,
  range: ContentRange,
  md5: DecideContext["md5"],
): Uint8Array {
  const parts: Uint8Array[] = [];
  visitExtents(map, content, range, ({ offset, length, chunkOffset, chunkId }) => {
    parts.push(new Uint8Array(Float64Array.of(offset, length, chunkOffset).buffer), chunkId);
    return parts.length <= 2 * runExtentsMax;
  });
  return md5(concatBytes(...parts));
}

export function mergeExtents(
  step: Step,
  operation: Extract<ContentOperation, { kind: "merge_extents" }>,
): Answer | Refusal {
  const { start, end, before, pieces } = operation;
  const { map, context } = step;
  const ref = { ...operation.file, namespace: operation.namespace };
  const file = openRegular(map, context.dirKeys, ref);
  if (isRefusal(file)) return file;
  const refusal = refuseChange(step, file, false);
  if (refusal !== undefined) return refusal;
  const { size } = file.entry;
  if (!(start >= 0 && start < end && end <= size)) return refuse("precondition_failed");
  const { content } = fileCold(map, context.dirKeys, file);
  const mark = markOf(map, content, { start, end }, context.md5);
  if (mark.toHex() !== before.toHex()) return refuse("precondition_failed");
  const extents = admitPieces(step, pieces, 0);
  if (isRefusal(extents)) return extents;
  let position = start;
  for (const { offset, length } of extents) {
    if (offset !== position) return refuse("invalid_argument");
    position = offset + length;
  }
  if (position !== end) return refuse("invalid_argument");
  const edited = { content, size, budget: editBudget() };
  const merged = editContent(step, edited, { start, end, replacement: extents });
  putFileContent(step, file, merged);
  return { kind: "none" };
}
