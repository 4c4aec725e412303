// The real kernel asks; a file system in memory, in a process of its own, answers through the session.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import type { MemoryMountOptions } from "./memory-mount.test-helper.ts";

const hasFuse = process.getuid?.() === 0 && existsSync("/dev/fuse");
const syscalls = join(import.meta.dir, "../../../../tests/mount/syscalls.py");
const program = join(import.meta.dir, "memory-mount.test-helper.ts");
const usual: MemoryMountOptions = {
  ttlMs: 1000,
  isLate: false,
  isReadOnly: false,
  readerCount: 1,
  interruptGraceMs: 300,
  hasFaults: false,
};

function shell(...command: string[]): { readonly code: number; readonly output: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["timeout", "-k", "1", "15", ...command]);
  return { code: exitCode, output: `${stdout.toString()}${stderr.toString()}` };
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let text = "";
  for await (const piece of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (text + piece).split("\n");
    text = lines.pop()!;
    yield* lines;
  }
}

/** A mount with its process; disposing leaves nothing mounted and nothing running. */
class MemoryMount implements AsyncDisposable {
  readonly folder: string;
  readonly #parent: string;
  #child: Subprocess<"pipe", "pipe", "pipe">;
  #lines: AsyncIterator<string>;

  private constructor(parent: string, options: MemoryMountOptions) {
    this.#parent = parent;
    this.folder = join(parent, "mount point");
    [this.#child, this.#lines] = this.#start(options);
  }
  static async start(options: Partial<MemoryMountOptions> = {}): Promise<MemoryMount> {
    const parent = await mkdtemp(join(tmpdir(), "kiseki-fuse-"));
    chmodSync(parent, 0o755); // other users go through it
    mkdirSync(join(parent, "mount point"));
    const mount = new MemoryMount(parent, { ...usual, ...options });
    expect(await mount.line()).toEqual({ ready: true });
    return mount;
  }
  #start(options: MemoryMountOptions) {
    const words = [process.execPath, program, this.folder, JSON.stringify(options)];
    const child = Bun.spawn(words, { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    return [child, linesOf(child.stdout)] as const;
  }
  restart(): void {
    [this.#child, this.#lines] = this.#start(usual);
  }
  get exited(): Promise<number> {
    return this.#child.exited;
  }
  errors(): Promise<string> {
    return new Response(this.#child.stderr).text();
  }
  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
  async ask(words: string): Promise<void> {
    void this.#child.stdin.write(`${words}\n`);
    await this.#child.stdin.flush();
  }
  /** The next line that it prints; `undefined` when it ends. */
  async line(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    return done ? undefined : JSON.parse(value);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    shell("umount", "-l", this.folder);
    this.#child.kill("SIGKILL");
    await this.#child.exited;
    await rm(this.#parent, { recursive: true });
  }
}

const checks = hasFuse
  ? shell("python3", syscalls, "--list").output.trim().split("\n")
  : ["nothing"];
const variants: readonly (readonly [string, Partial<MemoryMountOptions>])[] = [
  ["that answers at once", {}],
  [
    "that answers later, without caches, by three readers",
    { isLate: true, ttlMs: 0, readerCount: 3 },
  ],
];
describe.skipIf(!hasFuse).each([...variants])("a file system %s", (_, options) => {
  let mount: MemoryMount;
  beforeAll(async () => {
    mount = await MemoryMount.start(options);
  });
  afterAll(async () => {
    await mount.ask("held");
    // What is still held are the root, folders and files that were left; every handle is gone.
    expect(await mount.line()).toMatchObject({ handles: 0 });
    mount.kill("SIGTERM");
    expect(await mount.line()).toMatchObject({ ended: 19 });
    expect(await mount.errors()).toBe("");
    await mount[Symbol.asyncDispose]();
  });
  test.each(checks)("passes %s", (check) => {
    expect(shell("python3", syscalls, mount.folder, check)).toEqual({ code: 0, output: "" });
  });
});

test.skipIf(!hasFuse)("FuseSession gives back every node that the kernel forgets", async () => {
  await using mount = await MemoryMount.start();
  const script = "for i in $(seq 300); do echo $i > f$i; done; ls -l | wc -l; rm f*";
  expect(shell("sh", "-c", `cd '${mount.folder}' && ${script}`)).toMatchObject({ output: "301\n" });
  await Bun.write("/proc/sys/vm/drop_caches", "2");
  for (let left = 50; left > 0; left--) {
    await mount.ask("held");
    const held = (await mount.line()) as { nodes: number; handles: number };
    if (held.nodes === 1 && held.handles === 0) return;
    await Bun.sleep(20);
  }
  throw new Error("nodes are still held");
});

test.skipIf(!hasFuse)("FuseSession is asked at a close only for who wrote or locked", async () => {
  await using mount = await MemoryMount.start();
  writeFileSync(join(mount.folder, "f"), "1");
  const flushes = async () => {
    await mount.ask("held");
    return ((await mount.line()) as { flushes: number }).flushes;
  };
  const before = await flushes();
  for (let i = 0; i < 20; i++) readFileSync(join(mount.folder, "f"));
  expect((await flushes()) - before).toBe(0);
  const locking = "import fcntl,sys; f=open(sys.argv[1]); fcntl.lockf(f, fcntl.LOCK_SH); f.close()";
  expect(shell("python3", "-c", locking, join(mount.folder, "f")).code).toBe(0);
  expect((await flushes()) - before).toBe(1);
});

test.skipIf(!hasFuse)("FuseSession is not asked for opens that were vouched for", async () => {
  await using mount = await MemoryMount.start({ ttlMs: 60_000 });
  const path = join(mount.folder, "f");
  writeFileSync(path, "content");
  const held = async () => {
    await mount.ask("held");
    return (await mount.line()) as { flushes: number; opens: number; handles: number };
  };
  /** The kernel releases what a process had open some time after it has ended. */
  const noneHeld = async (): Promise<void> => {
    while ((await held()).handles > 0) await Bun.sleep(5);
  };
  const python = (script: string) =>
    shell("python3", "-c", `import fcntl,os,sys,time; p=sys.argv[1]\n${script}`, path);
  readFileSync(path);
  let before = await held();
  const many = "for _ in range(400): os.close(os.open(p, os.O_RDONLY))";
  expect(python(many)).toMatchObject({ code: 0, output: "" });
  // Those that a timer found open may have been taken over.
  expect((await held()).opens - before.opens).toBeLessThan(20);
  await noneHeld();
  expect(await held()).toMatchObject({ flushes: before.flushes });

  const direct = "fd=os.open(p, os.O_RDONLY|os.O_DIRECT)\n";
  expect(python(`${direct}print(os.pread(fd, 7, 0), os.fstat(fd).st_size)`).output).toBe(
    "b'content' 7\n",
  );
  before = await held();
  expect(python(`fd=os.open(p, os.O_RDONLY)\ntime.sleep(0.6)`).code).toBe(0);
  expect((await held()).opens - before.opens).toBe(1);

  before = await held();
  const locking = `a=os.open(p, os.O_RDONLY)\nb=os.open(p, os.O_RDONLY)\nfcntl.lockf(a, fcntl.LOCK_SH)\nos.close(b)
c=os.open(p, os.O_RDWR)
pid=os.fork()
if pid == 0:
    fcntl.lockf(c, fcntl.LOCK_EX|fcntl.LOCK_NB); os._exit(0)
print(os.waitpid(pid, 0)[1])`;
  expect(python(locking).output).toBe("0\n");
  expect((await held()).flushes).toBeGreaterThan(before.flushes);

  readFileSync(path);
  await mount.ask(`withdraw ${statSync(path).ino}`);
  before = await held();
  readFileSync(path);
  expect((await held()).opens - before.opens).toBe(1);

  const removing = `${direct}os.unlink(p)\nprint(os.pread(fd, 7, 0))`;
  expect(python(removing).output).toBe("b'content'\n");
  await noneHeld();
});

test.skipIf(!hasFuse)(
  "FuseSession answers EIO when the file system throws or rejects",
  async () => {
    await using mount = await MemoryMount.start({ hasFaults: true });
    writeFileSync(join(mount.folder, "f"), "1");
    const read = (name: string) =>
      shell(
        "python3",
        "-c",
        `import os,sys; os.getxattr(sys.argv[1], "${name}")`,
        `${mount.folder}/f`,
      );
    for (const name of ["user.throws", "user.rejects"])
      expect(read(name).output).toContain("[Errno 5] Input/output error");
    expect(statSync(join(mount.folder, "f")).size).toBe(1);
    mount.kill("SIGTERM");
    expect(await mount.errors()).toMatch(/thrown on purpose[\s\S]*rejected on purpose/);
  },
);

test.skipIf(!hasFuse)(
  "FuseSession lets a killed process go whose operation is never answered",
  async () => {
    await using mount = await MemoryMount.start({ hasFaults: true });
    writeFileSync(join(mount.folder, "f"), "1");
    const script = 'import os,sys; print(flush=True); os.getxattr(sys.argv[1], "user.silent")';
    const child = Bun.spawn(["python3", "-c", script, join(mount.folder, "f")], {
      stdout: "pipe",
      stderr: "pipe",
    });
    await child.stdout.getReader().read();
    await Bun.sleep(100);
    child.kill("SIGKILL");
    const gone = await Promise.race([child.exited.then(() => "gone"), Bun.sleep(5000)]);
    expect(gone).toBe("gone");
    expect(readFileSync(join(mount.folder, "f"), "utf8")).toBe("1");
  },
);

test.skipIf(!hasFuse)("FuseSession changes nothing on a mount for reading", async () => {
  await using mount = await MemoryMount.start({ isReadOnly: true });
  expect(shell("mkdir", join(mount.folder, "d")).output).toContain("Read-only file system");
  // The kernel alone would let this pass after it was told to mount for writing.
  shell("mount", "-o", "remount,rw", mount.folder);
  expect(shell("mkdir", join(mount.folder, "d")).output).toContain("Read-only file system");
});

test.skipIf(!hasFuse)("FuseSession tells the kernel what is no longer right", async () => {
  await using mount = await MemoryMount.start({ ttlMs: 3_600_000, isWithoutImmediates: true });
  const path = join(mount.folder, "f");
  writeFileSync(path, "old");
  expect(readFileSync(path, "utf8")).toBe("old");
  const { ino } = statSync(path);
  await mount.ask(`write ${ino} new`);
  expect(await mount.line()).toEqual({ written: true });
  expect(readFileSync(path, "utf8")).toBe("old");
  await mount.ask(`invalidate ${ino}`);
  for (let left = 100; left > 0 && readFileSync(path, "utf8") !== "new"; left--)
    await Bun.sleep(10);
  expect(readFileSync(path, "utf8")).toBe("new");
  await mount.ask("unlink f");
  expect(await mount.line()).toEqual({ unlinked: true });
  expect(existsSync(path)).toBe(true);
  await mount.ask("forget 1 f");
  for (let left = 100; left > 0 && existsSync(path); left--) await Bun.sleep(10);
  expect(existsSync(path)).toBe(false);
});

test.skipIf(!hasFuse)("openMount() replaces a mount whose process was killed", async () => {
  await using mount = await MemoryMount.start();
  mount.kill("SIGKILL");
  await mount.exited;
  expect(shell("ls", mount.folder).output).toContain("not connected");
  mount.restart();
  expect(await mount.line()).toEqual({ ready: true });
  expect(shell("ls", mount.folder)).toEqual({ code: 0, output: "" });
  const rows = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const point = mount.folder.replaceAll(" ", String.raw`\040`);
  expect(rows.filter((row) => row.includes(point))).toHaveLength(1);
});

test.skipIf(!hasFuse)(
  "openMount() leaves a mount at work alone, and says what is wrong with a target",
  async () => {
    await using mount = await MemoryMount.start();
    const attempt = (target: string) =>
      shell(process.execPath, program, target, JSON.stringify(usual));
    expect(attempt(mount.folder).output).toContain("a namespace is mounted there already");
    writeFileSync(join(mount.folder, "f"), "1");
    expect(attempt(join(mount.folder, "f")).output).toContain("it is no directory");
    expect(attempt(join(mount.folder, "none")).code).not.toBe(0);
    expect(readFileSync(join(mount.folder, "f"), "utf8")).toBe("1");
  },
);

test.skipIf(!hasFuse)("Mount ends by umount, and by signals however many", async () => {
  for (const end of ["umount", "fusermount3", "SIGTERM"]) {
    await using mount = await MemoryMount.start();
    writeFileSync(join(mount.folder, "f"), "1");
    if (end === "umount") expect(shell("umount", mount.folder).code).toBe(0);
    else if (end === "fusermount3") expect(shell("fusermount3", "-u", mount.folder).code).toBe(0);
    else for (let i = 0; i < 3; i++) mount.kill("SIGTERM");
    expect(await mount.line()).toMatchObject({ ended: 19 });
    expect(await mount.exited).toBe(0);
    expect(existsSync(join(mount.folder, "f"))).toBe(false);
  }
});

test.skipIf(!hasFuse)("Mount serves open files after it was taken off", async () => {
  await using mount = await MemoryMount.start();
  const path = join(mount.folder, "f");
  writeFileSync(path, "x".repeat(100_000));
  const script =
    "import os,sys; f=open(sys.argv[1],'r+b'); print(flush=True); input(); f.seek(0); print(len(f.read())); f.write(b'y'); f.close()";
  const child = Bun.spawn(["python3", "-c", script, path], { stdin: "pipe", stdout: "pipe" });
  const lines = linesOf(child.stdout);
  await lines.next();
  mount.kill("SIGTERM");
  for (let left = 100; left > 0 && existsSync(path); left--) await Bun.sleep(10);
  void child.stdin.write("\n");
  await child.stdin.flush();
  expect((await lines.next()).value).toBe("100000");
  expect(await child.exited).toBe(0);
  // The kernel need not say any more that it was closed.
  expect(await mount.line()).toMatchObject({ ended: 19 });
});

test.skipIf(!hasFuse)(
  "the kernel reads a staged file by itself, maps it, and takes no mixture of handles",
  async () => {
    await using folder = await makeFolder();
    const image = join(folder.path, "image");
    writeFileSync(image, "staged");
    await using mount = await MemoryMount.start({ isReadOnly: true, staged: image });
    const path = join(mount.folder, "staged");
    // Whoever reads the request's way gets what is in memory.
    const first = openSync(path, "r");
    const target = Buffer.alloc(6);
    readSync(first, target, 0, 6, 0);
    expect(target.toString()).toBe("staged");
    writeFileSync(image, "STAGED");
    readSync(first, target, 0, 6, 0);
    expect(target.toString()).toBe("STAGED");
    expect(readFileSync(path, "utf8")).toBe("STAGED");
    const map =
      "import mmap,sys;f=open(sys.argv[1],'rb');m=mmap.mmap(f.fileno(),0,prot=1);print(m[:])";
    expect(shell("python3", "-c", map, path).output).toBe("b'STAGED'\n");
    expect(() => writeFileSync(path, "x")).toThrow("EROFS");
    // Once there is no image, no other handle is opened beside the old ones; after them requests serve.
    await mount.ask("lose");
    expect(await mount.line()).toEqual({ lost: true });
    expect(() => readFileSync(path)).toThrow("EIO");
    closeSync(first);
    mount.kill("SIGTERM");
  },
);

test.skipIf(!hasFuse)("after the last handle of a lost image requests serve again", async () => {
  await using folder = await makeFolder();
  const image = join(folder.path, "image");
  writeFileSync(image, "staged");
  await using mount = await MemoryMount.start({ isReadOnly: true, staged: image });
  const path = join(mount.folder, "staged");
  for (let round = 0; round < 3; round += 1) expect(readFileSync(path, "utf8")).toBe("staged");
  await mount.ask("lose");
  expect(await mount.line()).toEqual({ lost: true });
  expect(readFileSync(path, "utf8")).toBe("memory");
  mount.kill("SIGTERM");
});
test.skipIf(!hasFuse)(
  "what is revoked fails for who has it open, and is opened anew after that",
  async () => {
    await using folder = await makeFolder();
    const image = join(folder.path, "image");
    writeFileSync(image, "staged");
    await using mount = await MemoryMount.start({ isReadOnly: true, staged: image });
    const path = join(mount.folder, "staged");
    const { ino } = statSync(path);
    const before = [openSync(path, "r"), openSync(path, "r")];
    const target = Buffer.alloc(6);
    for (const fd of before) expect(readSync(fd, target, 0, 6, 0)).toBe(6);
    await mount.ask("lose");
    expect(await mount.line()).toEqual({ lost: true });
    await mount.ask(`revoke ${ino}`);
    expect(await mount.line()).toEqual({ revoked: true });
    for (const fd of before) expect(() => readSync(fd, target, 0, 6, 0)).toThrow("EIO");
    expect(readFileSync(path, "utf8")).toBe("memory");
    for (const fd of before) closeSync(fd);
    expect(statSync(path).isFile()).toBe(true);
    expect(readFileSync(path, "utf8")).toBe("memory");
    await mount.ask(`revoke ${ino}`);
    expect(await mount.line()).toEqual({ revoked: true });
    await mount.ask("held");
    expect(await mount.line()).toMatchObject({ handles: 0 });
    mount.kill("SIGTERM");
  },
);
async function makeFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "kiseki-image-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}
