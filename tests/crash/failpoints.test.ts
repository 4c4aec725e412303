/**
 * A node under load, with versions, locks, lifecycle rules and notifications at work, is killed at named places; everything
 * acknowledged is there, and nothing by half.
 */
import { expect, test } from "bun:test";
import { mkdir, statfs } from "node:fs/promises";
import { everyNth, flipBits } from "../support/damage.ts";
import { isFull, type Layout, NodeProcess, until } from "../support/node-process.ts";
import { BrokenConnectionError } from "../support/raw-http.ts";
import { content, digest, S3Client } from "../support/s3-client.ts";
import { SideLoad } from "../support/side-load.ts";
import { putSamples, readSamples, sampleCount } from "../support/samples.ts";
import { chance, Workload } from "../support/workload.ts";

const one: Layout = { devices: 1, mirrors: 0, deviceSize: "384MiB" };
const six: Layout = { devices: 6, mirrors: 2, deviceSize: "128MiB" };
const killed = { code: null, signal: "SIGKILL" };
const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 1e9));
const dice = chance(seed);
const rounds = isFull ? 4 : 1;
/** In full the fuzzers run beside it. */
const limitMs = isFull ? 60_000 : 20_000;
const words = ["--gc-interval-s", "1"];

/** Places that load alone comes by, and the highest passing that it is let to; a node for each row. */
const sequences: readonly (readonly (readonly [string, number])[])[] = [
  [
    ["batch-decided", 20],
    ["batch-committed", 20],
  ],
  [
    ["datapath_before_sync", 30],
    ["complete-checked", 3],
  ],
  [
    ["datapath_after_sync", 30],
    ["complete-committed", 3],
  ],
  [
    ["chunk-synced", 30],
    ["collect-begun", 1],
  ],
  [
    ["collect-removed", 1],
    ["wal-synced", 10],
  ],
  [
    ["collect-dropped", 1],
    ["wal-sync", 10],
  ],
  [["main-write", 2]],
  [["main-sync", 1]],
  [["main-synced", 1]],
];

/** Both loads of one node. */
interface Loads {
  readonly workload: Workload;
  readonly side: SideLoad;
}

/**
 * Starts and loads a node until it kills itself, in the start, while all is re-read, or under load.
 */
async function runInto(node: NodeProcess, loads: Loads, failpoint: string): Promise<void> {
  const { workload, side } = loads;
  const environment = { KISEKI_FAILPOINT: failpoint };
  const ending = await node.tryStart({ environment, words: [...words, ...side.words] });
  if (ending) return expect(ending).toEqual(killed);
  using client = await S3Client.of(node);
  try {
    await workload.check(client);
    await workload.begin(client);
    await side.begin(node);
  } catch (reason) {
    if (!(reason instanceof BrokenConnectionError)) throw reason;
  }
  expect(await node.ended()).toEqual(killed);
  await Promise.all([workload.ended(), side.ended()]);
}

/** What the side load waits for comes while the rest is re-read. */
async function reread(node: NodeProcess, { workload, side }: Loads): Promise<void> {
  await node.start({ words: side.words });
  using client = await S3Client.of(node);
  const [faults] = await Promise.all([side.faults(client), workload.check(client)]);
  expect(faults).toEqual([]);
}

for (let round = 0; round < rounds; round += 1) {
  for (const [at, places] of sequences.entries()) {
    const layout = (at + round) % 2 === 0 ? one : six;
    const failpoints = places.map(([name, most]) => `${name}:${1 + Math.floor(dice() * most)}`);
    const where = `${layout.devices} devices, ${layout.mirrors} mirrors`;
    test(
      `killed at ${failpoints.join(", ")}; ${where} (KISEKI_SIM_SEED=${seed})`,
      async () => {
        await using node = await NodeProcess.create(layout);
        await using side = await SideLoad.open(node.directory);
        const workload = new Workload(seed + at);
        await node.start({ words: [...words, ...side.words] });
        {
          using client = await S3Client.of(node);
          await Promise.all([workload.prepare(client), side.prepare(client)]);
        }
        await node.kill();
        for (const failpoint of failpoints) await runInto(node, { workload, side }, failpoint);
        await reread(node, { workload, side });
        expect([...workload.refusals]).toEqual([]);
      },
      limitMs,
    );
  }
}

for (const name of ["index-flushed", "index-checkpointed"]) {
  test(
    `killed at ${name}, in a start or a stop under load (KISEKI_SIM_SEED=${seed})`,
    async () => {
      await using node = await NodeProcess.create(one);
      await using side = await SideLoad.open(node.directory);
      await node.start({ words: side.words });
      const workload = new Workload(seed);
      {
        using client = await S3Client.of(node);
        await workload.begin(client);
        await side.begin(node);
        await until("writes are acknowledged", () => workload.acknowledged > 20);
        await node.kill();
        await Promise.all([workload.ended(), side.ended()]);
      }
      const environment = { KISEKI_FAILPOINT: name };
      const ending = await node.tryStart({ environment, words: side.words });
      if (!ending) {
        using client = await S3Client.of(node);
        await workload.check(client);
        await workload.begin(client);
        await side.begin(node);
        const stopping = node.stop();
        await Promise.all([workload.ended(), side.ended()]);
        expect(await stopping).toEqual(killed);
      } else {
        expect(ending).toEqual(killed);
      }
      await reread(node, { workload, side });
    },
    limitMs,
  );
}

const tryRun = async (...words: readonly string[]): Promise<boolean> =>
  (await Bun.spawn([...words], { stderr: "ignore" }).exited) === 0;

async function run(...words: readonly string[]): Promise<void> {
  if (!(await tryRun(...words))) throw new Error(`${words[0]} failed: it needs root`);
}

/** A file system of its own at `path`, which `fill` makes full from one moment to the next. */
async function mounted(path: string): Promise<AsyncDisposable & { fill(): Promise<void> }> {
  await mkdir(path);
  await run("mount", "-t", "tmpfs", "-o", "size=2G", "tmpfs", path);
  return {
    async fill() {
      for (let isFull = false; !isFull;) {
        const { bsize, blocks, bfree } = await statfs(path);
        const size = `remount,size=${(blocks - bfree) * bsize}`;
        isFull = await tryRun("mount", "-o", size, path); // not when it grew in between
      }
    },
    [Symbol.asyncDispose]: () => run("umount", "-l", path),
  };
}

for (const name of ["list-write", "list-rename", "list-note", "list-done"]) {
  test(
    `killed at ${name}, while a full mirror is written out of the list (KISEKI_SIM_SEED=${seed})`,
    async () => {
      await using node = await NodeProcess.create({ ...one, mirrors: 2 });
      await using side = await SideLoad.open(node.directory);
      const workload = new Workload(seed);
      {
        await using mirror = await mounted(node.mirrors[0]!);
        await node.start();
        await node.stop(); // the first start writes lists too
        await node.start({ environment: { KISEKI_FAILPOINT: name }, words: side.words });
        using client = await S3Client.of(node);
        await workload.begin(client);
        await side.begin(node);
        await mirror.fill();
        expect(await node.ended()).toEqual(killed);
        await Promise.all([workload.ended(), side.ended()]);
      }
      await reread(node, { workload, side });
    },
    limitMs,
  );
}

for (const name of ["repair-rebuilt", "repair-written"]) {
  test(
    `killed at ${name}, while what rotted on a device is repaired`,
    async () => {
      await using node = await NodeProcess.create(six);
      await using side = await SideLoad.open(node.directory);
      await node.start({ words: side.words });
      {
        using client = await S3Client.of(node);
        await side.begin(node);
        await putSamples(client);
      }
      await node.stop();
      await side.ended();
      await flipBits(node.devices[2]!, everyNth(30_011, 64 * 1024, 24 * 1024 * 1024));
      const environment = { KISEKI_FAILPOINT: `${name}:1` };
      const ending = await node.tryStart({ environment, words: side.words });
      if (!ending) {
        using client = await S3Client.of(node);
        await readSamples(client).catch(() => undefined); // what it meets is queued for repair
        expect(await node.ended()).toEqual(killed);
      }
      await node.start({ words: side.words });
      using client = await S3Client.of(node);
      const [read, faults] = await Promise.all([readSamples(client), side.faults(client)]);
      expect(read).toEqual({ right: sampleCount, failed: [] });
      expect(faults).toEqual([]);
    },
    limitMs,
  );
}

for (const name of ["compact-moved", "compact-checkpointed"]) {
  test(
    `killed at ${name}, when overwrites have used up the zones`,
    async () => {
      const layout = { devices: 1, mirrors: 0, deviceSize: "128MiB" };
      await using node = await NodeProcess.create(layout);
      await using side = await SideLoad.open(node.directory);
      const environment = { KISEKI_FAILPOINT: name };
      await node.start({ environment, words: [...words, ...side.words] });
      const kept = content("kept", 300_000);
      const held = new Map<string, readonly string[]>([["kept", [digest(kept)]]]);
      {
        using client = await S3Client.of(node);
        await client.createBucket("zones");
        await client.put("zones", "kept", kept);
        await side.begin(node);
        await overwriteUntilBroken(client, held);
        expect(await node.ended()).toEqual(killed);
        await side.ended();
      }
      await node.start({ words: side.words });
      using client = await S3Client.of(node);
      const keys = [...(await client.list("zones")).keys()];
      expect(keys).toContain("kept");
      for (const key of keys) {
        expect(held.get(key)).toContain(digest((await client.get("zones", key))!));
      }
      expect(await side.faults(client)).toEqual([]);
    },
    limitMs,
  );
}

/** Notes in `held` what each key may hold: the last acknowledged and the one under way. */
async function overwriteUntilBroken(
  client: S3Client,
  held: Map<string, readonly string[]>,
): Promise<void> {
  const work = async (worker: number): Promise<void> => {
    for (let turn = 0; ; turn += 1) {
      const key = `key-${worker}-${turn % 3}`;
      const body = content(`${key} ${turn}`, 900_000);
      held.set(key, [...(held.get(key) ?? []), digest(body)]);
      try {
        await client.put("zones", key, body);
      } catch (reason) {
        if (reason instanceof BrokenConnectionError) return;
        throw reason;
      }
      held.set(key, [digest(body)]);
    }
  };
  await Promise.all([0, 1, 2, 3].map(work));
}
