/**
 * fsx on the kernel's mounts of a built node: one that remembers, and three at once that ask each time. In full with those of
 * libs/client/src/files/fsx.test.ts, where neither kernel nor network take part, a million operations of each.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { isFull, NodeProcess, plainEnvironment } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { hasFuse, KisekiMount } from "./kiseki-mount.ts";

const limitMs = isFull ? 3_600_000 : 20_000;
setDefaultTimeout(limitMs);
const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const program = join(import.meta.dir, "fsx.py");

let node: NodeProcess;
beforeAll(async () => {
  if (!hasFuse) return;
  const deviceSize = isFull ? "4GiB" : "256MiB";
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize });
  using s3 = await S3Client.of(node);
  await s3.createBucket("fsx");
});
afterAll(() => node?.[Symbol.asyncDispose]());

/** Asynchronous: the mounts' output is read meanwhile. */
async function fsx(steps: number, mounts: readonly KisekiMount[]): Promise<string> {
  const folders = mounts.map(({ folder }) => folder);
  const child = Bun.spawn(
    [
      "timeout",
      "-k",
      "1",
      `${limitMs / 1000 - 3}`,
      "python3",
      program,
      `${seed}`,
      `${steps}`,
      ...folders,
    ],
    {
      env: { ...plainEnvironment(), PYTHONDONTWRITEBYTECODE: "1" },
      stdout: "pipe",
      stderr: "pipe",
    },
  );
  const said = await new Response(child.stderr).text();
  return `${await child.exited} ${said}`;
}

test.skipIf(!hasFuse)(
  `fsx agrees with a mount that remembers (KISEKI_SIM_SEED=${seed})`,
  async () => {
    await using mount = await KisekiMount.start(node, { namespace: "fsx" });
    expect(await fsx(isFull ? 150_000 : 2_000, [mount])).toBe("0 ");
  },
);

test.skipIf(!hasFuse)(
  `fsx agrees with three mounts at once with meta_ttl_ms=0 (KISEKI_SIM_SEED=${seed})`,
  async () => {
    const words = { namespace: "fsx", options: "meta_ttl_ms=0" };
    await using one = await KisekiMount.start(node, words);
    await using two = await KisekiMount.start(node, words);
    await using three = await KisekiMount.start(node, words);
    expect(await fsx(isFull ? 40_000 : 600, [one, two, three])).toBe("0 ");
  },
);
