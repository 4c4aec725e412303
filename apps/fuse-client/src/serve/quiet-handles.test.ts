import { expect, test } from "bun:test";
import type { FuseRequest } from "@kiseki/fuse";
import { QuietHandles } from "./quiet-handles.ts";

const head = { unique: 2, uid: 0, gid: 0, pid: 1 };
const lock = { start: 0n, end: 9n, type: "write", pid: 1 } as const;

/** Handles whose FLUSH may be answered by others, after some requests with their answers. */
function after(
  ...steps: readonly (readonly [kind: string, node: number, handle: number, flags?: number])[]
) {
  const quiet = new Set<number>();
  const handles = new QuietHandles((handle, isQuiet) =>
    isQuiet ? quiet.add(handle) : quiet.delete(handle),
  );
  for (const [kind, node, handle, flags = 0] of steps) {
    const more = {
      flags,
      endsPrivileges: false,
      lock,
      owner: 1n,
      isFlock: false,
      endsFlock: false,
    };
    const request = { ...head, kind, node, handle, ...more } as unknown as FuseRequest;
    handles.asked(request);
    handles.answered(
      request,
      kind === "open" ? { kind: "opened", handle, flags: 0 } : { kind: "done" },
    );
  }
  return [...quiet];
}

test("QuietHandles takes handles for reading alone", () => {
  expect(after(["open", 5, 10], ["open", 5, 11, 1], ["open", 5, 12, 2], ["open", 6, 13])).toEqual([
    10, 13,
  ]);
  expect(after(["open", 5, 10], ["open", 5, 11], ["release", 5, 10])).toEqual([11]);
});

test("QuietHandles leaves a file alone that was locked, until its last handle is gone", () => {
  const locked = [
    ["open", 5, 9, 2],
    ["open", 5, 10],
    ["setlk", 5, 9],
    ["open", 5, 11],
  ] as const;
  expect(after(...locked)).toEqual([]);
  expect(after(...locked, ["open", 6, 12])).toEqual([12]);
  const ended = [
    ["release", 5, 9],
    ["release", 5, 10],
    ["open", 5, 12],
  ] as const;
  expect(after(...locked, ...ended)).toEqual([]);
  expect(
    after(...locked, ...ended, ["release", 5, 11], ["release", 5, 12], ["open", 5, 13]),
  ).toEqual([13]);
});
