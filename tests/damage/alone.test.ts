/** One device, no mirror: damage is detected and said, never served; what is not touched is still there. */
import { expect, test } from "bun:test";
import { cp, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { everyNth, filesWith, flipBits, zeroFile } from "../support/damage.ts";
import { NodeProcess, plainEnvironment } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { putSamples, readSamples, sampleCount } from "../support/samples.ts";

const layout = { devices: 1, mirrors: 0 };
const MiB = 1024 * 1024;
const root = dirname(dirname(import.meta.dir));

async function filledNode(): Promise<NodeProcess> {
  const node = await NodeProcess.started(layout);
  using client = await S3Client.of(node);
  await putSamples(client);
  await node.stop();
  return node;
}

/** Samples that read right, 0 when the node does not start; wrong bytes throw. */
async function countRight(node: NodeProcess): Promise<number> {
  if (await node.tryStart()) return 0;
  using client = await S3Client.of(node);
  const { right, failed } = await readSamples(client);
  if (right < sampleCount) expect(failed.length).toBeGreaterThan(0);
  await node.stop();
  return right;
}

test("control: nothing is damaged, all is right after a stop and a kill", async () => {
  await using node = await filledNode();
  expect(await countRight(node)).toBe(sampleCount);
  await node.start();
  await node.kill();
  expect(await countRight(node)).toBe(sampleCount);
}, 20_000);

test("bit flips over a device: what is touched is refused, the rest is right", async () => {
  await using node = await filledNode();
  await flipBits(node.devices[0]!, everyNth(400_003, 70_000, 20 * MiB));
  const right = await countRight(node);
  expect(right).toBeLessThan(sampleCount);
  expect(right).toBeGreaterThan(3);
}, 20_000);

test("a device zeroed or gone: the node says so and serves no content", async () => {
  await using node = await filledNode();
  await cp(node.devices[0]!, `${node.devices[0]!}.kept`);
  await zeroFile(node.devices[0]!);
  // Objects of no bytes have nothing on a device.
  expect(await countRight(node)).toBeLessThanOrEqual(3);
  await rm(node.devices[0]!);
  expect(await countRight(node)).toBeLessThanOrEqual(3);
  expect(node.output).toMatch(/device|superblock/i);
  await rename(`${node.devices[0]!}.kept`, node.devices[0]!);
  expect(await countRight(node)).toBe(sampleCount);
}, 20_000);

async function overwriteSome(node: NodeProcess): Promise<void> {
  await node.start();
  using client = await S3Client.of(node);
  await client.put("samples", "directory 0/size 100", "something newer");
  await client.put("samples", "directory 0/size 9000", new Uint8Array(50_000));
  await node.stop();
}

test("an old copy of the whole data directory put back is refused", async () => {
  await using node = await filledNode();
  await cp(node.dataDirectory, `${node.dataDirectory}.old`, { recursive: true });
  await overwriteSome(node);
  await rename(node.dataDirectory, `${node.dataDirectory}.new`);
  await rename(`${node.dataDirectory}.old`, node.dataDirectory);
  expect((await node.tryStart())?.code).toBe(1);
  expect(node.output).toMatch(/member list \d+ is noted, \d+ is the newest found/);
}, 20_000);

test("an old copy of the shard's file put back is refused", async () => {
  await using node = await filledNode();
  const [path] = await filesWith(node.dataDirectory, "shard-");
  await cp(path!, `${node.directory}/old`);
  await overwriteSome(node);
  await cp(`${node.directory}/old`, path!);
  await node.start();
  using client = await S3Client.of(node);
  const answer = await client.call("GET", "samples", "directory 0/size 100");
  expect(answer.status).toBeGreaterThanOrEqual(500);
  expect((await client.call("PUT", "samples", "more", { body: "x" })).status).toBeGreaterThan(499);
  expect(node.output).toContain("OldShardError");
  await node.stop();
}, 20_000);

test("the config directory is gone: the recovery code opens the node again", async () => {
  await using node = await filledNode();
  await rm(node.configDirectory, { recursive: true });
  const ending = await node.tryStart();
  expect(ending?.code).toBe(1);
  await rm(node.configDirectory, { recursive: true, force: true });
  const file = join(node.directory, "code");
  await Bun.write(file, `${node.recoveryCode}\n`);
  const recover = Bun.spawn(
    [
      ...[process.execPath, join(root, "apps/server/src/kiseki.ts"), "encryption", "recover"],
      ...["--config-dir", node.configDirectory, "--data-dir", node.dataDirectory],
      ...["--code-file", file],
    ],
    { env: plainEnvironment(), stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
  const said = await new Response(recover.stdout).text();
  expect([await recover.exited, await new Response(recover.stderr).text(), said]).toEqual([
    0,
    expect.anything(),
    expect.anything(),
  ]);
  expect(await countRight(node)).toBe(sampleCount);
}, 20_000);

test("the config directory is gone and so is the code: the node does not open, and says why", async () => {
  await using node = await filledNode();
  await rm(node.configDirectory, { recursive: true });
  const before = node.output.length;
  expect((await node.tryStart())?.code).toBe(1);
  expect(node.output.slice(before)).toContain("recover");
}, 20_000);
