/**
 * Runs pjdfstest, from a folder that the caller brings, on a mount of a node of its own.
 *
 *   bun scripts/pjdfstest.ts --from DIR            what tests/pjdfstest/passing.txt lists; exits 1 if one does not pass
 *   bun scripts/pjdfstest.ts --from DIR --widen    every test; what passes and is not in the list is added to it
 *   … --workers N                                  files at a time; 4 when left out
 *
 * `DIR` is a checkout with `pjdfstest` built in it (autoreconf -ifs && ./configure && make pjdfstest). A line of the list is a file
 * with the numbers of its tests that pass; the list may only grow. Root is needed, as the suite needs it.
 */
import { mkdir, readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { KisekiMount } from "../tests/mount/kiseki-mount.ts";
import { NodeProcess } from "../tests/support/node-process.ts";
import { S3Client } from "../tests/support/s3-client.ts";

const list = join(import.meta.dir, "../tests/pjdfstest/passing.txt");
const fileSeconds = 900;

/** Numbers as `1-5,7`. */
function showNumbers(numbers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}
function parseNumbers(text: string): number[] {
  return text.split(",").flatMap((run) => {
    const [first = 0, last = first] = run.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}
async function readList(): Promise<Map<string, number[]>> {
  const file = Bun.file(list);
  const lines = (await file.exists()) ? (await file.text()).split("\n") : [];
  const rows = lines.filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    rows.map((line) => {
      const [name = "", numbers = ""] = line.split(" ");
      return [name, parseNumbers(numbers)];
    }),
  );
}

/** Runs one file in a folder of its own; which of its tests passed, and what it said of the others. */
async function runFile(
  suite: string,
  name: string,
  folder: string,
): Promise<{ readonly passed: readonly number[]; readonly others: readonly string[] }> {
  await mkdir(folder, { recursive: true });
  const words = ["timeout", "-k", "5", String(fileSeconds), "sh", join(suite, "tests", name)];
  const child = Bun.spawn(words, { cwd: folder, stdout: "pipe", stderr: "ignore" });
  const lines = (await new Response(child.stdout).text()).split("\n");
  const passed = lines.flatMap((line) => {
    const match = /^ok (\d+)/.exec(line);
    return match ? [Number(match[1])] : [];
  });
  return { passed, others: lines.filter((line) => line.startsWith("not ok")) };
}

const { values } = parseArgs({
  options: {
    from: { type: "string" },
    widen: { type: "boolean", default: false },
    workers: { type: "string", default: "4" },
  },
});
const { from, widen, workers } = values;
if (from === undefined || !(await Bun.file(join(from, "pjdfstest")).exists())) {
  console.error("Give --from DIR, a checkout of pjdfstest with its program built");
  process.exit(2);
}
const known = await readList();
const all = (await readdir(join(from, "tests"), { recursive: true })).filter((name) =>
  name.endsWith(".t"),
);
const wanted = widen ? all.toSorted() : [...known.keys()];
await using node = await NodeProcess.started({ devices: 2, mirrors: 0, deviceSize: "1GiB" });
using s3 = await S3Client.of(node);
await s3.createBucket("suite");
await using mount = await KisekiMount.start(node, {
  namespace: "suite",
  options: "allow_other,suid,dev",
});
let missing = 0;
let count = 0;
const found = new Map<string, readonly number[]>();
const waiting = [...wanted];
async function work(): Promise<void> {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    const folder = mount.path(relative("/", join("/", name)).replaceAll(/\W/g, "-"));
    const { passed, others } = await runFile(from!, name, folder);
    found.set(name, passed);
    count += passed.length;
    const lost = (known.get(name) ?? []).filter((number) => !passed.includes(number));
    missing += lost.length;
    if (lost.length > 0) console.log(`${name}: ${showNumbers(lost)} did not pass`);
    for (const line of others) console.log(`${name}: ${line}`);
  }
}
await Promise.all(Array.from({ length: Number(workers) }, work));
if (widen) {
  const rows = [...found].map(([name, passed]) => {
    const numbers = new Set([...(known.get(name) ?? []), ...passed]);
    return [name, [...numbers].toSorted((a, b) => a - b)] as const;
  });
  const lines = rows
    .filter(([, numbers]) => numbers.length > 0)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, numbers]) => `${name} ${showNumbers(numbers)}`);
  const head =
    "# Tests of pjd/pjdfstest that pass on a mount of a node, as root: scripts/pjdfstest.ts";
  await Bun.write(list, `${head}\n${lines.join("\n")}\n`);
}
console.log(`${count} passed, ${missing} of the list did not`);
process.exitCode = missing > 0 ? 1 : 0;
