/**
 * `bun run bench fuse`: a mount of a node against a C daemon of libfuse3 that hands on to tmpfs, in the same run, case by case
 * and round by round; and against the same daemon on the node's disk, with the mount's promise: names durable when they are
 * answered, content when it is closed. All have the same timeouts and caches.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KisekiMount } from "../../tests/mount/kiseki-mount.ts";
import { NodeProcess } from "../../tests/support/node-process.ts";
import { S3Client } from "../../tests/support/s3-client.ts";

/** Name, count of files or of MiB, and the least share of the peer's rate that is wanted. */
const cases = [
  ["create", 500, undefined],
  ["stat", 500, 0.9],
  ["open", 500, 0.9],
  ["unlink", 500, undefined],
  ["create-8", 800, undefined],
  ["small", 200, undefined],
  ["write", 128, undefined],
  ["read", 128, undefined],
  ["read-4k", 64, 0.9],
] as const;

export async function build(
  folder: string,
): Promise<{ readonly load: string; readonly peer: string }> {
  const strict = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"];
  const large = "-D_FILE_OFFSET_BITS=64";
  const library = Bun.spawnSync(["pkg-config", "--cflags", "--libs", "fuse3"]).stdout.toString();
  const made = { load: join(folder, "load"), peer: join(folder, "passthrough") };
  for (const [target, source, words] of [
    [made.load, "load.c", []],
    [made.peer, "passthrough.c", library.trim().split(/\s+/)],
  ] as const) {
    const command = [
      "gcc",
      ...strict,
      large,
      "-o",
      target,
      join(import.meta.dir, source),
      ...words,
    ];
    const { exitCode, stderr } = Bun.spawnSync(command);
    if (exitCode !== 0) throw new Error(`gcc: ${stderr.toString()}`);
  }
  return made;
}

/** The peer, mounted on `at`, of the folder `backing`. */
export async function startPeer(
  program: string,
  folder: string,
  ...words: readonly string[]
): Promise<AsyncDisposable & { readonly at: string; readonly backing: string }> {
  const [backing, at] = [join(folder, "backing"), join(folder, "peer")];
  for (const each of [backing, at]) mkdirSync(each);
  const child = Bun.spawn([program, backing, at, "5", ...words], { stdout: "pipe" });
  const { done } = await child.stdout.getReader().read();
  if (done) throw new Error("The peer did not mount");
  const end = async (): Promise<void> => {
    child.kill("SIGTERM");
    await child.exited;
  };
  return { at, backing, [Symbol.asyncDispose]: end };
}

export function measure(load: string, name: string, folder: string, count: number): number {
  const words = ["timeout", "60", load, name, folder, String(count)];
  const { exitCode, stdout, stderr } = Bun.spawnSync(words);
  if (exitCode !== 0) throw new Error(`${name} on ${folder}: ${stderr.toString()}`);
  return Number(stdout.toString());
}
export const median = (rates: readonly number[]): number =>
  rates.toSorted((a, b) => a - b)[Math.floor(rates.length / 2)]!;

/** Prints a row a case: the medians, those of the rounds' ratios to each peer, and what is wanted of the first. */
export async function benchFuse(rounds: number): Promise<void> {
  const folder = mkdtempSync("/dev/shm/kiseki-bench-");
  const onDisk = mkdtempSync(join(tmpdir(), "kiseki-bench-"));
  try {
    const programs = await build(folder);
    await using peer = await startPeer(programs.peer, folder);
    await using durable = await startPeer(programs.peer, onDisk, "durable");
    await using node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "2GiB" });
    using s3 = await S3Client.of(node);
    await s3.createBucket("bench");
    await using mount = await KisekiMount.start(node, { namespace: "bench" });
    const places = [peer.at, durable.at, mount.folder];
    const rates = new Map(cases.map(([name]) => [name, [] as [number, number, number][]]));
    for (let round = 0; round < rounds; round++) {
      for (const at of places) mkdirSync(join(at, `round-${round}`));
      for (const [name, count] of cases) {
        const row = places.map((at) =>
          measure(programs.load, name, join(at, `round-${round}`), count),
        ) as [number, number, number];
        rates.get(name)!.push(row);
      }
    }
    for (const [name, , wanted] of cases) {
      const rows = rates.get(name)!;
      const [theirs, synced, ours] = [0, 1, 2].map((side) =>
        median(rows.map((row) => row[side]!))
          .toFixed(0)
          .padStart(12),
      );
      const ratios = [0, 1].map((side) =>
        median(rows.map((row) => row[2] / row[side]!))
          .toFixed(2)
          .padStart(6),
      );
      const goal = wanted === undefined ? "" : ` (wanted ${wanted})`;
      console.log(
        `${name.padEnd(8)} C ${theirs}  durable ${synced}  mount ${ours}  ${ratios[0]}${goal}  durable ${ratios[1]}`,
      );
    }
  } finally {
    for (const each of [folder, onDisk]) rmSync(each, { recursive: true, force: true });
  }
}
