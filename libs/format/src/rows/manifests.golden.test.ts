// Goal: manifests of edited files keep their bytes for ever; a damaged row is refused instead of misread.
// Method: one sample of each row that edits brought, append only; every prefix, a longer row and other versions.
import { expect, test } from "bun:test";
import { newBytes, chunkId, fromHex, toHex } from "@kiseki/base";
import { RowError } from "./codec.ts";
import type { LeafExtent, ManifestHead, ManifestNode, ReclaimRow } from "./types.ts";
import * as values from "./values.ts";

interface Sample {
  readonly name: string;
  readonly hex: string;
  readonly encoded: Uint8Array;
  readonly row: object;
  readonly decode: (source: Uint8Array) => object;
}
function sample<Row extends object>(
  name: string,
  encode: (row: Row) => Uint8Array,
  decode: (source: Uint8Array) => Row,
  row: Row,
  hex: string,
): Sample {
  return { name, hex, encoded: encode(row), row, decode };
}

const leaf: readonly LeafExtent[] = [
  { kind: "slice", offset: 0, length: 300, chunkOffset: 5, manifest: 9n },
  {
    kind: "chunk",
    offset: 310,
    length: 1,
    chunkOffset: 2,
    chunkId: chunkId(newBytes(32).fill(0xc1)),
    pool: 3,
    profile: { kind: "ec", data: 4, parity: 2 },
  },
];
const golden: readonly Sample[] = [
  sample<ManifestNode>(
    "v3 manifest leaf with slices",
    values.encodeManifestNode,
    values.decodeManifestNode,
    { kind: "leaf", extents: leaf },
    "0304020200ac020509000a0102c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1038208",
  ),
  sample<ManifestHead>(
    "v2 manifest head with depth",
    values.encodeManifestHead,
    values.decodeManifestHead,
    { count: 2, size: 300, depth: 3 },
    "0202ac0203",
  ),
  sample<ReclaimRow>(
    "v2 reclaim, range",
    values.encodeReclaim,
    values.decodeReclaim,
    { kind: "range", manifest: 9n, start: 300, end: 5_497_558_138_880 },
    "020409ac028080808080a001",
  ),
];

for (const { name, hex, encoded, row, decode } of golden) {
  test(`rows keep the bytes of ${name}`, () => {
    expect(toHex(encoded)).toBe(hex);
    expect(decode(fromHex(hex))).toEqual(row);
  });
  test(`rows refuse ${name} when it is damaged`, () => {
    for (let size = 0; size < encoded.byteLength; size++) {
      expect(() => decode(encoded.slice(0, size))).toThrow(RowError);
    }
    const longer = new Uint8Array(encoded.byteLength + 1);
    longer.set(encoded);
    expect(() => decode(longer)).toThrow(RowError);
    for (const version of [0, 1, 2, 3, 4, 255]) {
      if (version === encoded[0]) continue;
      expect(() => decode(Uint8Array.of(version, ...encoded.slice(1)))).toThrow(RowError);
    }
  });
}
test("decodeManifestNode() refuses a leaf of version 3 whose extent ends past what is safe", () => {
  const extent = { ...leaf[0]!, length: Number.MAX_SAFE_INTEGER };
  const encoded = values.encodeManifestNode({ kind: "leaf", extents: [{ ...extent, offset: 1 }] });
  expect(() => values.decodeManifestNode(encoded)).toThrow(RowError);
});
