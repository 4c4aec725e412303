import { expect, test } from "bun:test";
import { epoch } from "@kiseki/base";
import { ChangeFeed } from "./change-feed.ts";

const change = (inode: bigint) => ({ inode, isDirectory: false });
const inodesOf = ({ changes }: { readonly changes: readonly { readonly inode: bigint }[] }) =>
  changes.map(({ inode }) => inode);

test("ChangeFeed gives what changed since a watch began, in order and in pieces", async () => {
  const feed = new ChangeFeed(epoch(3n));
  feed.note([change(1n)]); // nobody watches
  using watch = feed.watch(0n);
  expect(watch.isReset).toBe(false);
  const waiting = watch.changed();
  feed.note([change(2n), change(3n)]);
  await waiting;
  feed.note([change(4n)]);
  expect(inodesOf(watch.take(2))).toEqual([2n, 3n]);
  await watch.changed();
  const rest = watch.take(2);
  expect([inodesOf(rest), rest.isReset]).toEqual([[4n], false]);
  expect(watch.take(2)).toEqual({ isReset: false, position: rest.position, changes: [] });
});

test("ChangeFeed goes on from a position while somebody watches, and else says that changes were missed", () => {
  const feed = new ChangeFeed(epoch(3n));
  const first = feed.watch(0n);
  feed.note([change(1n)]);
  const { position } = first.take(9);
  feed.note([change(2n)]);
  using second = feed.watch(position);
  expect([second.isReset, inodesOf(second.take(9))]).toEqual([false, [2n]]);
  first[Symbol.dispose]();
  second[Symbol.dispose]();
  using third = feed.watch(position);
  expect(third.isReset).toBe(true);
  using stranger = feed.watch(5n);
  expect(stranger.isReset).toBe(true);
  using later = new ChangeFeed(epoch(4n)).watch(position);
  expect(later.isReset).toBe(true);
});

test("ChangeFeed forgets the oldest, and tells those who were that slow", () => {
  const feed = new ChangeFeed(epoch(1n));
  using watch = feed.watch(0n);
  for (let i = 0n; i < 40_000n; i++) feed.note([change(i)]);
  const taken = watch.take(5);
  expect(taken.isReset).toBe(true);
  expect(taken.changes).toHaveLength(5);
  expect(watch.take(5)).toMatchObject({ isReset: false });
});
