import { expect, test } from "bun:test";
import { packPieces } from "./index.ts";

const piece = (offset: number, size: number) => ({
  offset,
  data: new Uint8Array(size).fill(offset % 251),
});
const shape = (sizes: readonly number[]): number[][] =>
  packPieces(sizes.map((size, i) => piece(i * 1_000_000, size))).map(({ ranges }) =>
    ranges.map(({ length }) => length),
  );

test("packPieces() joins what is small, but not what would be small content", () => {
  expect(shape([8192, 8192])).toEqual([[8192], [8192]]);
  expect(shape(Array<number>(10).fill(8192))).toEqual([Array<number>(10).fill(8192)]);
  expect(shape([])).toEqual([]);
});

test("packPieces() keeps packs small and large pieces alone, in their order", () => {
  expect(shape([60_000, 60_000, 1 << 20, 60_000, 60_000, 60_000, 60_000, 60_000])).toEqual([
    ...[[60_000, 60_000], [1 << 20], [60_000, 60_000, 60_000, 60_000], [60_000]],
  ]);
  expect(shape(Array<number>(70).fill(4096)).map(({ length }) => length)).toEqual([
    ...[32, 32, 1, 1, 1, 1, 1, 1],
  ]);
});

test("packPieces() says where each byte belongs", () => {
  const pieces = Array.from({ length: 40 }, (_, i) => piece(i * 77_777, 3000 + i));
  for (const { data, ranges } of packPieces(pieces)) {
    for (const { offset, start, length } of ranges) {
      const source = pieces.find((each) => each.offset === offset)!;
      expect(data.subarray(start, start + length)).toEqual(source.data);
    }
  }
});
