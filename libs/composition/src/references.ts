import type { WallTime } from "@kiseki/base";
import type { Extent } from "@kiseki/format";
import {
  decodeChunk,
  decodeCold,
  decodeDrop,
  decodeManifestNode,
  dropPrefix,
  isChunkKey,
  isManifestNodeKey,
  keyAfterPrefix,
  parseChunkKey,
  parseDropKey,
  table,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import type { Drop, Reference, ReferencePage } from "./reading.ts";
import { afterKey } from "./row-cursor.ts";

/** Condemned seals, oldest first, with a time below `before`; `countMax` of them at most. */
export function listDrops(map: MapReader, before: WallTime, countMax: number): readonly Drop[] {
  const drops: Drop[] = [];
  if (countMax < 1) return drops;
  const start = dropPrefix();
  map.scan({ start, end: keyAfterPrefix(start) }, (key, value) => {
    const { time } = parseDropKey(key);
    if (time >= before) return false;
    drops.push({ time, ...decodeDrop(value) });
    return drops.length < countMax;
  });
  return drops;
}

const referenceTables = [table.cold, table.chunk, table.drop, table.manifest] as const;

function smallOf(extents: readonly Extent[], from: Reference["from"]): readonly Reference[] {
  return extents.flatMap((extent) => (extent.kind === "small" ? [{ ...extent, from }] : []));
}
function referencesOf(key: Uint8Array, value: Uint8Array): readonly Reference[] {
  switch (key[0]) {
    case table.chunk:
      if (!isChunkKey(key)) return []; // a condemned seal, named by its drop row
      return [{ ...parseChunkKey(key), ...decodeChunk(value), from: "chunk" }];
    case table.drop:
      return [{ ...decodeDrop(value), from: "drop" }];
    case table.cold: {
      const { content } = decodeCold(value);
      return content.kind === "extents" ? smallOf(content.extents, "cold") : [];
    }
    default: {
      if (!isManifestNodeKey(key)) return [];
      const node = decodeManifestNode(value);
      return node.kind === "leaf" ? smallOf(node.extents, "manifest") : [];
    }
  }
}

/**
 * Every (chunk id, seal id) that the map names, each once, over pages of `rowsMax` rows. What is on a
 * device under an older epoch and not among them, on a map that did not change meanwhile, is garbage.
 */
export function listReferences(
  map: MapReader,
  after: Uint8Array | undefined,
  rowsMax: number,
): ReferencePage {
  const references: Reference[] = [];
  let left = rowsMax;
  let last: Uint8Array | undefined;
  for (const number of referenceTables) {
    const first = Uint8Array.of(number);
    if (after !== undefined && after[0]! > number) continue;
    const start = after !== undefined && after[0] === number ? afterKey(after) : first;
    map.scan({ start, end: keyAfterPrefix(first) }, (key, value) => {
      if (left === 0) return false;
      left -= 1;
      last = key;
      references.push(...referencesOf(key, value));
      return true;
    });
    if (left === 0) return { references, next: last };
  }
  return { references, next: undefined };
}
