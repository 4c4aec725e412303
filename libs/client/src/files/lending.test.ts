import { expect, test } from "bun:test";
import { FakeNode } from "./fake-service.test-helper.ts";
import {
  close,
  create,
  good,
  lookup,
  type Mounted,
  mountOn,
  open,
  readAt,
  readOnly,
  settled,
  text,
  utf8,
} from "./mount.test-helper.ts";

/** A file of which `mounted` has read everything, so that its reads are answered unasked. */
async function lentFile(node: FakeNode, mounted: Mounted) {
  const writer = await mountOn(node.open());
  const made = await create(writer.fs, "f");
  await good(writer.fs.write(made.handle, 0, utf8("one two")));
  await close(writer.fs, made.handle);
  const handle = await open(mounted.fs, "f");
  const { node: number } = await lookup(mounted.fs, "f");
  for (let i = 0; i < 2; i += 1)
    expect(text(await readAt(mounted.fs, handle, 0, 100))).toBe("one two");
  expect(mounted.readable.has(number)).toBe(true);
  return { writer, number, handle };
}

test("reads of what is known are vouched for, with its content and for as long as its plan is good", async () => {
  const node = new FakeNode();
  const mounted = await mountOn(node.open());
  const { number, handle } = await lentFile(node, mounted);
  const [version, until] = mounted.readable.get(number)!;
  expect(mounted.lent).toContainEqual([number, 0]);
  expect(until).toBeGreaterThan(mounted.clock.monotonic());
  expect(until).toBeLessThanOrEqual(mounted.clock.monotonic() + 5000);
  await mounted.clock.pass(6000);
  await readAt(mounted.fs, handle, 0, 100);
  await readAt(mounted.fs, handle, 4, 3);
  expect(mounted.lent).toContainEqual([number, 4]);
  const again = mounted.readable.get(number)!;
  expect([again[0], again[1] > until]).toEqual([version, true]);
  // Nobody has it open: what others do is not heard of as soon.
  await close(mounted.fs, handle);
  expect(mounted.readable.size).toBe(0);
});

test("reads are not vouched for from a write on until it is stored and read again", async () => {
  const node = new FakeNode();
  const mounted = await mountOn(node.open());
  const { number, handle } = await lentFile(node, mounted);
  const [version] = mounted.readable.get(number)!;
  await good(mounted.fs.write(handle, 0, utf8("six")));
  expect(mounted.readable.size).toBe(0);
  for (let i = 0; i < 2; i += 1)
    expect(text(await readAt(mounted.fs, handle, 0, 100))).toBe("six two");
  expect(mounted.readable.size).toBe(0);
  await good(mounted.fs.fsync(handle, false));
  expect(mounted.readable.size).toBe(0);
  for (let i = 0; i < 2; i += 1)
    expect(text(await readAt(mounted.fs, handle, 0, 100))).toBe("six two");
  expect(mounted.readable.get(number)![0]).not.toBe(version);
  await good(mounted.fs.setattr(number, { size: 3 }));
  expect(mounted.readable.size).toBe(0);
});

test("reads are withdrawn when somebody else writes, at a lock, at a wipe and at the end of the session", async () => {
  const node = new FakeNode();
  const session = node.open();
  const mounted = await mountOn(session);
  const { writer, number, handle } = await lentFile(node, mounted);
  const again = async (): Promise<void> => {
    for (let i = 0; i < 2; i += 1) await readAt(mounted.fs, handle, 0, 100);
    expect(mounted.readable.has(number)).toBe(true);
  };
  const theirs = await open(writer.fs, "f");
  await good(writer.fs.write(theirs, 0, utf8("ten")));
  await close(writer.fs, theirs);
  node.tell(BigInt(number), "inode", 1);
  await settled();
  expect(mounted.readable.size).toBe(0);
  await again();
  expect(text(await readAt(mounted.fs, handle, 0, 100))).toBe("ten two");

  mounted.fs.wipe();
  expect(mounted.readable.size).toBe(0);
  await again();

  const lock = { kind: "range", type: "read", start: 0n, end: 1n, owner: 5n, pid: 1 } as const;
  await good(mounted.fs.setlk(handle, lock));
  expect(mounted.readable.size).toBe(0);
  await again();

  // The handle with the lock reads nothing any more, and who asks unasked has no handle.
  session.end();
  await settled();
  expect(mounted.readable.size).toBe(0);
  const other = (await good(mounted.fs.open(number, readOnly))).handle;
  for (let i = 0; i < 3; i += 1) await readAt(mounted.fs, other, 0, 100);
  expect(mounted.readable.size).toBe(0);
});
