import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { newBytes, prngFromSeed } from "@kiseki/base";
import { SqliteShardStore } from "@kiseki/shard-store";
import { getSealed, putSealed } from "./customer.test-helper.ts";
import { get, makeBucket, never, openAt, put, temporaryFolder } from "./bed.test-helper.ts";

// Goal: a process that is killed while it rekeys, reseals, collects or drops a keyset leaves a node that opens with
// everything that was acknowledged, and goes on. Method: a child is killed at a named point, the node is opened
// here, all is read, the shard's rows are summed; the next child makes a further keyset on top.
const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? globalThis.crypto.getRandomValues(new Uint32Array(1))[0],
);
const prng = prngFromSeed(seed);
/** Of the objects that a customer keeps the key of. */
const ownKey = 7;
const sizes = [1, 900, 4096, 5000, 70_000, 300_000];

interface Killed {
  readonly wasKilled: boolean;
  readonly lines: readonly string[];
}
async function runChild(path: string, point: string): Promise<Killed> {
  const child = Bun.spawn(
    [process.execPath, `${import.meta.dir}/crash-child.test-helper.ts`, path],
    {
      env: { ...process.env, KISEKI_FAILPOINT: point },
      stdout: "pipe",
      stderr: "pipe",
    },
  );
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const wasKilled = child.signalCode === "SIGKILL";
  if (!wasKilled && child.exitCode !== 0) throw new Error(`${point}: ${error}`);
  return { wasKilled, lines: out.split("\n") };
}

async function expectWhole(path: string, contents: ReadonlyMap<string, Uint8Array>): Promise<void> {
  await using node = await openAt(path);
  for (const [key, bytes] of contents) {
    const isOwn = key.startsWith("own-");
    const got = await (isOwn ? getSealed(node, key, ownKey) : get(node, key));
    expect(got).toEqual(Buffer.from(bytes));
  }
  const { store } = await node.openDefaultTenant(never);
  if (!(store instanceof SqliteShardStore)) throw new Error("no SQLite store");
  expect(store.startSumCheck().step(1_000_000)).toEqual({ kind: "right" });
  for (const member of ["data", "mirror"]) {
    const files = readdirSync(`${path}/${member}`).filter((file) =>
      /^shard-.*\.db(\.new.*)?$/.test(file),
    );
    expect(files.length).toBe(1);
  }
}

async function killAt(points: readonly string[]): Promise<void> {
  await using folder = await temporaryFolder();
  const contents = new Map<string, Uint8Array>();
  {
    await using node = await openAt(folder.path);
    await makeBucket(node);
    for (const [i, size] of sizes.entries()) {
      contents.set(`${i}`, prng.fill(newBytes(size)));
      await put(node, `${i}`, contents.get(`${i}`)!);
    }
    for (const size of [900, 70_000]) {
      const bytes = prng.fill(newBytes(size));
      contents.set(`own-${size}`, bytes);
      await putSealed(node, `own-${size}`, bytes, ownKey);
    }
  }
  for (const point of points) {
    const { wasKilled, lines } = await runChild(folder.path, point);
    expect([point, wasKilled]).toEqual([point, true]);
    for (const line of lines) {
      const key = /^wrote (.*)$/.exec(line)?.[1];
      if (key) contents.set(key, Buffer.from(`written under ${key.slice("under-".length)}`));
    }
    await expectWhole(folder.path, contents);
  }
}

const groups: readonly (readonly string[])[] = [
  ["rewrite-begun", "rename:1", `main-write:${1 + prng.below(6)}`],
  ["rewrite-done", "rewrite-opened", `main-sync:${1 + prng.below(4)}`],
  [
    `reseal-stored:${1 + prng.below(5)}`,
    `reseal-committed:${1 + prng.below(5)}`,
    "collect-removed",
  ],
  ["reseal-salt", "reseal-salt:2", "keyset-drop"],
  ["collect-dropped", "keyset-drop", `wal-sync:${1 + prng.below(12)}`],
];
for (const points of groups) {
  test(`a node killed at ${points.join(", ")} keeps all (KISEKI_SIM_SEED=${seed})`, async () => {
    await killAt(points);
  }, 20_000);
}
