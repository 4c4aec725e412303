import { expect, test } from "bun:test";
import { directoryReplyFlags, openModes, openReplyFlags } from "./index.ts";

const { readOnly, writeOnly, readWrite, append, create, direct, truncate } = openModes;

test("openReplyFlags() leaves no cache to a handle that could be mapped shared and writable", () => {
  const rows: readonly (readonly [flags: number, isFresh: boolean, reply: number])[] = [
    [readOnly, true, 2],
    [readOnly, false, 0],
    [readOnly | direct, true, 2],
    [writeOnly, true, 2],
    [writeOnly | truncate, false, 0],
    [readWrite, true, 1],
    [readWrite | create, false, 1],
    [writeOnly | append, true, 1],
    [readWrite | append, true, 1],
    [readOnly | append, true, 2],
    [openModes.accessMask, true, 1],
  ];
  for (const [flags, isFresh, reply] of rows)
    expect([flags, isFresh, openReplyFlags(flags, isFresh)]).toEqual([flags, isFresh, reply]);
});

test("directoryReplyFlags() lets the kernel keep entries that are still right", () => {
  expect(directoryReplyFlags(false, true)).toBe(0);
  expect(directoryReplyFlags(true, false)).toBe(8);
  expect(directoryReplyFlags(true, true)).toBe(10);
});
