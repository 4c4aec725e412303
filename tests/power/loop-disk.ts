import { dlopen } from "bun:ffi";
import { closeSync, openSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, stat, statfs, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

/** Runs a program to its end. @throws {Error} with what it said, unless its status is 0. */
export async function runTool(words: readonly string[]): Promise<string> {
  const child = Bun.spawn([...words], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`${words.join(" ")}: ${error}${out}`);
  return out;
}

const { symbols: libc } = dlopen("libc.so.6", {
  ioctl: { args: ["i32", "u64", "buffer"], returns: "i32" },
});
const shutdownRequest = 0x80_04_58_7dn;
const noLogFlush = 2;

/**
 * An ext4 in a file, mounted through a loop device. `cut` is EXT4_IOC_SHUTDOWN without a flush of the log
 * (EXT4_GOING_FLAGS_NOLOGFLUSH): nothing more reaches the device, and what was dirty in memory is gone when the file
 * system is unmounted, as when the power goes. `mount` then replays the journal.
 */
export class LoopDisk implements AsyncDisposable {
  readonly #image: string;
  readonly #folder: string;
  #isMounted = false;

  private constructor(image: string, folder: string) {
    this.#image = image;
    this.#folder = folder;
  }
  /** A fresh file system at `folder`. Needs root. */
  static async create(image: string, folder: string, sizeMiB: number): Promise<LoopDisk> {
    await mkdir(folder, { recursive: true });
    await writeFile(image, "");
    await truncate(image, sizeMiB * 1024 * 1024);
    await runTool(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1", image]);
    const disk = new LoopDisk(image, folder);
    await disk.mount();
    return disk;
  }
  async mount(): Promise<void> {
    await runTool(["mount", "-o", "loop", this.#image, this.#folder]);
    this.#isMounted = true;
  }
  /**
   * No byte that was not synced before is there afterwards. A sync that is under way meanwhile may return 0 for bytes
   * that are lost: the journal is aborted under it (a C program of one thread that appends and calls fdatasync
   * shows it in one cut out of three, Linux 6.18). So only what was answered before this call counts.
   */
  cut(): void {
    const folder = openSync(this.#folder, "r");
    const failed = libc.ioctl(folder, shutdownRequest, new Uint32Array([noLogFlush]));
    closeSync(folder);
    if (failed !== 0) throw new Error("EXT4_IOC_SHUTDOWN failed");
  }
  /** Once nobody has a file open. */
  async unmount(): Promise<void> {
    if (!this.#isMounted) return;
    await runTool(["umount", this.#folder]);
    this.#isMounted = false;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.unmount();
  }
}

/** A file as a raw block device. Needs root. */
export class LoopDevice implements AsyncDisposable {
  readonly path: string;
  readonly image: string;
  private constructor(path: string, image: string) {
    this.path = path;
    this.image = image;
  }
  static async create(image: string, size: number): Promise<LoopDevice> {
    await writeFile(image, "");
    await truncate(image, size);
    return new LoopDevice((await runTool(["losetup", "--find", "--show", image])).trim(), image);
  }
  /** Whether what lies below can take back what is discarded. */
  async takesDiscard(): Promise<boolean> {
    const limit = `/sys/block/${basename(this.path)}/queue/discard_max_bytes`;
    return Number(await readFile(limit, "utf8")) > 0;
  }
  /** Bytes that the image takes on its disk. */
  async allocated(): Promise<number> {
    return (await stat(this.image)).blocks * 512;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await runTool(["losetup", "--detach", this.path]);
  }
}

const memoryFolder = "/dev/shm";

/** A path for an image, in memory where there is room: the cut does not depend on the disk below, the time does. */
export async function imagePlace(): Promise<{ path: string } & AsyncDisposable> {
  const { bavail, bsize } = await statfs(memoryFolder).catch(() => ({ bavail: 0, bsize: 0 }));
  const parent = bavail * bsize > 6 * 2 ** 30 ? memoryFolder : tmpdir();
  const folder = await mkdtemp(join(parent, "kiseki-image-"));
  return {
    path: join(folder, "image"),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

/** Whether this machine can mount loop devices. */
export const hasLoop: boolean = process.getuid?.() === 0 && Bun.which("mkfs.ext4") !== null;
