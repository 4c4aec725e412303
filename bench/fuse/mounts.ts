/**
 * `bun run bench mount`: a mount beside `rclone mount` (full cache) and `s3fs` on the same node's S3, and beside plain GET and PUT of
 * curl, in turns. Every side starts afresh in each round, without caches; the kernel's are dropped.
 */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { KisekiMount } from "../../tests/mount/kiseki-mount.ts";
import { NodeProcess, plainEnvironment, until } from "../../tests/support/node-process.ts";
import { S3Client } from "../../tests/support/s3-client.ts";
import { currentCommit, describeMachine } from "../s3.ts";
import { root } from "../servers.ts";

const MiB = 1024 ** 2;
const bucket = "bench";
/** Of S3's own rate in the same round, and of the better of the two other mounts. */
const s3Floor = 0.6;
const mountFloor = 3;
const smallFiles = 100;

export interface MountResult {
  readonly kind: "mount";
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
  readonly load_average: number;
  readonly rounds: number;
  readonly megabytes: number;
  readonly rows: readonly MountRow[];
}
/** Medians of MB, or operations, a second. */
export interface MountRow {
  readonly what: string;
  readonly kiseki: number;
  readonly rclone: number;
  readonly s3fs: number;
  readonly s3?: number;
  /** Medians of the rounds' own. */
  readonly toS3?: number;
  readonly toMounts: number;
}

interface Side extends AsyncDisposable {
  readonly folder: string;
}
type SideName = "kiseki" | "rclone" | "s3fs";
const sides: readonly SideName[] = ["kiseki", "rclone", "s3fs"];

interface Bed {
  readonly node: NodeProcess;
  readonly s3: S3Client;
  readonly work: string;
  readonly load: string;
  readonly keys: { readonly accessKey: string; readonly secretKey: string };
}

/** A mount by a program that stays in the foreground. */
async function foreign(bed: Bed, name: string, command: readonly string[]): Promise<Side> {
  const folder = join(bed.work, name);
  mkdirSync(folder, { recursive: true });
  const { dev } = statSync(folder);
  const { accessKey, secretKey } = bed.keys;
  const child = Bun.spawn([...command.map((word) => (word === "FOLDER" ? folder : word))], {
    env: {
      ...plainEnvironment(),
      RCLONE_CONFIG_BENCH_TYPE: "s3",
      RCLONE_CONFIG_BENCH_PROVIDER: "Other",
      RCLONE_CONFIG_BENCH_ENDPOINT: `http://127.0.0.1:${bed.node.s3Port}`,
      RCLONE_CONFIG_BENCH_ACCESS_KEY_ID: accessKey,
      RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY: secretKey,
    },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  await until(`${name} has mounted`, () => {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`);
    return statSync(folder).dev !== dev;
  });
  return {
    folder,
    async [Symbol.asyncDispose]() {
      Bun.spawnSync(["fusermount3", "-u", "-z", folder]);
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}

function startSide(bed: Bed, name: SideName): Promise<Side> {
  if (name === "kiseki") return KisekiMount.start(bed.node, { namespace: bucket });
  if (name === "rclone") {
    const cache = join(bed.work, "rclone-cache");
    rmSync(cache, { recursive: true, force: true });
    const words = ["--vfs-cache-mode", "full", "--cache-dir", cache, "--vfs-write-back", "0s"];
    return foreign(bed, name, ["rclone", "mount", `BENCH:${bucket}`, "FOLDER", ...words]);
  }
  const secrets = join(bed.work, "passwd-s3fs");
  writeFileSync(secrets, `${bed.keys.accessKey}:${bed.keys.secretKey}\n`, { mode: 0o600 });
  const url = `http://127.0.0.1:${bed.node.s3Port}`;
  const options = `passwd_file=${secrets},url=${url},use_path_request_style`;
  return foreign(bed, name, ["s3fs", bucket, "FOLDER", "-f", "-o", options]);
}

async function run(command: readonly string[]): Promise<string> {
  const child = Bun.spawn(["timeout", "600", ...command], { stdout: "pipe", stderr: "pipe" });
  const [said, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")}: ${errors}`);
  return said;
}
async function dropCaches(): Promise<void> {
  await run(["sync"]);
  writeFileSync("/proc/sys/vm/drop_caches", "3");
}

/** MB a second by curl. */
async function byCurl(bed: Bed, key: string, ...words: readonly string[]): Promise<number> {
  const { accessKey, secretKey } = bed.keys;
  const said = await run([
    ...["curl", "-sf", "-o", "/dev/null", "-w", "%{size_download} %{size_upload} %{time_total}"],
    ...["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", `${accessKey}:${secretKey}`],
    ...["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-H", "expect:", ...words],
    `http://127.0.0.1:${bed.node.s3Port}/${bucket}/${key}`,
  ]);
  const [down = 0, up = 0, seconds = 0] = said.split(" ").map(Number);
  return (down + up) / 1e6 / seconds;
}

async function putWhole(bed: Bed, key: string, megabytes: number): Promise<void> {
  const part = new Uint8Array(Math.min(64, megabytes) * MiB);
  const upload = await bed.s3.createUpload(bucket, key);
  const etags: string[] = [];
  for (let number = 1; number <= Math.ceil(megabytes / 64); number += 1) {
    for (let at = 0; at < part.byteLength; at += 8) part[at] = (number * 31 + at / 8) & 255;
    new DataView(part.buffer).setUint32(1, number);
    etags.push(await bed.s3.uploadPart(bucket, key, upload, number, part));
  }
  await bed.s3.completeUpload(bucket, key, upload, etags);
}

/** MB a second until S3 shows all that was written: `rclone` uploads behind the close. */
async function writeWhole(bed: Bed, side: Side, key: string, megabytes: number): Promise<number> {
  mkdirSync(join(side.folder, key), { recursive: true });
  const began = performance.now();
  await run([bed.load, "write", join(side.folder, key), String(megabytes)]);
  for (;;) {
    const { status, headers } = await bed.s3.call("HEAD", bucket, `${key}/file-0`);
    if (status === 200 && Number(headers.get("content-length")) === megabytes * MiB) break;
    await Bun.sleep(20);
  }
  return (megabytes * MiB) / 1e3 / (performance.now() - began);
}

type Rates = Map<string, number>;

async function measureSide(bed: Bed, name: SideName, round: number, megabytes: number) {
  const rates: Rates = new Map();
  const small = `small-${name}-${round}`;
  const write = `write-${name}-${round}`;
  {
    await dropCaches();
    await using side = await startSide(bed, name);
    const read = await run([bed.load, "read", join(side.folder, "read"), String(megabytes)]);
    rates.set("cold read", Number(read) / 1e6);
  }
  await using side = await startSide(bed, name);
  rates.set("write and close", await writeWhole(bed, side, write, megabytes));
  mkdirSync(join(side.folder, small));
  for (const what of ["create", "stat", "open", "unlink"])
    rates.set(what, Number(await run([bed.load, what, join(side.folder, small), `${smallFiles}`])));
  await bed.s3.call("DELETE", bucket, `${write}/file-0`);
  return rates;
}

async function measureS3(bed: Bed, round: number, megabytes: number): Promise<Rates> {
  await dropCaches();
  const get = await byCurl(bed, "read/file-0");
  const source = join(bed.work, "source");
  await Bun.write(source, new Uint8Array(0));
  await run([bed.load, "write", bed.work, String(megabytes)]);
  const put = await byCurl(bed, `put-${round}`, "-T", join(bed.work, "file-0"));
  rmSync(join(bed.work, "file-0"));
  await bed.s3.call("DELETE", bucket, `put-${round}`);
  return new Map([
    ["cold read", get],
    ["write and close", put],
  ]);
}

const median = (rates: readonly number[]): number =>
  rates.toSorted((a, b) => a - b)[Math.floor(rates.length / 2)]!;

function rowOf(what: string, rounds: readonly Record<SideName | "s3", Rates>[]): MountRow {
  const of = (side: SideName | "s3"): number =>
    median(rounds.map((round) => round[side].get(what) ?? 0));
  const toMounts = median(
    rounds.map(({ kiseki, rclone, s3fs }) => {
      const other = Math.max(rclone.get(what)!, s3fs.get(what)!);
      return kiseki.get(what)! / other;
    }),
  );
  const plain = rounds.every(({ s3 }) => s3.has(what));
  const toS3 = plain && median(rounds.map(({ kiseki, s3 }) => kiseki.get(what)! / s3.get(what)!));
  const row = { what, kiseki: of("kiseki"), rclone: of("rclone"), s3fs: of("s3fs"), toMounts };
  return toS3 === false ? row : { ...row, s3: of("s3"), toS3 };
}

export async function benchMount(rounds: number, megabytes: number, keeps: boolean): Promise<void> {
  const work = mkdtempSync(join(process.env["KISEKI_BENCH_DIR"] ?? tmpdir(), "kiseki-bench-"));
  try {
    const load = join(work, "load");
    const words = ["-std=gnu11", "-O2", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-o", load];
    await run(["gcc", ...words, join(import.meta.dir, "load.c")]);
    const deviceSize = `${Math.ceil((megabytes * 3.5) / 1024) + 1}GiB`;
    await using node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize });
    using s3 = await S3Client.of(node);
    await s3.createBucket(bucket);
    const bed: Bed = { node, s3, work, load, keys: await node.credentials() };
    await putWhole(bed, "read/file-0", megabytes);
    const all: Record<SideName | "s3", Rates>[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const rates: Partial<Record<SideName | "s3", Rates>> = {};
      rates.s3 = await measureS3(bed, round, megabytes);
      for (const name of sides) rates[name] = await measureSide(bed, name, round, megabytes);
      all.push(rates as Record<SideName | "s3", Rates>);
    }
    const names = ["cold read", "write and close", "create", "stat", "open", "unlink"];
    const rows = names.map((what) => rowOf(what, all));
    for (const row of rows) console.log(describe(row));
    const result: MountResult = {
      kind: "mount",
      date: new Date().toISOString(),
      commit: await currentCommit(),
      machine: describeMachine(),
      load_average: loadavg()[1]!,
      ...{ rounds, megabytes, rows },
    };
    const path = join(root, "bench/results/mount.json");
    if (keeps) await writeFile(path, `${JSON.stringify(result, undefined, 2)}\n`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Cells of a row: rates, ratios, and whether the floors are met. */
export function mountCells(row: MountRow): readonly string[] {
  const verdict = (ratio: number, floor: number): string =>
    `${ratio.toFixed(2)} (${floor} ${ratio >= floor ? "met" : "**missed**"})`;
  const rates = [row.kiseki, row.s3, row.rclone, row.s3fs];
  const cells = rates.map((each) => (each === undefined ? "" : each.toFixed(0)));
  const toS3 = row.toS3 === undefined ? "" : verdict(row.toS3, s3Floor);
  return [row.what, ...cells, toS3, verdict(row.toMounts, mountFloor)];
}
function describe(row: MountRow): string {
  const [what = "", kiseki, s3, rclone, s3fs, toS3, toMounts] = mountCells(row);
  return `${what.padEnd(16)} kiseki ${kiseki}  s3 ${s3}  rclone ${rclone}  s3fs ${s3fs}  to s3 ${toS3}  to mounts ${toMounts}`;
}
