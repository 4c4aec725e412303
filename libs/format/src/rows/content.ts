import { assert, chunkId, sealId, storedKeyset } from "@kiseki/base";
import type { RowReader, RowWriter } from "./codec.ts";
import { readExtras, writeExtras } from "./extras.ts";
import { profileCode, profileFromCode } from "./keys.ts";
import type {
  Checksum,
  ChecksumAlgorithm,
  ChunkAddress,
  ChunkSeal,
  Content,
  Etag,
  Extent,
  LeafExtent,
  ObjectAttributes,
} from "./types.ts";

/** Most extents in one row; more go into a manifest. */
export const rowExtentsMax = 32;
/** Extents or children of one manifest node. */
export const manifestNodeItemsMax = 256;
/** Bytes of all attributes of an object in its row. */
const attributeSizeMax = 64 * 1024;
const u32Max = 0xffff_ffff;

export function writeAddress(to: RowWriter, address: ChunkAddress): void {
  assert(address.pool <= u32Max, "a pool's number fits 32 bits");
  to.raw(address.chunkId).number(address.pool).number(profileCode(address.profile));
}
export function readAddress(from: RowReader): ChunkAddress {
  const id = chunkId(from.raw(32));
  const pool = from.number(u32Max);
  const profile = profileFromCode(from.number(0xffff));
  if (profile === undefined) from.fail("bad_field");
  return { chunkId: id, pool, profile };
}
export function writeSeal(to: RowWriter, seal: ChunkSeal): void {
  to.raw(seal.sealId).number(seal.keyset).number(seal.placementEpoch);
  to.number(seal.size).number(seal.missing);
}
export function readSeal(from: RowReader): ChunkSeal {
  const id = sealId(from.raw(16));
  const set = from.number(u32Max);
  return {
    sealId: id,
    keyset: storedKeyset(set),
    placementEpoch: from.number(u32Max),
    size: from.number(u32Max),
    missing: from.number(u32Max),
  };
}

const extentCodes = { chunk: 0, small: 1, slice: 2 } as const;
/** Offsets are written as gaps behind the extent before: holes cost nothing, order is checked by form. */
export function writeExtents(to: RowWriter, extents: readonly LeafExtent[]): void {
  to.number(extents.length);
  let end = 0;
  for (const extent of extents) {
    assert(extent.offset >= end, "extents are ordered and disjoint");
    assert(extent.length >= 1, "an extent is not empty");
    to.u8(extentCodes[extent.kind]).number(extent.offset - end);
    to.number(extent.length).number(extent.chunkOffset);
    end = extent.offset + extent.length;
    if (extent.kind === "slice") {
      to.big(extent.manifest);
      continue;
    }
    writeAddress(to, extent);
    if (extent.kind === "small") writeSeal(to, extent);
  }
}
/** Least bytes of an extent that names a chunk, and of a slice. */
const extentSizeMin = 38;
const sliceSizeMin = 5;

function readExtent(from: RowReader, end: number, codeMax: number): LeafExtent {
  const code = from.u8();
  const offset = end + from.number();
  const length = from.number();
  const range = { offset, length, chunkOffset: from.number() };
  if (code > codeMax || length === 0 || !Number.isSafeInteger(offset + length)) {
    from.fail("bad_field");
  }
  if (code === extentCodes.slice) return { kind: "slice", ...range, manifest: from.big() };
  const address = readAddress(from);
  return code === extentCodes.small
    ? { kind: "small", ...address, ...range, ...readSeal(from) }
    : { kind: "chunk", ...address, ...range };
}
/** Of a leaf that may hold slices. */
export function readLeafExtents(from: RowReader): readonly LeafExtent[] {
  const count = from.count(sliceSizeMin);
  if (count > manifestNodeItemsMax) from.fail("bad_field");
  const extents: LeafExtent[] = [];
  let end = 0;
  for (let i = 0; i < count; i++) {
    const extent = readExtent(from, end, extentCodes.slice);
    extents.push(extent);
    end = extent.offset + extent.length;
  }
  return extents;
}
export function readExtents(from: RowReader, countMax: number): readonly Extent[] {
  const count = from.count(extentSizeMin);
  if (count > countMax) from.fail("bad_field");
  const extents: Extent[] = [];
  let end = 0;
  for (let i = 0; i < count; i++) {
    const extent = readExtent(from, end, extentCodes.small);
    assert(extent.kind !== "slice", "a code of a slice was refused");
    extents.push(extent);
    end = extent.offset + extent.length;
  }
  return extents;
}

export function writeContent(to: RowWriter, content: Content): void {
  if (content.kind === "empty") to.u8(0);
  else if (content.kind === "manifest") to.u8(2).big(content.manifest);
  else {
    assert(content.extents.length <= rowExtentsMax, "a row holds few extents");
    writeExtents(to.u8(1), content.extents);
  }
}
export function readContentField(from: RowReader): Content {
  const code = from.u8();
  if (code === 0) return { kind: "empty" };
  if (code === 1) return { kind: "extents", extents: readExtents(from, rowExtentsMax) };
  if (code === 2) return { kind: "manifest", manifest: from.big() };
  return from.fail("bad_field");
}

export function writeEtag(to: RowWriter, etag: Etag): void {
  assert(etag.md5.byteLength === 16, "an MD5 has 16 bytes");
  to.raw(etag.md5).number(etag.parts);
}
export const readEtag = (from: RowReader): Etag => ({
  md5: from.raw(16),
  parts: from.number(0xffff),
});

const checksumCodes: Readonly<Record<ChecksumAlgorithm, number>> = {
  crc32: 1,
  crc32c: 2,
  crc64nvme: 3,
  sha1: 4,
  sha256: 5,
};
const checksumNames: readonly (ChecksumAlgorithm | undefined)[] = [
  undefined,
  "crc32",
  "crc32c",
  "crc64nvme",
  "sha1",
  "sha256",
];
/** 0 for none. */
export const checksumCode = (algorithm: ChecksumAlgorithm | undefined): number =>
  algorithm === undefined ? 0 : checksumCodes[algorithm];
export function readChecksumCode(from: RowReader): ChecksumAlgorithm | undefined {
  const code = from.u8();
  if (code >= checksumNames.length) from.fail("bad_field");
  return checksumNames[code];
}
export function writeChecksums(to: RowWriter, checksums: readonly Checksum[]): void {
  to.u8(checksums.length);
  for (const { algorithm, value, isComposite } of checksums) {
    to.u8(checksumCode(algorithm))
      .u8(isComposite ? 1 : 0)
      .bytes(value);
  }
}
export function readChecksums(from: RowReader): readonly Checksum[] {
  return Array.from({ length: from.u8() }, () => {
    const algorithm = readChecksumCode(from) ?? from.fail("bad_field");
    const isComposite = (from.flags(1) & 1) !== 0;
    return { algorithm, value: from.bytes(64), isComposite };
  });
}

type Pairs = readonly (readonly [name: string, value: string])[];
function writePairs(to: RowWriter, pairs: Pairs): void {
  to.number(pairs.length);
  for (const [name, value] of pairs) to.text(name).text(value);
}
function readPairs(from: RowReader): Pairs {
  return Array.from({ length: from.count(2) }, () => [
    from.text(attributeSizeMax),
    from.text(attributeSizeMax),
  ]);
}
/** `isCounted`: extras are counted though there are none. */
export function writeAttributes(
  to: RowWriter,
  attributes: ObjectAttributes,
  isCounted = false,
): void {
  writePairs(to, attributes.headers);
  writePairs(to, attributes.userMetadata);
  writeChecksums(to, attributes.checksums);
  writeExtras(to, attributes, isCounted);
}
export const readAttributes = (from: RowReader): ObjectAttributes => ({
  headers: readPairs(from),
  userMetadata: readPairs(from),
  checksums: readChecksums(from),
  ...readExtras(from),
});
