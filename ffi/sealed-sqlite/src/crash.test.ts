import { expect, test } from "bun:test";
import { join } from "node:path";
import { prngFromSeed } from "@kiseki/base";
import { openDatabase } from "./database.ts";
import { databaseOptions, openBench, openSet, readKeys } from "./fixture.test-helper.ts";

const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const prng = prngFromSeed(seed);
console.log(`sealed-sqlite crash: KISEKI_SIM_SEED=${seed}`);

interface Killed {
  /** Rows that the writer was told are committed. */
  readonly acknowledged: number;
  readonly wasKilled: boolean;
}
interface Kill {
  readonly failpoint?: string;
  /** Kills when this many more rows are acknowledged. */
  readonly after?: number;
  readonly mode?: string;
}

/** Runs the writer from row `from` until it dies; `after` lines at the latest. */
async function runWriter(root: string, members: number, from: number, kill: Kill): Promise<Killed> {
  const child = Bun.spawn({
    cmd: [
      process.execPath,
      join(import.meta.dir, "writer.test-helper.ts"),
      root,
      `${members}`,
      `${from}`,
      kill.mode ?? "",
    ],
    env: { ...process.env, ...(kill.failpoint && { KISEKI_FAILPOINT: kill.failpoint }) },
    stdout: "pipe",
    stderr: "pipe",
  });
  let acknowledged = from;
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    const lines = (rest + decoder.decode(chunk)).split("\n");
    rest = lines.pop()!;
    if (lines.length > 0) acknowledged = Number(lines.at(-1));
    if (kill.after !== undefined && acknowledged >= from + kill.after) child.kill("SIGKILL");
  }
  const code = await child.exited;
  const wasKilled = child.signalCode === "SIGKILL";
  if (!wasKilled && code !== 0) throw new Error(await new Response(child.stderr).text());
  return { acknowledged, wasKilled };
}

/** Rows after recovery: all that were acknowledged, at most one transaction more. */
function checkRows(root: string, members: number, acknowledged: number): number {
  const bench = openBench(members, root);
  const set = openSet(bench);
  const database = openDatabase(set, databaseOptions());
  const keys = readKeys(database);
  expect(database.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
  database.close(true);
  set.close();
  expect(keys.every((key, n) => key === n)).toBe(true);
  expect(keys.length % 4).toBe(0);
  expect(keys.length).toBeGreaterThanOrEqual(acknowledged);
  expect(keys.length).toBeLessThanOrEqual(acknowledged + 4);
  return keys.length;
}

for (const members of [1, 2]) {
  test(`a writer on ${members} members that is killed at random keeps all it acknowledged`, async () => {
    using bench = openBench(members);
    let rows = 0;
    for (let round = 0; round < 3; round++) {
      const killed = await runWriter(bench.root, members, rows, { after: 4 + prng.below(400) });
      rows = checkRows(bench.root, members, killed.acknowledged);
    }
  }, 20_000);
}

const points = [
  "wal-write",
  "wal-sync",
  "wal-synced",
  "main-write",
  "main-written",
  "main-sync",
  "main-synced",
];
for (const point of points) {
  test(`a writer killed at ${point} keeps all it acknowledged, on one member and on two`, async () => {
    for (const members of [1, 2]) {
      using bench = openBench(members);
      const start = await runWriter(bench.root, members, 0, { after: 40 });
      const rows = checkRows(bench.root, members, start.acknowledged);
      const failpoint = `${point}:${1 + prng.below(3)}`;
      const killed = await runWriter(bench.root, members, rows, { failpoint });
      expect(killed.wasKilled).toBe(true);
      checkRows(bench.root, members, killed.acknowledged);
    }
  }, 20_000);
}

for (const point of ["list-write", "list-rename", "list-note", "list-done"]) {
  test(`a writer killed at ${point} while it loses a member keeps all it acknowledged`, async () => {
    using bench = openBench(2);
    const start = await runWriter(bench.root, 2, 0, { after: 40 });
    const rows = checkRows(bench.root, 2, start.acknowledged);
    const killed = await runWriter(bench.root, 2, rows, { failpoint: `${point}:1`, mode: "lose" });
    expect(killed.wasKilled).toBe(true);
    checkRows(bench.root, 2, killed.acknowledged);
  }, 20_000);
}

test("a creation killed before its rename leaves nothing in the way", async () => {
  using bench = openBench(2);
  expect(await runWriter(bench.root, 2, 0, { failpoint: "rename:1" })).toEqual({
    acknowledged: 0,
    wasKilled: true,
  });
  const second = await runWriter(bench.root, 2, 0, { after: 8 });
  checkRows(bench.root, 2, second.acknowledged);
}, 20_000);
