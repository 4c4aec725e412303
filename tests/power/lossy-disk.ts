import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { runTool } from "./loop-disk.ts";

/** What a cut took, as the file system says. */
export interface Losses {
  /** Writes and changes of size that no sync covered. */
  readonly changes: number;
  /** Of these, how many left nothing. */
  readonly lost: number;
  /** Of those that were kept, how many only in part. */
  readonly torn: number;
  /** Creations, removals and renamings that are undone. */
  readonly names: number;
}

/** Builds `lossy-fs` into `folder` and returns its path. */
export async function buildLossyFs(folder: string): Promise<string> {
  const program = join(folder, "lossy-fs");
  const sources = ["lossy-fs.c", "losses.c"].map((name) => join(import.meta.dir, "lossy-fs", name));
  const flags = (await runTool(["pkg-config", "--cflags", "--libs", "fuse3"])).trim().split(/\s+/);
  const strict = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror"];
  const large = ["-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64"];
  await runTool(["gcc", ...strict, ...large, "-o", program, ...sources, ...flags]);
  return program;
}

/** The file system of `lossy-fs/`, mounted. */
export class LossyDisk implements AsyncDisposable {
  readonly #program: string;
  readonly #backing: string;
  readonly #folder: string;
  #child: Subprocess<"pipe", "pipe", "inherit"> | undefined;

  private constructor(program: string, backing: string, folder: string) {
    this.#program = program;
    this.#backing = backing;
    this.#folder = folder;
  }
  /** At `folder`; its content lies in memory where the machine has room there. */
  static async create(program: string, folder: string): Promise<LossyDisk> {
    await mkdir(folder, { recursive: true });
    const parent = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
    const disk = new LossyDisk(program, await mkdtemp(join(parent, "kiseki-lossy-")), folder);
    await disk.mount();
    return disk;
  }
  async mount(): Promise<void> {
    const child = Bun.spawn([this.#program, this.#backing, this.#folder], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#child = child;
    await this.#say(child);
  }
  /**
   * Answers nothing any more, and leaves in the backing folder what the power cut leaves. Afterwards kill who used it
   * without waiting, call `unmount`, wait.
   */
  async cut(seed: number): Promise<Losses> {
    const child = this.#child!;
    void child.stdin.write(`cut ${seed}\n`);
    await child.stdin.flush();
    return JSON.parse(await this.#say(child)) as Losses;
  }
  async unmount(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    await child.stdin.end();
    await child.exited;
    // After a cut the program has gone without a word to the kernel.
    if ((await runTool(["mount"])).includes(` ${this.#folder} `))
      await runTool(["umount", "-l", this.#folder]);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.unmount();
    await rm(this.#backing, { recursive: true, force: true });
  }

  /** The next line that the program prints. */
  async #say(child: Subprocess<"pipe", "pipe", "inherit">): Promise<string> {
    const reader = child.stdout.getReader();
    let text = "";
    while (!text.endsWith("\n")) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`lossy-fs ended: ${text}`);
      text += new TextDecoder().decode(value);
    }
    reader.releaseLock();
    return text;
  }
}

/** Whether this machine can mount it. */
export const hasFuse: boolean = process.getuid?.() === 0 && existsSync("/dev/fuse");
