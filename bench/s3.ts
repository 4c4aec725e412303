/** `bun run bench s3`: the same load on our server and on a peer, in turn, on the same disk. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { arch, cpus, loadavg, release, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { type Case, type Figures, runCase } from "./loader.ts";
import { type Layout, root, type Server, type ServerName, startServer } from "./servers.ts";
import { countSyncs } from "./syncs.ts";

export interface S3Options {
  readonly peer: ServerName | undefined;
  readonly layout: Layout;
  /** Cases to run, by name; all when empty. */
  readonly cases: readonly string[];
  readonly seconds: number;
  readonly rounds: number;
  readonly countsSyncs: boolean;
  /** With versioning and a bucket policy on both servers. */
  readonly isGuarded: boolean;
  readonly keepsResult: boolean;
}

/** What is known of one run of `bun run bench s3`. */
export interface Run {
  readonly date: string;
  /** That was measured; ends in `+` where the tree had changes that were not committed. */
  readonly commit: string;
  readonly machine: string;
  readonly seconds: number;
  readonly rounds: number;
  /** Of the machine over the last five minutes, at the end. */
  readonly load_average: number;
}

/** One case on both servers: medians over the rounds. */
export interface CaseResult {
  readonly case: string;
  /** The run that measured it: cases of a kept result may come from several. */
  readonly run: Run;
  readonly kiseki: Figures & { readonly syncs_per_operation?: number };
  readonly peer?: Figures & { readonly syncs_per_operation?: number };
  /** Our rate over the peer's: the median of the rounds' ratios. */
  readonly ratio?: number;
  /** The peer's processor time over ours. */
  readonly cpu_ratio?: number;
}

export interface S3Result {
  readonly kind: "s3";
  readonly layout: Layout;
  readonly peer: ServerName | undefined;
  readonly isGuarded?: boolean;
  readonly cases: readonly CaseResult[];
}

/** How long a case runs before its first round: code is compiled, caches are filled. */
const warmSeconds = 6;
const KiB = 1024;
const MiB = 1024 * KiB;

type Template = Omit<Case, "prefix" | "seed"> & {
  /** The case whose objects are read. */
  readonly from?: string;
  readonly isCold?: boolean;
};

const put = (name: string, size: number, connections: number, objects: number): Template => ({
  ...{ name: `put-${name}`, operation: "put", size, connections, objects },
});
const get = (name: string, size: number, connections: number, isCold = false): Template => ({
  ...{ name: `get-${name}${isCold ? "-cold" : ""}`, operation: "get", size, connections },
  ...{ objects: 0, from: `put-${name}`, isCold },
});

/** In the order they run: a GET reads what the PUT before it stored. */
const templates: readonly Template[] = [
  put("4k", 4 * KiB, 16, 120_000),
  get("4k", 4 * KiB, 16),
  get("4k", 4 * KiB, 16, true),
  { ...get("4k", 4 * KiB, 16), name: "head", operation: "head" },
  { ...get("4k", 0, 4), name: "list", operation: "list" },
  { ...get("4k", 4 * KiB, 16), name: "delete", operation: "delete" },
  put("8k", 8 * KiB, 16, 80_000),
  get("8k", 8 * KiB, 16),
  put("64k", 64 * KiB, 16, 20_000),
  get("64k", 64 * KiB, 16),
  get("64k", 64 * KiB, 16, true),
  put("1m", MiB, 8, 1500),
  get("1m", MiB, 8),
  put("64m", 64 * MiB, 4, 30),
  get("64m", 64 * MiB, 4),
  get("64m", 64 * MiB, 4, true),
];

export const caseNames: readonly string[] = templates.map(({ name }) => name);

/** What is needed for the cases asked for: a GET needs its PUT. */
function chosen(names: readonly string[]): readonly Template[] {
  if (names.length === 0) return templates;
  const wanted = new Set(names);
  for (const { name, from } of templates) if (wanted.has(name) && from) wanted.add(from);
  return templates.filter(({ name }) => wanted.has(name));
}

async function dropCaches(): Promise<boolean> {
  await Bun.spawn(["sync"]).exited;
  return writeFile("/proc/sys/vm/drop_caches", "1").then(
    () => true,
    () => false,
  );
}

/** One server through the rounds: remembers what each PUT has stored. */
class Contestant {
  readonly server: Server;
  readonly rounds = new Map<string, Figures[]>();
  readonly syncs = new Map<string, number>();
  readonly #stored = new Map<string, { prefix: string; seed: number; objects: number }>();

  constructor(server: Server) {
    this.server = server;
  }

  async run(template: Template, round: number, options: S3Options): Promise<void> {
    const one = this.#caseOf(template, round);
    if (one.objects === 0 || (template.isCold && !(await dropCaches()))) return;
    const isSequential = one.operation === "put" || one.operation === "delete";
    this.server.resume();
    if (round === 0 && !template.isCold && one.operation !== "delete") {
      const isPut = one.operation === "put";
      const warm = isPut ? { ...one, prefix: `warm-${one.prefix}`, seed: 1000 } : one;
      await runCase(this.server, warm, Math.min(warmSeconds, options.seconds));
    }
    const figures = await runCase(this.server, one, options.seconds);
    const list = this.rounds.get(one.name) ?? [];
    this.rounds.set(one.name, [...list, figures]);
    if (one.operation === "put") {
      this.#stored.set(one.name, { ...one, objects: figures.operations });
    }
    if (options.countsSyncs && isSequential && one.operation === "put" && round === 0) {
      const again = { ...one, prefix: `${one.prefix}syncs-`, seed: one.seed + 1 };
      const count = await countSyncs(this.server.pid, () => runCase(this.server, again, 2));
      if (count !== undefined) {
        this.syncs.set(one.name, count);
        console.log(
          `${one.name.padEnd(12)} ${this.server.name.padEnd(9)} ${count.toFixed(2)} syncs/op`,
        );
      }
    }
    this.server.pause();
    const rate = `${figures.operations_per_second.toFixed(0)}/s ${figures.megabytes_per_second.toFixed(1)} MB/s`;
    const times = `p50 ${figures.p50_ms.toFixed(2)} p99 ${figures.p99_ms.toFixed(2)} ms`;
    console.log(
      `${one.name.padEnd(12)} ${this.server.name.padEnd(9)} ${rate}, ${times}, CPU ${figures.cpu_us_per_operation.toFixed(0)} us/op, written ${figures.written_per_byte.toFixed(2)}/B, peak ${figures.memory_peak_megabytes.toFixed(0)} MB${figures.errors + figures.wrong > 0 ? `, ${figures.errors} ERRORS, ${figures.wrong} WRONG` : ""}`,
    );
  }

  #caseOf(template: Template, round: number): Case {
    const { name, operation, size, connections } = template;
    const base = { name, operation, size, connections };
    if (template.from === undefined) {
      return { ...base, objects: template.objects, prefix: `${name}/${round}/`, seed: round + 1 };
    }
    const stored = this.#stored.get(template.from);
    if (stored === undefined) return { ...base, objects: 0, prefix: "", seed: 0 };
    const objects = operation === "list" ? 1 : stored.objects;
    return { ...base, objects, prefix: stored.prefix, seed: stored.seed };
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = Math.floor(sorted.length / 2);
  const lower = Math.floor((sorted.length - 1) / 2);
  return ((sorted[lower] ?? 0) + (sorted[upper] ?? 0)) / 2;
}

function middle(rounds: readonly Figures[], syncs: number | undefined): CaseResult["kiseki"] {
  const names = Object.keys(rounds[0]!) as (keyof Figures)[];
  const entries = names.map((name) => [name, median(rounds.map((round) => round[name]))]);
  const figures = Object.fromEntries(entries) as Record<keyof Figures, number>;
  return { ...figures, ...(syncs === undefined ? {} : { syncs_per_operation: syncs }) };
}

function compare(
  name: string,
  run: Run,
  ours: Contestant,
  peer: Contestant | undefined,
): CaseResult {
  const own = ours.rounds.get(name)!;
  const theirs = peer?.rounds.get(name);
  const kiseki = middle(own, ours.syncs.get(name));
  if (theirs === undefined) return { case: name, run, kiseki };
  const rates = own.map((one, at) => one.operations_per_second / theirs[at]!.operations_per_second);
  const costs = own.map((one, at) => theirs[at]!.cpu_us_per_operation / one.cpu_us_per_operation);
  const other = middle(theirs, peer?.syncs.get(name));
  return {
    case: name,
    run,
    kiseki,
    peer: other,
    ratio: median(rates),
    cpu_ratio: median(costs),
  };
}

export function describeMachine(): string {
  const list = cpus();
  const memory = (totalmem() / 2 ** 30).toFixed(0);
  return `${list.length} × ${list[0]?.model.trim() ?? arch()}, ${memory} GiB, Linux ${release()}`;
}

async function git(...words: readonly string[]): Promise<string> {
  const child = Bun.spawn(["git", "-C", root, ...words]);
  return (await new Response(child.stdout).text()).trim();
}

/** With a `+` when a source of the program differs from it. */
export async function currentCommit(): Promise<string> {
  const commit = await git("rev-parse", "--short=12", "HEAD");
  const sources = ["apps", "ffi", "libs", "package.json", "bun.lockb"];
  const changed = await git("status", "--porcelain", "--untracked-files=no", "--", ...sources);
  return changed === "" ? commit : `${commit}+`;
}

export async function benchS3(options: S3Options): Promise<S3Result> {
  const folder = await mkdtemp(join(process.env["KISEKI_BENCH_DIR"] ?? tmpdir(), "kiseki-bench-"));
  await using cleaning = new AsyncDisposableStack();
  cleaning.defer(() => rm(folder, { recursive: true, force: true }));
  const commit = await currentCommit();
  const contestants: Contestant[] = [];
  for (const name of ["kiseki" as const, ...(options.peer ? [options.peer] : [])]) {
    const server = cleaning.use(await startServer(name, options.layout, join(folder, name)));
    await server.createBucket("bench");
    if (options.isGuarded) await server.guard("bench");
    server.pause();
    contestants.push(new Contestant(server));
  }
  const cases = chosen(options.cases);
  for (let round = 0; round < options.rounds; round++) {
    const order = round % 2 === 0 ? contestants : contestants.toReversed();
    for (const template of cases) {
      for (const contestant of order) await contestant.run(template, round, options);
    }
  }
  const [ours, peer] = contestants;
  const measured = cases.filter(({ name }) => ours!.rounds.has(name));
  const run: Run = {
    date: new Date().toISOString(),
    commit,
    machine: describeMachine(),
    seconds: options.seconds,
    rounds: options.rounds,
    load_average: loadavg()[1]!,
  };
  const result: S3Result = {
    kind: "s3",
    layout: options.layout,
    peer: options.peer,
    ...(options.isGuarded ? { isGuarded: true } : {}),
    cases: measured.map(({ name }) => compare(name, run, ours!, peer)),
  };
  for (const one of result.cases) {
    if (one.ratio === undefined) continue;
    console.log(
      `${one.case.padEnd(12)} rate ${one.ratio.toFixed(2)} x ${options.peer}, CPU ${one.cpu_ratio!.toFixed(2)} x less`,
    );
  }
  if (options.keepsResult) await keep(result);
  return result;
}

/** Cases that this run left out stay as an earlier one found them. */
async function keep(result: S3Result): Promise<void> {
  const folder = join(root, "bench/results");
  await mkdir(folder, { recursive: true });
  const path = join(
    folder,
    `s3-${result.layout}-${result.peer ?? "alone"}${result.isGuarded ? "-guarded" : ""}.json`,
  );
  const text = await readFile(path, "utf8").catch(() => undefined);
  const earlier: readonly CaseResult[] =
    text === undefined ? [] : (JSON.parse(text) as S3Result).cases;
  const all = new Map([...earlier, ...result.cases].map((one) => [one.case, one]));
  const cases = caseNames.flatMap((name) => all.get(name) ?? []);
  await writeFile(path, `${JSON.stringify({ ...result, cases }, undefined, 2)}\n`);
}
