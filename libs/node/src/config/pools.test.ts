import { expect, test } from "bun:test";
import { readPools, readStorageClasses, sharedDevices } from "./pools.ts";

test("readPools() takes names with devices, spaces around them", () => {
  expect(readPools("archive=/a, /b; cold = /c ;")).toEqual({
    value: [
      { name: "archive", devices: ["/a", "/b"] },
      { name: "cold", devices: ["/c"] },
    ],
    faults: [],
  });
  expect(readPools("")).toEqual({ value: [], faults: [] });
});

test.each([
  ["default=/a", "cannot name"],
  ["Archive=/a", "cannot name"],
  ["=/a", "cannot name"],
  ["/a,/b", "cannot name"],
  ["a=/a;a=/b", "twice"],
  ["a=", "no device"],
  [Array.from({ length: 17 }, (_, i) => `p${i}=/${i}`).join(";"), "more than 16"],
])("readPools() refuses %p", (text, fault) => {
  expect(readPools(text).faults.join()).toContain(fault);
});

const pools = readPools("archive=/a").value;
test("readStorageClasses() maps classes of S3 to pools that are there", () => {
  const { value, faults } = readStorageClasses(
    ["STANDARD_IA=archive", "GLACIER_IR=default"],
    pools,
  );
  expect([...value]).toEqual([
    ["STANDARD_IA", "archive"],
    ["GLACIER_IR", "default"],
  ]);
  expect(faults).toEqual([]);
});
test.each([
  ["STANDARD=archive", "STANDARD is the default pool"],
  ["MINE=archive", "cannot map"],
  ["GLACIER=archive", "after a restore only"],
  ["DEEP_ARCHIVE=archive", "after a restore only"],
  ["STANDARD_IA=cold", "no pool"],
  ["STANDARD_IA", "no pool"],
])("readStorageClasses() refuses %p", (item, fault) => {
  expect(readStorageClasses([item], pools).faults.join()).toContain(fault);
});

test("sharedDevices() names those that have a place already, however they are written", () => {
  const given = readPools("a=/dev/one,/dev/two;b=/dev/../dev/two,/dev/three").value;
  expect(sharedDevices(["/dev/./one"], given)).toEqual(["/dev/one", "/dev/../dev/two"]);
});
