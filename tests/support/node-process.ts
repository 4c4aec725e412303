import { statSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Subprocess } from "bun";

const root = dirname(dirname(import.meta.dir));

function newestSource(directory: string): number {
  let newest = 0;
  for (const path of new Bun.Glob("*/src/**/*.ts").scanSync({ cwd: directory, absolute: true })) {
    if (!path.endsWith(".test.ts")) newest = Math.max(newest, statSync(path).mtimeMs);
  }
  return newest;
}

/** Programs by the app that they are of. */
const sources = {
  "kiseki-server": "server",
  kiseki: "server",
  "kiseki-client-fuse": "fuse-client",
  "kiseki-client": "fuse-client",
} as const;

/** From `KISEKI_TEST_BIN`, or the built program when it is newer than all sources, else the sources themselves. */
export function chooseCommand(name: keyof typeof sources): readonly string[] {
  const folder = process.env["KISEKI_TEST_BIN"];
  if (folder) return [join(folder, name)];
  const program = join(root, "build/bin", name);
  const built = statSync(program, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const isFresh = ["apps", "libs", "ffi"].every((name) => newestSource(join(root, name)) < built);
  return isFresh
    ? [program]
    : [process.execPath, join(root, `apps/${sources[name]}/src/${name}.ts`)];
}

let command: readonly string[] | undefined;

/** Environment for a child: ours without the variables that the server would take for its own. */
export function plainEnvironment(): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    ([name, value]) => value !== undefined && !/^(KISEKI|AWS|RCLONE)_/.test(name),
  );
  return Object.fromEntries(kept) as Record<string, string>;
}

/** Which folders a node lives in. */
export interface Layout {
  readonly devices: number;
  readonly mirrors: number;
  /** As `--device-size` takes it. */
  readonly deviceSize?: string;
  /** Sub-folder of data directory, mirrors and devices, when a file system of their own is mounted there. */
  readonly storage?: string;
}

export interface StartOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly words?: readonly string[];
  /** Of the S3 listener; a free one when absent. */
  readonly s3Port?: number;
}

/** What a stopped process left. */
export interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
}

/** Whether this is the long run. */
export const isFull: boolean = process.env["KISEKI_TEST_FULL"] === "1";

/** A long run's devices are larger, and beside other work. */
const startMs = isFull ? 120_000 : 15_000;

/**
 * A node in a fresh temporary folder, started and ended by pid as often as a test likes. Everything it ever
 * printed is in `output`. Disposing kills it and removes the folder.
 */
export class NodeProcess implements AsyncDisposable {
  readonly directory: string;
  readonly layout: Layout;
  recoveryCode = "";
  s3Port = 0;
  metricsPort = 0;
  rpcPort = 0;
  bulkPort = 0;
  output = "";
  #child: Subprocess<"ignore", "pipe", "pipe"> | undefined;
  #reading: Promise<unknown> = Promise.resolve();

  private constructor(directory: string, layout: Layout) {
    this.directory = directory;
    this.layout = layout;
  }

  /** A folder and nothing in it yet. */
  static async create(layout: Layout): Promise<NodeProcess> {
    const directory = await mkdtemp(join(tmpdir(), "kiseki-test-"));
    await mkdir(join(directory, "temporary"));
    return new NodeProcess(directory, layout);
  }

  /** A node that answers. */
  static async started(layout: Layout, options: StartOptions = {}): Promise<NodeProcess> {
    const node = await NodeProcess.create(layout);
    try {
      await node.start(options);
      return node;
    } catch (reason) {
      await node[Symbol.asyncDispose]();
      throw reason;
    }
  }

  /** Where all is that the node stores, save its configuration. */
  get storage(): string {
    return join(this.directory, this.layout.storage ?? "");
  }
  get dataDirectory(): string {
    return join(this.storage, "data");
  }
  get configDirectory(): string {
    return join(this.directory, "config");
  }
  get temporaryDirectory(): string {
    return join(this.directory, "temporary");
  }
  get mirrors(): readonly string[] {
    return Array.from({ length: this.layout.mirrors }, (_, at) =>
      join(this.storage, `mirror-${at}`),
    );
  }
  get devices(): readonly string[] {
    return Array.from({ length: this.layout.devices }, (_, at) =>
      join(this.storage, `device-${at}`),
    );
  }
  get pid(): number {
    return this.#child?.pid ?? 0;
  }
  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && !this.#child.killed;
  }

  /** Resolves when the node answers. @throws {Error} with its last words when it ends before. */
  async start(options: StartOptions = {}): Promise<void> {
    const ending = await this.tryStart(options);
    if (ending) {
      const last = this.output.split("\n").slice(-12).join("\n");
      throw new Error(`The node did not start (${JSON.stringify(ending)}):\n${last}`);
    }
  }

  /** `undefined` when the node answers, else how it ended before. */
  async tryStart(options: StartOptions = {}): Promise<Ending | undefined> {
    const child = this.#spawn(options);
    const { promise: ready, resolve: onReady } = Promise.withResolvers<true>();
    this.#reading = Promise.all([
      this.#collect(child.stdout, (line) => this.#note(line, () => onReady(true))),
      this.#collect(child.stderr, () => undefined),
    ]);
    const slow = setTimeout(() => child.kill("SIGKILL"), startMs);
    const isReady = await Promise.race([ready, child.exited.then(() => false)]);
    clearTimeout(slow);
    return isReady ? undefined : this.#ended(child);
  }

  /** SIGTERM; resolves when it is gone. */
  stop(): Promise<Ending> {
    return this.#end("SIGTERM");
  }
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<Ending> {
    return this.#end("SIGKILL");
  }
  /** Resolves when the process is gone by itself. */
  async ended(): Promise<Ending> {
    const child = this.#child;
    if (child === undefined) throw new Error("The node was not started");
    await child.exited;
    return this.#ended(child);
  }

  async credentials(): Promise<{ readonly accessKey: string; readonly secretKey: string }> {
    const text = await readFile(join(this.configDirectory, "credentials.json"), "utf8");
    const { access_key: accessKey, secret_key: secretKey } = JSON.parse(text) as {
      access_key: string;
      secret_key: string;
    };
    return { accessKey, secretKey };
  }

  /** What `/metrics` says. */
  async metrics(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.metricsPort}/metrics`)).text();
  }
  /** What `/health` says. */
  async health(): Promise<{ readonly devices: number; readonly healthy: number }> {
    const answer = await fetch(`http://127.0.0.1:${this.metricsPort}/health`);
    return (await answer.json()) as { devices: number; healthy: number };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.isRunning) await this.kill();
    await this.#reading;
    const kept = process.env["KISEKI_TEST_KEEP"];
    if (kept) await writeFile(join(this.directory, "output"), this.output);
    else await rm(this.directory, { recursive: true, force: true });
  }

  #spawn({
    environment = {},
    words = [],
    s3Port = 0,
  }: StartOptions): Subprocess<"ignore", "pipe", "pipe"> {
    command ??= chooseCommand("kiseki-server");
    const mirrors = this.mirrors.length > 0 ? ["--mirror", this.mirrors.join(",")] : [];
    const child = Bun.spawn(
      [
        ...command,
        ...["--data-dir", this.dataDirectory, "--config-dir", this.configDirectory],
        ...[
          "--devices",
          this.devices.join(","),
          "--device-size",
          this.layout.deviceSize ?? "128MiB",
        ],
        ...mirrors,
        ...["--s3-addr", `127.0.0.1:${s3Port}`, "--metrics-addr", "127.0.0.1:0"],
        ...["--data-addr", "127.0.0.1:0"],
        ...["--bulk-addr", "127.0.0.1:0", "--advisory-addr", "127.0.0.1:0"],
        ...words,
      ],
      {
        cwd: this.temporaryDirectory,
        env: { ...plainEnvironment(), TMPDIR: this.temporaryDirectory, ...environment },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    this.#child = child;
    return child;
  }

  async #end(signal: "SIGTERM" | "SIGKILL"): Promise<Ending> {
    this.#child?.kill(signal);
    return this.ended();
  }

  async #ended(child: Subprocess): Promise<Ending> {
    await this.#reading;
    return { code: child.exitCode, signal: child.signalCode?.toString() ?? null };
  }

  async #collect(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void) {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of stream) {
      const text = decoder.decode(bytes, { stream: true });
      this.output += text;
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      lines.forEach(onLine);
    }
  }

  #note(line: string, onReady: () => void): void {
    if (!line.startsWith("{")) return;
    const said = JSON.parse(line) as Record<string, unknown>;
    if (typeof said["recovery_code"] === "string") this.recoveryCode = said["recovery_code"];
    if (said["ready"] !== true) return;
    this.s3Port = Number(said["s3_port"]);
    this.metricsPort = Number(said["metrics_port"]);
    this.rpcPort = Number(said["rpc_port"]);
    this.bulkPort = Number(said["bulk_port"]);
    onReady();
  }
}

/** Asks `look` again and again until it says yes; the pause is short, the limit only ends a broken test. */
export async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 19_000;
  while (!(await look())) {
    if (performance.now() > deadline) throw new Error(`Waited in vain until ${what}`);
    await Bun.sleep(20);
  }
}
