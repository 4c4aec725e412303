import { expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newBytes } from "@kiseki/base";
import { openCrypto, systemPrng } from "@kiseki/host";
import { chunkOf, openAtDirectory, Origin, rightBytes } from "./cache-bed.test-helper.ts";
import type { DiskCache, DiskCacheOptions } from "./disk-cache.ts";
import { LentReader } from "./lent-reader.test-helper.ts";

const size = 65_536;
const version = 7n;

class Bed implements AsyncDisposable {
  readonly reader: LentReader;
  readonly origin = new Origin();
  readonly directory: string;
  readonly faults: string[] = [];
  cache!: DiskCache;
  private constructor(directory: string, slots: number) {
    this.directory = directory;
    this.reader = new LentReader(slots);
  }
  static async open(change: Partial<DiskCacheOptions> = {}, slots = 100): Promise<Bed> {
    const bed = new Bed(await mkdtemp(join(tmpdir(), "kiseki-lending-")), slots);
    const kernel = { blocks: bed.reader };
    const ports = { crypto: openCrypto(), prng: systemPrng, content: bed.origin, kernel };
    const onFault = (code: string): void => void bed.faults.push(code);
    bed.cache = await openAtDirectory(bed.directory, ports, { onFault, ...change });
    return bed;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.cache.close();
    expect(this.reader.lent.size).toBe(0);
    await rm(this.directory, { recursive: true });
  }

  async keep(number: number): Promise<void> {
    const target = newBytes(size);
    await this.cache.content.read(chunkOf(number), 0, target);
    expect(Buffer.compare(target, rightBytes(chunkOf(number), 0, size))).toBe(0);
    await this.cache.idle();
  }
  /** As the file of the same number. */
  lend(number: number): void {
    this.cache.content.lend?.(chunkOf(number), 0, { node: number, version, size });
    this.reader.vouchReads(number, version);
  }
  /** Without the cache. */
  reads(number: number): boolean {
    const target = newBytes(4096);
    if (!this.reader.read(number, 8192, target)) return false;
    expect(Buffer.compare(target, rightBytes(chunkOf(number), 8192, 4096))).toBe(0);
    return true;
  }
  path(number: number): string {
    const name = `${number.toString(16).padStart(2, "0").repeat(32)}.0-${size}`;
    const found = readdirSync(this.directory, { recursive: true }).map(String);
    return join(
      this.directory,
      found.find((each) => each.endsWith(name))!,
    );
  }
}

test("Lending lends what is kept, once, and nothing that is not", async () => {
  await using bed = await Bed.open();
  bed.lend(1);
  expect(bed.reader.lent.size).toBe(0);
  await bed.keep(1);
  for (let i = 0; i < 3; i += 1) bed.lend(1);
  expect([...bed.reader.lent.values()]).toEqual([
    expect.objectContaining({ node: 1, version, start: 0, length: size, isEnd: true }),
  ]);
  expect([bed.reads(1), bed.reads(2)]).toEqual([true, false]);
  // The same block in another file, and in the same one with other content.
  bed.cache.content.lend?.(chunkOf(1), 0, { node: 2, version, size: size + 1 });
  bed.cache.content.lend?.(chunkOf(1), 0, { node: 1, version: 8n, size });
  expect(bed.reader.lent.size).toBe(3);
  expect(bed.reader.lent.get(1)).toMatchObject({ node: 2, isEnd: false });
});

test("Lending lends all blocks of a stream's piece that are kept", async () => {
  await using bed = await Bed.open();
  const piece = { ...chunkOf(3, 3 << 20), offset: 5 << 20 };
  for (const at of [0, 2 << 20]) await bed.cache.content.read(piece, at, newBytes(1 << 20));
  await bed.cache.idle();
  bed.cache.content.lend?.(piece, 100_000, { node: 3, version, size: 8 << 20 });
  expect([...bed.reader.lent.values()]).toMatchObject([
    { start: 5 << 20, length: 1 << 20, isEnd: false },
    { start: 7 << 20, length: 1 << 20, isEnd: true },
  ]);
});

test("Lending takes blocks back before a wipe erases them, and when one is found damaged", async () => {
  await using bed = await Bed.open();
  // More than are erased at once.
  const many = Array.from({ length: 20 }, (_, number) => number);
  for (const number of many) {
    await bed.keep(number);
    bed.lend(number);
  }
  expect(bed.reader.lent.size).toBe(many.length);
  const wiped = bed.cache.wipe();
  expect(bed.reader.lent.size).toBe(0);
  await wiped;
  for (const number of [1, 2]) {
    await bed.keep(number);
    bed.lend(number);
  }
  const content = await readFile(bed.path(1));
  content[9000]! ^= 1;
  await writeFile(bed.path(1), content);
  expect([bed.reads(1), bed.reads(2)]).toEqual([false, true]);
  await bed.keep(1);
  expect(bed.faults).toEqual(["EBADMSG"]);
  expect([...bed.reader.lent.values()]).toMatchObject([{ node: 2 }]);
});

test("Lending takes the first back when there are too many", async () => {
  await using bed = await Bed.open({}, 2);
  for (const number of [1, 2, 3]) {
    await bed.keep(number);
    bed.lend(number);
  }
  expect([1, 2, 3].map((number) => bed.reads(number))).toEqual([false, true, true]);
  bed.lend(1);
  expect([1, 2, 3].map((number) => bed.reads(number))).toEqual([true, false, true]);
});

test("what is read unasked is used: others are evicted, and a block that is evicted is not lent", async () => {
  await using bed = await Bed.open({ sizeMax: 3 * (size + 4096) });
  for (const number of [1, 2, 3]) {
    await bed.keep(number);
    bed.lend(number);
  }
  expect([bed.reads(1), bed.reads(3)]).toEqual([true, true]);
  await bed.keep(4);
  expect([1, 2, 3].map((number) => bed.reads(number))).toEqual([true, false, true]);
  expect(bed.reader.nameless).toBe(0);
});
