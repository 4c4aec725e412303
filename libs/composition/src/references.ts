import type { WallTime } from "@kiseki/base";
import { assert, sameBytes, sealId } from "@kiseki/base";
import type { LeafExtent } from "@kiseki/format";
import {
  decodeChunk,
  decodeCold,
  decodeCondemned,
  decodeDrop,
  decodeManifestNode,
  dropKey,
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
import type { CursorRow } from "./row-cursor.ts";
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

/**
 * Seals move forward in this order only, so that a walk in pages over a changing map misses none: small
 * content to `drop`, a chunk's seal between its live and its condemned row, which one page shows together.
 */
const referenceTables: readonly number[] = [table.cold, table.manifest, table.chunk, table.drop];
const chunkKeySize = 39;

function smallOf(
  extents: readonly LeafExtent[],
  from: Reference["from"],
  row: Uint8Array,
): readonly Reference[] {
  return extents.flatMap((extent) => (extent.kind === "small" ? [{ ...extent, from, row }] : []));
}
function condemnedOf(map: MapReader, key: Uint8Array, value: Uint8Array): readonly Reference[] {
  const { chunkId } = parseChunkKey(key.slice(0, chunkKeySize));
  const drop = map.get(dropKey(decodeCondemned(value), chunkId, sealId(key.slice(chunkKeySize))));
  assert(drop !== undefined, "a condemned seal has a drop row");
  return [{ ...decodeDrop(drop), from: "condemned", row: key }];
}
function referencesOf(map: MapReader, { key, value }: CursorRow): readonly Reference[] {
  switch (key[0]) {
    case table.chunk:
      if (!isChunkKey(key)) return condemnedOf(map, key, value);
      return [{ ...parseChunkKey(key), ...decodeChunk(value), from: "chunk", row: key }];
    case table.drop:
      return [{ ...decodeDrop(value), from: "drop", row: key }];
    case table.cold: {
      const { content } = decodeCold(value);
      return content.kind === "extents" ? smallOf(content.extents, "cold", key) : [];
    }
    default: {
      if (!isManifestNodeKey(key)) return [];
      const node = decodeManifestNode(value);
      return node.kind === "leaf" ? smallOf(node.extents, "manifest", key) : [];
    }
  }
}

/**
 * Every (chunk id, seal id) that the map names, over pages of about `rowsMax` rows; a condemned chunk's
 * seal comes twice. What is on a device under an older epoch and not among them is garbage, also when
 * the map changed between the pages.
 */
export function listReferences(
  map: MapReader,
  after: Uint8Array | undefined,
  rowsMax: number,
): ReferencePage {
  const rows: CursorRow[] = [];
  let isFull = false;
  const begun = after === undefined ? 0 : referenceTables.indexOf(after[0]!);
  assert(begun >= 0, "a walk goes on where it stopped");
  for (const number of referenceTables.slice(begun)) {
    const first = Uint8Array.of(number);
    const start = after !== undefined && after[0] === number ? afterKey(after) : first;
    map.scan({ start, end: keyAfterPrefix(first) }, (key, value) => {
      const last = rows.at(-1);
      isFull = rows.length >= rowsMax && !(last !== undefined && isSameChunk(last.key, key));
      if (!isFull) rows.push({ key, value });
      return !isFull;
    });
    if (isFull) break;
  }
  const references = rows.flatMap((row) => referencesOf(map, row));
  return { references, next: isFull ? rows.at(-1)?.key : undefined };
}

/** Rows of one chunk belong on one page: a seal may move from the later to the earlier. */
const isSameChunk = (a: Uint8Array, b: Uint8Array): boolean =>
  a[0] === table.chunk && sameBytes(a.subarray(0, chunkKeySize), b.subarray(0, chunkKeySize));
