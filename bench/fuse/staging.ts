/**
 * `bun run bench staging`: how fast `kiseki-client stage` brings objects to this machine's disk, against GETs of the same
 * objects of the same node by the loader, in turn, and beside plain writes of as many files to the same disk: a GET writes
 * nothing. The client's start is not in the time, listing and writing are.
 * KISEKI_TEST_FULL=1 gives the node time to write its large device file.
 */
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chooseCommand, NodeProcess, plainEnvironment } from "../../tests/support/node-process.ts";
import { S3Client } from "../../tests/support/s3-client.ts";
import { type Case, readCounters, runCase } from "../loader.ts";

const MiB = 1024 ** 2;
const connections = 16;
const wanted = 0.8;
/** It ends with the last object. */
const fillSeconds = 3600;

interface Round {
  readonly staged: number;
  readonly fetched: number;
  readonly plain: number;
}
interface Staged {
  readonly files: number;
  readonly seconds: number;
  readonly pid: number;
}
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Runs the program to its end, with what it says as JSON. */
function runClient(node: NodeProcess, cache: string, ...words: readonly string[]): object {
  const { exitCode, stdout, stderr } = Bun.spawnSync(
    [...chooseCommand("kiseki-client"), "--json", "stage", ...words],
    {
      env: {
        ...plainEnvironment(),
        KISEKI_CACHE_DIR: cache,
        KISEKI_CACHE_L2_MAX: "1T",
        KISEKI_DATA_ADDR: `127.0.0.1:${node.rpcPort}`,
        KISEKI_TENANT: "default",
        KISEKI_NAMESPACE: "bench",
        KISEKI_CONFIG_DIR: node.configDirectory,
      },
    },
  );
  if (exitCode !== 0) throw new Error(`stage: ${stderr.toString()}`);
  return JSON.parse(stdout.toString()) as object;
}

/** Files a second that one thread makes and writes, none of them synced. */
function writePlain(folder: string, { objects, size }: Case): number {
  mkdirSync(folder);
  const bytes = new Uint8Array(size).fill(1);
  const began = performance.now();
  for (let i = 0; i < objects; i++) {
    const file = openSync(join(folder, `file-${i}`), "wx", 0o600);
    for (let at = 0; at < size;) at += writeSync(file, bytes, at, Math.min(size - at, 4 * MiB), at);
    closeSync(file);
  }
  return (objects * 1000) / (performance.now() - began);
}

/** `gib`: of the large objects together. `folder`: of the pools, on the disk that is measured. */
export async function benchStaging(options: {
  readonly objects: number;
  readonly gib: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly folder: string | undefined;
}): Promise<void> {
  const { objects, gib, rounds, seconds } = options;
  const largeCount = Math.max(1, Math.round((gib * 1024) / 64));
  const cases: readonly Case[] = [
    { name: "small", size: 4096, objects },
    { name: "large", size: 64 * MiB, objects: largeCount },
  ].map((each) => ({
    ...each,
    ...{ operation: "get", connections, prefix: `${each.name}/`, seed: 1, leaf: 1000 },
  }));
  const deviceSize = `${Math.ceil((gib * 1.2 + 0.4) * 1024)}MiB`;
  await using node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize });
  using s3 = await S3Client.of(node);
  await s3.createBucket("bench");
  const server = { port: node.s3Port, pid: node.pid, ...(await node.credentials()) };
  const cache = await mkdtemp(join(options.folder ?? tmpdir(), "kiseki-bench-"));
  // Small files stay until all rounds are over: names made soon after others were removed are dear.
  const release = (folder: string): void => {
    runClient(node, cache, "--release-all");
    rmSync(folder, { recursive: true });
  };
  try {
    for (const one of cases) {
      await runCase(server, { ...one, operation: "put" }, fillSeconds);
      const rows: Round[] = [];
      for (let round = 0; round < rounds; round++) {
        const { operations_per_second: fetched, cpu_us_per_operation: get } = await runCase(
          server,
          one,
          seconds,
        );
        const before = await readCounters(node.pid);
        const words = ["--daemon", "--pool", "new", "--dataset", one.name];
        const staged = runClient(node, cache, ...words) as Staged;
        const after = await readCounters(node.pid);
        const client = await readCounters(staged.pid);
        const folder = join(cache, `plain-${one.name}-${round}`);
        const plain = writePlain(folder, one);
        if (one.size >= MiB) release(folder);
        if (staged.files !== one.objects) throw new Error(`${staged.files} files are staged`);
        rows.push({ staged: staged.files / staged.seconds, fetched, plain });
        const each = (cpu: number): string => ((cpu * 1e6) / staged.files).toFixed(0);
        console.log(
          `  cpu: GET ${get.toFixed(0)} µs of the node, staging ${each(after.cpuSeconds - before.cpuSeconds)} µs of the node and ${each(client.cpuSeconds)} µs of the client`,
        );
      }
      runClient(node, cache, "--release-all");
      const size = one.size / MiB;
      const show = (rate: number): string =>
        `${rate.toFixed(1).padStart(8)}/s ${(rate * size).toFixed(0).padStart(5)} MiB/s`;
      const ratio = median(rows.map(({ staged, fetched }) => staged / fetched));
      console.log(
        `${one.name.padEnd(6)} ${one.objects} objects: GET ${show(median(rows.map(({ fetched }) => fetched)))}  staged ${show(median(rows.map(({ staged }) => staged)))}  plain ${show(median(rows.map(({ plain }) => plain)))}  ${ratio.toFixed(2)} (wanted ${wanted})`,
      );
    }
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
}
