/** `bun run bench scale`: many buckets; then a node that holds many small objects beside an empty one. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { loadTrees, measureShapes } from "./list-shapes.ts";
import { type Case, type Figures, readCounters, readMemory, runCase } from "./loader.ts";
import { currentCommit, describeMachine, median } from "./s3.ts";
import { root, type Server, startServer } from "./servers.ts";

export interface ScaleOptions {
  readonly objects: number;
  readonly buckets: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly keepsResult: boolean;
}

interface Row {
  readonly what: string;
  readonly value: string;
  readonly limit: string;
  readonly isMet?: boolean;
  /** What `value` says, to be reckoned with. */
  readonly figures: Readonly<Record<string, number>>;
}

export interface ScaleResult {
  readonly kind: "scale";
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
  /** Of the machine over the last five minutes, at the end. */
  readonly load_average: number;
  readonly objects: number;
  readonly buckets: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly rows: readonly Row[];
}

/** Of each of six devices: bodies of 100 bytes lie in the map, only the probes' bodies on devices. */
const deviceSize = "2GiB";
const idleMs = 5000;
const idleMegabytesMax = 150;
const startSecondsMax = 2;
const recoverySecondsMax = 5;
const rateRatioMin = 0.9;
/** Of a page's time over that of a page of the same length in a tree a hundred times smaller. */
const pageRatioMax = 2;
const bucketConnections = 32;

class Rows {
  readonly all: Row[] = [];

  note(row: Row): void {
    this.all.push(row);
    const verdict = row.isMet === undefined ? "" : row.isMet ? "met" : "MISSED";
    console.log(`${row.what.padEnd(44)} ${row.value} ${row.limit} ${verdict}`);
  }
  started(what: string, { seconds, cpuSeconds }: Start, limit: number): void {
    this.note({
      ...{ what, value: `${seconds.toFixed(2)} s, CPU ${cpuSeconds.toFixed(2)} s` },
      ...{ limit: `≤ ${limit} s`, isMet: seconds <= limit },
      figures: { seconds, cpu_seconds: cpuSeconds },
    });
  }
  idle(what: string, megabytes: number): void {
    this.note({
      ...{ what, value: `${megabytes.toFixed(0)} MB`, limit: `≤ ${idleMegabytesMax} MB` },
      ...{ isMet: megabytes <= idleMegabytesMax, figures: { megabytes } },
    });
  }
}

interface Start {
  readonly server: Server;
  /** Until it answers, its process's start included. */
  readonly seconds: number;
  /** User and system time of the process until then: what a busy machine does not change. */
  readonly cpuSeconds: number;
}

async function timeStart(folder: string): Promise<Start> {
  const started = performance.now();
  const server = await startServer("kiseki", "six", folder, deviceSize);
  const seconds = (performance.now() - started) / 1000;
  const { cpuSeconds } = await readCounters(server.pid);
  return { server, seconds, cpuSeconds };
}

async function readIdle(server: Server): Promise<number> {
  await Bun.sleep(idleMs);
  return (await readMemory(server.pid)).now;
}

/** Several clients at once; answers buckets a second. */
async function makeBuckets(server: Server, count: number): Promise<number> {
  using client = server.client();
  let next = 0;
  const started = performance.now();
  const work = async (): Promise<void> => {
    for (let at = next++; at < count; at = next++) {
      await client.createBucket(`bucket-${String(at).padStart(5, "0")}`);
    }
  };
  await Promise.all(Array.from({ length: bucketConnections }, work));
  return (count * 1000) / (performance.now() - started);
}

type Probe = "put" | "get" | "list";
const probes: readonly Probe[] = ["put", "get", "list"];

/** `stored`: objects that the round's PUT left under the prefix. */
function probeCase(operation: Probe, prefix: string, seed: number, stored: number): Case {
  const isList = operation === "list";
  return {
    ...{ name: operation, operation, prefix, seed, size: isList ? 0 : 4096 },
    connections: isList ? 4 : 16,
    objects: operation === "put" ? 100_000 : isList ? 1 : Math.min(1000, stored),
  };
}

/** The same probes on both nodes in turn, the other one stopped meanwhile; rounds change the order. */
async function compareRates(full: Server, empty: Server, options: ScaleOptions, rows: Rows) {
  const found = new Map<Probe, { full: Figures[]; empty: Figures[] }>();
  for (const probe of probes) found.set(probe, { full: [], empty: [] });
  for (let round = 0; round <= options.rounds; round++) {
    const sides = [["full", full] as const, ["empty", empty] as const];
    const stored = { full: 0, empty: 0 };
    for (const probe of probes) {
      for (const [side, server] of round % 2 === 0 ? sides : sides.toReversed()) {
        const other = side === "full" ? empty : full;
        other.pause();
        server.resume();
        const seconds = round === 0 ? Math.min(3, options.seconds) : options.seconds;
        const one = probeCase(probe, `probe/${round}/`, round + 10, stored[side]);
        const figures = await runCase(server, one, seconds);
        if (probe === "put") stored[side] = figures.operations;
        if (round > 0) found.get(probe)![side].push(figures); // the first one warms up
      }
    }
  }
  for (const [probe, sides] of found) {
    const rate = (one: Figures): number => one.operations_per_second;
    const cost = (one: Figures): number => one.cpu_us_per_operation;
    const ratio = median(sides.full.map((one, at) => rate(one) / rate(sides.empty[at]!)));
    const cpu = median(sides.full.map((one, at) => cost(one) / cost(sides.empty[at]!)));
    const base = median(sides.empty.map(rate));
    rows.note({
      what: `${probe}, rate of the full node over an empty one's`,
      value: `${ratio.toFixed(2)} of ${base.toFixed(0)}/s, CPU per operation ${cpu.toFixed(2)}`,
      limit: `≥ ${rateRatioMin}`,
      isMet: ratio >= rateRatioMin,
      figures: { ratio, cpu_ratio: cpu, empty_per_second: base },
    });
  }
}

async function listShapes(server: Server, objects: number, rows: Rows): Promise<void> {
  for (const { what, full, small, ratio } of await measureShapes(server, objects)) {
    const times = `p50 ${full.p50.toFixed(1)} ms, p99 ${full.p99.toFixed(1)} ms, CPU ${full.cpuMsPerPage.toFixed(1)} ms`;
    rows.note({
      what: `LIST ${what}: a page`,
      value: `${times}; ${ratio.toFixed(2)} of that among 1/100 (p50 ${small.p50.toFixed(1)} ms, p99 ${small.p99.toFixed(1)} ms); last pages over first ${full.lastOverFirst.toFixed(2)}`,
      limit: `≤ ${pageRatioMax} of that among 1/100`,
      isMet: ratio <= pageRatioMax && full.lastOverFirst <= pageRatioMax,
      figures: {
        ...{ ratio, p50_ms: full.p50, p99_ms: full.p99, cpu_ms: full.cpuMsPerPage },
        ...{ small_p50_ms: small.p50, small_p99_ms: small.p99, small_cpu_ms: small.cpuMsPerPage },
        ...{ pages: full.pages.length, last_over_first: full.lastOverFirst },
      },
    });
  }
}

export async function benchScale(options: ScaleOptions): Promise<ScaleResult> {
  const folder = await mkdtemp(join(process.env["KISEKI_BENCH_DIR"] ?? tmpdir(), "kiseki-bench-"));
  await using cleaning = new AsyncDisposableStack();
  cleaning.defer(() => rm(folder, { recursive: true, force: true }));
  const rows = new Rows();
  const own = join(folder, "full");
  let { server } = await timeStart(own);
  cleaning.defer(() => server[Symbol.asyncDispose]());
  await server.createBucket("bench");

  if (options.buckets > 0) {
    const rate = await makeBuckets(server, options.buckets);
    const value = `${options.buckets} at ${rate.toFixed(0)}/s`;
    rows.note({ what: "buckets made", value, limit: "", figures: { per_second: rate } });
    await server[Symbol.asyncDispose]();
    const started = await timeStart(own);
    server = started.server;
    rows.started(`start with ${options.buckets} buckets`, started, startSecondsMax);
    rows.idle(`idle with ${options.buckets} buckets`, await readIdle(server));
  }

  const began = performance.now();
  const objects = await loadTrees(server, options.objects);
  const rate = (objects * 1000) / (performance.now() - began);
  const value = `${objects} at ${rate.toFixed(0)}/s`;
  rows.note({
    what: "objects of 100 B put, c=64",
    value,
    limit: "",
    figures: { per_second: rate },
  });
  await listShapes(server, options.objects, rows);
  const { server: empty } = await timeStart(join(folder, "empty"));
  cleaning.use(empty);
  await empty.createBucket("bench");
  await compareRates(server, empty, options, rows);
  server.resume();
  await empty[Symbol.asyncDispose]();

  await server.kill();
  const recovery = await timeStart(own);
  server = recovery.server;
  rows.started("start after SIGKILL", recovery, recoverySecondsMax);
  await server[Symbol.asyncDispose]();
  const start = await timeStart(own);
  server = start.server;
  rows.started("start after a stop", start, startSecondsMax);
  rows.idle("idle with the objects", await readIdle(server));
  const result: ScaleResult = {
    kind: "scale",
    date: new Date().toISOString(),
    commit: await currentCommit(),
    machine: describeMachine(),
    load_average: loadavg()[1]!,
    objects,
    buckets: options.buckets,
    rounds: options.rounds,
    seconds: options.seconds,
    rows: rows.all,
  };
  const path = join(root, "bench/results/scale.json");
  if (options.keepsResult) await writeFile(path, `${JSON.stringify(result, undefined, 2)}\n`);
  return result;
}
