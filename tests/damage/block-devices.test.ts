/**
 * Raw block devices (loop devices): a file system is refused by name, zones that are given back are discarded, and
 * content outlives kills and the loss of the index after that.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { hasLoop, imagePlace, LoopDevice, runTool } from "../power/loop-disk.ts";
import { NodeProcess, until } from "../support/node-process.ts";
import { content, digest, S3Client } from "../support/s3-client.ts";

setDefaultTimeout(40_000); // starts and writes, 4 s of them on two quiet cores; nothing waits for a timer
const MiB = 1024 * 1024;
const size = 128 * MiB;
const bucket = "zones";

/** Whether compaction has given a zone back. */
const hasReclaimed = async (node: NodeProcess): Promise<boolean> =>
  /^kiseki_zones_reclaimed_total [1-9]/m.test(await node.metrics());

/** Writes one object over and over: what it was goes zone by zone. Returns the digest of its last content. */
async function useUp(node: NodeProcess, client: S3Client, device: LoopDevice): Promise<string> {
  await client.createBucket(bucket);
  let last = "";
  let most = 0;
  for (let turn = 0; !(await hasReclaimed(node)); turn += 1) {
    const body = content(`turn ${turn}`, 4 * MiB);
    await client.put(bucket, "again", body);
    last = digest(body);
    most = Math.max(most, await device.allocated());
  }
  // All of a zone is dead by then: it is 16 MiB less, and nothing else ever makes an image smaller.
  if (await device.takesDiscard())
    await until("a zone is discarded", async () => (await device.allocated()) <= most - 4 * MiB);
  return last;
}

test.skipIf(!hasLoop)("a block device with a file system is refused by name", async () => {
  await using image = await imagePlace();
  await using device = await LoopDevice.create(image.path, size);
  await using node = await NodeProcess.create({ devices: 1, mirrors: 0 });
  await symlink(device.path, node.devices[0]!);
  await runTool(["mkfs.ext4", "-q", "-F", device.path]);
  expect((await node.tryStart())?.code).toBeGreaterThan(0);
  expect(node.output).toContain("it holds ext2/3/4");
  await runTool(["wipefs", "--all", "--quiet", device.path]);
  await node.start();
  using client = await S3Client.of(node);
  await client.createBucket(bucket);
  await client.put(bucket, "key", "value");
  expect(Buffer.from((await client.get(bucket, "key"))!).toString()).toBe("value");
});

test.skipIf(!hasLoop)(
  "a node on a block device discards zones, and loses nothing by a kill and without its index",
  async () => {
    await using image = await imagePlace();
    await using device = await LoopDevice.create(image.path, size);
    await using node = await NodeProcess.create({ devices: 1, mirrors: 0 });
    await symlink(device.path, node.devices[0]!);
    const words = ["--gc-interval-s", "1"];
    await node.start({ words });
    const kept = new Map<string, string>();
    {
      using client = await S3Client.of(node);
      kept.set("again", await useUp(node, client, device));
      for (const size of [1, 4097, 300_000]) {
        const body = content(`size ${size}`, size);
        await client.put(bucket, `size ${size}`, body);
        kept.set(`size ${size}`, digest(body));
      }
      await node.kill();
    }
    for (const end of ["", "-wal", "-shm"])
      await rm(join(node.dataDirectory, `fragment-index.db${end}`), { force: true });
    await node.start({ words });
    using client = await S3Client.of(node);
    expect([...(await client.list(bucket)).keys()]).toEqual([...kept.keys()].toSorted());
    for (const [key, hash] of kept) expect(digest((await client.get(bucket, key))!)).toBe(hash);
  },
);
