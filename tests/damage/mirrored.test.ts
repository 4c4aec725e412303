/** Six devices 4+2 and two mirrors: what STORE §6 says is repaired, is; every byte stays right meanwhile. */
import { expect, test } from "bun:test";
import { cp, rename, rm, stat, truncate } from "node:fs/promises";
import { everyNth, filesWith, flipBits, zeroFile } from "../support/damage.ts";
import { NodeProcess, until } from "../support/node-process.ts";
import { content, digest, S3Client } from "../support/s3-client.ts";
import { putSamples, readSamples, sampleCount } from "../support/samples.ts";

const layout = { devices: 6, mirrors: 2 };
const allRight = { right: sampleCount, failed: [] };
const MiB = 1024 * 1024;

async function filledNode(): Promise<NodeProcess> {
  const node = await NodeProcess.started(layout);
  using client = await S3Client.of(node);
  await putSamples(client);
  await node.stop();
  return node;
}

/** Starts, re-reads all, writes and deletes something, and leaves it running for `after`. */
async function expectAllRight(
  node: NodeProcess,
  after?: (client: S3Client) => Promise<void>,
): Promise<void> {
  await node.start();
  using client = await S3Client.of(node);
  expect(await readSamples(client)).toEqual(allRight);
  const body = content("written after", 100_000);
  await client.put("samples", "written after", body);
  expect(digest((await client.get("samples", "written after"))!)).toBe(digest(body));
  await client.delete("samples", "written after");
  await after?.(client);
  await node.stop();
}

async function metric(node: NodeProcess, name: string): Promise<number> {
  const line = (await node.metrics()).split("\n").find((text) => text.startsWith(name));
  return Number(line?.split(" ").at(-1) ?? 0);
}

test("two devices in turn: one zeroed, one deleted", async () => {
  await using node = await filledNode();
  await zeroFile(node.devices[1]!);
  await expectAllRight(node, async () => {
    expect((await node.health()).healthy).toBe(5);
  });
  await rm(node.devices[4]!);
  await expectAllRight(node, async () => {
    expect((await node.health()).healthy).toBe(4);
  });
}, 20_000);

test("two devices change places, one is cut off in the middle", async () => {
  await using node = await filledNode();
  await rename(node.devices[0]!, `${node.devices[0]!}.away`);
  await rename(node.devices[3]!, node.devices[0]!);
  await rename(`${node.devices[0]!}.away`, node.devices[3]!);
  await expectAllRight(node, async () => {
    expect((await node.health()).healthy).toBe(6);
  });
  await truncate(node.devices[2]!, 40 * MiB);
  await expectAllRight(node);
}, 20_000);

test("a mirror is deleted, then the data directory: each is made anew from the rest", async () => {
  await using node = await filledNode();
  await rm(node.mirrors[0]!, { recursive: true });
  await expectAllRight(node);
  await rm(node.dataDirectory, { recursive: true });
  await expectAllRight(node);
  await rm(node.mirrors[1]!, { recursive: true });
  await rm(node.dataDirectory, { recursive: true });
  await expectAllRight(node);
}, 20_000);

test("bit flips in every page of every sealed file of one member are healed from another", async () => {
  await using node = await filledNode();
  for (const part of ["shard-", "catalog-", "key-store-", "cluster-key", "members"]) {
    for (const path of await filesWith(node.dataDirectory, part)) {
      await flipBits(path, everyNth(4096, 777, (await stat(path)).size));
    }
  }
  await expectAllRight(node);
  for (const path of await filesWith(node.mirrors[0]!, "shard-")) {
    await flipBits(path, everyNth(512, 77, (await stat(path)).size));
  }
  await expectAllRight(node);
}, 20_000);

test("bit flips in the write-ahead log of one member are healed from another", async () => {
  await using node = await NodeProcess.started(layout);
  {
    using client = await S3Client.of(node);
    await putSamples(client);
    await node.kill(); // a stop would leave no log
  }
  for (const path of await filesWith(node.dataDirectory, "-wal")) {
    await flipBits(path, everyNth(1000, 33, (await stat(path)).size));
  }
  await expectAllRight(node);
}, 20_000);

test("bit flips all over two devices, one after the other, are met, healed and do not come back", async () => {
  await using node = await filledNode();
  for (const device of [node.devices[0]!, node.devices[5]!]) {
    await flipBits(device, everyNth(30_011, 64 * 1024, 24 * MiB));
    await expectAllRight(node, async () => {
      await until("something is repaired", async () => {
        return (await metric(node, "kiseki_chunk_repairs_total")) > 0;
      });
      await until("nothing waits for repair", async () => {
        const page = await (await fetch(`http://127.0.0.1:${node.metricsPort}/`)).text();
        return page.includes(", 0 waiting for repair");
      });
    });
  }
}, 20_000);

test("an old copy of a member's files put back is not believed", async () => {
  await using node = await filledNode();
  await cp(node.mirrors[0]!, `${node.mirrors[0]!}.old`, { recursive: true });
  await node.start();
  {
    using client = await S3Client.of(node);
    await client.put("samples", "newer", "newer");
    await client.delete("samples", "directory 0/size 1");
    await client.put("samples", "directory 0/size 1", content("directory 0/size 1", 1));
    await client.delete("samples", "newer");
  }
  await node.stop();
  await rm(node.mirrors[0]!, { recursive: true });
  await rename(`${node.mirrors[0]!}.old`, node.mirrors[0]!);
  await expectAllRight(node);
}, 20_000);

test("two pages of a member's shard file change places", async () => {
  await using node = await filledNode();
  const [path] = await filesWith(node.dataDirectory, "shard-");
  const bytes = new Uint8Array(await Bun.file(path!).arrayBuffer());
  const page = 4096;
  const last = Math.floor(bytes.byteLength / page) - 1;
  const kept = bytes.slice(page, 2 * page);
  bytes.copyWithin(page, last * page, (last + 1) * page);
  bytes.set(kept, last * page);
  await Bun.write(path!, bytes);
  await expectAllRight(node);
}, 20_000);
