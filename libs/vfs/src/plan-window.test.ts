import { chunkId, newBytes } from "@kiseki/base";
import { expect, test } from "bun:test";
import { type KnownPlan, knownPlan, type PlanPiece, PlanWindow } from "./index.ts";

function piece(offset: number, length: number, isHole = false): PlanPiece {
  if (isHole) return { kind: "hole", offset, length };
  return {
    kind: "chunk",
    offset,
    length,
    chunkId: chunkId(newBytes(32)),
    chunkOffset: 0,
    access: {},
  };
}
const plan = (size: number, version: bigint, ...pieces: PlanPiece[]): KnownPlan =>
  knownPlan({ kind: "plan", size, contentVersion: version, pieces, leaseMs: 1000 });

test("PlanWindow joins plans of one version that follow each other", () => {
  const window = new PlanWindow();
  window.add(plan(300, 1n, piece(0, 100)), 0, 10);
  window.add(plan(300, 1n, piece(100, 50, true), piece(150, 50)), 100, 20);
  expect([window.covers(0, 200), window.covers(0, 201), window.covers(300, 400)]).toEqual([
    true,
    false,
    true,
  ]);
  expect([0, 99, 100, 149, 150, 199].map((offset) => window.indexOf(offset))).toEqual([
    0, 0, 1, 1, 2, 2,
  ]);
  expect([window.isValid(9), window.isValid(10)]).toEqual([true, false]);
});

test("PlanWindow starts anew with another version, another size or a gap", () => {
  for (const next of [plan(300, 2n, piece(100, 10)), plan(400, 1n, piece(100, 10))]) {
    const window = new PlanWindow();
    window.add(plan(300, 1n, piece(0, 100)), 0, 10);
    window.add(next, 100, 20);
    expect([window.covers(0, 10), window.covers(100, 110), window.size]).toEqual([
      false,
      true,
      next.size,
    ]);
  }
  const window = new PlanWindow();
  window.add(plan(300, 1n, piece(0, 100)), 0, 10);
  window.add(plan(300, 1n, piece(200, 100)), 200, 20);
  expect([window.covers(0, 100), window.covers(200, 300)]).toEqual([false, true]);
  expect(window.covers(200, 1000)).toBe(true);
});

test("PlanWindow of an empty file covers everything, until it is forgotten", () => {
  const window = new PlanWindow();
  expect(window.covers(0, 1)).toBe(false);
  window.add(plan(0, 1n), 0, 10);
  expect([window.covers(0, 1), window.covers(50, 60), window.size]).toEqual([true, true, 0]);
  window.forget();
  expect([window.covers(0, 1), window.isValid(0)]).toEqual([false, false]);
});
