/** Builds the loader, runs it against a server, and reads what the run cost that server out of /proc. */
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { cacheDirectory, root, type Server } from "./servers.ts";

export interface Case {
  readonly name: string;
  readonly operation: "put" | "get" | "head" | "delete" | "list";
  readonly size: number;
  readonly connections: number;
  /** Objects under the prefix that GET and HEAD choose from; more than PUT and DELETE can do in the time. */
  readonly objects: number;
  readonly prefix: string;
  /** Of the bodies; another one gives other bytes. */
  readonly seed: number;
  /** Levels of directories that the objects lie under, and how many each level has; none unless told. */
  readonly tree?: { readonly depth: number; readonly fan: number };
  /** Number of the first object; 0 unless told. */
  readonly first?: number;
  /** Objects that follow each other in a directory of their own; all in one unless told. */
  readonly leaf?: number;
}

export interface Figures {
  readonly operations: number;
  readonly errors: number;
  /** Objects that read back wrong. */
  readonly wrong: number;
  readonly seconds: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly operations_per_second: number;
  readonly megabytes_per_second: number;
  /** User and system time of the server, in µs per operation. */
  readonly cpu_us_per_operation: number;
  readonly cpu_seconds_per_gigabyte: number;
  readonly written_per_byte: number;
  readonly memory_peak_megabytes: number;
}

const bucket = "bench";
const clockTicks = 100;

/** Compiles the loader when its sources are newer than the program. */
export async function buildLoader(): Promise<string> {
  const program = join(root, "build/bench/loader");
  const folder = join(root, "bench/loader");
  const sources = ["loader.c", "sign.c"].map((name) => join(folder, name));
  const built = Bun.file(program).lastModified;
  const isFresh =
    existsSync(program) && sources.every((path) => Bun.file(path).lastModified < built);
  if (isFresh) return program;
  await mkdir(join(root, "build/bench"), { recursive: true });
  const found = new Bun.Glob("aws-lc-*/libcrypto.a").scanSync({
    cwd: cacheDirectory,
    absolute: true,
  });
  const archive = [...found].toSorted().at(-1);
  if (archive === undefined) throw new Error("Cannot build the loader: run scripts/native first");
  const flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"];
  const include = join(archive, "../include");
  const words = [...flags, `-I${include}`, "-o", program, ...sources, archive, "-lpthread"];
  const compiler = Bun.spawn(["gcc", ...words], { stderr: "inherit" });
  if ((await compiler.exited) !== 0) throw new Error("Cannot build the loader: gcc failed");
  return program;
}

export interface Counters {
  readonly cpuSeconds: number;
  /** Handed to write calls; what the kernel counts as written (`write_bytes`) are whole folios, many times as much. */
  readonly writtenBytes: number;
}

export async function readCounters(pid: number): Promise<Counters> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const io = await readFile(`/proc/${pid}/io`, "utf8");
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / clockTicks,
    writtenBytes: Number(/^wchar: (\d+)$/m.exec(io)?.[1] ?? 0),
  };
}

/** Resident memory now and at its highest since the last `resetPeak`, in MB of 10⁶ bytes. */
export async function readMemory(pid: number): Promise<{ now: number; peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const field = (name: string): number =>
    (Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? 0) * 1024) / 1e6;
  return { now: field("VmRSS"), peak: field("VmHWM") };
}

export async function resetPeak(pid: number): Promise<void> {
  await Bun.write(`/proc/${pid}/clear_refs`, "5").catch(() => undefined); // not everywhere allowed
}

/** Lines of a stream, one at a time. */
async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const slice of stream) {
    const parts = (text + decoder.decode(slice, { stream: true })).split("\n");
    text = parts.pop() ?? "";
    yield* parts;
  }
}

/** One run of the loader. */
export async function runCase(
  server: Pick<Server, "port" | "pid" | "accessKey" | "secretKey">,
  one: Case,
  seconds: number,
): Promise<Figures> {
  const options = {
    "--port": server.port,
    "--access-key": server.accessKey,
    "--secret-key": server.secretKey,
    "--bucket": bucket,
    "--op": one.operation,
    "--prefix": one.prefix,
    "--size": one.size,
    "--connections": one.connections,
    "--seconds": seconds,
    "--objects": one.objects,
    "--seed": one.seed,
    "--depth": one.tree?.depth ?? 0,
    "--fan": one.tree?.fan ?? 1,
    "--first": one.first ?? 0,
    "--leaf": one.leaf ?? 0,
  };
  const words = Object.entries(options).flatMap(([name, value]) => [name, String(value)]);
  const child = Bun.spawn([await buildLoader(), ...words], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const lines = linesOf(child.stdout);
  await lines.next(); // ready
  await resetPeak(server.pid);
  const before = await readCounters(server.pid);
  void child.stdin.write("go\n");
  await child.stdin.flush();
  await lines.next(); // stopped
  const after = await readCounters(server.pid);
  const { peak } = await readMemory(server.pid);
  const { value } = await lines.next();
  await child.exited;
  if (typeof value !== "string") throw new Error(`Cannot bench: the loader ended in ${one.name}`);
  return derive(JSON.parse(value), one, before, after, peak);
}

type Raw = Pick<Figures, "operations" | "errors" | "wrong" | "seconds" | "p50_ms" | "p99_ms">;

function derive(raw: Raw, one: Case, before: Counters, after: Counters, peak: number): Figures {
  const count = Math.max(1, raw.operations);
  const size = Math.max(1, count * one.size);
  const cpu = after.cpuSeconds - before.cpuSeconds;
  return {
    ...raw,
    operations_per_second: raw.operations / raw.seconds,
    megabytes_per_second: (raw.operations * one.size) / raw.seconds / 1e6,
    cpu_us_per_operation: (cpu * 1e6) / count,
    cpu_seconds_per_gigabyte: (cpu * 1e9) / size,
    written_per_byte: (after.writtenBytes - before.writtenBytes) / size,
    memory_peak_megabytes: peak,
  };
}
