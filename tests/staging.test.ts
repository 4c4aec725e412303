/** Staging by the program that is installed: what is on the disk afterwards, who has it, and how it goes again. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kisekiJson } from "./support/cli.ts";
import { chooseCommand, NodeProcess, plainEnvironment, until } from "./support/node-process.ts";
import { S3Client } from "./support/s3-client.ts";

setDefaultTimeout(20_000);
const smallCount = 100;
const bigSize = 9_000_001;
let node: NodeProcess;
let s3: S3Client;
beforeAll(async () => {
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "128MiB" });
  s3 = await S3Client.of(node);
  await s3.createBucket("data");
  const numbers = Array.from({ length: smallCount }, (_, i) => i);
  await Promise.all(numbers.map((i) => s3.put("data", `set/${i % 7}/f${i}`, `content of ${i}`)));
  await s3.put("data", "set/big", pattern(bigSize));
  await s3.put("data", "set/empty", "");
  await s3.put("data", "other/one", "another");
});
afterAll(async () => {
  s3?.[Symbol.dispose]();
  await node?.[Symbol.asyncDispose]();
});
const pattern = (size: number): Uint8Array =>
  new Uint8Array(size).map((_, i) => (i * 7 + (i >> 12)) & 0xff);

interface Ended {
  readonly code: number;
  readonly said: Record<string, unknown>;
  readonly err: string;
}
/** A folder of caches of a test's own, and the program at work on it. */
class Place implements AsyncDisposable {
  readonly directory: string;
  readonly #daemons: number[] = [];
  private constructor(directory: string) {
    this.directory = directory;
  }
  static async make(): Promise<Place> {
    return new Place(await mkdtemp(join(tmpdir(), "kiseki-staging-")));
  }
  environment(): Record<string, string> {
    return {
      ...plainEnvironment(),
      KISEKI_CACHE_DIR: this.directory,
      KISEKI_DATA_ADDR: `127.0.0.1:${node.rpcPort}`,
      KISEKI_TENANT: "default",
      KISEKI_NAMESPACE: "data",
      KISEKI_CONFIG_DIR: node.configDirectory,
    };
  }
  async run(...words: string[]): Promise<Ended> {
    const child = Bun.spawn([...chooseCommand("kiseki-client"), "--json", ...words], {
      env: this.environment(),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    const code = await child.exited;
    return { code, said: JSON.parse(out || err || "{}") as Record<string, unknown>, err };
  }
  async stage(...words: string[]): Promise<Record<string, unknown>> {
    const { code, said, err } = await this.run("stage", "--daemon", ...words);
    expect([code, err]).toEqual([0, ""]);
    this.#daemons.push(Number(said["pid"]));
    return said;
  }
  /** Images of a pool by the paths that its manifests have for them. */
  images(pool: string): Map<string, Buffer> {
    const [tenant] = readdirSync(this.directory);
    const folder = join(this.directory, tenant!, pool);
    const found = new Map<string, Buffer>();
    for (const name of readdirSync(join(folder, "staging"))) {
      const { files } = JSON.parse(readFileSync(join(folder, "staging", name), "utf8")) as {
        files: { path: string; image: string }[];
      };
      for (const { path, image } of files) {
        const file = join(folder, "images", image);
        expect(statSync(file).mode & 0o777).toBe(0o600);
        found.set(path, readFileSync(file));
      }
    }
    return found;
  }
  pools(): string[] {
    return readdirSync(this.directory)
      .flatMap((tenant) => readdirSync(join(this.directory, tenant)))
      .filter((name) => name.length === 32);
  }
  /** Whether a process has a pool. */
  isHeld(pool: string): boolean {
    const [tenant] = readdirSync(this.directory);
    const lock = join(this.directory, tenant!, pool, "pool.lock");
    return Bun.spawnSync(["flock", "-n", lock, "true"]).exitCode !== 0;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of this.#daemons) if (isAlive(pid)) process.kill(pid, "SIGKILL");
    await rm(this.directory, { recursive: true, force: true });
  }
}
const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}/exe`);

test("stage makes images of all files, says so, and its daemon gives them up when they are released", async () => {
  await using place = await Place.make();
  const staged = await place.stage("--dataset", "set/");
  expect(staged).toMatchObject({ dataset: "/set", files: smallCount + 2, kept_files: 0 });
  const pool = String(staged["pool"]);
  const images = place.images(pool);
  expect(images.size).toBe(smallCount + 2);
  for (let i = 0; i < smallCount; i++)
    expect(images.get(`${i % 7}/f${i}`)?.toString()).toBe(`content of ${i}`);
  expect(Buffer.compare(images.get("big")!, pattern(bigSize))).toBe(0);
  expect(images.get("empty")?.byteLength).toBe(0);
  expect((await place.run("stage", "--status")).said["datasets"]).toMatchObject([
    { dataset: "/set", pool, use: "waiting", files: smallCount + 2, is_complete: true },
  ]);
  const pid = Number(staged["pid"]);
  expect(isAlive(pid)).toBe(true);
  expect(await place.run("stage", "--release-all", "--pool", pool)).toMatchObject({
    code: 0,
    said: { released: 1, in_use: 0 },
  });
  await until("the daemon has ended", () => !isAlive(pid));
  expect(place.pools()).toEqual([]);
});

test("stage goes on in the pool that staging used last; --release leaves what else is there", async () => {
  await using place = await Place.make();
  const { pool, pid } = await place.stage("--dataset", "/other");
  expect(await place.stage("--dataset", "/set/3")).toMatchObject({ pool });
  await until("the first daemon has ended", () => !isAlive(Number(pid)));
  expect(await place.run("stage", "--release", "/other")).toMatchObject({
    code: 0,
    said: { released: "/other", left: ["/set/3"] },
  });
  expect([...place.images(String(pool)).keys()].toSorted()[0]).toBe("f10");
  expect(place.isHeld(String(pool))).toBe(true);
  expect(await place.run("cache", "--wipe")).toMatchObject({ code: 0, said: { wiped: 1 } });
});

test("stage that was killed leaves what is whole to the next, and that one's pool goes at SIGTERM", async () => {
  await using place = await Place.make();
  const words = [...chooseCommand("kiseki-client"), "stage", "--dataset", "/set", "--json"];
  const child = Bun.spawn(words, { env: place.environment(), stdout: "pipe", stderr: "pipe" });
  const read = await child.stdout.pipeThrough(new TextDecoderStream()).getReader().read();
  child.kill("SIGKILL");
  await child.exited;
  const { pool } = JSON.parse(read.value!) as { pool: string };
  const again = await place.stage("--dataset", "/set");
  expect(again).toMatchObject({ pool, kept_files: smallCount + 2 });
  process.kill(Number(again["pid"]), "SIGTERM");
  await until("the daemon has ended", () => !isAlive(Number(again["pid"])));
  expect(place.pools()).toEqual([]);
});

test("stage ends with a reason: no such path, no room, no node, not let in, wrong words", async () => {
  await using place = await Place.make();
  const reason = async (code: number, ...words: string[]): Promise<string> => {
    const ended = await place.run("stage", ...words);
    expect(ended.code).toBe(code);
    return (ended.said["error"] as { message: string }).message;
  };
  const token = join(tmpdir(), `kiseki-token-${process.pid}`);
  writeFileSync(token, "not the token");
  const [missing, large, wrong, none, stranger, nowhere] = await Promise.all([
    reason(1, "--dataset", "/nowhere"),
    reason(1, "--dataset", "/set", "--cache-l2-max", "1M", "--daemon"),
    reason(2, "--dataset", "/../x", "--timeout", "0", "--pool", "x"),
    reason(2),
    reason(4, "--dataset", "/set", "--token-file", token),
    reason(3, "--dataset", "/set", "--data-addr", "127.0.0.1:1", "--timeout", "1"),
  ]);
  expect(missing).toContain("no such path");
  expect(large).toContain("8.6 MiB");
  expect(wrong).toMatch(/--pool[\s\S]*no path[\s\S]*--timeout/);
  expect(none).toContain("--dataset");
  rmSync(token);
  expect(stranger).not.toBe("");
  expect(nowhere).toContain("seeds");
  expect(place.pools()).toEqual([]);
});

test("stage keeps to policy: no more room than it gives, and nothing where it allows no staging", async () => {
  await using place = await Place.make();
  const words = ["--config-dir", node.configDirectory, "cache-policy", "set"];
  const stage = async (): Promise<string> => {
    const { code, said } = await place.run("stage", "--daemon", "--dataset", "/set");
    expect(code).toBe(1);
    return (said["error"] as { message: string }).message;
  };
  await kisekiJson([...words, "--max-cache-bytes", "1MiB"]);
  expect(await stage()).toContain("the cache has 1.0 MiB");
  await kisekiJson([...words, "--max-cache-bytes", "1GiB", "--staging-enabled", "no"]);
  expect(await stage()).toContain("policy does not allow it");
  expect(place.pools()).toEqual([]);
  await kisekiJson([...words, "--staging-enabled", "yes"]);
});

test("stage --daemon ends with the process that started it, if that is killed before all is staged", async () => {
  await using place = await Place.make();
  const words = [...chooseCommand("kiseki-client"), "stage", "--daemon", "--dataset", "/set"];
  const child = Bun.spawn(words, { env: place.environment(), stdout: "pipe", stderr: "pipe" });
  await until("a pool is there", () => place.pools().length > 0);
  child.kill("SIGKILL");
  await child.exited;
  await until("nobody has a pool", () => place.pools().every((pool) => !place.isHeld(pool)));
});

test.skipIf(process.getuid?.() !== 0)(
  "cache-scrub as root erases orphans of every user, as that user",
  async () => {
    await using place = await Place.make();
    chmodSync(place.directory, 0o755);
    const user = 54_321;
    const [tenant, pool] = ["ab".repeat(16), "cd".repeat(16)];
    const folder = join(place.directory, String(user));
    const victim = join(place.directory, "victim");
    const inside = [folder, join(folder, tenant), join(folder, tenant, pool)];
    for (const path of [...inside, join(folder, tenant, pool, "chunks")]) {
      mkdirSync(path, { mode: 0o700 });
      chownSync(path, user, user);
    }
    const left = join(folder, tenant, pool, "chunks", "left");
    writeFileSync(left, "plaintext");
    chownSync(left, user, user);
    mkdirSync(victim, { mode: 0o700 });
    writeFileSync(join(victim, "file"), "of root");
    symlinkSync(victim, join(folder, tenant, "ef".repeat(16)));
    const { said } = await place.run("cache-scrub", "--once");
    expect(said["erased"]).toBe(1);
    expect(readdirSync(join(folder, tenant))).toEqual(["ef".repeat(16)]);
    expect(readFileSync(join(victim, "file"), "utf8")).toBe("of root");
  },
);
