import { expect, test } from "bun:test";
import { chunkId, deviceId, newBytes, prngFromSeed } from "@kiseki/base";
import type { PlacementDevice } from "./index.ts";
import {
  countStaying,
  ackMin,
  acceptsFragments,
  capacityState,
  defaultProfile,
  fragmentCount,
  planPut,
  planRepair,
  roomBelowCritical,
  rankDevices,
  smallProfile,
} from "./index.ts";

const prng = prngFromSeed(3);
const devices = (writable: readonly boolean[]): PlacementDevice[] =>
  writable.map((isWritable, i) => ({
    id: deviceId(newBytes(16).fill(i + 1)),
    writable: isWritable,
  }));
const someChunk = () => chunkId(prng.fill(newBytes(32)));

test("defaultProfile() is the table of STORE §5", () => {
  const table = [1, 2, 3, 4, 5, 6, 9].map((count) => {
    const profile = defaultProfile(count);
    return profile.kind === "copies" ? `${profile.copies}` : `${profile.data}+${profile.parity}`;
  });
  expect(table).toEqual(["1", "2", "2+1", "3+1", "3+2", "4+2", "4+2"]);
  expect(smallProfile(defaultProfile(6))).toEqual({ kind: "copies", copies: 3 });
});

test("planPut() never goes below one loss, never puts two fragments on one device", () => {
  for (let count = 1; count <= 8; count++) {
    for (let mask = 0; mask < 1 << count; mask++) {
      const pool = devices(Array.from({ length: count }, (_, i) => ((mask >> i) & 1) === 1));
      const left = pool.filter((device) => device.writable).length;
      for (const small of [false, true]) {
        const plan = planPut(someChunk(), pool, { small, allowSingleCopy: false });
        if (left === 0 || (left === 1 && count > 1)) {
          expect(plan.kind).toBe("refused");
          continue;
        }
        if (plan.kind === "refused") throw new Error("Cannot be refused");
        const used = plan.targets.filter((target) => target !== undefined);
        expect(new Set(used).size).toBe(used.length);
        expect(used.every((target) => pool[target]!.writable)).toBe(true);
        expect(used.length).toBeGreaterThanOrEqual(ackMin(plan.profile));
        expect(plan.missing).toBe(fragmentCount(plan.profile) - used.length);
        if (left === count) expect(plan.missing).toBe(0);
      }
    }
  }
});

test("planPut() counts on no device that leaves", () => {
  for (let count = 2; count <= 8; count++) {
    const all = devices(Array.from({ length: count }, (_, i) => i > 0));
    const pool = all.map((device, i) => ({ ...device, isLeaving: i === 0 }));
    expect(countStaying(pool)).toBe(count - 1);
    const plan = planPut(someChunk(), pool, { small: false, allowSingleCopy: false });
    if (plan.kind === "refused") throw new Error("Cannot be refused");
    expect(plan.profile).toEqual(defaultProfile(count - 1));
    expect(plan.missing).toBe(0);
    expect(plan.targets).not.toContain(0);
  }
});

test("rankDevices() spreads evenly, and a device that goes moves only its own share", () => {
  const pool = devices([true, true, true, true, true, true]);
  const counts = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < 6000; i++) {
    const id = someChunk();
    const order = rankDevices(id, pool);
    counts[order[0]!]! += 1;
    const fewer = rankDevices(id, pool.slice(0, 5));
    expect(fewer).toEqual(order.filter((device) => device !== 5));
  }
  for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
});

test("planRepair() uses devices that hold nothing of the chunk", () => {
  const pool = devices([true, true, false, true]);
  const plan = planRepair(someChunk(), pool, [0, 2, 3], new Set([1]));
  expect(plan.map(({ index }) => index)).toEqual([0, 2]);
  expect(plan.map(({ device }) => device).toSorted()).toEqual([0, 3]);
});

test("capacityState() follows spec §2.12", () => {
  const states = [74, 75, 85, 92, 97].map((used) => capacityState("ssd", used, 100));
  expect(states).toEqual(["healthy", "warning", "critical", "readonly", "full"]);
  expect(capacityState("hdd", 86, 100)).toBe("warning");
  expect(capacityState("ssd", 0, 0)).toBe("full");
  expect(acceptsFragments("critical")).toBe(false);
  expect(roomBelowCritical("ssd", 60, 100)).toBe(25);
  expect(roomBelowCritical("ssd", 90, 100)).toBe(0);
});
