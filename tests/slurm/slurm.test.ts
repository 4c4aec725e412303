/** The scripts of Slurm with Debian's slurmctld, slurmd and munged: a job reads what its prolog has staged. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { hasFuse } from "../mount/kiseki-mount.ts";
import { chooseCommand, NodeProcess } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { hasSlurm, SlurmCluster } from "./slurm-cluster.ts";

setDefaultTimeout(20_000);
const isHere = hasSlurm && hasFuse;
const user = "nobody";
let node: NodeProcess;
let cluster: SlurmCluster;
/** Of the device, which on a bare machine is root's alone; udev opens it for all. */
let deviceMode = 0;
beforeAll(async () => {
  if (!isHere) return;
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "128MiB" });
  using s3 = await S3Client.of(node);
  await s3.createBucket("data");
  const numbers = Array.from({ length: 40 }, (_, i) => i);
  await Promise.all(numbers.map((i) => s3.put("data", `set/f${i}`, `content of ${i}\n`)));
  await s3.put("data", "set/big", Buffer.alloc(6_000_000, "0123456789abcdef"));
  // What the job's user may read of the node's configuration.
  const readable = join(node.directory, "readable");
  mkdirSync(readable);
  for (const name of ["rpc-token", "rpc-cert.pem"]) {
    copyFileSync(join(node.configDirectory, name), join(readable, name));
    chmodSync(join(readable, name), 0o644);
  }
  chmodSync(node.directory, 0o755);
  deviceMode = statSync("/dev/fuse").mode;
  chmodSync("/dev/fuse", 0o666);
  const client = chooseCommand("kiseki-client");
  cluster = await SlurmCluster.start({
    KISEKI_DATA_ADDR: `127.0.0.1:${node.rpcPort}`,
    KISEKI_CONFIG_DIR: readable,
    KISEKI_CLIENT: client[0]!,
    KISEKI_CACHE_L2_MAX: "1G",
    KISEKI_STAGE_TIMEOUT: "15",
  });
});
afterAll(async () => {
  if (deviceMode !== 0) chmodSync("/dev/fuse", deviceMode & 0o777);
  await cluster?.[Symbol.asyncDispose]();
  await node?.[Symbol.asyncDispose]();
});

/** Pools of the job's user. */
function pools(): string[] {
  const folder = join(cluster.cacheBase, "65534");
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((tenant) =>
    readdirSync(join(folder, tenant)).filter((name) => name.length === 32),
  );
}

test.skipIf(!isHere)(
  "a job mounts with the pool that its prolog staged, and the epilog leaves nothing",
  async () => {
    const client = chooseCommand("kiseki-client")[0]!;
    const output = await cluster.job(
      user,
      `set -e
echo "pool $KISEKI_CACHE_POOL_ID failed $KISEKI_STAGING_FAILED"
${client} stage --status
mount=$(mktemp -d)
${client} mount "$mount" --read-only
cat "$mount"/set/f7
cat "$mount"/set/f* | wc -l
cmp "$mount"/set/big <(yes 0123456789abcdef | tr -d '\\n' | head -c 6000000) && echo same
${client} stage --status --json
fusermount3 -u "$mount"
rmdir "$mount"
`,
      "--comment=kiseki:default/data/set",
    );
    const [, pool] = /^pool ([0-9a-f]{32}) failed $/m.exec(output) ?? [];
    expect([output, pool]).toEqual([output, expect.any(String)]);
    expect(output).toContain("/set  41 files");
    expect(output).toContain(`pool ${pool} (waiting)`);
    expect(output).toMatch(/^content of 7$/m);
    expect(output).toMatch(/^40$/m);
    expect(output).toMatch(/^same$/m);
    expect(output).toContain('"use":"in_use"');
    expect(pools()).toEqual([]);
    expect(readdirSync(cluster.jobs)).toEqual([]);
  },
);

test.skipIf(!isHere)(
  "a job whose dataset is not there runs, and is told; one without a comment is let alone",
  async () => {
    const script =
      'echo "pool $KISEKI_CACHE_POOL_ID failed $KISEKI_STAGING_FAILED tenant $KISEKI_TENANT"\n';
    const missing = await cluster.job(user, script, "--comment=kiseki:default/data/nowhere");
    expect(missing).toMatch(
      /pool {2}failed Cannot stage \/nowhere: .*no such path.* tenant default/,
    );
    expect(await cluster.job(user, script)).toContain("pool  failed  tenant \n");
    expect(pools()).toEqual([]);
  },
);

test.skipIf(!isHere)("a job that is killed leaves neither pool nor mount", async () => {
  const client = chooseCommand("kiseki-client")[0]!;
  const output = await cluster.job(
    user,
    `mount=$(mktemp -d)
${client} mount "$mount" --read-only && cat "$mount"/set/f1
pkill -KILL -u $UID -f "mount $mount"
echo killed
`,
    "--comment=kiseki:default/data/set",
  );
  expect(output).toContain("content of 1\nkilled\n");
  expect(pools()).toEqual([]);
  expect(await Bun.file("/proc/mounts").text()).not.toContain(
    "fuse.kiseki rw,nosuid,nodev,relatime,user_id=65534",
  );
});

test.skipIf(!isHere)(
  "a prolog that is killed half way leaves what the next one or a scrub erases",
  async () => {
    const prolog = (id: string): Bun.Subprocess =>
      Bun.spawn(["setsid", join(import.meta.dir, "../../scripts/slurm/prolog")], {
        env: {
          ...cluster.environment,
          ...{ SLURM_JOB_ID: id, SLURM_JOB_UID: "65534", SLURM_JOB_USER: user },
          SLURM_JOB_COMMENT: "kiseki:default/data/set",
        },
        stdout: "ignore",
        stderr: "ignore",
      });
    for (const way of ["prolog", "scrub"]) {
      const killed = prolog("900");
      while (pools().length === 0) await Bun.sleep(2);
      process.kill(-killed.pid, "SIGKILL");
      await killed.exited;
      const [left] = pools();
      if (way === "prolog") await prolog("901").exited;
      const words = ["cache-scrub", "--once", "--cache-dir", cluster.cacheBase];
      for (let tries = 0; pools().includes(left!) && tries < 50; tries++) {
        if (way === "scrub") Bun.spawnSync([chooseCommand("kiseki-client")[0]!, ...words]);
        await Bun.sleep(100);
      }
      expect(pools()).not.toContain(left);
      for (const SLURM_JOB_ID of ["900", "901"])
        Bun.spawnSync([join(import.meta.dir, "../../scripts/slurm/epilog")], {
          env: { ...cluster.environment, SLURM_JOB_ID, SLURM_JOB_UID: "65534" },
        });
      expect(pools()).toEqual([]);
    }
  },
);
