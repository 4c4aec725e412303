import { expect, test } from "bun:test";
import { readSync, symlinkSync } from "node:fs";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newBytes } from "@kiseki/base";
import { openCrypto, systemPrng } from "@kiseki/host";
import {
  chunkOf,
  keepOne,
  openAtDirectory,
  Origin,
  rightBytes,
  tenant,
} from "./cache-bed.test-helper.ts";
import type { DiskCache, DiskCacheOptions } from "./disk-cache.ts";

const crypto = openCrypto();
const size = 65_536;

async function folder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await fs.mkdtemp(join(tmpdir(), "kiseki-cache-"));
  return { path, [Symbol.asyncDispose]: () => fs.rm(path, { recursive: true }) };
}
interface Bed {
  readonly cache: DiskCache;
  readonly origin: Origin;
  readonly faults: string[];
}
async function bedAt(directory: string, change: Partial<DiskCacheOptions> = {}): Promise<Bed> {
  const origin = new Origin();
  const faults: string[] = [];
  const onFault = (code: string): void => void faults.push(code);
  const readNow = (fd: number, target: Uint8Array, at: number): boolean =>
    readSync(fd, target, 0, target.byteLength, at) === target.byteLength;
  const ports = { crypto, prng: systemPrng, content: origin, readNow };
  return { cache: await openAtDirectory(directory, ports, { onFault, ...change }), origin, faults };
}
async function expectRight({ cache }: Bed, number: number): Promise<void> {
  const target = newBytes(size);
  const piece = chunkOf(number);
  expect(await cache.content.read(piece, 0, target)).toEqual({ kind: "read" });
  expect(Buffer.compare(target, rightBytes(piece, 0, size))).toBe(0);
  await cache.idle();
}
async function filesIn(path: string): Promise<string[]> {
  const found = await fs.readdir(path, { recursive: true, withFileTypes: true });
  return found
    .filter((entry) => !entry.isDirectory() && !["pool.lock", "pool.size"].includes(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

test("openDiskCache() reads what it kept without the node, for its owner alone, and leaves nothing", async () => {
  await using at = await folder();
  const bed = await bedAt(at.path);
  for (const number of [1, 2, 1, 2, 1]) await expectRight(bed, number);
  expect(bed.origin.reads).toBe(2);
  const { read, write } = bed.cache.latencies;
  expect([read.count, write.count]).toEqual([3, 2]);
  expect(Math.min(read.within(0.5), write.within(0.5))).toBeGreaterThan(0);
  const files = await filesIn(at.path);
  expect(files).toHaveLength(2);
  for (const path of files) {
    expect(path).toMatch(
      new RegExp(`/${tenant}/[0-9a-f]{32}/chunks/0([12])/(0\\1){32}\\.0-65536$`),
    );
    const { mode, size: fileSize } = await fs.stat(path);
    expect([mode & 0o777, fileSize]).toEqual([0o600, size + (size / 4096) * 4]);
  }
  expect((await fs.stat(join(at.path, tenant))).mode & 0o777).toBe(0o700);
  await bed.cache.close();
  expect(await fs.readdir(join(at.path, tenant))).toEqual([]);
  await expectRight(bed, 1);
  expect(bed.origin.reads).toBe(3);
  expect(bed.faults).toEqual([]);
});

test("openDiskCache() stays in its bytes", async () => {
  await using at = await folder();
  const sizeMax = 3 * (size + 4096);
  for (const mode of ["organic", "pinned"] as const) {
    const bed = await bedAt(at.path, { sizeMax, mode });
    for (const number of [1, 2, 3, 4]) await expectRight(bed, number);
    expect(await filesIn(at.path)).toHaveLength(3);
    for (const number of [1, 2, 3]) await expectRight(bed, number);
    expect(bed.origin.reads).toBe(mode === "organic" ? 7 : 4);
    expect(bed.faults).toEqual(mode === "organic" ? [] : ["cache_capacity_exceeded"]);
    await bed.cache.close();
  }
});

const other = (files: string[], path: string): string => files.find((each) => each !== path)!;
const harms: Readonly<Record<string, (path: string, files: string[]) => Promise<void>>> = {
  flipped: async (path) => {
    const content = await fs.readFile(path);
    content[1234]! ^= 1;
    await fs.writeFile(path, content);
  },
  "flipped in its trailer": async (path) => {
    const content = await fs.readFile(path);
    content[size]! ^= 128;
    await fs.writeFile(path, content);
  },
  truncated: (path) => fs.truncate(path, size / 2),
  emptied: (path) => fs.truncate(path, 0),
  deleted: (path) => fs.unlink(path),
  swapped: async (path, files) => {
    const beside = other(files, path);
    await fs.rename(path, `${path}.x`);
    await fs.rename(beside, path);
    await fs.rename(`${path}.x`, beside);
  },
  "made a link to another": async (path, files) => {
    await fs.unlink(path);
    symlinkSync(other(files, path), path);
  },
};
test.each(Object.entries(harms))("a file that was %s gives no wrong bytes", async (_, harm) => {
  await using at = await folder();
  const bed = await bedAt(at.path);
  for (const number of [1, 2]) await expectRight(bed, number);
  const files = await filesIn(at.path);
  await harm(files[0]!, files);
  for (const number of [1, 2]) await expectRight(bed, number);
  expect(bed.origin.reads).toBeGreaterThan(2);
  expect(bed.faults).toHaveLength(1);
  // What was wrong is erased before it is kept again.
  for (const number of [1, 2]) await expectRight(bed, number);
  const { reads } = bed.origin;
  for (const number of [1, 2]) await expectRight(bed, number);
  expect(bed.origin.reads).toBe(reads);
  await bed.cache.close();
  expect(await filesIn(at.path)).toEqual([]);
});

test("a cache whose folder went, or is another's, is not there; reads go on", async () => {
  await using at = await folder();
  const gone = await bedAt(at.path);
  await expectRight(gone, 1);
  await fs.rm(join(at.path, tenant), { recursive: true });
  for (const number of [1, 2, 2]) await expectRight(gone, number);
  expect(gone.faults).toEqual(["ENOENT"]);
  await gone.cache.close();

  await fs.mkdir(join(at.path, "open"));
  await fs.chmod(join(at.path, "open"), 0o777);
  symlinkSync(at.path, join(at.path, "link"));
  for (const name of ["open", "link"]) {
    const bed = await bedAt(join(at.path, name));
    await expectRight(bed, 1);
    expect(bed.faults).toEqual(["EPERM"]);
    await bed.cache.close();
  }
});

test("wipe() leaves nothing to be served, also of what was under way, and keeps what is read later", async () => {
  await using at = await folder();
  const bed = await bedAt(at.path);
  await expectRight(bed, 1);
  const target = newBytes(size);
  const { promise, resolve } = Promise.withResolvers<void>();
  bed.origin.gate = promise;
  const asked = bed.cache.content.read(chunkOf(2), 0, target);
  while (bed.origin.reads < 2) await Bun.sleep(1);
  const wiped = bed.cache.wipe();
  resolve();
  await asked;
  await wiped;
  await bed.cache.idle();
  expect(await filesIn(at.path)).toEqual([]);
  bed.cache.accept(false);
  await expectRight(bed, 1);
  expect(await filesIn(at.path)).toEqual([]);
  bed.cache.accept(true);
  for (const number of [1, 2, 1, 2]) await expectRight(bed, number);
  expect(bed.origin.reads).toBe(5);
  await bed.cache.close();
  expect(bed.faults).toEqual([]);
});

test("pools of one machine stay in what they may have together", async () => {
  await using at = await folder();
  const change = { nodeSizeMax: 4 * (size + 4096) };
  const first = await bedAt(at.path, change);
  for (const number of [1, 2, 3]) await expectRight(first, number);
  const next = await bedAt(at.path, { ...change, mode: "pinned" });
  // What the first has it says once a second.
  await Bun.sleep(1000);
  await expectRight(first, 1);
  await expectRight(first, 4);
  for (const number of [1, 2, 3]) await expectRight(next, number);
  const blocks = (await filesIn(at.path)).filter((path) => path.includes("/chunks/"));
  expect(blocks.length).toBeLessThanOrEqual(4);
  expect(next.faults).toEqual(["ENOSPC"]);
  // Organic entries make room for others of their own.
  await expectRight(first, 9);
  const { reads } = first.origin;
  await expectRight(first, 9);
  expect(first.origin.reads).toBe(reads);
  await first.cache.close();
  await next.cache.close();
});

test("a refusal of the node is passed on, and nothing of it kept", async () => {
  await using at = await folder();
  const bed = await bedAt(at.path);
  bed.origin.isGone = true;
  const refused = await bed.cache.content.read(chunkOf(1), 0, newBytes(size));
  expect(refused).toEqual({ kind: "refused", code: "unreachable" });
  await bed.cache.idle();
  expect(await filesIn(at.path)).toEqual([]);
  await bed.cache.close();
});

test("the pool of a killed client is gone after the next start; one that lives is left alone", async () => {
  await using at = await folder();
  const fixture = join(import.meta.dir, "fixture-hold-pool.ts");
  const child = Bun.spawn([process.execPath, fixture, at.path], { stdout: "pipe" });
  for await (const _ of child.stdout) break;
  const left = await filesIn(at.path);
  expect(left).toHaveLength(1);

  const beside = await bedAt(at.path);
  await beside.cache.scavenged;
  expect(await filesIn(at.path)).toEqual(left);
  child.kill("SIGKILL");
  await child.exited;
  expect(await filesIn(at.path)).toEqual(left);

  const next = await bedAt(at.path);
  await next.cache.scavenged;
  expect(await filesIn(at.path)).toEqual([]);
  expect(await fs.readdir(join(at.path, tenant))).toHaveLength(2);
  await keepOne(beside.cache);
  expect(await filesIn(at.path)).toHaveLength(1);
  for (const { cache, faults } of [beside, next]) {
    await cache.close();
    expect(faults).toEqual([]);
  }
});

test("a part of a block that was read as a stream is read from the disk, whole segments of it, each checked", async () => {
  await using at = await folder();
  const bed = await bedAt(at.path, { sizeMax: 16 << 20 });
  const stream = 1024 * 1024;
  // A piece that begins and ends anywhere in its chunk: its first block is shorter, its last one too.
  const [chunkOffset, length] = [stream / 2, stream + 100_000];
  const piece = { ...chunkOf(3, length), chunkOffset };
  for (const [start, count] of [
    [0, stream / 2],
    [stream / 2, length - stream / 2],
  ] as const)
    await bed.cache.content.read(piece, start, newBytes(count));
  await bed.cache.idle();
  expect(bed.origin.reads).toBe(2);
  const part = async (start: number, count: number): Promise<void> => {
    const target = newBytes(count);
    expect(await bed.cache.content.read(piece, start, target)).toEqual({ kind: "read" });
    expect(Buffer.compare(target, rightBytes(piece, chunkOffset + start, count))).toBe(0);
    await bed.cache.idle();
  };
  await part(size, size);
  await part(stream / 2 + 3 * size, size);
  await part(length - (length % size), length % size);
  expect(bed.origin.reads).toBe(2);
  const now = newBytes(2 * size);
  expect(bed.cache.content.readNow!(piece, size, now)).toBe(true);
  expect(Buffer.compare(now, rightBytes(piece, chunkOffset + size, 2 * size))).toBe(0);
  const isNear = (start: number): boolean => bed.cache.content.isNear!(piece, start, size);
  expect([0, size, stream / 2 + size].map(isNear)).toEqual([true, true, true]);
  expect(bed.cache.content.isNear!(chunkOf(4), 0, size)).toBe(false);
  expect(bed.cache.content.readNow!(chunkOf(4), 0, now.subarray(size))).toBe(false);
  expect(bed.cache.content.readNow!(piece, size + 1, now)).toBe(false);
  // Not whole segments, and over the end of a block: of the node.
  await part(size + 1, size);
  await part(stream / 2 - size, 2 * size);
  expect(bed.origin.reads).toBe(4);
  const [path] = (await filesIn(at.path)).filter((name) =>
    name.endsWith(`.${stream / 2}-${stream}`),
  );
  const content = await fs.readFile(path!);
  content[2 * size + 7]! ^= 1;
  await fs.writeFile(path!, content);
  await part(3 * size, size);
  expect([bed.origin.reads, bed.faults]).toEqual([4, []]);
  expect(bed.cache.content.readNow!(piece, 2 * size, now.subarray(size))).toBe(false);
  await part(2 * size, size);
  expect([bed.origin.reads, bed.faults]).toEqual([5, ["EBADMSG"]]);
  await bed.cache.close();
});
