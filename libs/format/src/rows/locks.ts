import { RowReader, RowWriter } from "./codec.ts";

/** A lock that a session holds on a file: `[start, end)`, `end` 2^63 for the end of the file. */
export interface FileLock {
  readonly space: "posix" | "flock";
  readonly kind: "shared" | "exclusive";
  readonly owner: bigint;
  readonly start: bigint;
  readonly end: bigint;
  readonly pid: number;
}
const spaces: readonly FileLock["space"][] = ["posix", "flock"];
const kinds: readonly FileLock["kind"][] = ["shared", "exclusive"];

/** Payload of a lock's lease. */
export function encodeFileLocks(locks: readonly FileLock[]): Uint8Array {
  const to = new RowWriter().u8(1).number(locks.length);
  for (const { space, kind, owner, start, end, pid } of locks) {
    to.u8(spaces.indexOf(space) | (kinds.indexOf(kind) << 1));
    to.big(owner).big(start).big(end).number(pid);
  }
  return to.done();
}
export function decodeFileLocks(source: Uint8Array): readonly FileLock[] {
  const from = new RowReader(source, "locks of a file");
  const locks = Array.from({ length: from.count(5) }, (): FileLock => {
    const flags = from.flags(3);
    const lock = {
      space: spaces[flags & 1]!,
      kind: kinds[flags >> 1]!,
      owner: from.big(),
      start: from.big(),
      end: from.big(),
      pid: from.number(0xffff_ffff),
    };
    return lock.start < lock.end ? lock : from.fail("bad_field");
  });
  from.end();
  return locks;
}
