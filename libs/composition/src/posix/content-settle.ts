import type { LeafExtent, SliceExtent } from "@kiseki/format";
import { encodeReclaim, reclaimKey } from "@kiseki/format";
import { takeReference } from "../chunks.ts";
import { getManifestHead, holdManifest, releaseExtents } from "../content.ts";
import type { Refusal } from "../operation.ts";
import { refuse } from "../operation.ts";
import type { Step } from "../step.ts";
import { allocateInode } from "../step.ts";
import type { ContentEdit } from "./content-list.ts";
import { spliceExtents } from "./content-list.ts";

/** Splices the list and counts what became of its references. */
export function settle(
  step: Step,
  extents: readonly LeafExtent[],
  edit: ContentEdit,
): readonly LeafExtent[] | Refusal {
  const spliced = spliceExtents(extents, edit);
  for (const slice of spliced.unseen) forget(step, slice);
  for (const extent of spliced.cut) {
    const refusal = holdAgain(step, extent);
    if (refusal !== undefined) return refusal;
  }
  releaseExtents(step, spliced.dropped);
  return spliced.extents;
}

/** What a slice shows no more is freed in bounded steps, if nobody else can see it. */
function forget(step: Step, { manifest, chunkOffset, length }: SliceExtent): void {
  if (getManifestHead(step.map, manifest).count > 1) return;
  const row = { kind: "range", manifest, start: chunkOffset, end: chunkOffset + length } as const;
  step.map.put(reclaimKey(allocateInode(step)), encodeReclaim(row));
}

/** One more extent names what this one does. */
export function holdAgain(step: Step, extent: LeafExtent): Refusal | undefined {
  if (extent.kind === "small") return refuse("content_is_small");
  if (extent.kind === "chunk") return takeReference(step, extent, undefined, undefined);
  holdManifest(step, extent.manifest);
  return undefined;
}
