import { expect, test } from "bun:test";
import { newBytes, toHex } from "@kiseki/base";
import { decodeMemberList, encodeMemberList, type MemberListFault } from "./member-list.ts";

/** Any function of all bytes does for the tests; the real one is CRC-32C. */
function sum(initial: number, source: Uint8Array): number {
  let state = initial ^ 0x1234_5678;
  for (const byte of source) state = (Math.imul(state, 31) + byte) >>> 0;
  return state;
}
const id = (fill: number): Uint8Array => newBytes(16).fill(fill);
const list = {
  version: 0x0102_0304_0506_0708n,
  set: id(0x5e),
  self: id(0xa1),
  members: [id(0xa1), id(0xb2)],
};

// Append only: an edited row makes every member list that was written unreadable.
const golden =
  "4b534b494d454d42 0100 02 0000000000 0807060504030201" +
  `${"5e".repeat(16)}${"a1".repeat(16)}${"a1".repeat(16)}${"b2".repeat(16)}`;

test("encodeMemberList() keeps the bytes of version 1", () => {
  const bytes = encodeMemberList(list, sum);
  expect(toHex(bytes.subarray(0, -4))).toBe(golden.replaceAll(" ", ""));
  expect(bytes.byteLength).toBe(92);
});

test("decodeMemberList() answers what was encoded", () => {
  expect(decodeMemberList(encodeMemberList(list, sum), sum)).toEqual(list);
});

function changed(offset: number, value: number): Uint8Array {
  const bytes = encodeMemberList(list, sum);
  bytes[offset] = value;
  const end = bytes.byteLength - 4;
  new DataView(bytes.buffer).setUint32(end, sum(0, bytes.subarray(0, end)), true);
  return bytes;
}
function withTwin(): Uint8Array {
  return encodeMemberList({ ...list, members: [id(0xa1), id(0xa1)] }, sum);
}
const faults: readonly (readonly [string, Uint8Array, MemberListFault])[] = [
  ["nothing", newBytes(0), "bad_size"],
  ["a list cut short", encodeMemberList(list, sum).subarray(0, 91), "bad_checksum"],
  ["a list that is too long", newBytes(1000), "bad_size"],
  ["another magic", changed(0, 0), "bad_magic"],
  ["another version", changed(8, 2), "bad_version"],
  ["a reserved byte that is set", changed(12, 1), "bad_version"],
  ["a count that the size contradicts", changed(10, 3), "bad_size"],
  ["a member named twice", withTwin(), "bad_field"],
];
for (const [what, source, fault] of faults) {
  test(`decodeMemberList() refuses ${what}`, () =>
    expect(decodeMemberList(source, sum)).toBe(fault));
}

test("decodeMemberList() refuses any single changed bit", () => {
  const bytes = encodeMemberList(list, sum);
  for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    expect(typeof decodeMemberList(bytes, sum)).toBe("string");
    bytes[bit >> 3]! ^= 1 << (bit & 7);
  }
});
