/** Several mounts of one node; how they come, are refused and end. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { kisekiJson } from "../support/cli.ts";
import { NodeProcess, plainEnvironment, until } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { bounded, clientCommand, hasFuse, KisekiMount, mountWords } from "./kiseki-mount.ts";

setDefaultTimeout(20_000);
const MiB = 1024 ** 2;
let node: NodeProcess;
beforeAll(async () => {
  if (!hasFuse) return;
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "256MiB" });
  using s3 = await S3Client.of(node);
  await s3.createBucket("shared");
});
afterAll(() => node?.[Symbol.asyncDispose]());

test.skipIf(!hasFuse)("mounts see each other at once with meta_ttl_ms=0, locks too", async () => {
  const words = { namespace: "shared", options: "meta_ttl_ms=0" };
  await using one = await KisekiMount.start(node, words);
  await using two = await KisekiMount.start(node, words);
  for (let turn = 0; turn < 20; turn++) {
    writeFileSync(one.path("f"), `turn ${turn}`);
    expect(readFileSync(two.path("f"), "utf8")).toBe(`turn ${turn}`);
  }
  unlinkSync(two.path("f"));
  expect(existsSync(one.path("f"))).toBe(false);
  writeFileSync(one.path("lock"), "");
  const script =
    "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, 2); print(flush=True); time.sleep(60)";
  const holder = Bun.spawn(["python3", "-c", script, one.path("lock")], { stdout: "pipe" });
  await holder.stdout.getReader().read();
  expect(bounded("flock", "-n", two.path("lock"), "true").code).toBe(1);
  holder.kill("SIGKILL");
  await until(
    "the lock is free",
    () => bounded("flock", "-n", two.path("lock"), "true").code === 0,
  );
});

test.skipIf(!hasFuse).each(["rw", "ro"])(
  "mounts (%s) read on what they have just opened when others remove it, by whatever protocol",
  async (options) => {
    using s3 = await S3Client.of(node);
    await using one = await KisekiMount.start(node, { namespace: "shared" });
    await using two = await KisekiMount.start(node, { namespace: "shared", options });
    const content = randomBytes(300_000);
    const names = ["unlinked", "replaced", "deleted", "put over"].map(
      (name) => `${name} ${options}`,
    );
    const [unlinked, replaced, deleted, over] = names as [string, string, string, string];
    for (const name of [...names, "another"]) writeFileSync(one.path(name), content);
    const read = (fd: number, at: number): boolean => {
      const target = Buffer.alloc(100_000);
      return (
        readSync(fd, target, 0, target.byteLength, at) === target.byteLength &&
        target.equals(content.subarray(at, at + target.byteLength))
      );
    };
    const opened = names.map((name) => openSync(two.path(name), "r"));
    unlinkSync(one.path(unlinked));
    renameSync(one.path("another"), one.path(replaced));
    await s3.delete("shared", deleted);
    await s3.put("shared", over, "other");
    for (const fd of opened) expect(read(fd, 0)).toBe(true);
    await Bun.sleep(1500); // the mount says meanwhile what it has open
    for (const fd of opened) expect(read(fd, 200_000)).toBe(true);
    for (const fd of opened) closeSync(fd);
  },
);

test.skipIf(!hasFuse)(
  "mounts append to one file, line after line, and who reads meanwhile sees no zeros",
  async () => {
    await using one = await KisekiMount.start(node, { namespace: "shared" });
    await using two = await KisekiMount.start(node, { namespace: "shared" });
    writeFileSync(one.path("appended"), "");
    const script = `import os, sys
f = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
for i in range(60): os.write(f, b"%s %d\\n" % (sys.argv[2].encode() * 300, i))
os.close(f)`;
    const writers = [one, two].map((mount, index) =>
      Bun.spawn(["timeout", "18", "python3", "-c", script, mount.path("appended"), `w${index}`]),
    );
    let isWriting = true;
    const written = Promise.all(writers.map(({ exited }) => exited)).finally(
      () => (isWriting = false),
    );
    while (isWriting) {
      expect(readFileSync(two.path("appended")).includes(0)).toBe(false);
      await Bun.sleep(20);
    }
    expect(await written).toEqual([0, 0]);
    using s3 = await S3Client.of(node);
    const { body } = await s3.call("GET", "shared", "appended");
    const lines = Buffer.from(body).toString().trim().split("\n");
    for (const [index] of writers.entries()) {
      const own = lines.filter((line) => line.startsWith(`w${index}`));
      const wanted = Array.from({ length: 60 }, (_, i) => `${`w${index}`.repeat(300)} ${i}`);
      expect(own).toEqual(wanted);
    }
    expect(lines).toHaveLength(120);
  },
);

test.skipIf(!hasFuse)("mounts link files of a bucket that keeps versions", async () => {
  using s3 = await S3Client.of(node);
  await s3.createBucket("versioned");
  const enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
  await s3.expect("PUT", "versioned", "", { query: { versioning: "" }, body: enabled });
  await using mount = await KisekiMount.start(node, { namespace: "versioned" });
  writeFileSync(mount.path("f"), "content");
  linkSync(mount.path("f"), mount.path("g"));
  expect(statSync(mount.path("g"))).toMatchObject({ nlink: 2, ino: statSync(mount.path("f")).ino });
  const { headers } = await s3.call("HEAD", "versioned", "g");
  unlinkSync(mount.path("g"));
  expect(readFileSync(mount.path("f"), "utf8")).toBe("content");
  const versionId = headers.get("x-amz-version-id")!;
  const kept = await s3.call("GET", "versioned", "g", { query: { versionId } });
  expect([kept.status, Buffer.from(kept.body).toString()]).toEqual([200, "content"]);
});

test.skipIf(!hasFuse)("mounts keep little memory while nothing happens", async () => {
  await using mount = await KisekiMount.start(node, { namespace: "shared" });
  expect(readdirSync(mount.folder)).toBeArray();
  const isBuilt = clientCommand().length === 1; // sources have the compiler beside them
  expect(mount.residentSize).toBeLessThan((isBuilt ? 80 : 160) * MiB);
});

test.skipIf(!hasFuse)("mounts change nothing when they are for reading", async () => {
  await using mount = await KisekiMount.start(node, { namespace: "shared", options: "ro" });
  expect(() => writeFileSync(mount.path("new"), "")).toThrow("EROFS");
});

test.skipIf(!hasFuse)(
  "mounts are made in the background, by mount(8)'s helper, and end with umount",
  async () => {
    const parent = mkdtempSync(join(tmpdir(), "kiseki-background-"));
    const target = join(parent, "a b");
    mkdirSync(target);
    const source = `127.0.0.1:${node.rpcPort}/default/shared`;
    const options = `rw,_netdev,allow_other,config_dir=${node.configDirectory}`;
    for (const words of [
      [...mountWords(node, target, { namespace: "shared" }), "--json"],
      ["mount-helper", source, target, "-o", options],
    ]) {
      const made = Bun.spawnSync([...clientCommand(), ...words], { env: plainEnvironment() });
      expect([made.exitCode, made.stderr.toString()]).toEqual([0, ""]);
      if (words.includes("--json"))
        expect(JSON.parse(made.stdout.toString())).toMatchObject({ mounted: target });
      expect(bounded("findmnt", "-no", "FSTYPE,SOURCE", target).output.trim()).toMatch(
        /^fuse\.kiseki\s+127\.0\.0\.1:\d+\/default\/shared$/,
      );
      writeFileSync(join(target, "background"), words[0]!);
      const again = Bun.spawnSync([...clientCommand(), ...words], { env: plainEnvironment() });
      expect([again.exitCode === 0, again.stderr.toString()]).toEqual([
        false,
        expect.stringContaining("mounted there already"),
      ]);
      expect(bounded("umount", target).code).toBe(0);
      expect(existsSync(join(target, "background"))).toBe(false);
    }
    rmdirSync(target);
    rmdirSync(dirname(target));
  },
);

test.skipIf(!hasFuse)(
  "mounts carry the workflow that their job names, which is counted",
  async () => {
    const unknown = async (): Promise<number> => {
      const pattern = /^kiseki_workflow_refs_total\{protocol="rpc",result="unknown"\} (\d+)$/m;
      return Number(pattern.exec(await node.metrics())?.[1] ?? 0);
    };
    const readBack = async (environment: Readonly<Record<string, string>>): Promise<number> => {
      const before = await unknown();
      await using mount = await KisekiMount.start(node, { namespace: "shared", environment });
      writeFileSync(mount.path("of-a-job"), "content");
      expect(readFileSync(mount.path("of-a-job"), "utf8")).toBe("content");
      expect(await mount.end("SIGTERM")).toBe(0);
      return (await unknown()) - before;
    };
    expect(await readBack({})).toBe(0);
    expect(await readBack({ KISEKI_WORKFLOW_REF: "0a".repeat(16) })).toBeGreaterThan(1);
  },
);

function strangeCertificate(): string {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const words = ["req", "-x509", ...key, "-keyout", "/dev/null", "-subj", "/CN=strange"];
  const made = Bun.spawnSync(["openssl", ...words], { stderr: "ignore" });
  expect(made.exitCode).toBe(0);
  return made.stdout.toString();
}

test.skipIf(!hasFuse)("mounts are refused with the reason before anything is mounted", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kiseki-refused-"));
  const run = (...more: string[]) => {
    const words = [...mountWords(node, folder, { namespace: "none" }), ...more];
    const { exitCode, stderr } = Bun.spawnSync([...clientCommand(), ...words], {
      env: plainEnvironment(),
    });
    return [exitCode, stderr.toString()] as const;
  };
  expect(run()).toEqual([1, "kiseki-client-fuse: There is no namespace none\n"]);
  writeFileSync(join(folder, "token"), "wrong");
  const expectNotLetIn = (why: string, ...words: string[]): void =>
    expect(run(...words)).toEqual([4, expect.stringContaining(why)]);
  expectNotLetIn("(unauthenticated)", "--token-file", join(folder, "token"));
  expectNotLetIn("(forbidden)", "--tenant", "nobody");
  // A certificate, but not of whoever signed the node's. It is said at once, not when the mount's patience ends.
  writeFileSync(join(folder, "ca"), strangeCertificate());
  const impatient = ["-o", "timeout_s=3600", "--ca", join(folder, "ca")];
  expectNotLetIn("(untrusted)", ...impatient);
  unlinkSync(join(folder, "ca"));
  expect(await kisekiJson(["--config-dir", node.configDirectory, "status"])).toHaveLength(1);
  expect(readdirSync(folder)).toEqual(["token"]);
  unlinkSync(join(folder, "token"));
  rmdirSync(folder);
});

test.skipIf(!hasFuse)("mounts show a quota as their size, and tell of it with EDQUOT", async () => {
  using s3 = await S3Client.of(node);
  await s3.createBucket("limited");
  const quota = ["quota", "set", "limited", "--bytes", "4MiB", "--objects", "10"];
  expect(await kisekiJson(["--config-dir", node.configDirectory, ...quota])).toBeArray();
  await using mount = await KisekiMount.start(node, { namespace: "limited" });
  writeFileSync(mount.path("fits"), new Uint8Array(MiB));
  const script = `import os, sys, errno
s = os.statvfs(sys.argv[1])
print(s.f_blocks * s.f_frsize, s.f_bavail * s.f_frsize, s.f_files, s.f_ffree)
f = os.open(sys.argv[1] + "/large", os.O_WRONLY | os.O_CREAT)
try:
    os.write(f, bytes(5 << 20)); os.fsync(f)
except OSError as reason:
    print(errno.errorcode[reason.errno])`;
  expect(bounded("python3", "-c", script, mount.folder)).toEqual({
    code: 0,
    output: `${4 * MiB} ${3 * MiB} 10 9\nEDQUOT\n`,
  });
});
