import { assert, sameBytes } from "@kiseki/base";
import type { LeafExtent } from "@kiseki/format";
import {
  decodeCold,
  decodeManifestNode,
  encodeCold,
  encodeManifestNode,
  isManifestNodeKey,
  table,
} from "@kiseki/format";
import { condemn, noteSeal } from "./chunks.ts";
import type { Answer, Operation } from "./operation.ts";
import type { Step } from "./step.ts";

type SmallResealed = Extract<Operation, { kind: "small_resealed" }>;
type Small = Extract<LeafExtent, { kind: "small" }>;

/** The extents with the seal replaced, and the one that was there; `undefined` when none of them names it. */
function replaceIn<E extends LeafExtent>(
  extents: readonly E[],
  { sealId, ref }: SmallResealed,
): { readonly extents: readonly (E | Small)[]; readonly old: Small } | undefined {
  const at = extents.findIndex(
    (extent) =>
      extent.kind === "small" &&
      sameBytes(extent.chunkId, ref.chunkId) &&
      sameBytes(extent.sealId, sealId),
  );
  const old = extents[at];
  if (old?.kind !== "small") return undefined;
  assert(old.size === ref.size, "seals of one chunk hold equally many bytes");
  assert(ref.keyset >= old.keyset, "content is never sealed again under an older keyset");
  const small: Small = { ...old, ...ref };
  return { extents: extents.map((extent, i) => (i === at ? small : extent)), old };
}

/** Writes the row with the new seal and answers the old one; `undefined` when it does not name it any more. */
function replaceInRow(step: Step, operation: SmallResealed): Small | undefined {
  const { row } = operation;
  const value = step.map.get(row);
  if (value === undefined) return undefined;
  if (row[0] === table.cold) {
    const cold = decodeCold(value);
    if (cold.content.kind !== "extents") return undefined;
    const replaced = replaceIn(cold.content.extents, operation);
    if (replaced === undefined) return undefined;
    const content = { kind: "extents", extents: replaced.extents } as const;
    step.map.put(row, encodeCold({ ...cold, content }));
    return replaced.old;
  }
  assert(
    row[0] === table.manifest && isManifestNodeKey(row),
    "small content is in these rows only",
  );
  const node = decodeManifestNode(value);
  if (node.kind !== "leaf") return undefined;
  const replaced = replaceIn(node.extents, operation);
  if (replaced === undefined) return undefined;
  step.map.put(row, encodeManifestNode({ kind: "leaf", extents: replaced.extents }));
  return replaced.old;
}

/** Content that died or was replaced meanwhile leaves the new seal to `drop`. */
export function switchSmall(step: Step, operation: SmallResealed): Answer {
  const { ref } = operation;
  const old = replaceInRow(step, operation);
  if (old === undefined) {
    condemn(step, ref, ref);
    return { kind: "none" };
  }
  noteSeal(step, ref, ref);
  condemn(step, old, old);
  return { kind: "none" };
}
