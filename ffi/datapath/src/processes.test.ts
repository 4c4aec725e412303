import { expect, test } from "bun:test";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attachDatapath, openDatapath } from "./native-datapath.ts";

const directory = join(import.meta.dir, "../../../build/native");
const module = join(import.meta.dir, "native-datapath.ts");
const options = { directory, arenaSize: 4 << 20, computeThreads: 2, deviceThreads: 2 };

async function makeFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "kiseki-processes-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

/** Appends blocks of ones, twos and threes, each synced, and says so after each. */
const appender = `
const { openDatapath } = await import(${JSON.stringify(module)});
const datapath = openDatapath(${JSON.stringify(options)});
const { slot } = await datapath.openDevice({ path: process.argv[1], direct: false });
const lease = datapath.arena.lend(4096);
for (let i = 1; i <= 3; i++) {
  lease.bytes.fill(i);
  const ranges = [{ lease, offset: 0, size: 4096 }];
  await datapath.append({ device: slot, offset: 4096 * (i - 1), ranges, sync: true });
  console.log(i);
}
await datapath[Symbol.asyncDispose]();
`;

const failpoints = [
  [undefined, "1\n2\n3\n", null],
  ["datapath_before_sync:2", "1\n", "SIGKILL"],
  ["datapath_after_sync:2", "1\n", "SIGKILL"],
  ["datapath_after_sync:4", "1\n2\n3\n", null],
] as const;
for (const [failpoint, printed, signal] of failpoints) {
  test(`append() with failpoint ${failpoint ?? "none"} acknowledges ${printed.length / 2}`, async () => {
    await using folder = await makeFolder();
    const path = join(folder.path, "device");
    {
      await using file = await open(path, "wx");
      await file.truncate(3 * 4096);
    }
    const env: Record<string, string | undefined> = { ...process.env };
    if (failpoint !== undefined) env["KISEKI_FAILPOINT"] = failpoint;
    const child = Bun.spawn([process.execPath, "-e", appender, path], { env, stderr: "pipe" });
    const [text, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    await child.exited;
    expect([text, errors, child.signalCode]).toEqual([printed, "", signal]);
    const stored = await readFile(path);
    for (let i = 0; i < printed.length / 2; i++) expect(stored[4096 * i]).toBe(i + 1);
  });
}

const worker = `
self.onmessage = async ({ data: { handle, slot, number } }) => {
  const { ${attachDatapath.name}: attachDatapath } = await import(${JSON.stringify(module)});
  {
    await using datapath = attachDatapath(handle);
    using lease = await datapath.arena.borrow(1 << 20, new AbortController().signal);
    lease.bytes.fill(number);
    const ranges = [{ lease, offset: 0, size: 4096 }];
    for (let i = 0; i < 50; i++)
      await datapath.append({ device: slot, offset: 4096 * number, ranges, sync: false });
  }
  postMessage(number);
};
`;

test("attachDatapath() lets Workers share arena, pool and devices; borrow() hears of their loans", async () => {
  await using folder = await makeFolder();
  const path = join(folder.path, "device");
  {
    await using file = await open(path, "wx");
    await file.truncate(4 * 4096);
  }
  await using datapath = openDatapath(options);
  const { slot } = await datapath.openDevice({ path, direct: false });
  const held = Array.from({ length: 4 }, () => datapath.arena.lend(1 << 20)!);
  const url = URL.createObjectURL(new Blob([worker], { type: "application/javascript" }));
  const workers = [1, 2, 3].map((number) => {
    const one = new Worker(url);
    one.postMessage({ handle: datapath.handle, slot, number });
    return one;
  });
  const done = workers.map(
    (one) => new Promise((resolve) => (one.onmessage = ({ data }) => resolve(data))),
  );
  held.pop()![Symbol.dispose](); // room for one at a time
  const borrowed = datapath.arena.borrow(1 << 20, new AbortController().signal);
  const mine = borrowed.then((lease) => lease[Symbol.dispose]());
  expect(await Promise.all(done)).toEqual([1, 2, 3]);
  await mine;
  for (const one of workers) one.terminate();
  URL.revokeObjectURL(url);
  for (const lease of held) lease[Symbol.dispose]();
  expect(datapath.arena.sizeLent).toBe(0);
  const stored = await readFile(path);
  expect([0, 1, 2, 3].map((i) => stored[4096 * i])).toEqual([0, 1, 2, 3]);
});
