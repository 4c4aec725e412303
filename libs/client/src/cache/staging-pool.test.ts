import { expect, test } from "bun:test";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newBytes, toUtf8 } from "@kiseki/base";
import { openCrypto, systemClock, systemPrng } from "@kiseki/host";
import { tenant } from "./cache-bed.test-helper.ts";
import { readManifests } from "./image-store.ts";
import { listPools, scavenge, wipePool } from "./pool.ts";
import { stageFile, writeImage } from "./staging-bed.test-helper.ts";
import { openStagingPool, type StagingPool, type StagingPoolOptions } from "./staging-pool.ts";

const ports = { clock: systemClock, crypto: openCrypto(), prng: systemPrng };
const never = new AbortController().signal;
const seven = toUtf8("seven");

async function folder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await fs.mkdtemp(join(tmpdir(), "kiseki-stage-"));
  return { path, [Symbol.asyncDispose]: () => fs.rm(path, { recursive: true }) };
}
function open(
  directory: string,
  change: Partial<StagingPoolOptions> = {},
  faults: string[] = [],
): Promise<StagingPool> {
  const onFault = (code: string): void => void faults.push(code);
  return openStagingPool(ports, { directory, tenant, sizeMax: 1 << 24, onFault, ...change });
}
/** A process that stages and gives the pool to who asks. */
async function stagingProcess(
  directory: string,
): Promise<{ readonly id: string; readonly child: Bun.Subprocess }> {
  const fixture = join(import.meta.dir, "fixture-stage-pool.ts");
  const child = Bun.spawn([process.execPath, fixture, directory], { stdout: "pipe" });
  for await (const line of child.stdout) return { id: Buffer.from(line).toString().trim(), child };
  throw new Error("Nothing was staged");
}

test("openStagingPool() hands images and manifests from process to process", async () => {
  await using at = await folder();
  const { id, child } = await stagingProcess(at.path);
  // Neither a scavenger nor a second look takes it away meanwhile.
  expect(await scavenge(at.path, never, () => undefined)).toBe(0);
  const pool = await open(at.path, { adopted: id });
  expect(await child.exited).toBe(0);
  expect(pool.id).toBe(id);
  const [manifest] = pool.images.manifests;
  expect(manifest).toMatchObject({ dataset: "/data", isComplete: true });
  const [file] = manifest!.files;
  expect(await pool.images.verify(file!)).toBeDefined();
  const path = join(at.path, tenant, id, "images", file!.image);
  expect(await fs.readFile(path)).toEqual(Buffer.from(seven));
  expect((await fs.stat(path)).mode & 0o777).toBe(0o600);
  await pool.close();
  expect(await fs.readdir(join(at.path, tenant))).toEqual([]);
});

test("of two that adopt one pool one has it, and the other is told", async () => {
  await using at = await folder();
  const { id, child } = await stagingProcess(at.path);
  const taken = await Promise.allSettled(
    Array.from({ length: 4 }, async () => {
      const pool = await open(at.path, { adopted: id });
      // What a process keeps it does not give to another.
      await fs.truncate(join(at.path, tenant, id, "pool.lock"));
      return pool;
    }),
  );
  expect(await child.exited).toBe(0);
  const pools = taken.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  expect(pools).toHaveLength(1);
  for (const each of taken)
    if (each.status === "rejected") expect(each.reason).toMatchObject({ code: "EBUSY" });
  expect(pools[0]!.images.manifests).toHaveLength(1);
  await pools[0]!.close();
});

test("a pool whose staging was killed is adopted by who knows it, and else scavenged", async () => {
  await using at = await folder();
  const processes = [await stagingProcess(at.path), await stagingProcess(at.path)];
  for (const { child } of processes) {
    child.kill("SIGKILL");
    await child.exited;
  }
  const pool = await open(at.path, { adopted: processes[0]!.id });
  expect(pool.images.manifests).toHaveLength(1);
  expect(await scavenge(at.path, never, () => undefined)).toBe(1);
  expect(await listPools(at.path)).toEqual([join(at.path, tenant, pool.id)]);
  for (const [adopted, code] of [
    [processes[1]!.id, "ENOENT"],
    ["../x", "EINVAL"],
  ] as const)
    expect(open(at.path, { adopted })).rejects.toMatchObject({ code });
  pool.handOver();
  await wipePool({ directory: at.path, tenant }, pool.id, systemClock, 1000);
  expect(await fs.readdir(join(at.path, tenant))).toEqual([]);
});

test("ImageStore keeps what fits, and evicts nothing for more", async () => {
  await using at = await folder();
  const pool = await open(at.path, { sizeMax: 3 * 4096 });
  const files = [await writeImage(pool.images, 1n, newBytes(8192).fill(1))];
  expect(await pool.images.begin(4097)).toEqual({ kind: "cache_capacity_exceeded" });
  files.push(await writeImage(pool.images, 2n, newBytes(0)));
  expect(await pool.images.begin(0)).toEqual({ kind: "cache_capacity_exceeded" });
  for (const file of files) expect(await pool.images.verify(file)).toBeDefined();
  await pool.close();
});

test("ImageStore erases what no manifest names any more", async () => {
  await using at = await folder();
  const faults: string[] = [];
  const pool = await open(at.path, {}, faults);
  const poolPath = join(at.path, tenant, pool.id);
  const imageNames = (): Promise<string[]> => fs.readdir(join(poolPath, "images"));
  const first = await stageFile(pool.images, "/a", 1n, seven);
  const again = await stageFile(pool.images, "/a", 1n, toUtf8("other"));
  const beside = await stageFile(pool.images, "/b", 2n, seven);
  expect(new Set(await imageNames())).toEqual(new Set([again.image, beside.image]));
  expect(await pool.images.verify(first)).toBeUndefined();
  expect(await pool.images.release("/a")).toBe(true);
  expect(await pool.images.release("/a")).toBe(false);
  expect(await imageNames()).toEqual([beside.image]);
  // Nothing of these is in a manifest, as a crash may leave it.
  await writeImage(pool.images, 3n, seven);
  const unended = await pool.images.begin(5);
  if ("kind" in unended) throw new Error(unended.kind);
  await unended.append(seven.subarray(0, 2));
  await fs.writeFile(join(poolPath, "staging", "x.manifest"), "{");
  pool.handOver();
  const next = await open(at.path, { adopted: pool.id }, faults);
  expect(await imageNames()).toEqual([beside.image]);
  expect(await readManifests(poolPath)).toEqual([...next.images.manifests]);
  expect(await fs.readdir(join(poolPath, "staging"))).toHaveLength(1);
  await unended.abandon();
  await next.close();
  expect(faults).toEqual([]);
});

test("ImageStore.verify() finds images flipped, cut, longer, gone, swapped and opened to others", async () => {
  await using at = await folder();
  const harms: readonly ((path: string, beside: string) => Promise<unknown>)[] = [
    (path) => fs.writeFile(path, "sevem"),
    (path) => fs.truncate(path, 4),
    (path) => fs.appendFile(path, "x"),
    (path) => fs.unlink(path),
    (path, beside) => fs.rename(beside, path),
    (path) => fs.chmod(path, 0o644),
  ];
  for (const harm of harms) {
    const pool = await open(at.path);
    const file = await stageFile(pool.images, "/a", 1n, seven);
    const beside = await stageFile(pool.images, "/b", 2n, toUtf8("eight"));
    const path = (image: string): string => join(at.path, tenant, pool.id, "images", image);
    expect(await pool.images.verify(file)).toBeDefined();
    await harm(path(file.image), path(beside.image));
    expect(await pool.images.verify(file)).toBeUndefined();
    await pool.close();
    expect(await fs.readdir(join(at.path, tenant))).toEqual([]);
  }
});
