import { assert } from "@kiseki/base";
import type { Content, Extent, LeafExtent, ManifestChild, ManifestHead } from "@kiseki/format";
import {
  decodeManifestHead,
  encodeManifestHead,
  encodeManifestNode,
  encodeReclaim,
  manifestHeadKey,
  manifestNodeItemsMax,
  manifestNodeKey,
  reclaimKey,
  rowExtentsMax,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { condemn, dropReference, noteSeal, takeReference } from "./chunks.ts";
import type { NewContent, Refusal } from "./operation.ts";
import { refuse } from "./operation.ts";
import type { Step } from "./step.ts";
import { allocateInode } from "./step.ts";

/** Counts the references of new content and answers its extents, in order. */
export function admitExtents(
  step: Step,
  content: NewContent,
  size: number,
): readonly Extent[] | Refusal {
  if (size > step.context.limits.objectSizeMax) return refuse("object_too_large");
  if (content.kind === "empty") {
    assert(size === 0, "empty content has size 0");
    return [];
  }
  if (content.kind === "small") {
    assert(content.ref.size === size, "small content is one chunk of its size");
    noteSeal(step, content.ref, content.ref);
    return [{ kind: "small", offset: 0, length: size, chunkOffset: 0, ...content.ref }];
  }
  if (content.extents.length > step.context.limits.extentsMax) return refuse("too_many_extents");
  const extents: Extent[] = [];
  let end = 0;
  for (const extent of content.extents) {
    const { chunkId, pool, profile, offset, length, chunkOffset } = extent;
    assert(offset >= end && length >= 1, "new extents are ordered and disjoint");
    const address = { chunkId, pool, profile };
    const refusal = takeReference(step, address, extent.seal, extent.pinned);
    if (refusal !== undefined) return refusal;
    extents.push({ kind: "chunk", offset, length, chunkOffset, ...address });
    end = offset + length;
  }
  assert(end <= size, "extents end within the content");
  return extents;
}

/** Extents of an object as its cold row holds them. */
export function contentOf(step: Step, extents: readonly Extent[], size: number): Content {
  if (extents.length === 0) return { kind: "empty" };
  if (extents.length <= rowExtentsMax) return { kind: "extents", extents };
  return { kind: "manifest", manifest: makeLeafManifest(step, extents, size) };
}

/** A manifest of extents, counted once. Answers its number. */
export function makeLeafManifest(step: Step, extents: readonly LeafExtent[], size: number): bigint {
  const manifest = allocateInode(step);
  const depth = depthOver(step, extents);
  const head = depth === 0 ? { count: 1, size } : { count: 1, size, depth };
  step.map.put(manifestHeadKey(manifest), encodeManifestHead(head));
  for (let i = 0; i < extents.length; i += manifestNodeItemsMax) {
    putLeaf(step, manifest, extents.slice(i, i + manifestNodeItemsMax));
  }
  return manifest;
}
/** A node of extents with offsets from the manifest's start, under the first of them. */
export function putLeaf(step: Step, manifest: bigint, extents: readonly LeafExtent[]): void {
  const start = extents[0]!.offset;
  const moved = extents.map((extent) => ({ ...extent, offset: extent.offset - start }));
  const node = encodeManifestNode({ kind: "leaf", extents: moved });
  step.map.put(manifestNodeKey(manifest, start), node);
}

export function getManifestHead(map: MapReader, manifest: bigint): ManifestHead {
  const value = map.get(manifestHeadKey(manifest));
  assert(value !== undefined, "a manifest that is named has a head");
  return decodeManifestHead(value);
}
/** Manifests under each other in a manifest of these extents. */
export function depthOver(step: Step, extents: readonly LeafExtent[]): number {
  let depth = 0;
  let last: bigint | undefined;
  for (const extent of extents) {
    if (extent.kind !== "slice" || extent.manifest === last) continue;
    last = extent.manifest;
    // Parts of an upload lie in manifests of their own, which no head counts.
    depth = Math.max(depth, 2 + (getManifestHead(step.map, last).depth ?? 0));
  }
  return depth;
}

/** A manifest over manifests, one after another, each taken over with the count it has. */
export function makeInnerManifest(step: Step, children: readonly ManifestChild[]): bigint {
  const manifest = allocateInode(step);
  let start = 0;
  for (let i = 0; i < children.length; i += manifestNodeItemsMax) {
    const items = children.slice(i, i + manifestNodeItemsMax);
    const node = encodeManifestNode({ kind: "inner", children: items });
    step.map.put(manifestNodeKey(manifest, start), node);
    for (const { size } of items) start += size;
  }
  step.map.put(manifestHeadKey(manifest), encodeManifestHead({ count: 1, size: start }));
  return manifest;
}

/** One more object or slice is made of the manifest. */
export function holdManifest(step: Step, manifest: bigint): void {
  const head = getManifestHead(step.map, manifest);
  step.map.put(manifestHeadKey(manifest), encodeManifestHead({ ...head, count: head.count + 1 }));
}
/** One less; at zero it is queued and freed in bounded steps. */
export function releaseManifest(step: Step, manifest: bigint): void {
  const head = getManifestHead(step.map, manifest);
  assert(head.count >= 1, "a named manifest has a count");
  step.map.put(manifestHeadKey(manifest), encodeManifestHead({ ...head, count: head.count - 1 }));
  if (head.count > 1) return;
  step.map.put(reclaimKey(allocateInode(step)), encodeReclaim({ kind: "manifest", manifest }));
}

export function releaseExtents(step: Step, extents: readonly LeafExtent[]): void {
  for (const extent of extents) {
    if (extent.kind === "small") condemn(step, extent, extent);
    else if (extent.kind === "slice") releaseManifest(step, extent.manifest);
    else dropReference(step, extent);
  }
}
export function releaseContent(step: Step, content: Content): void {
  if (content.kind === "extents") releaseExtents(step, content.extents);
  else if (content.kind === "manifest") releaseManifest(step, content.manifest);
}
