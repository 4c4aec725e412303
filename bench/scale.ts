/** `bun run bench scale`: a node that holds many small objects against the same node while it was empty. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Case, type Figures, runCase } from "./loader.ts";
import { currentCommit, describeMachine } from "./s3.ts";
import { root, type Server, startServer } from "./servers.ts";

export interface ScaleResult {
  readonly kind: "scale";
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
  readonly objects: number;
  readonly rows: readonly {
    readonly what: string;
    readonly value: string;
    readonly limit: string;
    readonly isMet?: boolean;
  }[];
}

const seconds = 6;
const probe = (name: string, operation: Case["operation"], prefix: string, seed: number): Case => ({
  ...{ name, operation, prefix, seed, size: operation === "list" ? 0 : 4096 },
  ...{ connections: operation === "list" ? 4 : 16 },
  objects: operation === "put" ? 100_000 : operation === "list" ? 1 : 1000,
});

interface Rates {
  readonly put: Figures;
  readonly get: Figures;
  readonly list: Figures;
}

async function measure(server: Server, prefix: string, seed: number): Promise<Rates> {
  await runCase(server, probe("warm", "put", `${prefix}warm/`, seed), 3);
  const put = await runCase(server, probe("put", "put", prefix, seed), seconds);
  const get = await runCase(server, probe("get", "get", prefix, seed), seconds);
  return { put, get, list: await runCase(server, probe("list", "list", prefix, seed), seconds) };
}

/** Time until a server on the folder answers. */
async function timeStart(folder: string): Promise<{ server: Server; seconds: number }> {
  const started = performance.now();
  const server = await startServer("kiseki", "six", folder);
  return { server, seconds: (performance.now() - started) / 1000 };
}

export async function benchScale(objects: number, keeps: boolean): Promise<ScaleResult> {
  const folder = await mkdtemp(join(process.env["KISEKI_BENCH_DIR"] ?? tmpdir(), "kiseki-bench-"));
  await using cleaning = new AsyncDisposableStack();
  cleaning.defer(() => rm(folder, { recursive: true, force: true }));
  let server = await startServer("kiseki", "six", folder);
  cleaning.defer(() => server[Symbol.asyncDispose]());
  await server.createBucket("bench");
  const empty = await measure(server, "empty/", 1);
  const load = { ...probe("load", "put", "many/", 3), size: 100, objects, connections: 64 };
  const loaded = await runCase(server, load, 3600);
  const full = await measure(server, "full/", 2);
  const flat = await runCase(server, probe("list", "list", "many/", 3), seconds);
  await server.kill();
  const recovery = await timeStart(folder);
  server = recovery.server;
  await server[Symbol.asyncDispose]();
  const start = await timeStart(folder);
  server = start.server;
  const rows: ScaleResult["rows"][number][] = [
    {
      what: "loaded, 100 B bodies, c=64",
      value: `${loaded.operations} at ${loaded.operations_per_second.toFixed(0)}/s, ${loaded.errors} errors`,
      limit: "",
    },
  ];
  for (const name of ["put", "get", "list"] as const) {
    const ratio = full[name].operations_per_second / empty[name].operations_per_second;
    const value = `${ratio.toFixed(2)} of ${empty[name].operations_per_second.toFixed(0)}/s`;
    rows.push({ what: `${name}, full over empty`, value, limit: "≥ 0.9", isMet: ratio >= 0.9 });
  }
  const page = `p50 ${flat.p50_ms.toFixed(1)} ms, p99 ${flat.p99_ms.toFixed(1)} ms`;
  rows.push({ what: "LIST page of 1,000 out of all, flat, c=4", value: page, limit: "" });
  const times = [
    ["start after SIGKILL", recovery.seconds, 5],
    ["start after a stop", start.seconds, 2],
  ] as const;
  for (const [what, value, limit] of times) {
    rows.push({
      what,
      value: `${value.toFixed(2)} s`,
      limit: `≤ ${limit} s`,
      isMet: value <= limit,
    });
  }
  for (const { what, value, limit } of rows) console.log(`${what}: ${value} ${limit}`);
  const result: ScaleResult = {
    kind: "scale",
    date: new Date().toISOString(),
    commit: await currentCommit(),
    machine: describeMachine(),
    objects: loaded.operations,
    rows,
  };
  const path = join(root, "bench/results/scale.json");
  if (keeps) await writeFile(path, `${JSON.stringify(result, undefined, 2)}\n`);
  return result;
}
