/** The calls of a client process over a real socket and a file system in memory. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newBytes } from "@kiseki/base";
import { CacheCounters } from "../cache-counters.ts";
import { MemoryFileSystem } from "../serve/memory-file-system.test-helper.ts";
import { type Call, CallError } from "./connection.ts";
import { FileCalls } from "./file-calls.ts";
import {
  bodySizeMax,
  dataSizeMax,
  FieldReader,
  FieldWriter,
  type Frame,
  FrameReader,
  type VerbName,
  verbs,
} from "./frame.ts";
import { listenUnix, type SocketServer } from "./listen.ts";

const token = newBytes(32).fill(7);
const folder = mkdtempSync(join(tmpdir(), "kiseki-process-"));
const path = join(folder, "socket");
let files: MemoryFileSystem;
let server: SocketServer;
let closed = 0;

beforeAll(() => {
  files = new MemoryFileSystem({ ttlMs: 0, isLate: false });
  const calls = new FileCalls(files, false, new CacheCounters(false));
  const table = new Map<number, Call>();
  for (const [name, call] of Object.entries(calls.calls))
    table.set(verbs[name as VerbName], (fields, { handles }) => call(fields, handles));
  table.set(verbs.stage, async (_fields, { report, signal }) => {
    report(new FieldWriter().u64(1));
    await Bun.sleep(1);
    expect(signal.aborted).toBe(false);
    throw new CallError(110, "It took too long");
  });
  server = listenUnix(path, token, table, async (handles) => {
    closed += handles.count;
    await calls.closeAll(handles);
  });
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

/** A client in a few lines: one call after another. */
class Caller {
  readonly socket: Socket = connect(path);
  readonly frames: Frame[] = [];
  isEnded = false;
  #wake = (): void => undefined;
  constructor() {
    const reader = new FrameReader(bodySizeMax);
    this.socket.on("data", (piece: Buffer) => {
      for (let at = 0; ;) {
        const taken = reader.next(piece, at);
        if (taken === undefined) break;
        at = taken.end;
        this.frames.push({ ...taken.frame, body: taken.frame.body.slice() });
      }
      this.#wake();
    });
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => {
      this.isEnded = true;
      this.#wake();
    });
  }
  static async known(): Promise<Caller> {
    const caller = new Caller();
    await caller.call("hello", new FieldWriter().u16(1).bytes(token));
    return caller;
  }
  async next(): Promise<Frame | undefined> {
    while (this.frames.length === 0 && !this.isEnded)
      await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.frames.shift();
  }
  async call(name: VerbName, fields = new FieldWriter()): Promise<FieldReader> {
    this.socket.write(fields.frame(5, verbs[name], 0));
    const answer = await this.next();
    if (answer === undefined) throw new Error("disconnected");
    if (answer.status !== 0) throw new Error(new FieldReader(answer.body).text());
    return new FieldReader(answer.body);
  }
  async open(flags: number, name: string): Promise<number> {
    return (await this.call("open", new FieldWriter().u16(flags).u32(0o600).text(name))).u64();
  }
}
const at = (handle: number, offset: number): FieldWriter =>
  new FieldWriter().u64(handle).u64(offset);

test("listenUnix() makes a socket for its owner alone, in a folder for its owner alone", () => {
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const serve = (where: string): (() => void) => {
    return () => void listenUnix(where, token, new Map(), () => Promise.resolve());
  };
  expect(serve(path)).toThrow("it is there already");
  expect(serve(join(folder, "x".repeat(100)))).toThrow("80 bytes");
  expect(serve("/nowhere/at/all")).toThrow("no such folder");
  chmodSync(folder, 0o750);
  expect(serve(join(folder, "other"))).toThrow("0700");
  chmodSync(folder, 0o700);
});

test("a connection is ended by another token, another version, another first call, or a large frame", async () => {
  const frames = [
    new FieldWriter().u16(1).bytes(newBytes(32)).frame(1, verbs.hello, 0),
    new FieldWriter().u16(2).bytes(token).frame(1, verbs.hello, 0),
    new FieldWriter().u16(1).text("/").frame(1, verbs.stat, 0),
    new FieldWriter().bytes(newBytes(129)).frame(1, verbs.hello, 0),
  ];
  for (const frame of frames) {
    const caller = new Caller();
    caller.socket.write(frame);
    expect(await caller.next()).toBeUndefined();
  }
  const caller = await Caller.known();
  caller.socket.write(Buffer.from("ffffffff0100000001000000", "hex"));
  expect(await caller.next()).toBeUndefined();
});

test("files are made, written, read, listed, renamed and removed by path and by handle", async () => {
  const caller = await Caller.known();
  await caller.call("makeDirectory", new FieldWriter().u32(0o755).text("/d"));
  const handle = await caller.open(1 | 2 | 8 | 16, "d/./f");
  const large = newBytes(dataSizeMax).fill(9);
  const wrote = await caller.call("write", at(handle, 3).u32(large.byteLength).bytes(large));
  expect(wrote.u32()).toBe(dataSizeMax);
  const read = await caller.call("read", at(handle, 1).u32(4));
  expect(read.bytes(4)).toEqual(Uint8Array.of(0, 0, 9, 9));
  await caller.call("closeHandle", new FieldWriter().u64(handle));
  await expect(caller.call("read", at(handle, 0).u32(1))).rejects.toThrow("EBADF");
  await expect(caller.open(2 | 8 | 16, "/d/f")).rejects.toThrow("EEXIST");
  await caller.call("makeSymlink", new FieldWriter().text("../d/f").text("/d/link"));
  const stat = await caller.call("stat", new FieldWriter().u16(1).text("//d/link"));
  expect([stat.u64() > 0, stat.u32() & 0o170000]).toEqual([true, 0o100000]);
  const file = new FieldWriter()
    .u64(dataSizeMax + 1)
    .u32(10)
    .text("d/link");
  const rest = await caller.call("readFile", file);
  expect([rest.u64(), rest.bytes(2)]).toEqual([dataSizeMax + 3, Uint8Array.of(9, 9)]);
  await caller.call("rename", new FieldWriter().u16(0).text("/d/f").text("/d/g"));
  await expect(caller.open(1, "/d/link")).rejects.toThrow("ENOENT");
  await expect(caller.open(2 | 8, "/d/link")).rejects.toThrow("ENOENT");
  const opened = await caller.call("openDirectory", new FieldWriter().text("/d"));
  const listed = await caller.call("readDirectory", new FieldWriter().u64(opened.u64()).u64(0));
  listed.u64();
  expect([listed.u16(), listed.u32()]).toEqual([1, 2]);
  const names = [0, 1].map(() => [listed.text(), listed.bytes(64)][0]);
  expect(names.toSorted()).toEqual(["g", "link"]);
  for (const name of ["/d/g", "/d/link"]) await caller.call("unlink", new FieldWriter().text(name));
  await caller.call("removeDirectory", new FieldWriter().text("/d"));
  await expect(caller.call("stat", new FieldWriter().u16(1).text("/d"))).rejects.toThrow("ENOENT");
});

test("bad paths, loops of symlinks, unknown verbs and bad fields are refused and the connection goes on", async () => {
  const caller = await Caller.known();
  const stat = (name: string) => caller.call("stat", new FieldWriter().u16(1).text(name));
  await caller.call("makeSymlink", new FieldWriter().text("loop").text("/loop"));
  await expect(stat("/loop")).rejects.toThrow("ELOOP");
  await expect(stat("/a\0b")).rejects.toThrow("EINVAL");
  await expect(stat("x/".repeat(2000))).rejects.toThrow("ENAMETOOLONG");
  await expect(stat("x".repeat(5000))).rejects.toThrow("4096");
  await expect(caller.call("stat", new FieldWriter().u16(1))).rejects.toThrow("missing");
  await expect(caller.call("wipe")).rejects.toThrow("no such call");
  await expect(caller.call("unlink", new FieldWriter().text("/"))).rejects.toThrow("EINVAL");
  await expect(caller.call("unlink", new FieldWriter().text("/..").u16(1))).rejects.toThrow(
    "follow",
  );
  await stat("/");
});

test("a long call reports and then fails in words", async () => {
  const caller = await Caller.known();
  caller.socket.write(new FieldWriter().frame(8, verbs.stage, 0));
  const first = await caller.next();
  const last = await caller.next();
  expect([first!.kind, last!.kind, last!.status]).toEqual([2, 1, 110]);
  expect(new FieldReader(last!.body).text()).toBe("It took too long");
});

test("what a connection has open is closed with it, and answers that nobody reads hold back its requests", async () => {
  const caller = await Caller.known();
  const handle = await caller.open(1 | 2 | 8, "/big");
  const piece = newBytes(dataSizeMax);
  await caller.call("write", at(handle, 0).u32(piece.byteLength).bytes(piece));
  caller.socket.pause();
  for (let id = 0; id < 40; id += 1)
    caller.socket.write(at(handle, 0).u32(dataSizeMax).frame(id, verbs.read, 0));
  await Bun.sleep(100);
  caller.socket.resume();
  for (let id = 0; id < 40; id += 1)
    expect((await caller.next())?.body.byteLength).toBe(dataSizeMax);
  const before = closed;
  caller.socket.destroy();
  while (closed === before) await Bun.sleep(5);
  expect(closed).toBe(before + 1);
});

test("many requests of many connections are answered, each once", async () => {
  const callers = await Promise.all(Array.from({ length: 8 }, () => Caller.known()));
  for (const caller of callers)
    for (let id = 0; id < 300; id += 1)
      caller.socket.write(new FieldWriter().u16(1).text("/").frame(id, verbs.stat, 0));
  for (const caller of callers) {
    const ids = new Set<number>();
    for (let id = 0; id < 300; id += 1) ids.add((await caller.next())!.id);
    expect(ids.size).toBe(300);
    caller.socket.destroy();
  }
});
