/** `bun run bench keys`: a node with ten million keys and more, loaded over S3, and what a page of LIST costs there. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fillKeys } from "./fill-keys.ts";
import {
  keyOf,
  keyQuestions,
  keyTrees,
  type PageCost,
  type Progress,
  timePages,
} from "./key-pages.ts";
import { readCounters, readMemory, runCase } from "./loader.ts";
import { currentCommit, describeMachine } from "./s3.ts";
import { root, type Server, startServer } from "./servers.ts";

export interface KeysOptions {
  /** Of the largest tree: a million directories at ten million. */
  readonly objects: number;
  /** Kept, and gone on with by the next call; a folder of the run's own unless told. */
  readonly folder: string | undefined;
  /** How long to load; what is not there then is left out, and the result says so. */
  readonly minutes: number;
  /** What is not there then is filled in by the shard's own operations. */
  readonly fills: boolean;
  readonly keepsResult: boolean;
}

export interface KeysResult {
  readonly kind: "keys";
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
  /** Of the machine over the last five minutes, at the end. */
  readonly load_average: number;
  readonly wanted: number;
  readonly objects: number;
  /** Of them by the shard's own operations, without content. */
  readonly filled: number;
  /** In the largest tree, ten keys each. */
  readonly directories: number;
  readonly in_one_directory: number;
  readonly map_megabytes: number;
  readonly start_seconds: number;
  readonly start_cpu_seconds: number;
  readonly memory_megabytes: number;
  readonly pages: readonly {
    readonly what: string;
    readonly full: PageCost;
    readonly few: PageCost;
    /** CPU of a page over that of the same page among a hundredth of the keys. */
    readonly ratio: number;
  }[];
}

/** Of one run of the loader: its signatures are made before, and are good for a quarter of an hour. */
const objectsPerRun = 200_000;
const deviceSize = "8GiB";
const saveMs = 15_000;

async function readProgress(path: string): Promise<Progress> {
  return existsSync(path) ? (JSON.parse(await readFile(path, "utf8")) as Progress) : {};
}

/** Goes on where an earlier call was ended, up to `until` in ms of the clock; after each run the folder knows how far it is. */
async function loadKeys(
  server: Server,
  folder: string,
  objects: number,
  until: number,
): Promise<Progress> {
  const path = join(folder, "loaded.json");
  const progress: Record<string, number> = { ...(await readProgress(path)) };
  for (const [name, tree] of Object.entries(keyTrees(objects))) {
    for (let first = progress[name] ?? 0; first < tree.objects && Date.now() < until;) {
      const count = Math.min(objectsPerRun, tree.objects - first);
      const put = { operation: "put", size: 100, connections: 64, seed: 3 } as const;
      const figures = await runCase(server, { ...tree, ...put, name, objects: count, first }, 800);
      if (figures.errors + figures.wrong > 0 || figures.operations < count) {
        throw new Error(`Cannot bench: of ${count} objects ${figures.operations} were put`);
      }
      first += count;
      progress[name] = first;
      await writeFile(`${path}.new`, JSON.stringify(progress));
      await rename(`${path}.new`, path);
      const { operations_per_second: rate, cpu_us_per_operation: cpu } = figures;
      console.log(
        `${name}: ${first} of ${tree.objects}, ${rate.toFixed(0)}/s, CPU ${cpu.toFixed(0)} µs`,
      );
    }
  }
  return progress;
}

/** All of the largest tree that is not there. Answers how many it filled in, earlier calls included. */
async function fill(folder: string, objects: number, progress: Progress): Promise<Progress> {
  const path = join(folder, "loaded.json");
  const tree = keyTrees(objects).many;
  const there = { ...progress };
  let saved = Date.now();
  const first = there["many"] ?? 0;
  const save = async (): Promise<void> => {
    await writeFile(`${path}.new`, JSON.stringify(there));
    await rename(`${path}.new`, path);
  };
  const range = { first, end: tree.objects, keyOf: (number: number) => keyOf(tree, number) };
  await fillKeys(folder, range, async (done) => {
    there["filled"] = (there["filled"] ?? 0) + done - (there["many"] ?? 0);
    there["many"] = done;
    if (done < tree.objects && Date.now() - saved < saveMs) return;
    saved = Date.now();
    await save();
    console.log(`many: filled to ${done} of ${tree.objects}`);
  });
  return there;
}

async function mapMegabytes(folder: string): Promise<number> {
  let size = 0;
  for await (const path of new Bun.Glob("data/shard-*").scan({ cwd: folder, absolute: true })) {
    size += (await stat(path)).size;
  }
  return size / 1e6;
}

const sum = (progress: Progress): number =>
  Object.entries(progress).reduce(
    (total, [name, each]) => total + (name === "filled" ? 0 : each),
    0,
  );

export async function benchKeys(options: KeysOptions): Promise<void> {
  const { objects, minutes } = options;
  await using cleaning = new AsyncDisposableStack();
  let { folder } = options;
  if (folder === undefined) {
    const own = await mkdtemp(join(process.env["KISEKI_BENCH_DIR"] ?? tmpdir(), "kiseki-bench-"));
    cleaning.defer(() => rm(own, { recursive: true, force: true }));
    folder = own;
  }
  await mkdir(folder, { recursive: true });
  const isNew = !existsSync(join(folder, "data"));
  let progress: Progress;
  {
    await using server = await startServer("kiseki", "one", folder, deviceSize);
    if (isNew) await server.createBucket("bench");
    progress = await loadKeys(server, folder, objects, Date.now() + minutes * 60_000);
  }
  if (options.fills) progress = await fill(folder, objects, progress);
  const started = performance.now();
  const server = cleaning.use(await startServer("kiseki", "one", folder, deviceSize));
  const start = (performance.now() - started) / 1000;
  const { cpuSeconds } = await readCounters(server.pid);
  const pages: KeysResult["pages"][number][] = [];
  for (const { what, full, few } of keyQuestions(keyTrees(objects), progress)) {
    const small = await timePages(server, few);
    const large = await timePages(server, full);
    const ratio = large.cpu_ms / small.cpu_ms;
    pages.push({ what, full: large, few: small, ratio });
    const told = (cost: PageCost): string =>
      `${cost.items} items, p50 ${cost.p50_ms.toFixed(1)} ms, CPU ${cost.cpu_ms.toFixed(1)} ms, read ${cost.cold_kilobytes.toFixed(0)} kB`;
    console.log(`${what.padEnd(48)} ${told(large)}; among 1/100: ${told(small)}`);
  }
  const result: KeysResult = {
    kind: "keys",
    date: new Date().toISOString(),
    commit: await currentCommit(),
    machine: describeMachine(),
    load_average: loadavg()[1]!,
    wanted: sum(
      Object.fromEntries(Object.entries(keyTrees(objects)).map(([n, t]) => [n, t.objects])),
    ),
    objects: sum(progress),
    filled: progress["filled"] ?? 0,
    directories: Math.floor((progress["many"] ?? 0) / 10),
    in_one_directory: progress["one"] ?? 0,
    map_megabytes: await mapMegabytes(folder),
    start_seconds: start,
    start_cpu_seconds: cpuSeconds,
    memory_megabytes: (await readMemory(server.pid)).peak,
    pages,
  };
  const path = join(root, "bench/results/keys.json");
  if (options.keepsResult) await writeFile(path, `${JSON.stringify(result, undefined, 2)}\n`);
}
