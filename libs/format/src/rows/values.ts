import type { WallTime } from "@kiseki/base";
import { assert, namespaceId } from "@kiseki/base";
import { RowReader, RowWriter } from "./codec.ts";
import {
  checksumCode,
  manifestNodeItemsMax,
  readAddress,
  readAttributes,
  readChecksumCode,
  readChecksums,
  readEtag,
  readExtents,
  readLeafExtents,
  readSeal,
  writeAddress,
  writeAttributes,
  writeChecksums,
  writeEtag,
  writeExtents,
  writeSeal,
} from "./content.ts";
import { extrasVersion } from "./extras.ts";
import { readInode } from "./files.ts";
import type {
  ChunkRow,
  CountersRow,
  DoneRow,
  DropRow,
  LeaseRow,
  ManifestChild,
  ManifestHead,
  ManifestNode,
  NamespaceRow,
  PartRow,
  QuotaRow,
  ReclaimRow,
  UploadRow,
  UsageRow,
  Versioning,
} from "./types.ts";

/** Values of the map's rows: a version byte, then fields in order. Drawn in `docs/formats/map.md`. */
const nameSizeMax = 64 * 1024;
/** Bytes of one setting of a namespace. */
export const settingSizeMax = 256 * 1024;
const writer = (version = 1): RowWriter => new RowWriter().u8(version);
/** Of rows with attributes: version 2 has extras behind them. */
const attributesVersionMax = 2;
const bit = (holds: boolean, mask: number): number => (holds ? mask : 0);

/** Value of the row that points to the noncurrent version called `null`. */
export const encodeNullPointer = (version: bigint): Uint8Array => writer().big(version).done();
export function decodeNullPointer(source: Uint8Array): bigint {
  const from = new RowReader(source, "a null pointer row");
  const version = from.big();
  from.end();
  return version;
}

export function encodeUpload(row: UploadRow): Uint8Array {
  const to = writer(extrasVersion(row.attributes)).signed(row.initiated);
  to.u8(checksumCode(row.checksumAlgorithm));
  writeAttributes(to.u8(bit(row.isChecksumComposite, 1)), row.attributes);
  return to.done();
}
export function decodeUpload(source: Uint8Array): UploadRow {
  const from = new RowReader(source, "an upload row", attributesVersionMax);
  const row: UploadRow = {
    initiated: from.time(),
    checksumAlgorithm: readChecksumCode(from),
    isChecksumComposite: (from.flags(1) & 1) !== 0,
    attributes: readAttributes(from),
  };
  from.end();
  return row;
}
export function encodePart(row: PartRow): Uint8Array {
  const to = writer().big(row.manifest).number(row.size).raw(row.md5).signed(row.modified);
  writeChecksums(to, row.checksums);
  return to.done();
}
export function decodePart(source: Uint8Array): PartRow {
  const from = new RowReader(source, "a part row");
  const row: PartRow = {
    manifest: from.big(),
    size: from.number(),
    md5: from.raw(16),
    modified: from.time(),
    checksums: readChecksums(from),
  };
  from.end();
  return row;
}

export function encodeChunk(row: ChunkRow): Uint8Array {
  assert(row.count >= 1, "a chunk row has a reference");
  const to = writer().number(row.count);
  writeSeal(to, row);
  return to.done();
}
export function decodeChunk(source: Uint8Array): ChunkRow {
  const from = new RowReader(source, "a chunk row");
  const count = from.number();
  const row: ChunkRow = { count, ...readSeal(from) };
  if (count === 0) from.fail("bad_field");
  from.end();
  return row;
}
export function encodeDrop(row: DropRow): Uint8Array {
  const to = writer();
  writeAddress(to, row);
  writeSeal(to, row);
  return to.done();
}
export function decodeDrop(source: Uint8Array): DropRow {
  const from = new RowReader(source, "a drop row");
  const row: DropRow = { ...readAddress(from), ...readSeal(from) };
  from.end();
  return row;
}

/** Value of a condemned row: the time in its drop row's key. */
export const encodeCondemned = (time: WallTime): Uint8Array => writer().signed(time).done();
export function decodeCondemned(source: Uint8Array): WallTime {
  const from = new RowReader(source, "a condemned row");
  const time = from.time();
  from.end();
  return time;
}

export const encodeHidden = (name: Uint8Array): Uint8Array => writer().bytes(name).done();
/** The name. */
export function decodeHidden(source: Uint8Array): Uint8Array {
  const from = new RowReader(source, "a hidden row");
  const name = from.bytes(nameSizeMax);
  from.end();
  return name;
}
export function encodeLease(row: LeaseRow): Uint8Array {
  return writer().big(row.epoch).signed(row.expires).bytes(row.payload).done();
}
export function decodeLease(source: Uint8Array): LeaseRow {
  const from = new RowReader(source, "a lease row");
  const row: LeaseRow = {
    epoch: from.big(),
    expires: from.time(),
    payload: from.bytes(nameSizeMax),
  };
  from.end();
  return row;
}
export function encodeDone(row: DoneRow): Uint8Array {
  const to = writer().raw(row.namespace).bytes(row.key).signed(row.finished);
  writeEtag(to, row.etag);
  to.number(row.size).big(row.version).u8(bit(row.isNull, 1));
  writeChecksums(to, row.checksums);
  return to.done();
}
export function decodeDone(source: Uint8Array): DoneRow {
  const from = new RowReader(source, "a done row");
  const row: DoneRow = {
    namespace: namespaceId(from.raw(16)),
    key: from.bytes(nameSizeMax),
    finished: from.time(),
    etag: readEtag(from),
    size: from.number(),
    version: from.big(),
    isNull: (from.flags(1) & 1) !== 0,
    checksums: readChecksums(from),
  };
  from.end();
  return row;
}

const versioningNames: readonly Versioning[] = ["off", "enabled", "suspended"];
/** Version 2 when versions may be locked: a program that cannot keep a lock must not read the row. */
export function encodeNamespace(row: NamespaceRow): Uint8Array {
  const to = writer(row.isLockEnabled ? 2 : 1).u8(versioningNames.indexOf(row.versioning));
  to.u8(bit(row.isReadOnly, 1) | bit(row.isLockEnabled, 2));
  return to.raw(row.id).text(row.name).big(row.root).signed(row.created).done();
}
export function decodeNamespace(source: Uint8Array): NamespaceRow {
  const from = new RowReader(source, "a namespace row", 2);
  const versioning = versioningNames[from.u8()] ?? from.fail("bad_field");
  const flags = from.flags(from.version === 1 ? 1 : 3);
  const isLockEnabled = (flags & 2) !== 0;
  if (isLockEnabled !== (from.version === 2)) from.fail("bad_field");
  const row: NamespaceRow = {
    versioning,
    isReadOnly: (flags & 1) !== 0,
    isLockEnabled,
    id: namespaceId(from.raw(16)),
    name: from.text(255),
    root: readInode(from),
    created: from.time(),
  };
  from.end();
  return row;
}
/** Value of a setting's row: bytes that mean something to whoever set it. */
export function encodeSetting(value: Uint8Array): Uint8Array {
  assert(value.byteLength <= settingSizeMax, "a setting is bounded");
  return writer().bytes(value).done();
}
export function decodeSetting(source: Uint8Array): Uint8Array {
  const from = new RowReader(source, "a setting's row");
  const value = from.bytes(settingSizeMax);
  from.end();
  return value;
}
/** Value of a consumer's row: the log index up to which it has read. */
export const encodeConsumer = (index: bigint): Uint8Array => writer().big(index).done();
export function decodeConsumer(source: Uint8Array): bigint {
  const from = new RowReader(source, "a consumer row");
  const index = from.big();
  from.end();
  return index;
}
export const encodeCounters = (row: CountersRow): Uint8Array =>
  writer().big(row.nextInode).big(row.nextVersion).done();
export function decodeCounters(source: Uint8Array): CountersRow {
  const from = new RowReader(source, "the counters row");
  const row: CountersRow = { nextInode: from.big(), nextVersion: from.big() };
  from.end();
  return row;
}
export const encodeUsage = (row: UsageRow): Uint8Array =>
  writer()
    .number(row.objects)
    .number(row.bytes)
    .number(row.oldVersions)
    .number(row.oldBytes)
    .done();
export function decodeUsage(source: Uint8Array): UsageRow {
  const from = new RowReader(source, "a usage row");
  const row: UsageRow = {
    objects: from.number(),
    bytes: from.number(),
    oldVersions: from.number(),
    oldBytes: from.number(),
  };
  from.end();
  return row;
}

export function encodeQuota(row: QuotaRow): Uint8Array {
  const { bytesMax, objectsMax, bytes, objects } = row;
  const to = writer().u8(bit(bytesMax !== undefined, 1) | bit(objectsMax !== undefined, 2));
  if (bytesMax !== undefined) to.number(bytesMax);
  if (objectsMax !== undefined) to.number(objectsMax);
  return to.number(bytes).number(objects).done();
}
export function decodeQuota(source: Uint8Array): QuotaRow {
  const from = new RowReader(source, "a quota row");
  const flags = from.flags(3);
  const row: QuotaRow = {
    bytesMax: (flags & 1) === 0 ? undefined : from.number(),
    objectsMax: (flags & 2) === 0 ? undefined : from.number(),
    bytes: from.number(),
    objects: from.number(),
  };
  from.end();
  return row;
}
/** Value of a row that is one sum. */
export const encodeSum = (sum: number): Uint8Array => writer().number(sum).done();
export function decodeSum(source: Uint8Array): number {
  const from = new RowReader(source, "a sum");
  const sum = from.number();
  from.end();
  return sum;
}

/** Version 2 has a depth behind the size. */
export function encodeManifestHead({ count, size, depth }: ManifestHead): Uint8Array {
  const to = writer(depth === undefined ? 1 : 2)
    .number(count)
    .number(size);
  if (depth !== undefined) to.number(depth);
  return to.done();
}
export function decodeManifestHead(source: Uint8Array): ManifestHead {
  const from = new RowReader(source, "a manifest head", 2);
  const row = { count: from.number(), size: from.number() };
  const depth = from.version === 1 ? {} : { depth: from.number(0xffff) };
  from.end();
  return { ...row, ...depth };
}
/** Version 3: a leaf with slices. */
export function encodeManifestNode(row: ManifestNode): Uint8Array {
  if (row.kind === "leaf") {
    assert(row.extents.length <= manifestNodeItemsMax, "a node holds few extents");
    const hasSlices = row.extents.some(({ kind }) => kind === "slice");
    const leaf = hasSlices ? writer(3).u8(4) : writer().u8(1);
    writeExtents(leaf, row.extents);
    return leaf.done();
  }
  const to = writer();
  assert(row.children.length <= manifestNodeItemsMax, "a node has few children");
  if (row.children.every(({ part }) => part !== undefined)) return encodePartsNode(row.children);
  to.u8(2).number(row.children.length);
  for (const { manifest, size, part } of row.children) {
    assert(part === undefined, "children are all parts or none is");
    to.big(manifest).number(size);
  }
  return to.done();
}
/** Version 2: children that keep what they were as parts. */
function encodePartsNode(children: readonly ManifestChild[]): Uint8Array {
  const to = new RowWriter().u8(2).u8(3).number(children.length);
  for (const { manifest, size, part } of children) {
    assert(part !== undefined, "children are all parts or none is");
    to.big(manifest).number(size).number(part.number);
    writeChecksums(to, part.checksums);
  }
  return to.done();
}
function readParts(from: RowReader): readonly ManifestChild[] {
  return Array.from({ length: from.count(4) }, () => {
    const child = { manifest: from.big(), size: from.number() };
    return { ...child, part: { number: from.number(0xffff), checksums: readChecksums(from) } };
  });
}
export function decodeManifestNode(source: Uint8Array): ManifestNode {
  const from = new RowReader(source, "a manifest node", 3);
  const code = from.u8();
  let row: ManifestNode;
  if (from.version !== Math.max(1, code - 1)) return from.fail("bad_field");
  if (code === 4) row = { kind: "leaf", extents: readLeafExtents(from) };
  else if (code === 3) row = { kind: "inner", children: readParts(from) };
  else if (code === 1) row = { kind: "leaf", extents: readExtents(from, manifestNodeItemsMax) };
  else if (code === 2) {
    const length = from.count(2);
    const children = Array.from({ length }, () => ({ manifest: from.big(), size: from.number() }));
    row = { kind: "inner", children };
  } else return from.fail("bad_field");
  from.end();
  return row;
}

/** Version 2: a range. */
export function encodeReclaim(row: ReclaimRow): Uint8Array {
  if (row.kind === "range") {
    return writer(2).u8(4).big(row.manifest).number(row.start).number(row.end).done();
  }
  const to = writer();
  if (row.kind === "manifest") return to.u8(1).big(row.manifest).done();
  if (row.kind === "uploads") return to.u8(3).big(row.root).done();
  return to.u8(2).big(row.root).bytes(row.key).raw(row.upload).bytes(row.used).done();
}
export function decodeReclaim(source: Uint8Array): ReclaimRow {
  const from = new RowReader(source, "a reclaim row", 2);
  const code = from.u8();
  let row: ReclaimRow;
  if ((from.version === 2) !== (code === 4)) return from.fail("bad_field");
  if (code === 1) row = { kind: "manifest", manifest: from.big() };
  else if (code === 2) {
    const root = readInode(from);
    const key = from.bytes(nameSizeMax);
    row = { kind: "parts", root, key, upload: from.raw(16), used: from.bytes(8192) };
  } else if (code === 3) row = { kind: "uploads", root: readInode(from) };
  else if (code === 4) {
    const manifest = from.big();
    row = { kind: "range", manifest, start: from.number(), end: from.number() };
    if (row.start >= row.end) return from.fail("bad_field");
  } else return from.fail("bad_field");
  from.end();
  return row;
}
