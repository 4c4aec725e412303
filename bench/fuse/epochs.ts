/**
 * `bun run bench epochs [--rounds N] [--keep] [--plot]`: how long a training's epochs take on a mount, the first and the later
 * ones, by what the cache keeps; and reads out of the cache's blocks against a C daemon of libfuse3 over the same file system.
 * The kernel's own caches are dropped before each epoch, as if the dataset were larger than memory.
 */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { writeFile } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { KisekiMount } from "../../tests/mount/kiseki-mount.ts";
import { NodeProcess } from "../../tests/support/node-process.ts";
import { S3Client } from "../../tests/support/s3-client.ts";
import { currentCommit, describeMachine } from "../s3.ts";
import { root } from "../servers.ts";
import { build, measure, median, startPeer } from "./fuse.ts";
import { stage } from "./staged.ts";

const files = 900;
const fileKiB = 320;
const epochs = 3;
const blockMiB = 192;
/** Of the peer's rate. */
export const blockFloor = 0.7;

type Mode = "bypass" | "organic" | "pinned" | "staged";
const modes: readonly Mode[] = ["bypass", "organic", "pinned", "staged"];

export interface EpochsResult {
  readonly kind: "epochs";
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
  readonly load_average: number;
  readonly rounds: number;
  readonly files: number;
  readonly megabytes: number;
  readonly rows: readonly EpochRow[];
  readonly blocks: readonly BlockRow[];
}
/** Seconds; medians of the rounds. */
export interface EpochRow {
  /** `plain`: a copy on the compute node's own file system. */
  readonly mode: Mode | "plain";
  /** Before the first epoch; `staged` alone. */
  readonly staging: number;
  readonly first: number;
  readonly later: number;
}
/** MB, or reads, a second. */
export interface BlockRow {
  readonly what: string;
  readonly mount: number;
  readonly peer: number;
  /** The median of the rounds' own. */
  readonly ratio: number;
}

interface Bed {
  readonly node: NodeProcess;
  readonly work: string;
  readonly load: string;
}

function dropCaches(): void {
  Bun.spawnSync(["sync"]);
  writeFileSync("/proc/sys/vm/drop_caches", "3");
}
function random(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 65_536)
    crypto.getRandomValues(bytes.subarray(at, Math.min(size, at + 65_536)));
  return bytes;
}

/** Seconds of each epoch. */
function readEpochs(load: string, folder: string): readonly number[] {
  return Array.from({ length: epochs }, () => {
    dropCaches();
    return files / measure(load, "epoch", folder, files);
  });
}
const rowOf = (mode: EpochRow["mode"], staging: number, taken: readonly number[]): EpochRow => ({
  ...{ mode, staging },
  first: taken[0]!,
  later: median(taken.slice(1)),
});

async function measureMode({ node, work, load }: Bed, mode: Mode): Promise<EpochRow> {
  const cache = mkdtempSync(join(work, "cache-"));
  const began = performance.now();
  const pool = mode === "staged" ? await stage(node, cache) : undefined;
  const staging = pool === undefined ? 0 : (performance.now() - began) / 1000;
  const adopting = pool === undefined ? {} : { KISEKI_CACHE_POOL_ID: pool };
  const options = `ro,cache_mode=${mode === "staged" ? "pinned" : mode}`;
  const environment = { KISEKI_CACHE_DIR: cache, ...adopting };
  await using mount = await KisekiMount.start(node, { namespace: "bench", options, environment });
  const row = rowOf(mode, staging, readEpochs(load, mount.path("set")));
  await mount.end("SIGTERM");
  rmSync(cache, { recursive: true, force: true });
  return row;
}

/** Bytes of blocks below `folder`. */
function keptSize(folder: string): number {
  const found = readdirSync(folder, { recursive: true, withFileTypes: true });
  return found
    .filter((entry) => entry.isFile() && entry.parentPath.includes("/chunks"))
    .reduce((sum, { parentPath, name }) => {
      const status = statSync(join(parentPath, name), { throwIfNoEntry: false });
      return sum + (status?.size ?? 0);
    }, 0);
}

/** A file out of the cache's blocks, next to nothing in memory, against the C daemon on the same disk. */
async function measureBlocks(
  { node, work, load }: Bed,
  peerProgram: string,
  rounds: number,
): Promise<readonly BlockRow[]> {
  const peerFolder = join(work, "c");
  mkdirSync(peerFolder);
  await using peer = await startPeer(peerProgram, peerFolder);
  const cache = join(work, "cache-blocks");
  const words = { namespace: "bench", options: "ro,cache_l1_max=48M" };
  const environment = { KISEKI_CACHE_DIR: cache };
  await using mount = await KisekiMount.start(node, { ...words, environment });
  for (let pass = 0; pass < 20 && keptSize(cache) < blockMiB << 20; pass += 1)
    measure(load, "cold-1m", mount.path("large"), blockMiB);
  if (keptSize(cache) < blockMiB << 20) throw new Error("The cache did not keep the file");
  cpSync(mount.path("large/file-0"), join(peer.backing, "file-0"));
  const cases = [
    ["1 MiB, one after another (MB/s)", "cold-1m", 1e6],
    ["4 KiB at random places (reads/s)", "cold-4k", 1],
  ] as const;
  return cases.map(([what, name, unit]) => {
    const rows = Array.from({ length: rounds }, () => [
      measure(load, name, peer.at, blockMiB) / unit,
      measure(load, name, mount.path("large"), blockMiB) / unit,
    ]);
    const side = (at: number): number => median(rows.map((row) => row[at]!));
    const ratio = median(rows.map((row) => row[1]! / row[0]!));
    return { what, peer: side(0), mount: side(1), ratio };
  });
}

async function fill(s3: S3Client, plain: string): Promise<void> {
  await s3.createBucket("bench");
  mkdirSync(plain);
  const numbers = Array.from({ length: files }, (_, at) => at);
  const putSome = async (): Promise<void> => {
    for (let at = numbers.pop(); at !== undefined; at = numbers.pop()) {
      const content = random(fileKiB * 1024);
      await s3.put("bench", `set/file-${at}`, content);
      writeFileSync(join(plain, `file-${at}`), content);
    }
  };
  await Promise.all(Array.from({ length: 8 }, putSome));
  await s3.put("bench", "large/file-0", random(blockMiB << 20));
}

export async function benchEpochs(rounds: number, keeps: boolean): Promise<void> {
  const work = mkdtempSync(join(process.env["KISEKI_BENCH_DIR"] ?? tmpdir(), "kiseki-bench-"));
  try {
    const { load, peer } = await build(work);
    await using node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "640MiB" });
    using s3 = await S3Client.of(node);
    const plain = join(work, "plain");
    await fill(s3, plain);
    const bed = { node, work, load };
    const taken: EpochRow[] = [];
    for (let round = 0; round < rounds; round += 1) {
      for (const mode of modes) taken.push(await measureMode(bed, mode));
      taken.push(rowOf("plain", 0, readEpochs(load, plain)));
    }
    const rows = [...modes, "plain" as const].map((mode) => {
      const own = taken.filter((row) => row.mode === mode);
      const of = (name: "staging" | "first" | "later"): number =>
        median(own.map((row) => row[name]));
      return { mode, staging: of("staging"), first: of("first"), later: of("later") };
    });
    const blocks = await measureBlocks(bed, peer, 3 * rounds);
    const result: EpochsResult = {
      kind: "epochs",
      date: new Date().toISOString(),
      commit: await currentCommit(),
      machine: describeMachine(),
      load_average: loadavg()[1]!,
      ...{ rounds, files, megabytes: (files * fileKiB) / 1000, rows, blocks },
    };
    for (const line of describeEpochs(result)) console.log(line.join("  "));
    const path = join(root, "bench/results/epochs.json");
    if (keeps) await writeFile(path, `${JSON.stringify(result, undefined, 2)}\n`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The reads out of blocks alone, printed. */
export async function benchBlocks(rounds: number): Promise<void> {
  const work = mkdtempSync(join(process.env["KISEKI_BENCH_DIR"] ?? tmpdir(), "kiseki-bench-"));
  try {
    const { load, peer } = await build(work);
    await using node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "640MiB" });
    using s3 = await S3Client.of(node);
    await s3.createBucket("bench");
    await s3.put("bench", "large/file-0", random(blockMiB << 20));
    const blocks = await measureBlocks({ node, work, load }, peer, rounds);
    for (const line of describeBlocks(blocks)) console.log(line.join("  "));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const seconds = (value: number): string => (value === 0 ? "" : value.toFixed(2));
const whatOf: Readonly<Record<EpochRow["mode"], string>> = {
  bypass: "bypass: nothing is kept",
  organic: "organic",
  pinned: "pinned by the first epoch",
  staged: "staged before, adopted",
  plain: "a copy on the local file system",
};
/** Rows of both tables. */
export function describeEpochs({ rows, blocks }: EpochsResult): readonly (readonly string[])[] {
  return [
    ...rows.map((row) => [
      whatOf[row.mode],
      seconds(row.staging),
      seconds(row.first),
      seconds(row.later),
    ]),
    ...describeBlocks(blocks),
  ];
}
const describeBlocks = (blocks: readonly BlockRow[]): readonly (readonly string[])[] =>
  blocks.map(({ what, mount, peer, ratio }) => [
    what,
    mount.toFixed(0),
    peer.toFixed(0),
    `${ratio.toFixed(2)} (${blockFloor} ${ratio >= blockFloor ? "met" : "**missed**"})`,
  ]);

/** Bars of seconds: staging, first and later epoch of each mode. */
export function drawEpochs({ rows }: EpochsResult): string {
  const parts = [
    ["staging", "#999"],
    ["first", "#48c"],
    ["later", "#2a7"],
  ] as const;
  const longest = Math.max(...rows.flatMap((row) => [row.staging, row.first, row.later]));
  const rowHeight = 54;
  const height = 30 + rows.length * rowHeight;
  const legend = parts.map(
    ([name, colour], at) =>
      `<rect x="${240 + at * 130}" y="6" width="10" height="10" fill="${colour}"/><text x="${255 + at * 130}" y="15">${name === "staging" ? name : `${name} epoch`}</text>`,
  );
  const drawn = rows.flatMap((row, at) => {
    const top = 30 + at * rowHeight;
    const label = `<text x="232" y="${top + 26}" text-anchor="end">${whatOf[row.mode]}</text>`;
    const bars = parts.map(([name, colour], part) => {
      const width = (row[name] / longest) * 480;
      const y = top + part * 14;
      const said = row[name] === 0 ? "" : `${row[name].toFixed(2)} s`;
      return `<rect x="240" y="${y}" width="${width.toFixed(1)}" height="12" fill="${colour}"/><text x="${(246 + width).toFixed(1)}" y="${y + 10}">${said}</text>`;
    });
    return [label, ...bars];
  });
  const head = `<svg xmlns="http://www.w3.org/2000/svg" width="820" height="${height}" font-family="sans-serif" font-size="11">`;
  return [head, ...legend, ...drawn, "</svg>\n"].join("\n");
}
