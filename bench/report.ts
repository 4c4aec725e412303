/** Writes docs/benchmarks.md and the SVGs beside it out of bench/results; nothing in them is written by hand. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { blockFloor, describeEpochs, drawEpochs, type EpochsResult } from "./fuse/epochs.ts";
import type { KeysResult } from "./keys.ts";
import { mountCells, type MountResult } from "./fuse/mounts.ts";
import type { MemoryResult } from "./memory.ts";
import type { CaseResult, Run, S3Result } from "./s3.ts";
import type { ScaleResult } from "./scale.ts";
import { root } from "./servers.ts";

type Result = EpochsResult | MountResult | S3Result | MemoryResult | ScaleResult | KeysResult;

/** Least ratio to MinIO with the same layout; a case without one has no floor. */
const floors: Readonly<Record<S3Result["layout"], Readonly<Record<string, number>>>> = {
  six: {
    ...{ "put-4k": 4, "put-8k": 4, "put-64k": 4, "put-64m": 1 },
    ...{ "get-4k": 2, "get-64k": 2, "get-64m": 0.8 },
  },
  one: {
    ...{ "put-4k": 1.5, "put-8k": 1.5, "put-64k": 1.5, "put-64m": 0.9 },
    ...{ "get-4k": 1.5, "get-64k": 1.5, "get-64m": 0.6 },
  },
};

const folder = join(root, "bench/results");

async function readResults(): Promise<readonly Result[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".json")).toSorted();
  return Promise.all(
    names.map(async (name) => JSON.parse(await readFile(join(folder, name), "utf8")) as Result),
  );
}

const fixed = (n: number | undefined, digits: number): string =>
  n === undefined ? "" : n.toFixed(digits);

function rate(figures: CaseResult["kiseki"]): string {
  const isLarge = figures.megabytes_per_second > 30 && figures.operations_per_second < 2000;
  const operations = `${fixed(figures.operations_per_second, figures.operations_per_second < 20 ? 1 : 0)}/s`;
  return isLarge ? `${operations}, ${fixed(figures.megabytes_per_second, 0)} MB/s` : operations;
}

/** Per operation, and per GB where an operation moves 1 MiB or more. */
function cpu(figures: CaseResult["kiseki"], isLarge: boolean): string {
  const time =
    figures.cpu_us_per_operation >= 10_000
      ? `${fixed(figures.cpu_us_per_operation / 1000, 0)} ms`
      : `${fixed(figures.cpu_us_per_operation, 0)} µs`;
  return isLarge ? `${time}, ${fixed(figures.cpu_seconds_per_gigabyte, 2)} s/GB` : time;
}

function sideOf(figures: CaseResult["kiseki"], name: string): readonly string[] {
  const isPut = name.startsWith("put-");
  return [
    rate(figures),
    `${fixed(figures.p50_ms, 1)} / ${fixed(figures.p99_ms, 0)}`,
    cpu(figures, /-[0-9]+m\b/.test(name)),
    fixed(figures.syncs_per_operation, 2),
    isPut ? fixed(figures.written_per_byte, 2) : "",
    fixed(figures.memory_peak_megabytes, 0),
  ];
}

const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

function conditions(of: Omit<Run, "rounds" | "seconds">): string {
  return `${of.date.slice(0, 16).replace("T", " ")} UTC, commit ${of.commit}, load average ${fixed(of.load_average, 1)}, ${of.machine}`;
}

/** The runs that a table's cases come from, lettered in the order that they are met. */
class Runs {
  readonly #letters = new Map<string, { readonly letter: string; readonly run: Run }>();

  letter(run: Run): string {
    const name = `${run.date} ${run.commit}`;
    const known = this.#letters.get(name);
    if (known) return known.letter;
    const letter = String.fromCharCode(0x61 + this.#letters.size);
    this.#letters.set(name, { letter, run });
    return letter;
  }
  described(): readonly string[] {
    return [...this.#letters.values()].map(({ letter, run }) => {
      const rounds = run.rounds === 1 ? "one round" : `medians of ${run.rounds} rounds`;
      return `- run ${letter}: ${conditions(run)}; ${run.seconds} s a case, ${rounds}`;
    });
  }
}

function renderS3(result: S3Result): readonly string[] {
  const peer = result.peer ?? "no peer";
  const floorsHere = result.peer === "minio" ? floors[result.layout] : {};
  const head = [
    ...["case", "server", "rate", "p50 / p99 ms", "CPU per operation", "syncs per operation"],
    ...["written per byte", "peak MB", "rate, ours / peer", "CPU, peer / ours", "floor", "run"],
  ];
  const runs = new Runs();
  const lines = result.cases.flatMap((one) => {
    const floor = floorsHere[one.case];
    const verdict =
      floor === undefined ? "" : `${floor} ${(one.ratio ?? 0) >= floor ? "met" : "**missed**"}`;
    const ratios = [fixed(one.ratio, 2), fixed(one.cpu_ratio, 2), verdict, runs.letter(one.run)];
    const ours = row([one.case, "kiseki", ...sideOf(one.kiseki, one.case), ...ratios]);
    return one.peer
      ? [ours, row(["", peer, ...sideOf(one.peer, one.case), "", "", "", ""])]
      : [ours];
  });
  return [
    `## S3, ${result.layout === "six" ? "six devices 4+2" : "one device"}, against ${peer}${result.isGuarded ? ", versioning and a bucket policy on" : ""}`,
    "",
    row(head),
    row(head.map(() => "---")),
    ...lines,
    "",
    ...runs.described(),
    "",
  ];
}

function renderMemory(result: MemoryResult): readonly string[] {
  return [
    "## Memory",
    "",
    `${conditions(result)}. Six devices 4+2; resident, MB of 10⁶ bytes.`,
    "",
    row(["what", "MB", "limit", ""]),
    row(["---", "---", "---", "---"]),
    ...result.rows.map(({ what, megabytes, limit }) =>
      row([what, fixed(megabytes, 0), String(limit), megabytes <= limit ? "met" : "**missed**"]),
    ),
    "",
  ];
}

function renderScale(result: ScaleResult): readonly string[] {
  return [
    `## ${result.objects.toLocaleString("en")} objects, ${result.buckets.toLocaleString("en")} buckets`,
    "",
    `${conditions(result)}. Six devices 4+2; rates over ${result.seconds} s, medians of ${result.rounds} rounds.`,
    "",
    row(["what", "value", "limit", ""]),
    row(["---", "---", "---", "---"]),
    ...result.rows.map(({ what, value, limit, isMet }) =>
      row([what, value, limit, isMet === undefined ? "" : isMet ? "met" : "**missed**"]),
    ),
    "",
  ];
}

/** Of CPU, over the same page among a hundredth of the keys. */
const pageRatioMax = 2;

function renderKeys(result: KeysResult): readonly string[] {
  const count = (n: number): string => n.toLocaleString("en");
  const short = result.objects < result.wanted ? ` of ${count(result.wanted)} that were meant` : "";
  const filled =
    result.filled === 0
      ? ""
      : ` (${count(result.filled)} of them, without bodies, by the shard's own operations and not over S3)`;
  const cost = (page: KeysResult["pages"][number]["full"]): readonly string[] => [
    `${fixed(page.p50_ms, 1)} / ${fixed(page.p99_ms, 0)}`,
    fixed(page.cpu_ms, 1),
    fixed(page.cold_kilobytes, 0),
  ];
  return [
    `## Pages among ${count(result.objects)} keys`,
    "",
    `${conditions(result)}. One device; bodies of 100 bytes put over S3: ${count(result.objects)} objects${short}${filled}, ${count(result.directories)} directories of ten and ${count(result.in_one_directory)} keys in one directory under one prefix, and a hundredth of what was meant of each under another. The map's file has ${fixed(result.map_megabytes, 0)} MB; the node started in ${fixed(result.start_seconds, 2)} s (CPU ${fixed(result.start_cpu_seconds, 2)} s) and had at most ${fixed(result.memory_megabytes, 0)} MB of memory. Read: what the server read from its files when a place was asked for the first time, the median.`,
    "",
    row([
      "page of",
      "items",
      "p50 / p99 ms",
      "CPU ms",
      "read kB",
      "among 1/100: p50 / p99 ms",
      "CPU ms",
      "read kB",
      "CPU, over 1/100",
      "",
    ]),
    row(Array.from({ length: 10 }, () => "---")),
    ...result.pages.map(({ what, full, few, ratio }) =>
      row([
        ...[what, String(full.items), ...cost(full), ...cost(few), fixed(ratio, 2)],
        `≤ ${pageRatioMax} ${ratio <= pageRatioMax ? "met" : "**missed**"}`,
      ]),
    ),
    "",
  ];
}

function renderMount(result: MountResult): readonly string[] {
  const head = [
    "what",
    "mount",
    "S3 alone",
    "rclone mount",
    "s3fs",
    "to S3",
    "to the better mount",
  ];
  return [
    "## Mounts of one node",
    "",
    `${conditions(result)}. One device; a file of ${result.megabytes} MiB, MB/s by curl and by mounts that start afresh; small files a second; medians of ${result.rounds} rounds, ratios of each round's own.`,
    "",
    row(head),
    row(head.map(() => "---")),
    ...result.rows.map((each) => row(mountCells(each))),
    "",
  ];
}

function renderEpochs(result: EpochsResult): readonly string[] {
  const lines = describeEpochs(result).map(row);
  const table = (head: readonly string[], body: readonly string[]): readonly string[] => [
    ...[row(head), row(head.map(() => "---")), ...body, ""],
  ];
  return [
    "## Epochs of a training",
    "",
    `${conditions(result)}. ${result.files} files, ${fixed(result.megabytes, 0)} MB, read once an epoch by four processes in an order of chance, the kernel's caches dropped before; medians of ${result.rounds} rounds, of the later epochs within a round.`,
    "",
    "![Seconds of staging, first and later epoch](epochs.svg)",
    "",
    ...table(
      ["what is kept", "staging s", "first epoch s", "later epoch s"],
      lines.slice(0, result.rows.length),
    ),
    `Out of blocks on the local disk, not staged, against a C daemon of libfuse3 on the same file system; at least ${blockFloor} is wanted.`,
    "",
    ...table(["reads", "mount", "C daemon", "ratio"], lines.slice(result.rows.length)),
  ];
}

function render(result: Result): readonly string[] {
  switch (result.kind) {
    case "epochs":
      return renderEpochs(result);
    case "mount":
      return renderMount(result);
    case "s3":
      return renderS3(result);
    case "memory":
      return renderMemory(result);
    case "scale":
      return renderScale(result);
    case "keys":
      return renderKeys(result);
    default:
      return result satisfies never;
  }
}

const introduction = `# Benchmarks

Made by \`bun run bench report\` out of \`bench/results\`; do not edit. Each table says when, at which commit and at which
load it was measured (a \`+\` behind a commit: with changes that were not committed); cases of several runs name theirs.

Both servers live on the same disk, signed requests come from the same loader (one thread and one keep-alive connection
a client, signatures and payload hashes made before the clock starts), on the same cores as the servers. The cases of a
round run on one server and then on the other, the other one stopped meanwhile; rounds change the order. Before its first
round a case runs for some seconds uncounted. Every body is compared, the last objects of each PUT are read back. Only
ratios within a run mean anything: the cores are shared with the loader and with whatever else the machine does. Kiseki
seals and checks all it stores; the peers store plain bytes. CPU is user and system time of the server process; written
bytes of a PUT are those handed to write calls; syncs are counted by strace and leave out writes to files opened with O_DSYNC.
versitygw writes each object through the file system's cache and syncs nothing, so its PUTs promise less than those of the others.

Memory is that of the server process: its highest resident size while a load runs, or how much higher than just before
the large upload or download, whose bytes are hashed on both sides. A node full of objects is measured in turns with an empty one; its LIST pages
are held against pages of the same length in a tree of the same shape with a hundredth of the objects.
`;

export async function writeReport(): Promise<void> {
  const parts = (await readResults()).flatMap(render);
  const page = join(root, "docs/benchmarks.md");
  await writeFile(page, `${introduction}\n${parts.join("\n")}`);
  await Bun.$`${process.execPath} fmt ${page}`.cwd(root).quiet();
}

/** Epochs in a drawing of their own; of S3 one bar per case and result: our rate over the peer's, on a logarithmic scale from 1/8 to 16. */
export async function plot(): Promise<void> {
  const results = await readResults();
  for (const result of results)
    if (result.kind === "epochs")
      await writeFile(join(root, "docs/epochs.svg"), drawEpochs(result));
  const all = results.filter((result) => result.kind === "s3");
  const bars = all.flatMap((result) =>
    result.cases
      .filter(({ ratio }) => ratio !== undefined && ratio > 0)
      .map(({ case: name, ratio }) => ({
        label: `${name}, ${result.layout}${result.isGuarded ? ", guarded" : ""}, ${result.peer}`,
        ratio: ratio!,
      })),
  );
  const x = (ratio: number): number => 240 + Math.min(7, Math.max(0, Math.log2(ratio) + 3)) * 80;
  const height = 40 + bars.length * 18;
  const marks = [0.125, 0.25, 0.5, 1, 2, 4, 8, 16].map(
    (at) =>
      `<line x1="${x(at)}" y1="24" x2="${x(at)}" y2="${height - 8}" stroke="#bbb"/><text x="${x(at)}" y="16" text-anchor="middle">${at}</text>`,
  );
  const drawn = bars.map(({ label, ratio }, at) => {
    const left = Math.min(x(1), x(ratio));
    const width = Math.max(1, Math.abs(x(ratio) - x(1)));
    const y = 30 + at * 18;
    const colour = ratio >= 1 ? "#2a7" : "#c53";
    return `<text x="232" y="${y + 10}" text-anchor="end">${label}</text><rect x="${left}" y="${y}" width="${width}" height="12" fill="${colour}"/>`;
  });
  const svg = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="820" height="${height}" font-family="sans-serif" font-size="11">`,
    ...marks,
    ...drawn,
    "</svg>\n",
  ];
  await writeFile(join(root, "docs/benchmarks.svg"), svg.join("\n"));
}
