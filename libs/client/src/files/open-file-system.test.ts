import { expect, test } from "bun:test";
import { FakeNode } from "./fake-service.test-helper.ts";
import { MachineNode } from "./machine-node.test-helper.ts";
import {
  bad,
  caller,
  close,
  create,
  good,
  lookup,
  type Mounted,
  mountOn,
  open,
  readAt,
  readOnly,
  readWrite,
  settled,
  text,
  utf8,
} from "./mount.test-helper.ts";

const appending = { ...readWrite, isAppending: true };

test("write() is seen by its own client at once and by others after fsync", async () => {
  const node = new FakeNode();
  const a = await mountOn(node.open());
  const b = await mountOn(node.open());
  const { handle, node: number } = await create(a.fs, "f");
  expect(a.fs.write(handle, 3, utf8("hello"))).toBe(5);
  expect(text(await readAt(a.fs, handle, 0, 100))).toBe("\0\0\0hello");
  expect((await good(a.fs.getattr(number))).attributes.size).toBe(8);
  expect((await lookup(b.fs, "f")).attributes.size).toBe(0);
  await good(a.fs.fsync(handle, false));
  await b.clock.pass(5000);
  expect((await lookup(b.fs, "f")).attributes.size).toBe(8);
  const other = await open(b.fs, "f", readOnly);
  expect(text(await readAt(b.fs, other, 3, 100))).toBe("hello");
});

test("two handles of one file share what is in memory", async () => {
  const { fs } = await mountOn(new FakeNode().open());
  const { handle } = await create(fs, "f");
  const other = await open(fs, "f");
  await good(fs.write(handle, 0, utf8("abcdef")));
  await good(fs.write(other, 2, utf8("XY")));
  expect(text(await readAt(fs, handle, 0, 10))).toBe("abXYef");
  await close(fs, handle);
  expect(text(await readAt(fs, other, 0, 10))).toBe("abXYef");
  await close(fs, other);
});

test("lookup(), getattr() and read() of what is known answer without waiting", async () => {
  const node = new FakeNode();
  const { fs, clock } = await mountOn(node.open());
  const { handle, node: number } = await create(fs, "f");
  await good(fs.write(handle, 0, new Uint8Array(20_000).fill(7)));
  await good(fs.fsync(handle, false));
  await readAt(fs, handle, 0, 20_000);
  await good(fs.lookup(1, utf8("absent")));
  const calls = [...node.calls.values()].reduce((a, b) => a + b);
  expect(fs.lookup(1, utf8("f"))).toMatchObject({ node: number });
  expect(fs.lookup(1, utf8("absent"))).toMatchObject({ node: 0, entryTtlMs: 5000 });
  expect(fs.getattr(number)).toMatchObject({ attributes: { size: 20_000 } });
  const target = new Uint8Array(5000);
  expect(fs.read(handle, 9000, target)).toBe(5000);
  expect(target.every((byte) => byte === 7)).toBe(true);
  expect([...node.calls.values()].reduce((a, b) => a + b)).toBe(calls);
  await clock.pass(5000);
  expect(fs.getattr(number)).toBeInstanceOf(Promise);
  expect(fs.lookup(1, utf8("absent"))).toBeInstanceOf(Promise);
});

test("meta_ttl_ms=0 asks each time and sees others' changes at once", async () => {
  const node = new FakeNode();
  const a = await mountOn(node.open(), { metaTtlMs: 0 });
  const b = await mountOn(node.open(), { metaTtlMs: 0 });
  const { handle } = await create(a.fs, "f");
  await good(a.fs.write(handle, 0, utf8("one")));
  const other = await open(b.fs, "f");
  expect(text(await readAt(b.fs, other, 0, 10))).toBe("one");
  await good(b.fs.write(other, 0, utf8("two!")));
  expect(text(await readAt(a.fs, handle, 0, 10))).toBe("two!");
  expect((await lookup(a.fs, "f")).attributes.size).toBe(4);
  await good(b.fs.unlink(1, utf8("f")));
  expect(await good(a.fs.lookup(1, utf8("f")))).toMatchObject({ node: 0 });
});

test("O_APPEND writes of two clients come one behind the other, each where the end is", async () => {
  const node = new FakeNode();
  const a = await mountOn(node.open());
  const b = await mountOn(node.open());
  const first = await create(a.fs, "log", appending);
  const second = await open(b.fs, "log", appending);
  await Promise.all([
    good(a.fs.write(first.handle, 0, utf8("aaa\n"))),
    good(b.fs.write(second, 0, utf8("bbb\n"))),
    good(a.fs.write(first.handle, 4, utf8("ccc\n"))),
  ]);
  await settled();
  const lines = text(await readAt(a.fs, first.handle, 0, 100)).split("\n");
  expect(lines.sort()).toEqual(["", "aaa", "bbb", "ccc"]);
});

test("create() with O_EXCL has one winner", async () => {
  const node = new FakeNode();
  const mounts = await Promise.all([1, 2, 3].map(() => mountOn(node.open())));
  const options = { mode: 0o600, isExclusive: true, flags: readWrite };
  const made = await Promise.all(
    mounts.map(({ fs }) => bad(fs.create(1, utf8("f"), options, caller))),
  );
  expect(made.sort()).toEqual(["EEXIST", "EEXIST", "none"]);
  const [{ fs }] = mounts as [(typeof mounts)[0]];
  const shared = { ...options, isExclusive: false };
  expect(await bad(fs.create(1, utf8("f"), shared, caller))).toBe("none");
});

test("setattr() of the size cuts what is in memory and what the node has", async () => {
  const node = new FakeNode();
  const { fs } = await mountOn(node.open());
  const { handle, node: number } = await create(fs, "f");
  await good(fs.write(handle, 0, utf8("stored")));
  await good(fs.fsync(handle, false));
  await good(fs.write(handle, 4, utf8("memory")));
  expect((await good(fs.setattr(number, { size: 7 }))).attributes.size).toBe(7);
  expect(text(await readAt(fs, handle, 0, 20))).toBe("stormem");
  expect((await good(fs.setattr(number, { size: 12 }))).attributes.size).toBe(12);
  expect(text(await readAt(fs, handle, 0, 20))).toBe("stormem\0\0\0\0\0");
  await good(fs.fsync(handle, false));
  expect(text(await readAt(fs, handle, 0, 20))).toBe("stormem\0\0\0\0\0");
  const again = await good(fs.open(number, { ...readWrite, isTruncating: true }));
  expect((await good(fs.getattr(number))).attributes.size).toBe(0);
  await close(fs, again.handle);
});

test("a file that is open outlives its name, and goes with its last handle", async () => {
  const node = new FakeNode();
  const a = await mountOn(node.open());
  const { handle, node: number } = await create(a.fs, "f");
  await good(a.fs.write(handle, 0, utf8("kept")));
  await good(a.fs.unlink(1, utf8("f")));
  expect((await good(a.fs.lookup(1, utf8("f")))).node).toBe(0);
  expect((await good(a.fs.getattr(number))).attributes.links).toBe(0);
  await good(a.fs.write(handle, 4, utf8(" on")));
  await good(a.fs.fsync(handle, false));
  expect(text(await readAt(a.fs, handle, 0, 20))).toBe("kept on");
  await close(a.fs, handle);
  expect(node.count("release")).toBe(1);
  await a.clock.pass(5001);
  expect(await bad(a.fs.getattr(number))).toBe("ESTALE");
});

test("a file that others remove is kept for who has had it open for a while", async () => {
  const node = new FakeNode();
  const a = await mountOn(node.open());
  const b = await mountOn(node.open());
  const { handle } = await create(a.fs, "f");
  const short = await create(a.fs, "short");
  await close(a.fs, short.handle);
  await good(a.fs.write(handle, 0, utf8("kept")));
  await a.clock.pass(1000);
  expect(node.count("open")).toBe(1);
  await good(b.fs.unlink(1, utf8("f")));
  await good(a.fs.fsync(handle, false));
  expect(text(await readAt(a.fs, handle, 0, 9))).toBe("kept");
  await close(a.fs, handle);
  expect(node.count("release")).toBe(1);
});

test("open() of what cannot be held is a matter of reading it", async () => {
  const node = new FakeNode();
  const { fs } = await mountOn(node.open(), { metaTtlMs: 0 });
  await close(fs, (await create(fs, "f")).handle);
  node.meddle = (call) => (call === "open" ? "namespace_read_only" : undefined);
  await close(fs, await open(fs, "f", readOnly));
  node.meddle = (call) => (call === "open" ? "stale_file" : undefined);
  expect(await bad(fs.open((await lookup(fs, "f")).node, readOnly))).toBe("ESTALE");
});

test("flush() of a handle that only reads waits for nobody", async () => {
  const node = new FakeNode();
  const { fs } = await mountOn(node.open());
  const { handle } = await create(fs, "f");
  const reader = await open(fs, "f", readOnly);
  await good(fs.write(handle, 0, utf8("x")));
  expect(fs.flush(reader)).toBeUndefined();
  expect(fs.release(reader)).toBeUndefined();
  expect(node.count("write")).toBe(0);
});

test("rename() over an open file leaves it to its handles", async () => {
  const node = new FakeNode();
  const { fs } = await mountOn(node.open());
  const old = await create(fs, "old");
  await good(fs.write(old.handle, 0, utf8("old")));
  const fresh = await create(fs, "new");
  await good(fs.write(fresh.handle, 0, utf8("new")));
  await good(
    fs.rename({ parent: 1, name: utf8("new") }, { parent: 1, name: utf8("old") }, "replace"),
  );
  expect((await lookup(fs, "old")).node).toBe(fresh.node);
  expect((await good(fs.lookup(1, utf8("new")))).node).toBe(0);
  expect(text(await readAt(fs, old.handle, 0, 9))).toBe("old");
  await close(fs, old.handle);
  await close(fs, fresh.handle);
});

test("rename() exchanges, keeps, and refuses what POSIX refuses", async () => {
  const { fs } = await mountOn(new FakeNode().open());
  const a = await create(fs, "a");
  const b = await create(fs, "b");
  const d = await good(fs.mkdir(1, utf8("d"), 0o755, caller));
  const at = (name: string, parent = 1) => ({ parent, name: utf8(name) });
  expect(await bad(fs.rename(at("a"), at("b"), "no_replace"))).toBe("EEXIST");
  await good(fs.rename(at("a"), at("b"), "exchange"));
  expect([(await lookup(fs, "a")).node, (await lookup(fs, "b")).node]).toEqual([b.node, a.node]);
  expect(await bad(fs.rename(at("d"), at("e", d.node), "replace"))).toBe("EINVAL");
  expect(await bad(fs.rename(at("d"), at("a"), "replace"))).toBe("ENOTDIR");
  await good(fs.rename(at("a"), at("a", d.node), "replace"));
  expect(await bad(fs.rmdir(1, utf8("d")))).toBe("ENOTEMPTY");
  expect((await lookup(fs, "a", d.node)).node).toBe(b.node);
});

test("an error of a write in the background is told once to each handle", async () => {
  const node = new FakeNode();
  const { fs, clock } = await mountOn(node.open());
  const { handle } = await create(fs, "f");
  const other = await open(fs, "f");
  await good(fs.write(handle, 0, utf8("lost")));
  node.meddle = (call) => (call === "store" ? "no_space" : undefined);
  await clock.pass(10_000);
  node.meddle = () => undefined;
  expect(await bad(fs.write(handle, 0, utf8("x")))).toBe("ENOSPC");
  expect(await bad(fs.write(handle, 0, utf8("x")))).toBe("none");
  expect(await bad(fs.flush(handle))).toBe("none");
  expect(await bad(fs.fsync(other, false))).toBe("ENOSPC");
  expect(await bad(fs.flush(other))).toBe("none");
});

test("data that nobody asked for is kept while the nodes are away, and stored when they are back", async () => {
  const node = new FakeNode();
  const { fs, clock } = await mountOn(node.open());
  const { handle } = await create(fs, "f");
  await good(fs.write(handle, 0, utf8("kept")));
  node.meddle = (call) => (call === "store" ? "unreachable" : undefined);
  await clock.pass(20_000);
  expect(node.count("store")).toBeGreaterThan(2);
  await good(fs.write(handle, 2, utf8("PT")));
  node.meddle = () => undefined;
  await good(fs.fsync(handle, false));
  expect(text(await readAt(fs, handle, 0, 9))).toBe("kePT");
  await good(fs.write(handle, 0, utf8("gone")));
  node.meddle = (call) => (call === "store" ? "unreachable" : undefined);
  expect(await bad(fs.fsync(handle, false))).toBe("EIO");
  node.meddle = () => undefined;
  expect(await bad(fs.fsync(handle, false))).toBe("none");
});

test("fsync() tells its own error and forgets the bytes", async () => {
  const node = new FakeNode();
  const { fs } = await mountOn(node.open());
  const { handle } = await create(fs, "f");
  await good(fs.write(handle, 0, utf8("lost")));
  node.meddle = (call) => (call === "write" ? "quota_exceeded" : undefined);
  expect(await bad(fs.fsync(handle, false))).toBe("EDQUOT");
  node.meddle = () => undefined;
  expect(await bad(fs.fsync(handle, false))).toBe("none");
  expect(await readAt(fs, handle, 0, 10)).toHaveLength(0);
});

test("content whose receipt is stale is stored anew", async () => {
  const node = new FakeNode();
  const { fs } = await mountOn(node.open());
  const { handle } = await create(fs, "f");
  await good(fs.write(handle, 0, utf8("again")));
  let times = 2;
  node.meddle = (call) => (call === "write" && times-- > 0 ? "receipt_stale" : undefined);
  await good(fs.fsync(handle, false));
  expect(node.count("store")).toBe(3);
  expect(text(await readAt(fs, handle, 0, 10))).toBe("again");
});

test("data that nobody syncs goes to the node by itself", async () => {
  const node = new FakeNode();
  const { fs, clock } = await mountOn(node.open());
  const { handle } = await create(fs, "f");
  await good(fs.write(handle, 0, utf8("x")));
  await clock.pass(4000);
  expect(node.count("write")).toBe(0);
  await clock.pass(3000);
  expect(node.count("write")).toBe(1);
});

test("writers wait while too much is in memory", async () => {
  const node = new FakeNode();
  const { fs } = await mountOn(node.open(), { dirtySizeMax: 1 << 20 });
  const { handle } = await create(fs, "f");
  const step = new Uint8Array(1 << 19);
  expect(fs.write(handle, 0, step)).toBe(step.byteLength);
  let letGo = (): void => undefined;
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  node.meddle = (call) => (call === "store" ? gate : undefined);
  await good(fs.write(handle, 1 << 19, step));
  const third = Promise.resolve(fs.write(handle, 1 << 20, step));
  let isDone = false;
  void third.then(() => {
    isDone = true;
  });
  await settled();
  expect(isDone).toBe(false);
  letGo();
  expect(await third).toBe(step.byteLength);
  await close(fs, handle);
  expect((await lookup(fs, "f")).attributes.size).toBe(3 << 19);
});

test("who waits for room behind what the nodes do not take now is told in the end", async () => {
  const node = new FakeNode();
  const { fs } = await mountOn(node.open(), { dirtySizeMax: 12 << 20 });
  const { handle } = await create(fs, "f");
  const { promise, resolve } = Promise.withResolvers<void>();
  node.meddle = (call) => (call === "store" ? promise : call === "write" ? "busy" : undefined);
  // All of it is on its way in the background, whose failure keeps it in memory.
  expect(fs.write(handle, 0, new Uint8Array(12 << 20))).toBe(12 << 20);
  await settled();
  const waiting = bad(fs.write(handle, 12 << 20, new Uint8Array(1)));
  await settled();
  resolve();
  expect(await waiting).toBe("EAGAIN");
  expect(node.count("write")).toBe(2);
  expect(await bad(fs.write(handle, 0, new Uint8Array(1)))).toBe("none");
});

test("a long stream goes to the node in pieces of full size before it is closed", async () => {
  const node = new FakeNode();
  const { fs } = await mountOn(node.open());
  const { handle } = await create(fs, "f");
  const step = new Uint8Array(1 << 20).fill(1);
  for (let i = 0; i < 13; i += 1) {
    await good(fs.write(handle, i << 20, step));
    await settled();
  }
  expect(node.count("store")).toBeGreaterThanOrEqual(2);
  await close(fs, handle);
  expect(node.count("store")).toBe(4);
});

test("writes here and there are stored together", async () => {
  const node = new FakeNode();
  const { fs } = await mountOn(node.open());
  const { handle } = await create(fs, "f");
  for (let i = 0; i < 20; i += 1)
    await good(fs.write(handle, i * 100_000, new Uint8Array(8192).fill(i + 1)));
  await good(fs.fsync(handle, false));
  expect([node.count("store"), node.count("write")]).toEqual([1, 1]);
  for (let i = 0; i < 20; i += 1) {
    const got = await readAt(fs, handle, i * 100_000, 8192);
    expect(got.every((byte) => byte === i + 1)).toBe(true);
  }
});

test("a reader of a growing file sees no zeros that nobody wrote", async () => {
  const node = new FakeNode();
  const a = await mountOn(node.open());
  const b = await mountOn(node.open(), { metaTtlMs: 3 });
  const { handle } = await create(a.fs, "log", appending);
  const reader = await open(b.fs, "log", readOnly);
  let seen = 0;
  for (let i = 0; i < 200; i += 1) {
    const writing = good(a.fs.write(handle, 0, new Uint8Array(1 + (i % 900)).fill(1 + (i % 255))));
    const got = await readAt(b.fs, reader, seen, 1 << 16);
    expect(got.includes(0)).toBe(false);
    seen += got.byteLength;
    await b.clock.pass(i % 3);
    if (i % 5 === 0) await good(b.fs.getattr((await lookup(b.fs, "log")).node));
    await writing;
  }
  await b.clock.pass(10);
  const rest = await readAt(b.fs, reader, seen, 1 << 20);
  expect(rest.includes(0)).toBe(false);
  expect(seen + rest.byteLength).toBe((await lookup(a.fs, "log")).attributes.size);
});

test("a read of many pieces ends, though the file has changed at each question", async () => {
  const node = new MachineNode();
  const writer = await mountOn(node.open());
  const { handle } = await create(writer.fs, "f");
  for (let at = 0; at < 5; at += 1) {
    await good(writer.fs.write(handle, at * 5000, new Uint8Array(5000).fill(65 + at)));
    await good(writer.fs.fsync(handle, false));
  }
  const session = node.open();
  const plan = session.plan.bind(session);
  let asked = 0;
  session.plan = async (...words) => {
    const answer = await plan(...words);
    if (answer.kind === "refused") return answer;
    asked += 1;
    if (asked > 100) return { kind: "refused", code: "unreachable" };
    const contentVersion = answer.contentVersion + BigInt(asked);
    return { ...answer, contentVersion, pieces: answer.pieces.slice(0, 1) };
  };
  const reader = await mountOn(session);
  const found = await readAt(reader.fs, await open(reader.fs, "f", readOnly), 0, 30_000);
  expect(found).toHaveLength(25_000);
  expect([0, 1, 2, 3, 4].map((at) => found[at * 5000 + 4999])).toEqual([65, 66, 67, 68, 69]);
});

test("a flush that ends while a read is under way takes nothing from the read", async () => {
  const node = new FakeNode();
  const { fs } = await mountOn(node.open());
  const { handle } = await create(fs, "f");
  await good(fs.write(handle, 0, new Uint8Array(100).fill(1)));
  await good(fs.fsync(handle, false));
  await good(fs.write(handle, 10, new Uint8Array(10).fill(2)));
  let letGo = (): void => undefined;
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  node.meddle = (call) => (call === "fetch" ? gate : undefined);
  const reading = readAt(fs, handle, 0, 100);
  await settled();
  await good(fs.fsync(handle, false));
  letGo();
  const got = await reading;
  expect([...got.subarray(9, 21)]).toEqual([1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1]);
});

async function write(fs: Mounted["fs"], handle: number, bytes = "a"): Promise<undefined> {
  await good(fs.write(handle, 0, utf8(bytes)));
  await good(fs.fsync(handle, false));
}

test("who changes a file elsewhere makes the kernel drop its pages", async () => {
  const node = new FakeNode();
  const a = await mountOn(node.open());
  const b = await mountOn(node.open());
  const { handle, node: number } = await create(a.fs, "f");
  await good(a.fs.write(handle, 0, utf8("one")));
  await good(a.fs.fsync(handle, false));
  const reader = await good(b.fs.open((await lookup(b.fs, "f")).node, readOnly));
  expect(reader.isCacheValid).toBe(false);
  expect((await good(b.fs.open(number, readOnly))).isCacheValid).toBe(true);
  await good(a.fs.write(handle, 0, utf8("two")));
  await good(a.fs.fsync(handle, false));
  expect(a.told).toEqual([]);
  node.tell(BigInt(number), "inode", 0);
  await settled();
  expect(b.told).toEqual([`node ${number} -1`, `node ${number} 0`]);
  expect(text(await readAt(b.fs, reader.handle, 0, 9))).toBe("two");
  expect(a.told).toEqual([]);
});

test.each([
  ["changes its mode", false, false],
  ["changes its mode, and hears of it before", false, true],
  ["writes", true, false],
  ["writes, and hears of it before", true, true],
] as const)(
  "the kernel drops pages of what others wrote also where its own client then %s",
  async (_, isWrite, isHeardBefore) => {
    const node = new FakeNode();
    const a = await mountOn(node.open());
    const b = await mountOn(node.open());
    const made = await create(a.fs, "f");
    await write(a.fs, made.handle, "aaaa");
    const other = await open(b.fs, "f");
    await good(b.fs.write(other, 2, utf8("bb")));
    await good(b.fs.fsync(other, false));
    const hear = () => node.tell(BigInt(made.node), "inode", 1);
    if (isHeardBefore) hear();
    if (isWrite) await write(a.fs, made.handle);
    else await good(a.fs.setattr(made.node, { mode: 0o600 }));
    if (!isHeardBefore) hear();
    await good(a.fs.getattr(made.node));
    await settled();
    expect(a.told).toContain(`node ${made.node} 0`);
    expect(text(await readAt(a.fs, made.handle, 2, 2))).toBe("bb");
    // Once is enough, and what is one's own drops nothing.
    const { length } = a.told;
    await write(a.fs, made.handle);
    node.tell(BigInt(made.node), "inode", 0);
    await settled();
    expect(a.told).toHaveLength(length);
  },
);

test("invalidation of a directory forgets its names, and tells the kernel which, waiting for nothing", async () => {
  const node = new FakeNode();
  const a = await mountOn(node.open());
  const b = await mountOn(node.open());
  await good(b.fs.lookup(1, utf8("f")));
  expect(b.fs.lookup(1, utf8("f"))).toMatchObject({ node: 0 });
  await create(a.fs, "f");
  node.tell(node.root.number, "directory");
  expect(b.told).toEqual(["entry 1 f", "node 1 -1"]);
  expect((await lookup(b.fs, "f")).node).toBeGreaterThan(1);
});

test("what others changed is asked for anew, right behind a change of one's own too", async () => {
  const node = new FakeNode();
  const a = await mountOn(node.open());
  const b = await mountOn(node.open());
  const old = await create(a.fs, "f");
  await close(a.fs, old.handle);
  const fresh = await create(b.fs, "g");
  await close(b.fs, fresh.handle);
  const at = (name: string) => ({ parent: 1, name: utf8(name) });
  await good(b.fs.rename(at("g"), at("f"), "replace"));
  node.tell(node.root.number, "directory", 1);
  node.tell(BigInt(old.node), "inode", 1);
  await settled();
  expect(a.told).toEqual(["entry 1 f", "node 1 -1", `node ${old.node} -1`]);
  expect(b.told).toEqual([]);
  expect(await bad(a.fs.open(old.node, readOnly))).toBe("ESTALE");
  expect((await lookup(a.fs, "f")).node).toBe(fresh.node);
});

test("what comes back of one's own changes is known already, what was not settled is not", async () => {
  const node = new FakeNode();
  const { fs, told, clock } = await mountOn(node.open());
  const made = await create(fs, "f");
  await close(fs, made.handle);
  node.tell(node.root.number, "directory", 0);
  node.tell(BigInt(made.node), "inode", 0);
  const asked = () => node.count("attributes") + node.count("lookup");
  const before = asked();
  await close(fs, (await good(fs.open(made.node, readOnly))).handle);
  await good(fs.getattr(1));
  await lookup(fs, "f");
  expect(asked()).toBe(before);
  expect(told).toEqual([]);
  const other = await create(fs, "g");
  await clock.pass(2500);
  node.tell(BigInt(other.node), "inode", 0);
  await good(fs.getattr(other.node));
  expect(asked()).toBe(before + 1);
});

test("opens are vouched for while attributes and pages are known to be right", async () => {
  const node = new FakeNode();
  const a = await mountOn(node.open());
  const b = await mountOn(node.open());
  const { node: number, handle } = await create(a.fs, "f");
  expect(a.vouched.get(number)).toBeGreaterThan(a.clock.monotonic());
  await good(a.fs.write(handle, 0, utf8("one")));
  await close(a.fs, handle);
  expect(a.vouched.has(number)).toBe(false); // its attributes are others now
  const openAndClose = async (of: Mounted) =>
    close(of.fs, (await good(of.fs.open(number, readOnly))).handle);
  await openAndClose(a);
  expect(a.vouched.has(number)).toBe(true);
  await lookup(b.fs, "f");
  expect(b.vouched.has(number)).toBe(false);
  await openAndClose(b);
  expect(b.vouched.has(number)).toBe(true);

  await good(a.fs.setattr(number, { size: 1 }));
  expect(a.vouched.has(number)).toBe(false);
  node.tell(BigInt(number), "inode", 0);
  expect(b.vouched.has(number)).toBe(false);
  await good(b.fs.getattr(number)); // notes the new content, of which the kernel is told
  await openAndClose(b);
  expect(b.vouched.has(number)).toBe(true);
  await good(b.fs.unlink(1, utf8("f")));
  expect(b.vouched.has(number)).toBe(false);

  const asking = await mountOn(node.open(), { metaTtlMs: 0 });
  await create(asking.fs, "g");
  expect(asking.vouched.size).toBe(0);
});

test("nobody vouches for a node that the kernel has forgotten", async () => {
  const { fs, vouched } = await mountOn(new FakeNode().open());
  const made = await create(fs, "f");
  await close(fs, made.handle);
  expect(vouched.has(made.node)).toBe(true);
  fs.forget(made.node, 1);
  expect(vouched.has(made.node)).toBe(false);
});

test("names of a directory that was just made are known without asking", async () => {
  const node = new FakeNode();
  const a = await mountOn(node.open());
  const b = await mountOn(node.open());
  const make = async (name: string) => (await good(a.fs.mkdir(1, utf8(name), 0o755, caller))).node;
  const isAbsent = async (parent: number, name: string) =>
    (await good(a.fs.lookup(parent, utf8(name)))).node === 0;
  const asked = () => node.count("lookup");

  const d = await make("d");
  expect(a.fs.lookup(d, utf8("f"))).toEqual({ node: 0, entryTtlMs: 5000 });
  const made = await create(a.fs, "f", readWrite, d);
  expect((await lookup(a.fs, "f", d)).node).toBe(made.node);
  await good(a.fs.unlink(d, utf8("f")));
  expect([await isAbsent(d, "f"), await isAbsent(d, "g"), asked()]).toEqual([true, true, 0]);

  await lookup(b.fs, "d");
  await create(b.fs, "g", readWrite, d);
  node.tell(BigInt(d), "directory", 1);
  await settled();
  expect(a.told).toContain(`entry ${d} g`);
  expect([await isAbsent(d, "g"), await isAbsent(d, "h")]).toEqual([false, true]);
  expect(asked()).toBe(3);

  const e = await make("e");
  await lookup(b.fs, "e");
  await create(b.fs, "taken", readWrite, e);
  expect(await bad(a.fs.mkdir(e, utf8("taken"), 0o755, caller))).toBe("EEXIST");
  expect(await isAbsent(e, "taken")).toBe(false);

  const old = await make("old");
  await a.clock.pass(5000);
  const before = asked();
  expect(await isAbsent(old, "f")).toBe(true);
  expect(asked()).toBe(before + 1);
});

test("lookup() of dots finds a directory and the one above it", async () => {
  const { fs } = await mountOn(new FakeNode().open());
  const d = await good(fs.mkdir(1, utf8("d"), 0o755, caller));
  expect((await lookup(fs, ".", d.node)).node).toBe(d.node);
  expect((await lookup(fs, "..", d.node)).node).toBe(1);
  expect((await lookup(fs, "..", 1)).node).toBe(1);
  expect(await bad(fs.lookup(12345, utf8("..")))).toBe("ESTALE");
});

test("a directory that others moved is not found under its old name once that is noticed", async () => {
  const node = new FakeNode();
  const a = await mountOn(node.open());
  const b = await mountOn(node.open());
  const made = await good(a.fs.mkdir(1, utf8("d"), 0o755, caller));
  expect((await lookup(b.fs, "d")).node).toBe(made.node);
  const at = (name: string) => ({ parent: 1, name: utf8(name) });
  await good(a.fs.rename(at("d"), at("e"), "replace"));
  expect((await lookup(b.fs, "d")).node).toBe(made.node);
  node.tell(BigInt(made.node), "inode");
  await good(b.fs.getattr(made.node));
  expect((await good(b.fs.lookup(1, utf8("d")))).node).toBe(0);
});

test.each([
  ["a node in memory", () => new FakeNode()],
  ["the machine of a shard", () => new MachineNode()],
])(
  "locks of %s keep others out, end with the close, and let the next see what was written",
  async (_, make) => {
    const node = make();
    const a = await mountOn(node.open());
    const b = await mountOn(node.open());
    const { handle } = await create(a.fs, "f");
    const other = await open(b.fs, "f");
    expect(await readAt(b.fs, other, 0, 10)).toHaveLength(0);
    const lock = { kind: "range", type: "write", start: 0n, end: 10n, pid: 5 } as const;
    await good(a.fs.setlk(handle, { ...lock, owner: 1n }));
    expect(await bad(b.fs.setlk(other, { ...lock, owner: 2n }))).toBe("EAGAIN");
    expect(await good(b.fs.getlk(other, { ...lock, owner: 2n }))).toMatchObject({ pid: 5 });
    const stop = new AbortController();
    const stopped = b.fs.setlk(other, { ...lock, owner: 2n }, stop.signal);
    await settled();
    stop.abort();
    expect(await bad(stopped)).toBe("EINTR");
    const waiting = Promise.resolve(
      b.fs.setlk(other, { ...lock, owner: 2n }, new AbortController().signal),
    );
    await good(a.fs.write(handle, 0, utf8("under lock")));
    await good(a.fs.flush(handle, 1n));
    await b.clock.pass(1000);
    expect(await waiting).toBeUndefined();
    expect(text(await readAt(b.fs, other, 0, 10))).toBe("under lock");
  },
);

test("the end of a session loses what was not stored, says so once, and goes on", async () => {
  const node = new FakeNode();
  const session = node.open();
  const { fs } = await mountOn(session);
  const { handle } = await create(fs, "f");
  const clean = await create(fs, "g");
  const locked = await create(fs, "h");
  const lock = {
    kind: "whole",
    type: "write",
    start: 0n,
    end: undefined,
    pid: 5,
    owner: 1n,
  } as const;
  await good(fs.setlk(locked.handle, lock));
  await good(fs.write(handle, 0, utf8("gone")));
  session.end();
  expect(await bad(fs.fsync(handle, false))).toBe("EIO");
  expect(await readAt(fs, handle, 0, 10)).toHaveLength(0);
  await good(fs.write(handle, 0, utf8("kept")));
  await good(fs.fsync(handle, false));
  expect(await bad(fs.flush(clean.handle))).toBe("none");
  expect(await bad(fs.write(locked.handle, 0, utf8("x")))).toBe("EIO");
  expect(await bad(fs.read(locked.handle, 0, new Uint8Array(1)))).toBe("EIO");
});

test("readdir() goes on behind any cookie, whatever comes and goes", async () => {
  const { fs } = await mountOn(new FakeNode().open());
  const names = Array.from({ length: 3000 }, (_, i) => `n${String(i).padStart(4, "0")}`);
  for (const name of names) await good(fs.mknod(1, utf8(name), { mode: 0, device: 0 }, caller));
  const { handle } = await good(fs.opendir(1));
  const seen: string[] = [];
  const cookies: number[] = [];
  const step = async (from: number, count: number, isPlus: boolean): Promise<number> => {
    let cookie = from;
    let taken = 0;
    await good(
      fs.readdir(handle, from, isPlus, (entry) => {
        if (taken >= count) return false;
        taken += 1;
        seen.push(text(entry.name));
        cookies.push(entry.cookie);
        cookie = entry.cookie;
        return true;
      }),
    );
    return taken === 0 ? -1 : cookie;
  };
  let at = await step(0, 7, true);
  await good(fs.unlink(1, utf8("n0005")));
  await good(fs.unlink(1, utf8("n0900")));
  await good(fs.mknod(1, utf8("a-before"), { mode: 0, device: 0 }, caller));
  for (let i = 0; at >= 0; i += 1) at = await step(at, 1 + (i % 100), i % 2 === 0);
  const wanted = names.filter((name) => name !== "n0900" || seen.includes(name));
  expect(seen.filter((name) => name !== "n0005").sort()).toEqual(
    [".", "..", ...wanted.filter((name) => name !== "n0005")].sort(),
  );
  expect(new Set(seen).size).toBe(seen.length);
  const middle = seen.indexOf("n1500");
  seen.length = 0;
  await step(cookies[middle]!, 2, false);
  expect(seen).toEqual(["n1501", "n1502"]);
  seen.length = 0;
  await step(0, 4, true);
  expect(seen).toEqual([".", "..", "a-before", "n0000"]);
  fs.releasedir(handle);
  expect(await bad(fs.readdir(handle, 0, false, () => true))).toBe("EBADF");
});

test("setattr() of a time comes behind what was written before it", async () => {
  const node = new FakeNode();
  const { fs } = await mountOn(node.open());
  const { handle, node: number } = await create(fs, "f");
  await good(fs.write(handle, 0, utf8("x")));
  await good(fs.setattr(number, { modified: 5n, accessed: 6n }));
  await close(fs, handle);
  expect((await good(fs.getattr(number))).attributes).toMatchObject({ modified: 5n, accessed: 6n });
});

test("write() by who may not keep them takes the set-id bits away", async () => {
  const { fs } = await mountOn(new FakeNode().open());
  const { handle, node } = await create(fs, "f");
  await good(fs.setattr(node, { mode: 0o6755 }));
  await good(fs.write(handle, 0, utf8("x")));
  expect((await good(fs.getattr(node))).attributes.mode).toBe(0o6755);
  await good(fs.write(handle, 0, utf8("x"), { isKillingPrivileges: true }));
  expect((await good(fs.getattr(node))).attributes.mode).toBe(0o755);
});

test("fallocate(), lseek() and copyFileRange() see what was written before", async () => {
  const { fs } = await mountOn(new FakeNode().open());
  const { handle } = await create(fs, "f");
  await good(fs.write(handle, 0, new Uint8Array(30_000).fill(1)));
  const range = { mode: "punch", offset: 100, length: 50, isSizeKept: true } as const;
  await good(fs.fallocate(handle, range));
  expect([...(await readAt(fs, handle, 99, 3))]).toEqual([1, 0, 0]);
  expect(await good(fs.lseek(handle, 0, "hole"))).toBe(30_000);
  expect(await bad(fs.lseek(handle, 30_000, "data"))).toBe("ENXIO");
  const target = await create(fs, "g");
  const copied = await good(
    fs.copyFileRange({
      ...{ source: handle, sourceOffset: 29_000, target: target.handle, targetOffset: 10 },
      length: 5000,
    }),
  );
  expect(copied).toBe(1000);
  expect((await lookup(fs, "g")).attributes.size).toBe(1010);
  expect([...(await readAt(fs, target.handle, 9, 2))]).toEqual([0, 1]);
});

test("xattrs, links, symlinks and special files", async () => {
  const node = new FakeNode();
  const { fs } = await mountOn(node.open());
  const { node: number } = await create(fs, "f");
  expect(await bad(fs.getxattr(number, utf8("user.a")))).toBe("ENODATA");
  expect(fs.getxattr(number, utf8("user.a"))).toMatchObject({ name: "ENODATA" });
  await good(fs.setxattr(number, utf8("user.a"), utf8("1"), "create"));
  expect(await bad(fs.setxattr(number, utf8("user.a"), utf8("2"), "create"))).toBe("EEXIST");
  expect(text(await good(fs.getxattr(number, utf8("user.a"))))).toBe("1");
  expect((await good(fs.listxattr(number))).map(text)).toEqual(["user.a"]);
  await good(fs.removexattr(number, utf8("user.a")));
  expect(await bad(fs.removexattr(number, utf8("user.a")))).toBe("ENODATA");
  expect((await good(fs.link(number, 1, utf8("g")))).attributes.links).toBe(2);
  const link = await good(fs.symlink(1, utf8("s"), utf8("f"), caller));
  expect(text(await good(fs.readlink(link.node)))).toBe("f");
  expect(await bad(fs.open(link.node, readOnly))).toBe("ENXIO");
  const device = { mode: 0o060644, device: 0x801 };
  const made = await good(fs.mknod(1, utf8("b"), device, caller));
  expect(made.attributes).toMatchObject({ kind: "block_device", mode: 0o644, device: 0x801 });
  expect(await bad(fs.mknod(1, utf8("x".repeat(256)), device, caller))).toBe("ENAMETOOLONG");
  expect(await good(fs.statfs())).toMatchObject({ bytesAvailable: 400 });
  fs.forget(made.node, 1);
  expect(await bad(fs.getattr(made.node))).toBe("ESTALE");
});

test("a read-only mount changes nothing", async () => {
  const node = new FakeNode();
  const { fs } = await mountOn(node.open(), { isReadOnly: true });
  expect(await bad(fs.mkdir(1, utf8("d"), 0o755, caller))).toBe("EROFS");
  const options = { mode: 0o600, isExclusive: false, flags: readWrite };
  expect(await bad(fs.create(1, utf8("f"), options, caller))).toBe("EROFS");
});

test("close() stores what is in memory and wipes the cache", async () => {
  const node = new FakeNode();
  const { fs } = await mountOn(node.open());
  const { handle } = await create(fs, "f");
  await good(fs.write(handle, 0, utf8("stored")));
  expect(await fs.close()).toBeUndefined();
  const other = await mountOn(node.open());
  expect(text(await readAt(other.fs, await open(other.fs, "f", readOnly), 0, 9))).toBe("stored");
});

test("setlk() waits for what this client gives up meanwhile", async () => {
  const node = new FakeNode();
  const { fs } = await mountOn(node.open());
  const { handle } = await create(fs, "f");
  const other = await open(fs, "f");
  const lock = { kind: "whole", type: "write", start: 0n, end: undefined, pid: 5 } as const;
  await good(fs.setlk(handle, { ...lock, owner: 1n }));
  node.meddle = (call) => (call === "unlock" ? settled() : undefined);
  const released = fs.release(handle, 1n);
  await good(fs.setlk(other, { ...lock, owner: 2n }));
  await good(released);
});
