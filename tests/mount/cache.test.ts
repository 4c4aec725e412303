/** What a mount keeps on the compute node's disk: staged files, wipes, a full disk, and what is left on the device. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kiseki } from "../support/cli.ts";
import {
  chooseCommand,
  isFull,
  NodeProcess,
  plainEnvironment,
  until,
} from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { bounded, hasFuse, KisekiMount } from "./kiseki-mount.ts";

setDefaultTimeout(isFull ? 120_000 : 20_000);
const size = 1_500_000;
const canary = "cafe-canary-of-kiseki-";
const fileCount = 8;
/** Text that is easy to find on a disk. */
const contentOf = (name: string): Buffer =>
  Buffer.from(`${canary}${name}/`.repeat(size / 20)).subarray(0, size);

let node: NodeProcess;
let s3: S3Client;
beforeAll(async () => {
  if (!hasFuse) return;
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "256MiB" });
  s3 = await S3Client.of(node);
  await s3.createBucket("data");
  for (let i = 0; i < fileCount; i += 1) await s3.put("data", `set/f${i}`, contentOf(`f${i}`));
  await setPolicy("--key-health-interval-ms", "300");
}, 20_000);
afterAll(async () => {
  s3?.[Symbol.dispose]();
  await node?.[Symbol.asyncDispose]();
});
async function setPolicy(...rules: readonly string[]): Promise<void> {
  const words = ["--config-dir", node.configDirectory, "cache-policy", "set", ...rules];
  expect(await kiseki(words)).toMatchObject({ code: 0 });
}

/** A folder on a file system of its own, whose device can be looked at. */
class Disk implements AsyncDisposable {
  readonly folder: string;
  readonly directory: string;
  readonly #image: string;
  private constructor(folder: string) {
    this.folder = folder;
    this.directory = join(folder, "disk");
    this.#image = join(folder, "device");
  }
  static async make(mebibytes: number): Promise<Disk> {
    const disk = new Disk(await mkdtemp(join(tmpdir(), "kiseki-cache-disk-")));
    writeFileSync(disk.#image, "");
    truncateSync(disk.#image, mebibytes << 20);
    await mkdir(disk.directory);
    for (const words of [
      ["mkfs.ext4", "-q", "-F", "-m", "0", disk.#image],
      ["mount", "-o", "loop", disk.#image, disk.directory],
    ])
      expect(bounded(...words)).toMatchObject({ code: 0 });
    return disk;
  }
  /** Where the text lies on the device, once all of it is written there. */
  find(text: string): number {
    expect(bounded("sync", "-f", this.directory).code).toBe(0);
    return readFileSync(this.#image).indexOf(text);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    bounded("umount", "-l", this.directory);
    await rm(this.folder, { recursive: true });
  }
}
const readAll = (mount: KisekiMount): void => {
  for (let i = 0; i < fileCount; i += 1)
    expect(readFileSync(mount.path(`set/f${i}`)).equals(contentOf(`f${i}`))).toBe(true);
};
function filesBelow(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const found = readdirSync(directory, { recursive: true, withFileTypes: true });
  return found
    .filter((entry) => entry.isFile() && /\/(chunks|images)/.test(entry.parentPath))
    .map((entry) => join(entry.parentPath, entry.name));
}

const clientEnvironment = (directory: string) => ({
  ...plainEnvironment(),
  KISEKI_CACHE_DIR: directory,
  KISEKI_DATA_ADDR: `127.0.0.1:${node.rpcPort}`,
  KISEKI_TENANT: "default",
  KISEKI_NAMESPACE: "data",
  KISEKI_CONFIG_DIR: node.configDirectory,
});
/** Stages `set/` into `directory`; the id of the pool that a daemon has then. */
async function stage(directory: string): Promise<string> {
  const words = ["--json", "stage", "--daemon", "--dataset", "set/"];
  const child = Bun.spawn([...chooseCommand("kiseki-client"), ...words], {
    env: clientEnvironment(directory),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const out = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  return String((JSON.parse(out) as Record<string, unknown>)["pool"]);
}
const adopting = (directory: string, pool: string, options = "ro") => ({
  namespace: "data",
  options,
  environment: { KISEKI_CACHE_DIR: directory, KISEKI_CACHE_POOL_ID: pool },
});
/** What the kernel's own reading shows of images. */
const imagesOf = (directory: string): string[] =>
  filesBelow(directory).filter((path) => path.includes("/images/"));

test.skipIf(!hasFuse)(
  "a mount adopts what was staged, shows it as it was, and leaves no trace of it on the device",
  async () => {
    await using disk = await Disk.make(128);
    const pool = await stage(disk.directory);
    expect(imagesOf(disk.directory)).toHaveLength(fileCount);
    expect(disk.find(canary)).toBeGreaterThan(0);
    await s3.put("data", "set/later", "later");
    await using mount = await KisekiMount.start(node, adopting(disk.directory, pool));
    readAll(mount);
    // Out of images alone: nothing was kept beside them, and the kernel reads even what is changed behind our back.
    expect(filesBelow(disk.directory)).toHaveLength(fileCount);
    expect(readFileSync(mount.path("set/later"), "utf8")).toBe("later");
    await s3.delete("data", "set/later");
    // Somebody else of this machine sees nothing.
    const stranger = ["setpriv", "--reuid=65534", "--clear-groups"] as const;
    const [image] = imagesOf(disk.directory);
    expect(bounded(...stranger, "cat", image!).output).toEndWith("Permission denied\n");
    expect(bounded(...stranger, "ls", "-R", disk.directory).output).not.toContain(pool);
    expect(await mount.end("SIGTERM")).toBe(0);
    expect(filesBelow(disk.directory)).toEqual([]);
    expect(disk.find(canary)).toBe(-1);
  },
);

test.skipIf(!hasFuse)(
  "images that are flipped, cut, deleted and swapped before a mount adopts them give no wrong bytes",
  async () => {
    await using disk = await Disk.make(128);
    const pool = await stage(disk.directory);
    const [flipped, cut, deleted, one, other] = imagesOf(disk.directory);
    const bytes = readFileSync(flipped!);
    bytes[777_777]! ^= 4;
    writeFileSync(flipped!, bytes);
    truncateSync(cut!, 1000);
    await rm(deleted!);
    swap(one!, other!);
    await using mount = await KisekiMount.start(node, adopting(disk.directory, pool));
    readAll(mount);
    expect(await mount.end("SIGTERM")).toBe(0);
    expect(await mount.errors()).toContain('"code":"EBADMSG"');
    expect(disk.find(canary)).toBe(-1);
  },
);
function swap(one: string, other: string): void {
  for (const [from, to] of [
    [one, `${one}.x`],
    [other, one],
    [`${one}.x`, other],
  ] as const)
    expect(bounded("mv", from, to).code).toBe(0);
}

test.skipIf(!hasFuse)(
  "two mounts that adopt one pool at once: one has it, the other reads from the nodes",
  async () => {
    await using disk = await Disk.make(128);
    const pool = await stage(disk.directory);
    const starting = [1, 2].map(() => KisekiMount.start(node, adopting(disk.directory, pool)));
    const settled = await Promise.allSettled(starting);
    await using ends = new AsyncDisposableStack();
    for (const each of settled) if (each.status === "fulfilled") ends.use(each.value);
    const mounts = await Promise.all(starting);
    for (const mount of mounts) readAll(mount);
    for (const mount of mounts) expect(await mount.end("SIGTERM")).toBe(0);
    const logs = await Promise.all(mounts.map((mount) => mount.errors()));
    expect(logs.filter((log) => log.includes('"code":"EBUSY"'))).toHaveLength(1);
    expect(logs.filter((log) => !log.includes("cache_fault"))).toHaveLength(1);
    expect(disk.find(canary)).toBe(-1);
  },
);

test.skipIf(!hasFuse)("SIGUSR1 wipes: the device has nothing, and reads go on", async () => {
  await using disk = await Disk.make(128);
  const environment = { KISEKI_CACHE_DIR: disk.directory };
  await using mount = await KisekiMount.start(node, { namespace: "data", environment });
  readAll(mount);
  await until("blocks are kept", () => filesBelow(disk.directory).length > 0);
  mount.signal("SIGUSR1");
  await until("they are erased", () => filesBelow(disk.directory).length === 0);
  expect(disk.find(canary)).toBe(-1);
  readAll(mount);
  await until("blocks are kept again", () => filesBelow(disk.directory).length > 0);
  // A pool whose process was killed is gone after the next start.
  expect(await mount.end("SIGKILL")).toBeNull();
  expect(disk.find(canary)).toBeGreaterThan(0);
  bounded("umount", "-l", mount.folder);
  await using next = await KisekiMount.start(node, { namespace: "data", environment });
  await until("the old pool is erased", () => filesBelow(disk.directory).length === 0);
  expect(disk.find(canary)).toBe(-1);
  expect(await next.end("SIGTERM")).toBe(0);
});

/** A command of `kiseki-client`. */
async function clientCommand(directory: string, ...words: string[]) {
  const child = Bun.spawn([...chooseCommand("kiseki-client"), "--json", ...words], {
    env: clientEnvironment(directory),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const said = JSON.parse(out || error) as Record<string, unknown>;
  return { code: await child.exited, said };
}

test.skipIf(!hasFuse)(
  "cache --stats and --wipe reach mounts that live: the device has nothing, and reads go on",
  async () => {
    await using disk = await Disk.make(128);
    const pool = await stage(disk.directory);
    await using staged = await KisekiMount.start(node, adopting(disk.directory, pool));
    const environment = { KISEKI_CACHE_DIR: disk.directory };
    await using plain = await KisekiMount.start(node, { namespace: "data", environment });
    readAll(staged);
    readAll(plain);
    await until("blocks are kept", () => filesBelow(disk.directory).length > fileCount);
    const counted = await clientCommand(disk.directory, "cache", "--stats");
    const pools = counted.said["pools"] as readonly Record<string, Record<string, unknown>>[];
    expect(pools.find((each) => String(each["pool"]) === pool)).toMatchObject({
      use: "in_use",
      staged_files: fileCount,
      live: { wipes: 0 },
    });
    const other = pools.find((each) => String(each["pool"]) !== pool);
    expect(other).toMatchObject({ staged_files: 0, live: { errors: 0 } });
    expect(Number(other?.["live"]?.["misses"])).toBeGreaterThan(0);
    const [control] = [
      ...new Bun.Glob("*/*/control").scanSync({ cwd: disk.directory, onlyFiles: false }),
    ];
    const stranger = ["setpriv", "--reuid=65534", "--clear-groups"] as const;
    const met = bounded(...stranger, "stat", join(disk.directory, control!));
    expect(met.output).toContain("Permission denied");
    const wiped = await clientCommand(disk.directory, "cache", "--wipe");
    expect(wiped).toEqual({ code: 0, said: { wiped: 2, in_use: 0, left_bytes: 0 } });
    expect(disk.find(canary)).toBe(-1);
    for (const mount of [staged, plain]) {
      readAll(mount);
      expect(await mount.end("SIGTERM")).toBe(0);
      expect(await mount.errors()).toContain('"event":"cache_wiped","why":"asked"');
    }
    expect(await clientCommand(disk.directory, "cache", "--stats")).toMatchObject({
      said: { pools: [] },
    });
  },
);

test.skipIf(!hasFuse)("a release leaves nothing of its dataset on the device", async () => {
  await using disk = await Disk.make(128);
  const pool = await stage(disk.directory);
  expect(disk.find(canary)).toBeGreaterThan(0);
  const released = await clientCommand(disk.directory, "stage", "--release", "set/");
  expect(released).toMatchObject({ code: 0, said: { released: "/set", left: [] } });
  expect(disk.find(canary)).toBe(-1);
  expect(await stage(disk.directory)).not.toBe("");
  expect(disk.find(canary)).toBeGreaterThan(0);
  expect(await clientCommand(disk.directory, "stage", "--release-all")).toMatchObject({ code: 0 });
  expect(disk.find(canary)).toBe(-1);
  expect(readdirSync(disk.directory, { recursive: true }).join()).not.toContain(pool);
});

test.skipIf(!hasFuse)("a wipe takes staged files from who has them open, too", async () => {
  await using disk = await Disk.make(128);
  const pool = await stage(disk.directory);
  await using mount = await KisekiMount.start(node, adopting(disk.directory, pool));
  const files = ["set/f0", "set/f1"].map((name) => openSync(mount.path(name), "r"));
  const target = Buffer.alloc(100);
  for (const fd of files) expect(readSync(fd, target, 0, 100, 500_000)).toBe(100);
  mount.signal("SIGUSR1");
  await until("images are erased", () => filesBelow(disk.directory).length === 0);
  expect(disk.find(canary)).toBe(-1);
  for (const fd of files) expect(() => readSync(fd, target, 0, 100, 500_000)).toThrow("EIO");
  readAll(mount);
  for (const fd of files) closeSync(fd);
  readAll(mount);
  expect(await mount.end("SIGTERM")).toBe(0);
});

/** Reads of an open file that the kernel's pages have no part in. */
const readDirectly = (fd: number, offset: number, length: number): Buffer => {
  const target = Buffer.alloc(length);
  return target.subarray(0, readSync(fd, target, 0, length, offset));
};
/** Files of blocks that a process holds open. */
function blocksOpen(pid: number): number {
  const links = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return "";
    }
  });
  return links.filter((link) => link.includes("/chunks/")).length;
}

test.skipIf(!hasFuse)(
  "blocks that the device reads by itself: right bytes, none of a damaged block, nothing after a wipe",
  async () => {
    await using disk = await Disk.make(128);
    const environment = { KISEKI_CACHE_DIR: disk.directory };
    const options = "ro,cache_l1_max=1M";
    await using mount = await KisekiMount.start(node, { namespace: "data", options, environment });
    const right = contentOf("f0");
    const fd = openSync(mount.path("set/f0"), constants.O_RDONLY | constants.O_DIRECT);
    const readThrough = (): void => {
      for (let at = 0; at < size; at += 131_072)
        expect(readDirectly(fd, at, 131_072).equals(right.subarray(at, at + 131_072))).toBe(true);
    };
    await until("its blocks are kept and lent", () => {
      readThrough();
      return blocksOpen(mount.pid) >= 2;
    });
    for (let i = 0; i < 3; i += 1) readThrough();
    for (const path of filesBelow(disk.directory)) {
      const bytes = readFileSync(path);
      bytes[5000]! ^= 1;
      writeFileSync(path, bytes);
    }
    readThrough();
    await until("they are lent again", () => {
      readThrough();
      return blocksOpen(mount.pid) >= 2;
    });
    mount.signal("SIGUSR1");
    await until("blocks are erased", () => filesBelow(disk.directory).length === 0);
    expect(blocksOpen(mount.pid)).toBe(0);
    expect(disk.find(canary)).toBe(-1);
    readThrough();
    closeSync(fd);
    expect(await mount.end("SIGTERM")).toBe(0);
    expect(await mount.errors()).toContain('"code":"EBADMSG"');
    expect(filesBelow(disk.directory)).toEqual([]);
  },
);

test.skipIf(!hasFuse)("a cache on a full disk costs nothing but its hits", async () => {
  await using disk = await Disk.make(16);
  const environment = { KISEKI_CACHE_DIR: disk.directory };
  await using mount = await KisekiMount.start(node, {
    namespace: "data",
    options: "cache_l1_max=4M",
    environment,
  });
  writeFileSync(join(disk.directory, "filler"), Buffer.alloc(9 << 20));
  for (let round = 0; round < 2; round += 1) readAll(mount);
  expect(await mount.end("SIGTERM")).toBe(0);
  expect(filesBelow(disk.directory)).toEqual([]);
});

test.skipIf(!hasFuse)("no node for longer than policy allows: everything is erased", async () => {
  await using disk = await Disk.make(128);
  await setPolicy("--max-disconnect-seconds", "2");
  const environment = { KISEKI_CACHE_DIR: disk.directory };
  const pool = await stage(disk.directory);
  await using mount = await KisekiMount.start(
    node,
    adopting(disk.directory, pool, "ro,timeout_s=2"),
  );
  readAll(mount);
  // Shorter than that: nothing happens.
  await Bun.sleep(2500);
  expect(imagesOf(environment.KISEKI_CACHE_DIR)).toHaveLength(fileCount);
  process.kill(node.pid, "SIGSTOP");
  await until("images are erased", () => filesBelow(disk.directory).length === 0);
  expect(disk.find(canary)).toBe(-1);
  process.kill(node.pid, "SIGCONT");
  await setPolicy("--max-disconnect-seconds", "300");
  await until("the mount reads again", () => {
    try {
      return readFileSync(mount.path("set/f1")).equals(contentOf("f1"));
    } catch {
      return false;
    }
  });
  readAll(mount);
  expect(await mount.end("SIGTERM")).toBe(0);
  expect(await mount.errors()).toContain('"why":"disconnected"');
});
