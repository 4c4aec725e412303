/** The cache on real files, under random reads, stagings, harm, policies and wipes. */
import { expect, test } from "bun:test";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newBytes, type Prng, prngFromSeed } from "@kiseki/base";
import { openCrypto, systemClock, systemPrng } from "@kiseki/host";
import type { ContentStore } from "@kiseki/vfs";
import { type Chunk, chunkOf, namespace, tenant } from "./cache-bed.test-helper.ts";
import { type DiskCache, openDiskCache } from "./disk-cache.ts";
import { LentReader } from "./lent-reader.test-helper.ts";
import { writeImage } from "./staging-bed.test-helper.ts";
import { openStagingPool } from "./staging-pool.ts";

const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const runCount = 6;
const stepCount = 120;
const size = 20_000;
const ports = { clock: systemClock, crypto: openCrypto(), prng: systemPrng };

/** Bytes that say which chunk or file they are of, and before how many wipes they were read. */
const bytesOf = (number: number, wipes: number): Uint8Array =>
  newBytes(size).map((_, i) => (i * 7 + number * 31 + wipes * 101) & 0xff);

class Model implements ContentStore {
  readonly #prng: Prng;
  readonly #directory: string;
  #cache!: DiskCache;
  #sizeMax = 0;
  /** What was read before the last wipe is other bytes: served later, it would be seen. */
  wipes = 0;
  stagedReads = 0;
  /** Of this session. */
  reader = new LentReader(5);
  lentReads = 0;
  #isHarmed = false;
  fetches = 0;
  reads = 0;

  constructor(prng: Prng, directory: string) {
    this.#prng = prng;
    this.#directory = directory;
  }
  write(): never {
    throw new Error("Nothing is written here");
  }
  async read(piece: Chunk, _start: number, target: Uint8Array): ReturnType<ContentStore["read"]> {
    this.fetches += 1;
    const { wipes } = this;
    await Bun.sleep(0);
    target.set(bytesOf(piece.chunkId[0]!, wipes));
    return { kind: "read" };
  }

  /** A session under a policy of its own, over a pool of its own or one that was staged. */
  async open(): Promise<void> {
    this.#sizeMax = (2 + this.#prng.below(8)) * 24_576;
    const mode = this.#prng.below(2) === 0 ? ("organic" as const) : ("pinned" as const);
    const adopted = this.#prng.below(2) === 0 ? await this.#stage() : undefined;
    const options = { directory: this.#directory, tenant, namespace, mode, adopted };
    const onFault = (): void => undefined;
    this.reader = new LentReader(1 + this.#prng.below(6));
    this.#isHarmed = false;
    this.#cache = await openDiskCache(
      { ...ports, content: this, kernel: { blocks: this.reader } },
      { ...options, sizeMax: this.#sizeMax, onFault },
    );
  }
  async #stage(): Promise<string> {
    const options = { directory: this.#directory, tenant, sizeMax: 1 << 20, onFault: () => {} };
    const pool = await openStagingPool(ports, options);
    const files = [];
    for (let number = 1; number <= 4; number += 1)
      files.push(await writeImage(pool.images, BigInt(number), bytesOf(number, this.wipes)));
    const manifest = { dataset: "/d", namespace, isComplete: true, stagedAt: 0, files };
    await pool.images.saveManifest(manifest);
    pool.handOver();
    if (this.#prng.below(3) === 0) await this.#harm();
    return pool.id;
  }

  async step(): Promise<void> {
    const choice = this.#prng.below(100);
    if (choice < 45) await this.#read();
    else if (choice < 60) this.#readLent();
    else if (choice < 78) this.#readStaged();
    else if (choice < 84) await this.#harm();
    else if (choice < 89) this.#cache.accept(this.#prng.below(3) > 0);
    else if (choice < 94) await this.#wipe();
    else {
      await this.close();
      await this.open();
    }
    await this.check();
  }
  /** Some at once, as a mount asks. */
  async #read(): Promise<void> {
    const numbers = Array.from({ length: 1 + this.#prng.below(3) }, () => this.#prng.below(12));
    await Promise.all(
      numbers.map(async (number) => {
        const target = newBytes(size);
        this.reads += 1;
        const read = await this.#cache.content.read(chunkOf(number, size), 0, target);
        expect(read).toEqual({ kind: "read" });
        expect(Buffer.compare(target, bytesOf(number, this.wipes))).toBe(0);
      }),
    );
    await this.#cache.idle();
  }
  #readLent(): void {
    for (let number = 0; number < 12; number += 1) {
      if (this.#prng.below(2) === 0)
        this.#cache.content.lend?.(chunkOf(number, size), 0, { node: number, version: 1n, size });
      this.reader.vouchReads(number, 1n);
      const target = newBytes(size);
      if (!this.reader.read(number, 0, target)) continue;
      this.lentReads += 1;
      expect(Buffer.compare(target, bytesOf(number, this.wipes))).toBe(0);
    }
  }
  #readStaged(): void {
    const inode = 1 + this.#prng.below(4);
    const image = this.#cache.staged?.open(BigInt(inode));
    if (image === undefined) return;
    const target = newBytes(size);
    if (image.read(0, target)) {
      this.stagedReads += 1;
      expect(Buffer.compare(target, bytesOf(inode, this.wipes))).toBe(0);
    }
    image.close();
  }
  async #wipe(): Promise<void> {
    this.wipes += 1;
    const wiped = this.#cache.wipe();
    expect(this.reader.lent.size).toBe(0);
    await wiped;
    await this.#cache.idle();
    expect(await this.files()).toEqual([]);
  }
  async #harm(): Promise<void> {
    const files = await this.files();
    const path = files[this.#prng.below(Math.max(1, files.length))];
    if (path === undefined) return;
    this.#isHarmed = true;
    const how = this.#prng.below(4);
    if (how === 0) await fs.truncate(path, this.#prng.below(size));
    else if (how === 1) await fs.unlink(path);
    else if (how === 2) await fs.copyFile(files[0]!, path);
    else {
      const content = await fs.readFile(path);
      content[this.#prng.below(content.byteLength)]! ^= 1 + this.#prng.below(255);
      await fs.writeFile(path, content);
    }
  }
  async check(): Promise<void> {
    await this.#cache.idle();
    if (!this.#isHarmed) expect(this.reader.nameless).toBe(0);
    const files = await this.files();
    let used = 0;
    for (const path of files) used += Math.ceil((await fs.stat(path)).size / 4096) * 4096;
    expect(used).toBeLessThanOrEqual(this.#sizeMax);
    expect(this.#cache.sizeOnDisk).toBeLessThanOrEqual(this.#sizeMax);
  }
  async files(): Promise<string[]> {
    const found = await fs.readdir(this.#directory, { recursive: true, withFileTypes: true });
    return found
      .filter((entry) => entry.isFile() && /\/(chunks|images)/.test(entry.parentPath))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
  }
  async close(): Promise<void> {
    await this.#cache.close();
    expect(this.reader.lent.size).toBe(0);
    expect(await this.files()).toEqual([]);
  }
}

test(`openDiskCache() gives right bytes, stays in its room, and serves nothing of before a wipe, seed ${seed}`, async () => {
  let hits = 0;
  let stagedReads = 0;
  let lentReads = 0;
  for (let run = 0; run < runCount; run += 1) {
    const directory = await fs.mkdtemp(join(tmpdir(), "kiseki-cache-"));
    const model = new Model(prngFromSeed(seed + run), directory);
    await model.open();
    for (let step = 0; step < stepCount; step += 1) await model.step();
    await model.close();
    hits += model.reads - model.fetches;
    stagedReads += model.stagedReads;
    lentReads += model.lentReads;
    await fs.rm(directory, { recursive: true });
  }
  expect(hits).toBeGreaterThan(runCount);
  expect(stagedReads).toBeGreaterThan(0);
  expect(lentReads).toBeGreaterThan(0);
});
