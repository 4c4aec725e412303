/**
 * One device, no mirror: every file of data and config directory damaged in turn. What is touched is refused by
 * name, what can be made anew is, and with the file put back all is right. No wrong byte, no name denied.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { cutTail, everyNth, filesWith, flipBits, snapshot, swapBlocks } from "../support/damage.ts";
import { NodeProcess } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { putSamples, readSamples, sampleCount } from "../support/samples.ts";

setDefaultTimeout(20_000);
/** Used by all tests: each stops it, and puts back what it damaged. */
let node: NodeProcess;
let kept: Awaited<ReturnType<typeof snapshot>>;

beforeAll(async () => {
  node = await NodeProcess.started({ devices: 1, mirrors: 0 });
  using client = await S3Client.of(node);
  await putSamples(client);
  await node.stop();
  kept = await snapshot([node.dataDirectory, node.configDirectory]);
});
afterAll(() => node[Symbol.asyncDispose]());

interface Shown {
  /** Samples that read right; wrong bytes and denied names throw. */
  readonly right: number;
  readonly isRefused: boolean;
  /** What the node printed. */
  readonly said: string;
}

async function start(node: NodeProcess): Promise<Shown> {
  const before = node.output.length;
  const isRefused = (await node.tryStart()) !== undefined;
  let right = 0;
  if (!isRefused) {
    using client = await S3Client.of(node);
    const reading = await readSamples(client);
    if (reading.right < sampleCount) expect(reading.failed.length).toBeGreaterThan(0);
    ({ right } = reading);
    expect((await node.stop()).code).toBe(0); // whatever was damaged, it ends in order
  }
  return { right, isRefused, said: node.output.slice(before) };
}

type Damage = (path: string) => Promise<void>;
const sizeOf = async (path: string): Promise<number> => (await stat(path)).size;
const flipFirst: Damage = (path) => flipBits(path, [3]);
const flipMiddle: Damage = async (path) => flipBits(path, [Math.floor((await sizeOf(path)) / 2)]);
const flipPages: Damage = async (path) => flipBits(path, everyNth(4096, 777, await sizeOf(path)));
const flipLast: Damage = async (path) => flipBits(path, [(await sizeOf(path)) - 1]);
const cut: Damage = (path) => cutTail(path, 0.6);
const remove: Damage = (path) => rm(path);
const swapPages: Damage = async (path) =>
  swapBlocks(path, 4096, (Math.floor((await sizeOf(path)) / 4096) - 1) * 4096);

/** Each damage alone, on the state after a clean stop. */
async function damaged(path: string, damage: Damage): Promise<Shown> {
  await damage(path);
  try {
    return await start(node);
  } finally {
    await kept.putBack();
  }
}
const dataFile = async (part: string): Promise<string> =>
  (await filesWith(node.dataDirectory, part))[0]!;

test.each(["catalog-", "key-store-"])(
  "%s: a damaged or missing file is named, nothing is made in its place",
  async (part) => {
    const path = await dataFile(part);
    const damages = part === "catalog-" ? [flipFirst, swapPages, remove] : [swapPages, cut, remove];
    for (const damage of damages) {
      const { isRefused, said } = await damaged(path, damage);
      expect([damage.name, isRefused]).toEqual([damage.name, true]);
      expect(said).toContain(`the file ${part}`);
      expect(said).toContain(node.dataDirectory);
    }
  },
);

test("shard-: a damaged or missing file keeps its tenant closed, by name", async () => {
  const path = await dataFile("shard-");
  for (const damage of [flipPages, cut, remove]) {
    const { isRefused, right, said } = await damaged(path, damage);
    expect([damage.name, isRefused, right]).toEqual([damage.name, false, 0]);
    expect(said).toContain("the file shard-");
  }
  expect((await start(node)).right).toBe(sampleCount);
  await kept.putBack();
});

test("members and cluster-key: damaged or missing, the start is refused", async () => {
  for (const name of ["members", "cluster-key"]) {
    for (const damage of [flipMiddle, remove]) {
      const { isRefused, said } = await damaged(join(node.dataDirectory, name), damage);
      expect([name, damage.name, isRefused]).toEqual([name, damage.name, true]);
      expect(said).toContain(node.dataDirectory);
    }
  }
});

test("fragment-index: what is damaged is not believed, and the next start has it from the devices", async () => {
  const path = join(node.dataDirectory, "fragment-index.db");
  expect((await damaged(path, cut)).right).toBe(sampleCount);
  for (const damage of [flipLast, swapPages]) {
    expect((await start(node)).right).toBe(sampleCount); // what was put back is of an earlier start: made anew
    await damage(path);
    const { right } = await start(node);
    expect(right).toBeLessThan(sampleCount);
    expect([damage.name, (await start(node)).right]).toEqual([damage.name, sampleCount]);
    await kept.putBack();
  }
});

test("config directory: each damaged file is named with what helps", async () => {
  const files = [
    ["node-secret", "recovery code"],
    ["epoch", "remove it"],
    ["member-list", "damaged"],
    ["credentials.json", "remove it"],
  ] as const;
  for (const [name, help] of files) {
    const path = join(node.configDirectory, name);
    for (const damage of name === "node-secret" ? [flipMiddle, cut] : [flipLast]) {
      const { isRefused, said } = await damaged(path, damage);
      expect([name, isRefused]).toEqual([name, true]);
      expect(said).toContain(path);
      expect(said).toContain(help);
    }
  }
});

test("write-ahead logs: damage before their last transaction is refused, not cut off", async () => {
  await using other = await NodeProcess.started({ devices: 1, mirrors: 0 });
  {
    using client = await S3Client.of(other);
    await putSamples(client);
  }
  await other.kill(); // a stop would leave no log
  const path = (await filesWith(other.dataDirectory, "-wal")).find((file) =>
    file.includes("shard-"),
  )!;
  expect(await sizeOf(path)).toBeGreaterThan(40_000);
  await flipBits(path, everyNth(4120, 1000, (await sizeOf(path)) / 2));
  expect((await start(other)).right).toBe(0);
});
