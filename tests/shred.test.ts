/**
 * Shreds of a tenant, whole: command, node, mounts and pools. After it nothing that the tenant had opens or is found; others
 * go on; and a node that is killed in the middle ends it at its next start.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bounded, hasFuse, KisekiMount } from "./mount/kiseki-mount.ts";
import { kiseki, kisekiJson } from "./support/cli.ts";
import { chooseCommand, NodeProcess, plainEnvironment, until } from "./support/node-process.ts";
import { S3Client } from "./support/s3-client.ts";

setDefaultTimeout(20_000);
const canary = "shred-canary-of-kiseki-";
const fileCount = 4;
const contentOf = (who: string, i: number): Buffer =>
  Buffer.from(`${canary}${who}-${i}/`.repeat(12_000)).subarray(0, 300_000);
let node: NodeProcess;
let words: readonly string[];
beforeAll(async () => {
  node = await NodeProcess.started({ devices: 1, mirrors: 1, deviceSize: "128MiB" });
  words = ["--config-dir", node.configDirectory];
  await ask("cache-policy", "set", "--key-health-interval-ms", "300");
  using ours = await S3Client.of(node);
  await ours.createBucket("data");
  for (let i = 0; i < fileCount; i += 1) await ours.put("data", `f${i}`, contentOf("ours", i));
}, 20_000);
afterAll(async () => {
  await node?.[Symbol.asyncDispose]();
});
const ask = (...command: readonly string[]) => kisekiJson([...words, ...command]);

/** A tenant with a bucket `data` of canaries. */
class Guest implements Disposable {
  readonly name: string;
  readonly id: string;
  readonly #credentials: { readonly accessKey: string; readonly secretKey: string };
  s3: S3Client;
  private constructor(name: string, made: Record<string, unknown>) {
    this.name = name;
    this.id = String(made["id"]);
    this.#credentials = {
      accessKey: String(made["access_key_id"]),
      secretKey: String(made["secret_access_key"]),
    };
    this.s3 = new S3Client(node.s3Port, this.#credentials);
  }
  static async make(name: string): Promise<Guest> {
    const [made] = await ask("tenant", "create", name);
    const guest = new Guest(name, made!);
    await guest.s3.createBucket("data");
    for (let i = 0; i < fileCount; i += 1) await guest.s3.put("data", `f${i}`, contentOf(name, i));
    await guest.s3.put("data", "small", `${canary}${name}`);
    return guest;
  }
  /** After a start of the node, which has other ports. */
  reconnect(): void {
    this.s3[Symbol.dispose]();
    this.s3 = new S3Client(node.s3Port, this.#credentials);
  }
  get files(): readonly string[] {
    const hex = this.id.replaceAll("-", "");
    return [node.dataDirectory, ...node.mirrors].flatMap((path) =>
      readdirSync(path).filter((name) => name.includes(hex)),
    );
  }
  shred(...more: readonly string[]) {
    return kiseki([...words, "--json", "tenant", "shred", this.name, ...more]);
  }
  [Symbol.dispose](): void {
    this.s3[Symbol.dispose]();
  }
}

async function expectGone(guest: Guest): Promise<void> {
  for (const key of ["f0", "small"])
    expect((await guest.s3.call("GET", "data", key)).status).toBe(403);
  expect(guest.files).toEqual([]);
  // By its id it is known still, as one that is gone: asking once more is no fault, and says when that was.
  const [left, buckets, [said]] = await Promise.all([
    ask("tenant", "list"),
    kiseki([...words, "bucket", "list", "--tenant", guest.name]),
    ask("tenant", "shred", guest.id, "--confirm", guest.id),
  ]);
  expect(left.map(({ name }) => name)).not.toContain(guest.name);
  expect(buckets.code).toBe(1);
  expect(said).toMatchObject({ id: guest.id, provider: "internal", absent_members: [] });
  expect(Number(said!["effective_at_unix_ms"])).toBeGreaterThan(1e12);
}
async function expectOurs(): Promise<void> {
  using s3 = await S3Client.of(node);
  for (let i = 0; i < fileCount; i += 1)
    expect(Buffer.from((await s3.get("data", `f${i}`))!).equals(contentOf("ours", i))).toBe(true);
}
const readAll = (mount: KisekiMount, who: string): void => {
  for (let i = 0; i < fileCount; i += 1)
    expect(readFileSync(mount.path(`f${i}`)).equals(contentOf(who, i))).toBe(true);
};

/** A file system of its own for caches, whose device can be searched. */
async function cacheDisk() {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-shred-"));
  const [image, directory] = [join(folder, "device"), join(folder, "disk")];
  writeFileSync(image, "");
  truncateSync(image, 64 << 20);
  await mkdir(directory);
  for (const command of [
    ["mkfs.ext4", "-q", "-F", "-m", "0", image],
    ["mount", "-o", "loop", image, directory],
  ])
    expect(bounded(...command)).toMatchObject({ code: 0 });
  return {
    directory,
    has(who: string): boolean {
      expect(bounded("sync", "-f", directory).code).toBe(0);
      return readFileSync(image).includes(`${canary}${who}-`);
    },
    async [Symbol.asyncDispose]() {
      bounded("umount", "-l", directory);
      await rm(folder, { recursive: true });
    },
  };
}
/** Stages all of the guest's bucket; a daemon keeps the pool whose id is returned. */
async function stage(guest: Guest, directory: string): Promise<string> {
  const child = Bun.spawn(
    [...chooseCommand("kiseki-client"), "--json", "stage", "--daemon", "--dataset", "/"],
    {
      env: {
        ...plainEnvironment(),
        KISEKI_CACHE_DIR: directory,
        KISEKI_DATA_ADDR: `127.0.0.1:${node.rpcPort}`,
        KISEKI_TENANT: guest.name,
        KISEKI_NAMESPACE: "data",
        KISEKI_CONFIG_DIR: node.configDirectory,
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    },
  );
  const said = JSON.parse(await new Response(child.stdout).text()) as Record<string, unknown>;
  expect(await child.exited).toBe(0);
  return String(said["pool"]);
}

test("tenant shred wants its name twice, leaves the default tenant, and what has to be kept", async () => {
  using guest = await Guest.make("kept");
  const refused = async (code: number, text: string, ...more: readonly string[]) => {
    const ended = await guest.shred(...more);
    expect([ended.code, ended.error]).toEqual([code, expect.stringContaining(text)]);
  };
  await Promise.all([
    refused(2, "--confirm kept"),
    refused(2, "--confirm kept", "--confirm", "keptt"),
  ]);
  const confirmed = ["--confirm", "kept"];
  const of = ["--tenant", "kept"];
  await ask("hold", "set", "data", "case-1", ...of);
  await refused(1, "data (hold)", ...confirmed);
  await ask("hold", "release", "data", "case-1", ...of);
  const headers = { "x-amz-bucket-object-lock-enabled": "true" };
  await guest.s3.expect("PUT", "locked", "", { headers });
  await refused(1, "locked (Object Lock)", ...confirmed, "--force");
  await guest.s3.expect("DELETE", "locked", "");
  await ask("hold", "set", "data", "case-2", ...of);
  for (const [name, text] of [
    ["default", "the default tenant"],
    ["nobody", "no tenant of this name"],
  ] as const) {
    const ended = await kiseki([...words, "tenant", "shred", name, "--confirm", name]);
    expect([ended.code, ended.error]).toEqual([1, expect.stringContaining(text)]);
  }
  expect(Buffer.from((await guest.s3.get("data", "f1"))!).equals(contentOf("kept", 1))).toBe(true);
  expect(await guest.shred(...confirmed, "--force")).toMatchObject({ code: 0 });
  await expectGone(guest);
  await expectOurs();
});

test.skipIf(!hasFuse)(
  "tenant shred wipes its mounts, blocks and staged pools, and nobody else's",
  async () => {
    await using disk = await cacheDisk();
    using guest = await Guest.make("wiped");
    const pool = await stage(guest, disk.directory);
    const waiting = await stage(guest, join(disk.directory, "waiting"));
    const at = { namespace: "data", environment: { KISEKI_CACHE_DIR: disk.directory } };
    const its = { ...at, tenant: guest.name };
    const adopting = { KISEKI_CACHE_DIR: disk.directory, KISEKI_CACHE_POOL_ID: pool };
    const staged = { ...its, options: "ro", environment: adopting };
    await using images = await KisekiMount.start(node, staged);
    await using blocks = await KisekiMount.start(node, its);
    await using other = await KisekiMount.start(node, at);
    for (const mount of [images, blocks]) readAll(mount, guest.name);
    readAll(other, "ours");
    await until("caches are on the disk", () => disk.has(guest.name) && disk.has("ours"));
    expect(await guest.shred("--confirm", guest.name)).toMatchObject({ code: 0 });
    await until("nothing of it is on the cache's device", () => !disk.has(guest.name));
    for (const mount of [images, blocks])
      for (let i = 0; i < fileCount; i += 1)
        expect(() => readFileSync(mount.path(`f${i}`))).toThrow("EACCES");
    // The daemon that kept a pool for a mount to come has given it up.
    const tenantFolder = join(disk.directory, "waiting", guest.id.replaceAll("-", ""));
    await until("the waiting pool is gone", () => !readdirSync(tenantFolder).includes(waiting));
    readAll(other, "ours");
    expect(disk.has("ours")).toBe(true);
    for (const mount of [images, blocks]) {
      await mount.end("SIGTERM");
      expect(await mount.errors()).toContain('"why":"key_destroyed"');
    }
    expect(await other.end("SIGTERM")).toBe(0);
    expect(await other.errors()).not.toContain("cache_wiped");
    await expectGone(guest);
    expect(await node.metrics()).toMatch(/^kiseki_crypto_shred_total [1-9]/m);
    expect(node.output).toContain(`"tenant":"${guest.id}"`);
  },
);

for (const point of ["shred-begun", "shred-destroyed", "shred-keys", "shred-swept"])
  test(`a node killed at ${point} ends the shred at its next start`, async () => {
    await node.stop();
    await node.start({ environment: { KISEKI_FAILPOINT: point } });
    using guest = await Guest.make(point);
    expect(guest.files).not.toEqual([]);
    expect(await guest.shred("--confirm", point)).not.toMatchObject({ code: 0 });
    expect(await node.ended()).toMatchObject({ signal: "SIGKILL" });
    await node.start();
    guest.reconnect();
    await expectOurs();
    await expectGone(guest);
  });
