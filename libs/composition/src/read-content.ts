import { assert } from "@kiseki/base";
import type { Checksum, Content, Extent, LeafExtent } from "@kiseki/format";
import {
  decodeManifestHead,
  decodeManifestNode,
  keyAfterPrefix,
  manifestHeadKey,
  manifestNodeKey,
  manifestNodePrefix,
  manifestNodeStart,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { lookupChunk } from "./chunks.ts";
import type { ContentPage, ContentPiece } from "./reading.ts";

/** Rows of nodes that one scan takes before its children are visited. */
const nodesPerScan = 16;

/** Sees extents clipped to the range, in order, with offsets from the content's start; false ends the walk. */
type VisitExtent = (extent: Extent) => boolean;

function visitList(
  map: MapReader,
  extents: readonly LeafExtent[],
  base: number,
  { start, end }: { readonly start: number; readonly end: number },
  visit: VisitExtent,
): boolean {
  for (const extent of extents) {
    const offset = base + extent.offset;
    const from = Math.max(start, offset);
    const to = Math.min(end, offset + extent.length);
    if (from >= to) continue;
    if (extent.kind === "slice") {
      const range = { start: from, end: to };
      const origin = offset - extent.chunkOffset;
      if (!visitManifest(map, extent.manifest, origin, range, visit)) return false;
      continue;
    }
    const chunkOffset = extent.chunkOffset + (from - offset);
    if (!visit({ ...extent, offset: from, length: to - from, chunkOffset })) return false;
  }
  return true;
}

/** `base`: where the manifest's own start would lie, before 0 when a slice begins behind it. */
function visitManifest(
  map: MapReader,
  manifest: bigint,
  base: number,
  range: { readonly start: number; readonly end: number },
  visit: VisitExtent,
): boolean {
  const prefix = manifestNodePrefix(manifest);
  const last = keyAfterPrefix(prefix);
  let from = prefix;
  // The node that covers the start is the last one that begins at or before it.
  const within = Math.max(0, range.start - base);
  map.scan({ start: prefix, end: manifestNodeKey(manifest, within + 1), backward: true }, (key) => {
    from = key;
    return false;
  });
  for (;;) {
    const nodes: { key: Uint8Array; value: Uint8Array }[] = [];
    map.scan({ start: from, end: last }, (key, value) => {
      nodes.push({ key, value });
      return nodes.length < nodesPerScan && base + manifestNodeStart(key) < range.end;
    });
    for (const { key, value } of nodes) {
      const start = base + manifestNodeStart(key);
      if (start >= range.end) return true;
      const node = decodeManifestNode(value);
      if (node.kind === "leaf") {
        if (!visitList(map, node.extents, start, range, visit)) return false;
        continue;
      }
      let childStart = start;
      for (const child of node.children) {
        const childEnd = childStart + child.size;
        if (childEnd > range.start && childStart < range.end) {
          const childRange = {
            start: Math.max(childStart, range.start),
            end: Math.min(childEnd, range.end),
          };
          if (!visitManifest(map, child.manifest, childStart, childRange, visit)) return false;
        }
        childStart = childEnd;
      }
    }
    if (nodes.length < nodesPerScan) return true;
    from = keyAfterPrefix(nodes.at(-1)!.key) ?? prefix;
  }
}

/** A part of a multipart object: `[offset, offset + length)` of its content. */
export interface ContentPart {
  readonly number: number;
  readonly offset: number;
  readonly length: number;
  /** Of the object's algorithm; none for objects of programs that kept none. */
  readonly checksums: readonly Checksum[];
}

/**
 * The parts of a multipart object numbered above `after`, `countMax` at most; `undefined` for content that was
 * not completed from parts. Where an older program kept no numbers they are as the parts follow each other.
 */
export function readParts(
  map: MapReader,
  content: Content,
  after: number,
  countMax: number,
): readonly ContentPart[] | undefined {
  if (content.kind !== "manifest") return undefined;
  const prefix = manifestNodePrefix(content.manifest);
  const parts: ContentPart[] = [];
  let isMadeOfParts = true;
  let count = 0;
  let offset = 0;
  map.scan({ start: prefix, end: keyAfterPrefix(prefix) }, (_, value) => {
    const node = decodeManifestNode(value);
    isMadeOfParts = node.kind === "inner";
    if (node.kind !== "inner") return false;
    for (const { size: length, part } of node.children) {
      count += 1;
      const { number, checksums } = part ?? { number: count, checksums: [] };
      if (number > after && parts.length < countMax) {
        parts.push({ number, offset, length, checksums });
      }
      offset += length;
    }
    return parts.length < countMax;
  });
  return isMadeOfParts ? parts : undefined;
}

/** Extents of `[start, end)`. Answers false when `visit` ended it. */
export function visitExtents(
  map: MapReader,
  content: Content,
  range: { readonly start: number; readonly end: number },
  visit: VisitExtent,
): boolean {
  if (content.kind === "empty") return true;
  if (content.kind === "manifest") return visitManifest(map, content.manifest, 0, range, visit);
  return visitList(map, content.extents, 0, range, visit);
}

/** Gone, or freed step by step. */
function isDying(map: MapReader, manifest: bigint): boolean {
  const head = map.get(manifestHeadKey(manifest));
  return head === undefined || decodeManifestHead(head).count === 0;
}

/**
 * What `[start, end)` of the content consists of, in order and without gaps, at most about `countMax` pieces.
 * `end` is at most the object's size. Ask again from `next`; between two calls the object may have
 * changed: read on only from the same entry, whose seals stay readable while the caller holds its read open. A file
 * that is edited meanwhile is read as it is at each call.
 */
export function readContent(
  map: MapReader,
  content: Content,
  range: { readonly start: number; readonly end: number },
  countMax: number,
): ContentPage {
  assert(range.start >= 0 && range.start <= range.end, "a range is ordered");
  if (content.kind === "manifest" && isDying(map, content.manifest)) {
    return { pieces: [], next: undefined, isGone: true };
  }
  const pieces: ContentPiece[] = [];
  let position = range.start;
  let isFull = false;
  visitExtents(map, content, range, (extent) => {
    if (pieces.length >= countMax) {
      isFull = true;
      return false;
    }
    const { offset, length, chunkOffset, chunkId, pool, profile } = extent;
    if (offset > position)
      pieces.push({ kind: "hole", offset: position, length: offset - position });
    const address = { chunkId, pool, profile };
    const isSmall = extent.kind === "small";
    const seal = isSmall ? extent : lookupChunk(map, address);
    assert(seal !== undefined, "a chunk that is named has a row");
    pieces.push({ kind: "chunk", offset, length, chunkOffset, address, seal, isSmall });
    position = offset + length;
    return true;
  });
  if (isFull) return { pieces, next: position };
  if (position < range.end) {
    pieces.push({ kind: "hole", offset: position, length: range.end - position });
  }
  return { pieces, next: undefined };
}
