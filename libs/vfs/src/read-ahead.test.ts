import { expect, test } from "bun:test";
import { ReadAhead, readAheadMax, readAheadMin } from "./index.ts";

const step = 128 * 1024;

test("ReadAhead opens at the first read of a file's start and doubles while the stream goes on", () => {
  const ahead = new ReadAhead();
  const windows: number[] = [];
  let fetched = 0;
  for (let offset = 0; offset < 64 * 1024 * 1024; offset += step) {
    const range = ahead.read(offset, step);
    if (range === undefined) continue;
    expect(range.start).toBe(Math.max(fetched, offset + step));
    fetched = range.end;
    windows.push(ahead.window);
  }
  expect(windows.slice(0, 7)).toEqual([1, 2, 4, 8, 16, 32, 64].map((n) => n * readAheadMin));
  expect(windows.at(-1)).toBe(readAheadMax);
  expect(fetched).toBeGreaterThanOrEqual(64 * 1024 * 1024);
});

test("ReadAhead takes reads of one stream in any near order", () => {
  const ahead = new ReadAhead();
  ahead.read(0, step);
  const order = [2, 1, 4, 3, 6, 5, 8, 7];
  let end = 0;
  for (const i of order) end = Math.max(end, ahead.read(i * step, step)?.end ?? 0);
  expect(end).toBeGreaterThan(9 * step);
});

test("ReadAhead fetches nothing for reads here and there, and starts small after a jump", () => {
  const ahead = new ReadAhead();
  for (const offset of [50, 900, 3, 700, 20]) {
    expect(ahead.read(offset * 10 * 1024 * 1024, 4096)).toBeUndefined();
  }
  const start = 20 * 10 * 1024 * 1024 + 4096;
  expect(ahead.read(start, 4096)).toEqual({
    start: start + 4096,
    end: start + 4096 + readAheadMin,
  });
});

test("ReadAhead never opens when it may not", () => {
  const ahead = new ReadAhead(0);
  for (let i = 0; i < 10; i += 1) expect(ahead.read(i * step, step)).toBeUndefined();
});
