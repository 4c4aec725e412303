// Goal: what was written last is what a read shows, whatever was cut, taken and flushed in between.
// Method: random steps near multiples of the piece size, against bytes in a plain array. `KISEKI_SIM_SEED` replays.
import { prngFromSeed } from "@kiseki/base";
import { expect, test } from "bun:test";
import { DirtyRanges } from "./dirty-ranges.ts";
import { FileBuffer, overlayPieces, pieceSizeMax } from "./index.ts";

const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0],
);
const boundary = pieceSizeMax;
/** The window that steps fall into: half of it below the boundary. */
const windowStart = boundary - 4096;
const windowSize = 8192;

test(`DirtyRanges holds what was written last (replay with KISEKI_SIM_SEED=${seed})`, () => {
  const prng = prngFromSeed(seed);
  for (let round = 0; round < 40; round += 1) {
    const ranges = new DirtyRanges();
    const model = new Int16Array(windowSize).fill(-1);
    for (let step = 0; step < 120; step += 1) {
      const at = prng.below(windowSize);
      const length =
        1 + prng.below(Math.min(prng.chance(1, 4) ? windowSize : 300, windowSize - at));
      const act = prng.below(20);
      if (act === 0) {
        ranges.truncate(windowStart + at);
        model.fill(-1, at);
      } else if (act === 1 && prng.chance(1, 3)) {
        const seen = new Int16Array(windowSize).fill(-1);
        for (const { offset, data } of ranges.take()) {
          expect(Math.floor(offset / boundary)).toBe(
            Math.floor((offset + data.byteLength - 1) / boundary),
          );
          seen.set(data, offset - windowStart);
        }
        expect(seen).toEqual(model);
        expect([ranges.isEmpty, ranges.byteCount]).toEqual([true, 0]);
        model.fill(-1);
      } else {
        const value = prng.below(256);
        ranges.write(windowStart + at, new Uint8Array(length).fill(value));
        model.fill(value, at, at + length);
      }
      ranges.check();
      const target = new Uint8Array(windowSize).fill(7);
      ranges.overlay(windowStart, target);
      expect(target).toEqual(Uint8Array.from(model, (value) => (value < 0 ? 7 : value)));
      const isCovered = model.subarray(at, at + length).every((value) => value >= 0);
      expect(ranges.covers(windowStart + at, windowStart + at + length)).toBe(isCovered);
      const last = model.findLastIndex((value) => value >= 0);
      expect(ranges.end).toBe(last < 0 ? 0 : windowStart + last + 1);
    }
  }
});

test("DirtyRanges.write() of a stream in small steps takes little more memory than the stream", () => {
  const ranges = new DirtyRanges();
  const step = new Uint8Array(4096);
  for (let offset = 0; offset < 2 * pieceSizeMax; offset += step.byteLength)
    ranges.write(offset, step);
  expect(ranges.rangeCount).toBe(2);
  expect(ranges.byteCount).toBe(2 * pieceSizeMax);
});

test("FileBuffer.undoFlush() brings back what was on its way, below what came since", () => {
  const buffer = new FileBuffer();
  buffer.write(0, new Uint8Array(10).fill(1));
  buffer.beginFlush();
  buffer.write(5, new Uint8Array(10).fill(2));
  buffer.undoFlush();
  expect([buffer.isFlushing, buffer.end]).toEqual([false, 15]);
  const target = new Uint8Array(15);
  buffer.overlay(0, target);
  expect([...target]).toEqual([1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
  expect(buffer.beginFlush()).toHaveLength(1);
});

test("FileBuffer.beginFlush() of whole pieces leaves what may grow", () => {
  const buffer = new FileBuffer();
  buffer.write(0, new Uint8Array(pieceSizeMax + 10));
  expect(buffer.beginFlush(true).map(({ offset, data }) => [offset, data.byteLength])).toEqual([
    [0, pieceSizeMax],
  ]);
  expect([buffer.isDirty, buffer.end]).toEqual([true, pieceSizeMax + 10]);
  buffer.endFlush();
  expect(buffer.beginFlush(true)).toEqual([]);
  expect(buffer.isFlushing).toBe(false);
  expect(buffer.beginFlush()).toHaveLength(1);
});

test("DirtyRanges.write() backwards joins at take()", () => {
  const ranges = new DirtyRanges();
  for (let i = 9; i >= 0; i -= 1) ranges.write(i * 100, new Uint8Array(100).fill(i));
  const pieces = ranges.take();
  expect(pieces).toHaveLength(1);
  expect(pieces[0]!.data).toEqual(Uint8Array.from({ length: 1000 }, (_, i) => Math.floor(i / 100)));
});

test("FileBuffer shows what is on its way below what was written since", () => {
  const buffer = new FileBuffer();
  buffer.write(10, new Uint8Array(10).fill(1));
  expect(buffer.beginFlush()).toHaveLength(1);
  buffer.write(15, new Uint8Array(10).fill(2));
  const target = new Uint8Array(30);
  buffer.overlay(0, target);
  expect([...target.subarray(8, 27)]).toEqual([
    ...[0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0, 0],
  ]);
  expect(buffer.end).toBe(25);
  const before = buffer.snapshot(12, 18);
  buffer.endFlush();
  expect([buffer.isFlushing, buffer.isDirty]).toEqual([false, true]);
  target.fill(0);
  overlayPieces(before, 0, target);
  expect([...target.subarray(10, 20)]).toEqual([0, 0, 1, 1, 1, 2, 2, 2, 0, 0]);
  expect(buffer.snapshot(0, 15)).toEqual([]);
  buffer.discard();
  expect([buffer.isDirty, buffer.end, buffer.byteCount]).toEqual([false, 0, 0]);
});
