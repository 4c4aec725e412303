import { assert } from "@kiseki/base";
import type { LeafExtent, SliceExtent } from "@kiseki/format";

/** `[start, end)` in bytes from the content's start. */
export interface ContentRange {
  readonly start: number;
  readonly end: number;
}
/** What a range of content becomes: extents within it, whose references are counted; the rest of it is a hole. */
export interface ContentEdit extends ContentRange {
  readonly replacement: readonly LeafExtent[];
}

/** An ordered list after an edit, and what became of the references that it made before. */
interface Spliced {
  readonly extents: readonly LeafExtent[];
  /** Named no more. */
  readonly dropped: readonly LeafExtent[];
  /** Named once more than before: what was in the middle of them is gone. */
  readonly cut: readonly LeafExtent[];
  /** Ranges of slices that the content showed and shows no more. */
  readonly unseen: readonly SliceExtent[];
}

const endOf = (extent: LeafExtent): number => extent.offset + extent.length;

/** The part of an extent within `[start, end)`, which must not be empty. */
export function clipExtent<E extends LeafExtent>(extent: E, { start, end }: ContentRange): E {
  const from = Math.max(start, extent.offset);
  const to = Math.min(end, endOf(extent));
  assert(from < to, "a part of an extent is not empty");
  const chunkOffset = extent.chunkOffset + (from - extent.offset);
  return { ...extent, offset: from, length: to - from, chunkOffset };
}
/** What lies of an ordered list within a range. */
export const clipExtents = <E extends LeafExtent>(
  extents: readonly E[],
  range: ContentRange,
): readonly E[] =>
  extents
    .filter((extent) => {
      return extent.length > 0 && endOf(extent) > range.start && extent.offset < range.end;
    })
    .map((extent) => clipExtent(extent, range));
export const shiftExtent = <E extends LeafExtent>(extent: E, by: number): E => ({
  ...extent,
  offset: extent.offset + by,
});

/** `extents` is ordered and disjoint, and so is the answer. */
export function spliceExtents(extents: readonly LeafExtent[], edit: ContentEdit): Spliced {
  const { start, end, replacement } = edit;
  assert(start < end, "an edit is of a range that is not empty");
  const before: LeafExtent[] = [];
  const after: LeafExtent[] = [];
  const dropped: LeafExtent[] = [];
  const cut: LeafExtent[] = [];
  const unseen: SliceExtent[] = [];
  for (const extent of extents) {
    const last = endOf(extent);
    if (last <= start) before.push(extent);
    else if (extent.offset >= end) after.push(extent);
    else {
      const hasHead = extent.offset < start;
      const hasTail = last > end;
      if (hasHead) before.push(clipExtent(extent, { start: 0, end: start }));
      if (hasTail) after.push(clipExtent(extent, { start: end, end: last }));
      if (!hasHead && !hasTail) dropped.push(extent);
      if (hasHead && hasTail) cut.push(extent);
      if (extent.kind === "slice") unseen.push(clipExtent(extent, edit));
    }
  }
  let position = start;
  for (const extent of replacement) {
    assert(extent.offset >= position, "a replacement is ordered and within its range");
    position = endOf(extent);
  }
  assert(position <= end, "a replacement is within its range");
  return { extents: [...before, ...replacement, ...after], dropped, cut, unseen };
}
