import { assert } from "@kiseki/base";
import type { LeafExtent, SliceExtent } from "@kiseki/format";
import { encodeReclaim, reclaimKey } from "@kiseki/format";
import { countSmall, takeReference } from "../chunks.ts";
import { getManifestHead, holdManifest, releaseExtents } from "../content.ts";
import type { Step } from "../step.ts";
import { allocateInode } from "../step.ts";
import type { ContentEdit, ContentRange } from "./content-list.ts";
import { spliceExtents } from "./content-list.ts";

/** Splices the list and counts what became of its references. `beside`: slices that the content has besides, as far as known. */
export function settle(
  step: Step,
  extents: readonly LeafExtent[],
  edit: ContentEdit,
  beside: readonly LeafExtent[] = [],
): readonly LeafExtent[] {
  const counted = extents.map((extent) => {
    const isCut = extent.offset < edit.start && extent.offset + extent.length > edit.end;
    return isCut && extent.kind === "small" ? countSmall(step, extent) : extent;
  });
  const spliced = spliceExtents(counted, edit);
  const all = [...counted, ...beside];
  const unseen = spliced.unseen.filter((slice) => isOwn(step, all, slice));
  for (const extent of spliced.cut) holdAgain(step, extent);
  releaseExtents(step, spliced.dropped);
  for (const slice of unseen) forget(step, [...spliced.extents, ...beside], slice);
  return spliced.extents;
}

/** Whether all that holds the slice's manifest is in this list, of which one file alone is made. */
export function isOwn(
  step: Step,
  extents: readonly LeafExtent[],
  { manifest }: SliceExtent,
): boolean {
  const own = extents.filter((each) => each.kind === "slice" && each.manifest === manifest);
  return getManifestHead(step.map, manifest).count === own.length;
}
/** What a slice showed and none of `extents`, which hold its manifest alone, shows any more is freed in bounded steps. */
export function forget(
  step: Step,
  extents: readonly LeafExtent[],
  { manifest, chunkOffset, length }: SliceExtent,
): void {
  if (getManifestHead(step.map, manifest).count === 0) return; // freed as a whole
  let hidden: readonly ContentRange[] = [{ start: chunkOffset, end: chunkOffset + length }];
  for (const each of extents) {
    if (each.kind !== "slice" || each.manifest !== manifest) continue;
    const shown = { start: each.chunkOffset, end: each.chunkOffset + each.length };
    hidden = hidden.flatMap(({ start, end }) =>
      [
        { start, end: Math.min(end, shown.start) },
        { start: Math.max(start, shown.end), end },
      ].filter((part) => part.start < part.end),
    );
  }
  for (const range of hidden) {
    const row = { kind: "range", manifest, ...range } as const;
    step.map.put(reclaimKey(allocateInode(step)), encodeReclaim(row));
  }
}

/** One more extent names what this one does, which is not small. */
export function holdAgain(step: Step, extent: LeafExtent): void {
  assert(extent.kind !== "small", "small content has one extent");
  if (extent.kind === "slice") holdManifest(step, extent.manifest);
  else {
    const refusal = takeReference(step, extent, undefined, undefined);
    assert(refusal === undefined, "what an extent names is there");
  }
}
