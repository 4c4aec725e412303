/** `bun run bench memory`: resident memory of an idle node, under load, and while 5 GiB go in and out. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Case, readMemory, resetPeak, runCase } from "./loader.ts";
import { currentCommit, describeMachine } from "./s3.ts";
import { root, type Server, startServer } from "./servers.ts";

export interface MemoryResult {
  readonly kind: "memory";
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
  readonly rows: readonly {
    readonly what: string;
    readonly megabytes: number;
    readonly limit: number;
  }[];
}

const MiB = 2 ** 20;
const loads: readonly Case[] = [
  ...(["put", "get"] as const).map((operation) => ({
    ...{ name: `${operation} 4 KiB, c=16`, operation, size: 4096, connections: 16 },
    ...{ objects: operation === "put" ? 100_000 : 1000, prefix: "small/", seed: 1 },
  })),
  ...(["put", "get"] as const).map((operation) => ({
    ...{ name: `${operation} 64 MiB, c=4`, operation, size: 64 * MiB, connections: 4 },
    ...{ objects: operation === "put" ? 16 : 4, prefix: "large/", seed: 1 },
  })),
];

async function putParts(server: Server, sizeMiB: number): Promise<void> {
  using client = server.client();
  const id = await client.createUpload("bench", "whole");
  const part = new Uint8Array(64 * MiB);
  const etags: string[] = [];
  for (let number = 1; number <= sizeMiB / 64; number++) {
    for (let at = 0; at < part.byteLength; at += 4096) part[at] = (number * 31 + at / 4096) & 255;
    new DataView(part.buffer).setUint32(0, number);
    etags.push(await client.uploadPart("bench", "whole", id, number, part));
  }
  await client.completeUpload("bench", "whole", id, etags);
}

/** Highest resident memory while `work` ran. */
async function peakOf(server: Server, work: () => Promise<unknown>): Promise<number> {
  await resetPeak(server.pid);
  await work();
  return (await readMemory(server.pid)).peak;
}

export async function benchMemory(keeps: boolean): Promise<MemoryResult> {
  const folder = await mkdtemp(join(process.env["KISEKI_BENCH_DIR"] ?? tmpdir(), "kiseki-bench-"));
  await using cleaning = new AsyncDisposableStack();
  cleaning.defer(() => rm(folder, { recursive: true, force: true }));
  const server = cleaning.use(await startServer("kiseki", "six", folder));
  await server.createBucket("bench");
  await Bun.sleep(3000);
  const rows: MemoryResult["rows"][number][] = [];
  const note = (what: string, megabytes: number, limit: number): void => {
    rows.push({ what, megabytes, limit });
    console.log(`${what.padEnd(32)} ${megabytes.toFixed(0)} MB, limit ${limit}`);
  };
  note("idle after start", (await readMemory(server.pid)).now, 150);
  for (const load of loads) {
    note(load.name, await peakOf(server, () => runCase(server, load, 8)), 500);
  }
  await Bun.sleep(5000);
  const before = (await readMemory(server.pid)).now;
  note("idle after load", before, 500);
  const sizeMiB = Number(process.env["KISEKI_BENCH_UPLOAD_MIB"] ?? 1024);
  const peak = await peakOf(server, () => putParts(server, sizeMiB));
  note(`upload of ${sizeMiB} MiB adds`, Math.max(0, peak - before), 64);
  const result: MemoryResult = {
    kind: "memory",
    date: new Date().toISOString(),
    commit: await currentCommit(),
    machine: describeMachine(),
    rows,
  };
  const path = join(root, "bench/results/memory.json");
  if (keeps) await writeFile(path, `${JSON.stringify(result, undefined, 2)}\n`);
  return result;
}
