import { expect, test } from "bun:test";
import { keyset } from "@kiseki/base";
import { canDropKeyset, droppableMasters, type KeysetUse, liveKeysets } from "./index.ts";

const empty: KeysetUse = {
  chunks: 0,
  smallContents: 0,
  customerSalts: 0,
  tenantSecrets: 0,
  shardFiles: 0,
  logs: 0,
  snapshots: 0,
};

test("canDropKeyset() wants every count at zero, none uncounted, and an older keyset", () => {
  expect(canDropKeyset(keyset(1), keyset(2), empty)).toBe(true);
  expect(canDropKeyset(keyset(2), keyset(2), empty)).toBe(false);
  expect(canDropKeyset(keyset(3), keyset(2), empty)).toBe(false);
  for (const name of Object.keys(empty)) {
    expect(canDropKeyset(keyset(1), keyset(2), { ...empty, [name]: 1 }), name).toBe(false);
    expect(canDropKeyset(keyset(1), keyset(2), { ...empty, [name]: undefined }), name).toBe(false);
  }
});
test("liveKeysets() keeps the current one and what is not counted to zero", () => {
  const uses = new Map([
    [keyset(4), empty],
    [keyset(1), empty],
    [keyset(3), { ...empty, logs: 2 }],
    [keyset(2), { ...empty, chunks: undefined }],
  ]);
  expect(liveKeysets(keyset(4), uses)).toEqual([keyset(2), keyset(3), keyset(4)]);
});
test("droppableMasters() keeps the newest and those that wrap a share", () => {
  expect(droppableMasters([1, 2, 3], [2])).toEqual([1]);
  expect(droppableMasters([1, 2, 3], [])).toEqual([1, 2]);
  expect(droppableMasters([5], [])).toEqual([]);
  expect(droppableMasters([], [])).toEqual([]);
});
