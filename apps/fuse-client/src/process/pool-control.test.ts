/** A live client's socket in its pool, and who asks there. */
import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CacheStats } from "../cache-counters.ts";
import { liveLatencies, liveStats, serveControl, wipeLive } from "./pool-control.ts";

const id = "0123456789abcdef".repeat(2);
const counted = (wipes: number): CacheStats => ({
  l1Hits: 1,
  l2Hits: 2,
  misses: 3,
  bypasses: 4,
  errors: 5,
  l1Bytes: 6,
  l2Bytes: 7 * 2 ** 40,
  metaHits: 8,
  metaMisses: 9,
  wipes,
});

/** A pool's folder, deeper than a socket's path may be long. */
function poolFolder(): Disposable & { readonly path: string } {
  const parent = mkdtempSync(join(tmpdir(), "kiseki-control-"));
  const path = join(parent, "long".repeat(25), id);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return { path, [Symbol.dispose]: () => rmSync(parent, { recursive: true }) };
}
const tookOften = (count: number) => ({ count, within: (share: number) => count * share * 100 });
class Owner {
  readonly settings = { cacheMode: "organic" };
  readonly latencies = { read: tookOften(3), write: tookOften(0) };
  wipes = 0;
  erasing: Promise<void> = Promise.resolve();
  stats = (): CacheStats => counted(this.wipes);
  wipe = async (): Promise<void> => {
    await this.erasing;
    this.wipes += 1;
  };
}

test("wipeLive() and liveStats() reach who has the pool, and a wipe is told when it has ended", async () => {
  using folder = poolFolder();
  const pool = { path: folder.path, id };
  const owner = new Owner();
  await using _ = serveControl(pool, owner);
  expect(statSync(join(pool.path, "control")).mode & 0o777).toBe(0o600);
  expect(await liveStats(pool)).toEqual(counted(0));
  expect(await liveLatencies(pool)).toEqual({
    read: { count: 3, p50: 150, p99: 297 },
    write: { count: 0, p50: 0, p99: 0 },
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  owner.erasing = promise;
  const wiping = wipeLive(pool);
  expect(await liveStats(pool)).toEqual(counted(0));
  resolve();
  expect(await wiping).toEqual(counted(1));
});

test("serveControl() answers for its own pool alone, and takes the place of one that was killed", async () => {
  using folder = poolFolder();
  writeFileSync(join(folder.path, "control"), "left");
  const owner = new Owner();
  const server = serveControl({ path: folder.path, id }, owner);
  expect(await wipeLive({ path: folder.path, id: "f".repeat(32) })).toBeUndefined();
  expect(owner.wipes).toBe(0);
  await server[Symbol.asyncDispose]();
  expect(await wipeLive({ path: folder.path, id })).toBeUndefined();
});

test("serveControl() makes no socket where others could reach it", () => {
  using folder = poolFolder();
  chmodSync(folder.path, 0o750);
  expect(() => serveControl({ path: folder.path, id }, new Owner())).toThrow("0700");
});
