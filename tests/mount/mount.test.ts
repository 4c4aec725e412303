/** Namespaces of a built node mounted by the built client, asked by real system calls. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { kisekiJson } from "../support/cli.ts";
import { NodeProcess, plainEnvironment, until } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { bounded, clientCommand, hasFuse, KisekiMount, mountWords } from "./kiseki-mount.ts";

setDefaultTimeout(20_000);
const MiB = 1024 ** 2;
const syscalls = join(import.meta.dir, "syscalls.py");
const checks = hasFuse
  ? bounded("python3", syscalls, "--list").output.trim().split("\n")
  : ["nothing"];
const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe.skipIf(!hasFuse)("a mount of a node", () => {
  let node: NodeProcess;
  let s3: S3Client;
  let mount: KisekiMount;
  beforeAll(async () => {
    node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "384MiB" });
    s3 = await S3Client.of(node);
    await s3.createBucket("data");
    mount = await KisekiMount.start(node, { namespace: "data", options: "allow_other,suid,dev" });
  });
  afterAll(async () => {
    s3[Symbol.dispose]();
    await mount[Symbol.asyncDispose]();
    await node[Symbol.asyncDispose]();
  });

  test.each(checks)("passes %s", (check) => {
    expect(bounded("python3", syscalls, mount.folder, check)).toEqual({ code: 0, output: "" });
  });

  test("shows what S3 wrote, and S3 what was written there", async () => {
    const large = randomBytes(9 * MiB);
    await s3.put("data", "from/s3/large", large);
    await s3.put("data", "from/s3/small", "small");
    await until("the names are seen", () => existsSync(mount.path("from/s3/small")));
    expect(readdirSync(mount.path("from/s3")).sort()).toEqual(["large", "small"]);
    expect(digest(readFileSync(mount.path("from/s3/large")))).toBe(digest(large));
    mkdirSync(mount.path("from/mount"));
    writeFileSync(mount.path("from/mount/file"), large);
    const back = await s3.call("GET", "data", "from/mount/file");
    expect(back.status).toBe(200);
    expect(digest(back.body)).toBe(digest(large));
    unlinkSync(mount.path("from/mount/file"));
    expect((await s3.call("GET", "data", "from/mount/file")).status).toBe(404);
  });

  test("keeps files, times and inode numbers over a mount anew", async () => {
    const content = randomBytes(3 * MiB);
    mkdirSync(mount.path("kept"));
    writeFileSync(mount.path("kept/file"), content);
    const before = statSync(mount.path("kept/file"), { bigint: true });
    expect(await mount.end("SIGTERM")).toBe(0);
    expect(readdirSync(mount.folder)).toEqual([]);
    await mount.start(node, { namespace: "data", options: "allow_other,suid,dev" });
    expect(digest(readFileSync(mount.path("kept/file")))).toBe(digest(content));
    const after = statSync(mount.path("kept/file"), { bigint: true });
    for (const field of ["ino", "mtimeNs", "ctimeNs", "size", "mode"] as const)
      expect([field, after[field]]).toEqual([field, before[field]]);
  });

  test("has what was synced when its process is killed, and mounts over what that left", async () => {
    const content = randomBytes(2 * MiB);
    const file = openSync(mount.path("synced"), "w");
    writeSync(file, content);
    fsyncSync(file);
    await mount.end("SIGKILL");
    closeSync(file);
    expect(bounded("ls", mount.folder).output).toContain("not connected");
    await mount.start(node, { namespace: "data", options: "allow_other,suid,dev" });
    expect(digest(readFileSync(mount.path("synced")))).toBe(digest(content));
  });

  test("goes on when the node was killed and is back", async () => {
    const content = randomBytes(2 * MiB);
    const file = openSync(mount.path("survivor"), "w+");
    writeSync(file, content);
    fsyncSync(file);
    const words = ["--data-addr", `127.0.0.1:${node.rpcPort}`];
    await node.kill();
    const reader = Bun.spawn(["timeout", "60", "cat", mount.path("survivor")], { stdout: "pipe" });
    await node.start({ words, s3Port: node.s3Port });
    const read = await new Response(reader.stdout).bytes();
    expect([await reader.exited, digest(read)]).toEqual([0, digest(content)]);
    writeSync(file, "!", 0);
    fsyncSync(file);
    closeSync(file);
    expect(readFileSync(mount.path("survivor"))[0]).toBe("!".charCodeAt(0));
  });
});

describe.skipIf(!hasFuse)("mounts of one node", () => {
  let node: NodeProcess;
  beforeAll(async () => {
    node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "256MiB" });
    using s3 = await S3Client.of(node);
    await s3.createBucket("shared");
  });
  afterAll(() => node[Symbol.asyncDispose]());

  test("see each other at once with meta_ttl_ms=0, locks too", async () => {
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

  test("keep little memory while nothing happens", async () => {
    await using mount = await KisekiMount.start(node, { namespace: "shared" });
    expect(readdirSync(mount.folder)).toBeArray();
    const isBuilt = clientCommand().length === 1; // sources have the compiler beside them
    expect(mount.residentSize).toBeLessThan((isBuilt ? 80 : 160) * MiB);
  });

  test("change nothing when they are for reading", async () => {
    await using mount = await KisekiMount.start(node, { namespace: "shared", options: "ro" });
    expect(() => writeFileSync(mount.path("new"), "")).toThrow("EROFS");
  });

  test("are made in the background, by mount(8)'s helper, and end with umount", async () => {
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
  });

  test("are refused with the reason before anything is mounted", async () => {
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
    const [code] = run("--token-file", join(folder, "token"));
    expect(code).toBe(4);
    expect(await kisekiJson(["--config-dir", node.configDirectory, "status"])).toHaveLength(1);
    expect(readdirSync(folder)).toEqual(["token"]);
    unlinkSync(join(folder, "token"));
    rmdirSync(folder);
  });
});
