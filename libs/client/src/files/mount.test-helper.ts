import { type Millis, millis, toUtf8, type WallTime, wallTime } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import {
  type Caller,
  type ContentStore,
  type Entry,
  type ErrnoName,
  Failure,
  type FileService,
  type FileSystem,
  isFailure,
  type LentBlocks,
  type OpenFlags,
  type Outcome,
  RamBlockCache,
  type StagedFiles,
} from "@kiseki/vfs";
import { type FileSystemOptions, type MountedFiles, openFileSystem } from "../index.ts";

/** Time stands still until it is told to go on; sleepers wake in order. */
export class TestClock implements Clock {
  #now = 1000;
  #sleepers: { at: number; wake: () => void }[] = [];
  monotonic(): Millis {
    return millis(this.#now);
  }
  realtime(): WallTime {
    return wallTime(1_800_000_000_000 + this.#now);
  }
  sleep(duration: Millis, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const sleeper = { at: this.#now + duration, wake: resolve };
      this.#sleepers.push(sleeper);
      signal.addEventListener("abort", () => {
        this.#sleepers = this.#sleepers.filter((each) => each !== sleeper);
        reject(new Error("aborted"));
      });
    });
  }
  async pass(duration: number): Promise<void> {
    const end = this.#now + duration;
    for (;;) {
      const next = this.#sleepers
        .filter(({ at }) => at <= end)
        .sort((a, b) => a.at - b.at)
        .at(0);
      if (next === undefined) break;
      this.#sleepers = this.#sleepers.filter((each) => each !== next);
      this.#now = next.at;
      next.wake();
      await settled();
    }
    this.#now = end;
    await settled();
  }
}
/** Lets everything that is ready run. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 3; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

export const caller: Caller = { uid: 1000, gid: 100, pid: 1 };
export const readWrite: OpenFlags = {
  isReading: true,
  isWriting: true,
  isAppending: false,
  isTruncating: false,
  isSynchronous: false,
};
export const readOnly: OpenFlags = { ...readWrite, isWriting: false };
const defaults: FileSystemOptions = {
  metaTtlMs: 5000,
  cacheSizeMax: 1 << 24,
  dirtySizeMax: 1 << 26,
  readAheadMax: 1 << 22,
  isReadOnly: false,
};

export interface Mounted {
  readonly fs: MountedFiles;
  readonly clock: TestClock;
  /** What the kernel was told, in words. */
  readonly told: string[];
  /** Nodes whose opens are vouched for, and until when. */
  readonly vouched: ReadonlyMap<number, number>;
  /** Nodes whose reads are, of which content, and until when. */
  readonly readable: ReadonlyMap<number, readonly [version: bigint, until: number]>;
  /** Pieces that were to be lent: of what node, and where in the file they begin. */
  readonly lent: (readonly [node: number, offset: number])[];
}
export async function mountOn(
  ports: FileService & ContentStore,
  options: Partial<FileSystemOptions> = {},
  staged?: StagedFiles,
): Promise<Mounted> {
  const clock = new TestClock();
  const told: string[] = [];
  const vouched = new Map<number, number>();
  const readable = new Map<number, [bigint, number]>();
  const lent: [number, number][] = [];
  const blocks: LentBlocks = {
    lentMax: 1,
    lentReads: 0,
    lend: () => false,
    takeBack: () => undefined,
    takeLentUse: () => -1,
    vouchReads: (node, version, ms) => void readable.set(node, [version, clock.monotonic() + ms]),
    withdrawReads: (node) => void readable.delete(node),
  };
  const content: ContentStore = {
    write: (...request) => ports.write(...request),
    read: (...request) => ports.read(...request),
    lend: (piece, start, { node }) => void lent.push([node, piece.offset + start]),
  };
  const all = { ...defaults, ...options };
  const fs = await openFileSystem(
    {
      service: ports,
      content,
      clock,
      cache: new RamBlockCache(all.cacheSizeMax),
      staged,
      kernel: {
        invalidateNode: (node, offset) => void told.push(`node ${node} ${offset}`),
        invalidateEntry: (parent, name) =>
          void told.push(`entry ${parent} ${Buffer.from(name).toString()}`),
        vouchOpens: (node, ms) => void vouched.set(node, clock.monotonic() + ms),
        withdrawOpens: (node) => void vouched.delete(node),
        blocks,
      },
    },
    all,
  );
  if (isFailure(fs)) throw new Error(`no mount: ${fs.name}`);
  return { fs, clock, told, vouched, readable, lent };
}

/** The answer, or the test fails with the error's name. */
export async function good<T>(outcome: Outcome<T>): Promise<T> {
  const answer = await outcome;
  if (answer instanceof Failure) throw new Error(`refused: ${answer.name}`);
  return answer as T;
}
export async function bad(outcome: Outcome<unknown>): Promise<ErrnoName | "none"> {
  const answer = await outcome;
  return answer instanceof Failure ? answer.name : "none";
}

export const utf8 = toUtf8;
export async function lookup(fs: FileSystem, name: string, parent = 1): Promise<Entry> {
  const found = await good(fs.lookup(parent, toUtf8(name)));
  if (found.node === 0) throw new Error("refused: ENOENT");
  return found as Entry;
}
/** Makes a file and answers its node and a handle for reading and writing. */
export async function create(
  fs: FileSystem,
  name: string,
  flags: OpenFlags = readWrite,
  parent = 1,
): Promise<{ node: number; handle: number }> {
  const options = { mode: 0o644, isExclusive: true, flags };
  return good(fs.create(parent, toUtf8(name), options, caller));
}
export async function open(fs: FileSystem, name: string, flags = readWrite): Promise<number> {
  const { node } = await lookup(fs, name);
  return (await good(fs.open(node, flags))).handle;
}
export async function readAt(
  fs: FileSystem,
  handle: number,
  offset: number,
  size: number,
): Promise<Uint8Array> {
  const target = new Uint8Array(size).fill(0xee);
  return target.subarray(0, await good(fs.read(handle, offset, target)));
}
export const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
export async function close(fs: FileSystem, handle: number): Promise<void> {
  await good(fs.flush(handle));
  await good(fs.release(handle));
}
