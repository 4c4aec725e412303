/**
 * `bun run bench staged`: a file that was staged, read through a read-only root mount, where the kernel reads the image by itself,
 * against a plain file of the same bytes on the same file system; case by case and round by round.
 */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KisekiMount } from "../../tests/mount/kiseki-mount.ts";
import { chooseCommand, NodeProcess, plainEnvironment } from "../../tests/support/node-process.ts";
import { S3Client } from "../../tests/support/s3-client.ts";
import { build, measure, median } from "./fuse.ts";

const sizeMiB = 256;
const wanted = 0.9;
const cases = ["read-1m", "read-4k", "open"] as const;

/** Stages `set/` by the program, into `cache`; the pool's id. */
export async function stage(node: NodeProcess, cache: string): Promise<string> {
  const words = ["--json", "stage", "--daemon", "--dataset", "set/", "--cache-dir", cache];
  const seed = ["--data-addr", `127.0.0.1:${node.rpcPort}`, "--config-dir", node.configDirectory];
  const namespace = ["--tenant", "default", "--namespace", "bench"];
  const command = [...chooseCommand("kiseki-client"), ...words, ...seed, ...namespace];
  const child = Bun.spawn(command, {
    env: plainEnvironment(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const out = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error("Nothing was staged");
  return String((JSON.parse(out) as { readonly pool: string }).pool);
}

/** Prints a row a case: medians of the plain file and of the mount, and that of the rounds' ratios. */
export async function benchStaged(rounds: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "kiseki-bench-"));
  try {
    const { load } = await build(folder);
    const cache = join(folder, "cache");
    const plain = join(folder, "plain");
    mkdirSync(plain);
    await using node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "640MiB" });
    using s3 = await S3Client.of(node);
    await s3.createBucket("bench");
    const content = new Uint8Array(sizeMiB << 20);
    for (let at = 0; at < content.byteLength; at += 65_536)
      crypto.getRandomValues(content.subarray(at, at + 65_536));
    await s3.put("bench", "set/file-0", content);
    const pool = await stage(node, cache);
    const [tenant] = readdirSync(cache).filter((name) => /^[0-9a-f]{32}$/.test(name));
    const images = join(cache, tenant!, pool, "images");
    cpSync(join(images, readdirSync(images)[0]!), join(plain, "file-0"));
    const environment = { KISEKI_CACHE_DIR: cache, KISEKI_CACHE_POOL_ID: pool };
    const words = { namespace: "bench", options: "ro", environment };
    await using mount = await KisekiMount.start(node, words);
    for (const name of cases) {
      const count = name === "open" ? 1 : sizeMiB;
      const rows = Array.from({ length: rounds }, () => [
        measure(load, name, plain, count),
        measure(load, name, mount.path("set"), count),
      ]);
      const [theirs, ours] = [0, 1].map((side) => median(rows.map((row) => row[side]!)).toFixed(0));
      const ratio = median(rows.map((row) => row[1]! / row[0]!)).toFixed(2);
      const goal = name === "open" ? "" : ` (wanted ${wanted})`;
      console.log(`${name.padEnd(8)} plain ${theirs}  staged ${ours}  ${ratio}${goal}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
