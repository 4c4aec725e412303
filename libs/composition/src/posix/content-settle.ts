import { assert } from "@kiseki/base";
import type { LeafExtent, SliceExtent } from "@kiseki/format";
import { encodeReclaim, reclaimKey } from "@kiseki/format";
import { countSmall, takeReference } from "../chunks.ts";
import { getManifestHead, holdManifest, releaseExtents } from "../content.ts";
import type { Step } from "../step.ts";
import { allocateInode } from "../step.ts";
import type { ContentEdit } from "./content-list.ts";
import { spliceExtents } from "./content-list.ts";

/** Splices the list and counts what became of its references. */
export function settle(
  step: Step,
  extents: readonly LeafExtent[],
  edit: ContentEdit,
): readonly LeafExtent[] {
  const counted = extents.map((extent) => {
    const isCut = extent.offset < edit.start && extent.offset + extent.length > edit.end;
    return isCut && extent.kind === "small" ? countSmall(step, extent) : extent;
  });
  const spliced = spliceExtents(counted, edit);
  for (const slice of spliced.unseen) forget(step, slice);
  for (const extent of spliced.cut) holdAgain(step, extent);
  releaseExtents(step, spliced.dropped);
  return spliced.extents;
}

/** What a slice shows no more is freed in bounded steps, if nobody else can see it. */
function forget(step: Step, { manifest, chunkOffset, length }: SliceExtent): void {
  if (getManifestHead(step.map, manifest).count > 1) return;
  const row = { kind: "range", manifest, start: chunkOffset, end: chunkOffset + length } as const;
  step.map.put(reclaimKey(allocateInode(step)), encodeReclaim(row));
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
