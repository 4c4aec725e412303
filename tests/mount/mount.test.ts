/** A namespace of a built node mounted by the built client, asked by real system calls. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";

import { join } from "node:path";

import { NodeProcess, until } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { bounded, hasFuse, KisekiMount } from "./kiseki-mount.ts";

setDefaultTimeout(20_000);
const MiB = 1024 ** 2;
const syscalls = join(import.meta.dir, "syscalls.py");
const checks = hasFuse
  ? bounded("python3", syscalls, "--list").output.trim().split("\n")
  : ["nothing"];
const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

let node: NodeProcess;
let s3: S3Client;
let mount: KisekiMount;
beforeAll(async () => {
  if (!hasFuse) return;
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "384MiB" });
  s3 = await S3Client.of(node);
  await s3.createBucket("data");
  mount = await KisekiMount.start(node, { namespace: "data", options: "allow_other,suid,dev" });
});
afterAll(async () => {
  if (!hasFuse) return;
  s3[Symbol.dispose]();
  await mount[Symbol.asyncDispose]();
  await node[Symbol.asyncDispose]();
});

test.skipIf(!hasFuse).each(checks)("a mount passes %s", (check) => {
  expect(bounded("python3", syscalls, mount.folder, check)).toEqual({ code: 0, output: "" });
});

test.skipIf(!hasFuse)("a mount shows what S3 wrote, and S3 what was written there", async () => {
  const large = randomBytes(9 * MiB);
  await s3.put("data", "from/s3/large", large);
  await s3.put("data", "from/s3/small", "small");
  await until("the names are seen", () => existsSync(mount.path("from/s3/small")));
  expect(readdirSync(mount.path("from/s3")).sort()).toEqual(["large", "small"]);
  expect(digest(readFileSync(mount.path("from/s3/large")))).toBe(digest(large));
  // A folder that S3 made has one link: programs that count folders by links look at each name instead.
  expect(statSync(mount.path("from")).nlink).toBe(1);
  expect(
    bounded("find", mount.path("from"), "-type", "f").output.trim().split("\n").sort(),
  ).toEqual(["large", "small"].map((name) => mount.path(`from/s3/${name}`)));
  mkdirSync(mount.path("from/mount"));
  writeFileSync(mount.path("from/mount/file"), large);
  const back = await s3.call("GET", "data", "from/mount/file");
  expect(back.status).toBe(200);
  expect(digest(back.body)).toBe(digest(large));
  unlinkSync(mount.path("from/mount/file"));
  expect((await s3.call("GET", "data", "from/mount/file")).status).toBe(404);
});

test.skipIf(!hasFuse)(
  "a mount keeps files, times and inode numbers over a mount anew",
  async () => {
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
  },
);

test.skipIf(!hasFuse)(
  "a mount has what was synced when its process is killed, and mounts over what that left",
  async () => {
    const content = randomBytes(2 * MiB);
    const file = openSync(mount.path("synced"), "w");
    writeSync(file, content);
    fsyncSync(file);
    await mount.end("SIGKILL");
    closeSync(file);
    expect(bounded("ls", mount.folder).output).toContain("not connected");
    await mount.start(node, { namespace: "data", options: "allow_other,suid,dev" });
    expect(digest(readFileSync(mount.path("synced")))).toBe(digest(content));
  },
);

test.skipIf(!hasFuse)("a mount goes on when the node was killed and is back", async () => {
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

test.skipIf(!hasFuse)(
  "a mount reads out of its cache on disk, never wrong bytes, and leaves none of it",
  async () => {
    const content = randomBytes(6 * MiB);
    await s3.put("data", "cached", content);
    const options = "cache_l1_max=1M";
    await using other = await KisekiMount.start(node, { namespace: "data", options });
    const read = async (): Promise<string> => {
      const dd = ["dd", `if=${other.path("cached")}`, "iflag=direct", "bs=1M", "status=none"];
      const reader = Bun.spawn(["timeout", "15", ...dd], { stdout: "pipe" });
      return digest(await new Response(reader.stdout).bytes());
    };
    const kept = (): string[] =>
      readdirSync(other.cacheDirectory, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && !["pool.lock", "policy.json"].includes(entry.name))
        .map((entry) => join(entry.parentPath, entry.name));
    expect(await read()).toBe(digest(content));
    const size = (): number => kept().reduce((sum, path) => sum + statSync(path).size, 0);
    await until("all is kept", () => size() >= content.byteLength);
    expect(await read()).toBe(digest(content));
    for (const path of kept()) writeFileSync(path, new Uint8Array(statSync(path).size).fill(7));
    expect(await read()).toBe(digest(content));
    expect(await other.end("SIGTERM")).toBe(0);
    expect(kept()).toEqual([]);
    expect(await other.errors()).toContain('"code":"EBADMSG"');
  },
);
