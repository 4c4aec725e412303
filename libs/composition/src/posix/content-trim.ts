import type { ReclaimRow } from "@kiseki/format";
import { decodeManifestHead, manifestHeadKey, manifestNodeItemsMax } from "@kiseki/format";
import { putLeaf } from "../content.ts";
import type { Step } from "../step.ts";
import { firstRowWithin } from "./content-rows.ts";
import { settle } from "./content-settle.ts";

type RangeRow = Extract<ReclaimRow, { kind: "range" }>;

/**
 * Frees one row's worth of a range that no slice of the manifest shows: `next` is what is left of it. Who made the
 * range saw to it that nobody ever sees it again, whoever holds the manifest.
 */
export function reclaimRange(
  step: Step,
  range: RangeRow,
): { readonly next: RangeRow | undefined; readonly cost: number } {
  const { manifest } = range;
  const head = step.map.get(manifestHeadKey(manifest));
  // Gone, or going as a whole.
  if (head === undefined || decodeManifestHead(head).count === 0)
    return { next: undefined, cost: 1 };
  const found = firstRowWithin(step.map, manifest, range);
  if (found === undefined || found.row.isInner) return { next: undefined, cost: 1 };
  const { row, nextStart } = found;
  const end = Math.min(range.end, nextStart ?? range.end);
  const left = settle(step, row.extents, { start: range.start, end, replacement: [] });
  step.map.delete(row.key);
  // One that is cut in two may be one more than a row holds.
  for (let i = 0; i < left.length; i += manifestNodeItemsMax) {
    putLeaf(step, manifest, left.slice(i, i + manifestNodeItemsMax));
  }
  const next = end < range.end ? { ...range, start: end } : undefined;
  return { next, cost: 1 + row.extents.length };
}
