import { chmodSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { chooseCommand, type NodeProcess, plainEnvironment } from "../support/node-process.ts";

/** Whether this machine can mount it. */
export const hasFuse: boolean = process.getuid?.() === 0 && existsSync("/dev/fuse");

let command: readonly string[] | undefined;
/** `kiseki-client-fuse`, built or out of its sources. */
export const clientCommand = (): readonly string[] =>
  (command ??= chooseCommand("kiseki-client-fuse"));

/** Runs a program that may meet a mount: never longer than 15 seconds, whatever becomes of the mount. */
export function bounded(...words: readonly string[]): {
  readonly code: number;
  readonly output: string;
} {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["timeout", "-k", "1", "15", ...words], {
    env: { ...plainEnvironment(), PYTHONDONTWRITEBYTECODE: "1" },
  });
  return { code: exitCode, output: `${stdout.toString()}${stderr.toString()}` };
}

export interface MountWords {
  readonly namespace: string;
  /** The default one when left out. */
  readonly tenant?: string;
  /** Of `-o`. */
  readonly options?: string;
  /** Where it looks for nodes; the node's own port when left out. */
  readonly seed?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** The words that mount a namespace of `node` on `target`. */
export function mountWords(
  node: NodeProcess,
  target: string,
  { namespace, tenant = "default", options, seed }: MountWords,
) {
  return [
    ...["mount", target, "--data-addr", seed ?? `127.0.0.1:${node.rpcPort}`, "--tenant", tenant],
    ...["--namespace", namespace, "--config-dir", node.configDirectory],
    ...(options === undefined ? [] : ["-o", options]),
  ];
}

/** A mount of a node, served in the foreground by a process of its own. Disposing leaves nothing of it. */
export class KisekiMount implements AsyncDisposable {
  readonly folder: string;
  readonly #parent: string;
  #child: Subprocess<"ignore", "pipe", "pipe"> | undefined;
  #errors: Promise<string> = Promise.resolve("");

  private constructor(parent: string) {
    this.#parent = parent;
    this.folder = join(parent, "mount");
    mkdirSync(this.folder);
    chmodSync(parent, 0o755); // other users go through it
  }
  static async start(node: NodeProcess, words: MountWords): Promise<KisekiMount> {
    const mount = new KisekiMount(await mkdtemp(join(tmpdir(), "kiseki-mount-")));
    try {
      await mount.start(node, words);
      return mount;
    } catch (reason) {
      await mount[Symbol.asyncDispose]();
      throw reason;
    }
  }
  /** Mounts; once more on the same folder after `ended`. */
  async start(node: NodeProcess, words: MountWords): Promise<void> {
    const child = Bun.spawn(
      [...clientCommand(), ...mountWords(node, this.folder, words), "--foreground", "--json"],
      {
        env: {
          ...plainEnvironment(),
          KISEKI_CACHE_DIR: this.cacheDirectory,
          ...words.environment,
        },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    this.#child = child;
    this.#errors = new Response(child.stderr).text();
    const first = await child.stdout.pipeThrough(new TextDecoderStream()).getReader().read();
    if (first.done || !first.value.includes('"ready":true'))
      throw new Error(`The mount did not start: ${await this.#errors}`);
  }
  get cacheDirectory(): string {
    return join(this.#parent, "cache");
  }
  get pid(): number {
    return this.#child!.pid;
  }
  /** Bytes of memory that its process keeps. */
  get residentSize(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
  }
  path(name: string): string {
    return join(this.folder, name);
  }
  /** By SIGTERM or SIGKILL; its exit code, `null` after a signal that it does not catch. */
  signal(signal: NodeJS.Signals): void {
    this.#child!.kill(signal);
  }
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<number | null> {
    this.#child!.kill(signal);
    await this.#child!.exited;
    return this.#child!.exitCode;
  }
  /** What it logged, once it has ended. */
  errors(): Promise<string> {
    return this.#errors;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    bounded("umount", "-l", this.folder);
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
    await rm(this.#parent, { recursive: true, force: true });
  }
}
