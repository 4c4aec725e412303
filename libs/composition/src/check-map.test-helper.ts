import { assert, compareBytes, namespaceId, sameBytes, sealId, toHex } from "@kiseki/base";
import type { DirectoryEntry, HeadRow, LeafExtent } from "@kiseki/format";
import {
  chunkKey,
  decodeChunk,
  decodeCold,
  decodeCondemned,
  decodeEntry,
  decodeHead,
  decodeHidden,
  decodeManifestHead,
  decodeManifestNode,
  decodeNullPointer,
  decodePart,
  decodeReclaim,
  dropKey,
  entryKey,
  hiddenKey,
  isChunkKey,
  namespaceKey,
  oldKey,
  parseChunkKey,
  parseOldKey,
  table,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { checkFiles, rowsOf } from "./check-files.test-helper.ts";
import type { DirKeys } from "./operation.ts";
import { listReferences } from "./references.ts";

function addTo<K>(counts: Map<K, number>, key: K, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}

function checkHead(head: HeadRow, entry: DirectoryEntry, name: Uint8Array): void {
  assert(compareBytes(head.name, name) === 0, "a head knows its name");
  assert(head.isExplicit === entry.isExplicit, "row and head agree who made a directory");
  assert(head.isExplicit || head.total > 0, "an empty implicit directory is gone");
}
function checkOldRow(map: MapReader, { key, value }: { key: Uint8Array; value: Uint8Array }): void {
  const { name, version } = parseOldKey(key);
  if (version !== 0n) {
    const entry = decodeEntry(value);
    assert(entry.kind !== "directory" && entry.version === version, "an old row is its version");
    return;
  }
  const old = map.get(oldKey(key.slice(1, 17), name, decodeNullPointer(value)));
  const entry = old === undefined ? undefined : decodeEntry(old);
  const isNull = entry !== undefined && entry.kind !== "directory" && entry.isNull;
  assert(isNull, "a null pointer points to a null version");
}

/** Every row that stands for a name in a directory, and what it makes of the directory's counts. */
function checkHeads(map: MapReader, dirKeys: DirKeys, heads: Map<string, HeadRow>): void {
  const live = new Map<string, number>();
  const total = new Map<string, number>();
  const hidden = new Map<string, number>();
  const children = new Set<string>();
  const directories = new Map<string, number>();
  for (const { key, value } of rowsOf(map, table.entry)) {
    const dirKey = key.slice(1, 17);
    const at = toHex(dirKey);
    const entry = decodeEntry(value);
    const name = key.slice(17);
    addTo(total, at, 1);
    if (entry.kind === "directory") {
      const child = toHex(dirKeys.dirKey(entry.inode));
      const head = heads.get(child);
      assert(head !== undefined, "a directory's row has a head");
      checkHead(head, entry, name.subarray(0, -1));
      const above = head.parent === undefined ? "" : toHex(dirKeys.dirKey(head.parent));
      assert(above === at, "a head knows its parent");
      assert(!children.has(child), "a directory has one row");
      children.add(child);
      if (head.isExplicit || head.live > 0) {
        addTo(live, at, 1);
        addTo(directories, at, 1);
      }
      continue;
    }
    assert(entry.kind === "object", "an entry row is no delete marker");
    addTo(live, at, 1);
    const slashed = new Uint8Array(name.byteLength + 1);
    slashed.set(name);
    slashed[name.byteLength] = 0x2f;
    const isTail = name.includes(0x2f) || name.includes(0) || name.byteLength > 255;
    const isDots = /^\.{1,2}$/.test(new TextDecoder().decode(name));
    const isBehind = name.byteLength > 0 && map.get(entryKey(dirKey, slashed)) !== undefined;
    const hiddenValue = map.get(hiddenKey(dirKey, dirKeys.hiddenName(dirKey, name)));
    const isHidden = isTail || isDots || isBehind;
    assert((hiddenValue !== undefined) === isHidden, "just the hidden names have hidden rows");
    if (hiddenValue === undefined) continue;
    assert(sameBytes(decodeHidden(hiddenValue), name), "a hidden row holds the name");
    addTo(hidden, at, 1);
  }
  for (const { key, value } of rowsOf(map, table.old)) {
    checkOldRow(map, { key, value });
    if (parseOldKey(key).version !== 0n) addTo(total, toHex(key.slice(1, 17)), 1);
  }
  let hiddenTotal = 0;
  for (const [at, head] of heads) {
    assert(head.parent === undefined || children.has(at), "a head has a row in its parent");
    const counted = head.node?.directories;
    assert(counted === undefined || counted === (directories.get(at) ?? 0), "subdirectories");
    assert(head.live === (live.get(at) ?? 0), "live is exact");
    assert(head.total === (total.get(at) ?? 0), "total is exact");
    assert(head.hidden === (hidden.get(at) ?? 0), "hidden is exact");
    hiddenTotal += head.hidden;
  }
  assert(
    [...total.keys()].every((at) => heads.has(at)),
    "rows lie in directories that are there",
  );
  assert(rowsOf(map, table.hidden).length === hiddenTotal, "no hidden row is left over");
}

/** References that rows make, counted: extents to chunks, rows to manifests. */
function countReferences(map: MapReader): Map<string, number> {
  const chunks = new Map<string, number>();
  const manifests = new Map<bigint, number>();
  const note = (extents: readonly LeafExtent[]): void => {
    let end = 0;
    for (const extent of extents) {
      assert(extent.offset >= end && extent.length > 0, "extents are ordered and disjoint");
      end = extent.offset + extent.length;
      if (extent.kind === "chunk") addTo(chunks, toHex(chunkKey(extent)), 1);
      if (extent.kind === "slice") addTo(manifests, extent.manifest, 1);
    }
  };
  for (const { value } of rowsOf(map, table.cold)) {
    const { content } = decodeCold(value);
    if (content.kind === "extents") note(content.extents);
    else if (content.kind === "manifest") addTo(manifests, content.manifest, 1);
  }
  const used = new Map<string, Uint8Array>();
  const dying = new Set<bigint>();
  for (const { value } of rowsOf(map, table.reclaim)) {
    if (value.byteLength === 0) continue; // an expiry
    const row = decodeReclaim(value);
    if (row.kind === "manifest") dying.add(row.manifest);
    if (row.kind === "parts") used.set(toHex(row.upload), row.used);
  }
  for (const { key, value } of rowsOf(map, table.part)) {
    const part = key[key.byteLength - 2]! * 256 + key[key.byteLength - 1]!;
    const bits = used.get(toHex(key.slice(-18, -2)));
    const isUsed = ((bits?.[part >> 3] ?? 0) & (1 << (part & 7))) !== 0;
    if (!isUsed) addTo(manifests, decodePart(value).manifest, 1);
  }
  const heads = new Map<bigint, number>();
  for (const { key, value } of rowsOf(map, table.manifest)) {
    const view = new DataView(key.buffer, key.byteOffset);
    if (key.byteLength === 9) {
      heads.set(view.getBigUint64(1), decodeManifestHead(value).count);
      continue;
    }
    const node = decodeManifestNode(value);
    if (node.kind === "leaf") note(node.extents);
    else for (const child of node.children) addTo(manifests, child.manifest, 1);
  }
  for (const [manifest, count] of heads) {
    assert(count === (manifests.get(manifest) ?? 0), "a manifest's count is its holders");
    assert(count > 0 || dying.has(manifest), "a manifest without holder is being freed");
  }
  assert(
    [...manifests.keys()].every((id) => heads.has(id)),
    "a manifest that is named is there",
  );
  return chunks;
}

/** Every setting is of a namespace that is there. */
function checkSettings(map: MapReader): void {
  for (const { key } of rowsOf(map, table.namespace)) {
    if (key[1] !== 2) continue;
    const row = map.get(namespaceKey(namespaceId(key.slice(2, 18))));
    assert(row !== undefined, "a setting is gone with its namespace");
  }
}

/**
 * Recomputes from the rows alone what the machine keeps up to date: counts of directories, chunks and
 * manifests, and that every seal is named once. Answers the seals named, in hex.
 * @throws {AssertionError} naming the first that is wrong.
 */
export function checkMap(map: MapReader, dirKeys: DirKeys): ReadonlySet<string> {
  const heads = new Map<string, HeadRow>();
  for (const { key, value } of rowsOf(map, table.head))
    heads.set(toHex(key.slice(1)), decodeHead(value));
  checkHeads(map, dirKeys, heads);
  checkSettings(map);
  checkFiles(map, dirKeys, heads);
  const chunks = countReferences(map);
  const chunkRows = rowsOf(map, table.chunk).filter(({ key }) => isChunkKey(key));
  for (const { key, value } of rowsOf(map, table.chunk)) {
    if (isChunkKey(key)) continue;
    const seal = sealId(key.slice(39));
    const drop = dropKey(decodeCondemned(value), parseChunkKey(key.slice(0, 39)).chunkId, seal);
    assert(map.get(drop) !== undefined, "a condemned seal has its drop row");
  }
  for (const { key, value } of chunkRows) {
    assert(
      decodeChunk(value).count === chunks.get(toHex(key)),
      "a chunk's count is its references",
    );
  }
  assert(chunkRows.length === chunks.size, "every chunk that is named has a row");
  const seals = new Set<string>();
  let after: Uint8Array | undefined;
  do {
    const page = listReferences(map, after, 7);
    for (const { sealId: seal, from } of page.references) {
      if (from === "condemned") continue; // its drop row comes too
      assert(!seals.has(toHex(seal)), "a seal is named once");
      seals.add(toHex(seal));
    }
    after = page.next;
  } while (after !== undefined);
  return seals;
}
