/**
 * Random operations through two mounts on a built node, against a model of a POSIX tree, while the node is killed and the
 * network resets, delays and loses; what is left is compared through S3 too. The mounts are the client's own, without the kernel.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { openDatapath } from "../../ffi/datapath/src/index.ts";
import { type Prng, prngFromSeed } from "../../libs/base/src/index.ts";
import { FaultyProxy, type Weather } from "../../libs/client/src/faulty-proxy.test-helper.ts";
import { TwoMounts } from "../../libs/client/src/files/two-mounts.test-helper.ts";
import { openClient, openFileSystem } from "../../libs/client/src/index.ts";
import { nativeDirectory, openCrypto, systemClock, systemPrng } from "../../libs/host/src/index.ts";
import type { Datapath } from "../../libs/ports/src/index.ts";
import { type FileSystem, isFailure, RamBlockCache } from "../../libs/vfs/src/index.ts";
import { isFull, NodeProcess } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";

const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const batches = isFull ? 20 : 1;
const limitMs = isFull ? 300_000 : 20_000;
const steps = isFull ? 300 : 90;
const crypto = openCrypto();
const rpcPort = 9100;

let datapath: Datapath;
let node: NodeProcess;
const bulkPorts = new Set<number>();
/** Between mounts and node; they know where it listens now. */
let rpc: FaultyProxy;
let bulk: FaultyProxy;
function follow(): void {
  bulkPorts.add(node.bulkPort);
  rpc.target = { host: "127.0.0.1", port: node.rpcPort };
  bulk.target = { host: "127.0.0.1", port: node.bulkPort };
}
beforeAll(async () => {
  const sizes = { arenaSize: 48 << 20, computeThreads: 1, deviceThreads: 1 };
  datapath = openDatapath({ directory: nativeDirectory, ...sizes });
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "1GiB" });
  const nowhere = { host: "127.0.0.1", port: 1 };
  rpc = await FaultyProxy.open(nowhere, 0);
  bulk = await FaultyProxy.open(nowhere, 0);
  follow();
}, 20_000);
afterAll(async () => {
  await rpc[Symbol.asyncDispose]();
  await bulk[Symbol.asyncDispose]();
  await node[Symbol.asyncDispose]();
  await datapath[Symbol.asyncDispose]();
});

/** A mount that asks each time; it finds the node again when its ports have changed. */
async function openMount(namespace: string, parts: AsyncDisposableStack): Promise<FileSystem> {
  const read = (name: string) => readFile(join(node.configDirectory, name), "utf8");
  const identity = {
    authority: await read("rpc-cert.pem"),
    token: (await read("rpc-token")).trim(),
  };
  const resolve = async ({ host, port }: { host: string; port: number }) => [
    { host, port: bulkPorts.has(port) ? bulk.port : rpc.port },
  ];
  const client = await openClient(
    { clock: systemClock, prng: systemPrng, crypto, datapath, resolve },
    { seeds: `127.0.0.1:${rpcPort}`, tenant: "", namespace, hostName: "test", identity },
  );
  if (client.kind === "refused") throw new Error(client.message);
  parts.defer(() => client.close());
  const sizes = { cacheSizeMax: 1 << 20, dirtySizeMax: 1 << 22, readAheadMax: 1 << 20 };
  const fs = await openFileSystem(
    {
      service: client.files,
      content: client.content,
      clock: systemClock,
      cache: new RamBlockCache(sizes.cacheSizeMax),
    },
    { metaTtlMs: 0, isReadOnly: false, ...sizes },
  );
  if (isFailure(fs)) throw new Error(fs.name);
  parts.defer(async () => {
    expect(await fs.close()).toBeUndefined();
  });
  return fs;
}

async function killAndStart(): Promise<void> {
  if (node.isRunning) await node.kill();
  await node.start();
  follow();
}
const weathers: readonly Weather[] = [
  { kind: "reset" },
  { kind: "slow", delayMs: 30 },
  { kind: "lossy", size: 7 },
];
/** What happens to an operation that is under way. */
async function disturb(prng: Prng): Promise<void> {
  await Bun.sleep(prng.below(15));
  if (prng.chance(1, 3)) return killAndStart();
  const proxy = prng.chance(1, 2) ? rpc : bulk;
  proxy.weather = weathers[prng.below(weathers.length)]!;
  await Bun.sleep(prng.below(500));
  proxy.weather = { kind: "fair" };
  proxy.cut(); // what has lost bytes is of no use any more
}

for (let batch = 0; batch < batches; batch += 1) {
  test(
    `two mounts and S3 agree with a model while node and network fail (KISEKI_SIM_SEED=${seed + batch})`,
    async () => {
      await using parts = new AsyncDisposableStack();
      if (!node.isRunning) await killAndStart(); // a test before may have ended in between
      const bucket = `mounts-${seed + batch}`;
      using s3 = await S3Client.of(node);
      await s3.createBucket(bucket);
      const mounts = [await openMount(bucket, parts), await openMount(bucket, parts)];
      const run = new TwoMounts(mounts, seed + batch);
      const prng = prngFromSeed(seed + batch);
      let next = 20 + prng.below(40);
      await run.run(steps, async (step) => {
        next -= 1;
        if (next > 0) return step();
        next = 10 + prng.below(30);
        await Promise.all([step(), disturb(prng)]);
      });
      using after = await S3Client.of(node);
      for (const [path, data] of run.files()) {
        const got = await after.get(bucket, path);
        expect(`${path} ${got?.byteLength}`).toBe(`${path} ${data.byteLength}`);
        expect(Buffer.compare(got!, data)).toBe(0);
      }
    },
    limitMs,
  );
}
