/**
 * Runs pjd/pjdfstest, from a folder that the caller brings, in a folder of a mount.
 *
 *   bun scripts/posix-suite.ts --from DIR --on FOLDER          tests/pjdfstest/passing.txt; exits 1 if one does not pass
 *   bun scripts/posix-suite.ts --from DIR --on FOLDER --widen  every test; files that pass whole are added to the list
 *
 * `DIR` is a checkout of the suite with its program built (`autoreconf -ifs && ./configure && make pjdfstest`); `FOLDER`
 * lies in a mount of root with `-o dev,suid,allow_other`. A line of the list is a test file and how many tests it has, all
 * of which passed; it is there for good, under the commits that it first passed at.
 */
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";

const root = join(import.meta.dir, "..");
const list = join(root, "tests/pjdfstest/passing.txt");
const fileSeconds = 300;
const expectedToFail = /# T[O]DO/;

interface Outcome {
  readonly planned: number;
  readonly passed: number;
  readonly failed: readonly string[];
}

/** What a test file says of itself in TAP. One that is expected to fail counts as passed, as prove(1) has it. */
function readTap(text: string): Outcome {
  const planned = Number(/^1\.\.(\d+)/m.exec(text)?.[1] ?? 0);
  const lines = text.split("\n");
  const failed = lines.filter((line) => line.startsWith("not ok ") && !expectedToFail.test(line));
  const done = lines.filter((line) => /^(not )?ok \d+/.test(line)).length;
  return { planned, passed: done - failed.length, failed };
}

async function runFile(from: string, name: string, on: string): Promise<Outcome> {
  const folder = await mkdtemp(join(on, "pjdfstest-"));
  await chmod(folder, 0o755); // some tests go on as another user
  try {
    const child = Bun.spawn(["sh", join(from, "tests", name)], {
      cwd: folder,
      stdin: "ignore",
      stderr: "ignore",
      timeout: fileSeconds * 1000,
    });
    const text = await child.stdout.text();
    await child.exited;
    return readTap(text);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function namesOf(from: string): Promise<string[]> {
  const names = await readdir(join(from, "tests"), { recursive: true });
  return names.filter((name) => name.endsWith(".t")).toSorted();
}

const commitOf = (path: string): string => {
  const git = Bun.spawnSync(["git", "-C", path, "rev-parse", "--short=12", "HEAD"]);
  return git.stdout.toString().trim() || "unknown";
};

const { values } = parseArgs({
  options: {
    from: { type: "string" },
    on: { type: "string" },
    widen: { type: "boolean", default: false },
  },
});
const { from, on } = values;
if (from === undefined || on === undefined) {
  console.error("usage: bun scripts/posix-suite.ts --from DIR --on FOLDER [--widen]");
  process.exit(2);
}
const text = await Bun.file(list).text();
const known = new Map(
  text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => [line.split(" ")[0]!, Number(line.split(" ")[1])] as const),
);
const found: string[] = [];
let passed = 0;
let lost = 0;
for (const name of values.widen ? await namesOf(from) : known.keys()) {
  const outcome = await runFile(from, name, on);
  passed += outcome.passed;
  const isWhole = outcome.planned > 0 && outcome.passed === outcome.planned;
  for (const line of outcome.failed) console.error(`${name}: ${line}`);
  if (isWhole && !known.has(name)) found.push(`${name} ${outcome.planned}`);
  if (isWhole) continue;
  console.error(`${name}: ${outcome.passed} of ${outcome.planned}`);
  if (known.has(name)) lost += 1;
}
if (found.length > 0) {
  const day = new Date().toISOString().slice(0, 10);
  const head = `# ${day}, pjd/pjdfstest ${commitOf(from)}, kiseki ${commitOf(root)}`;
  await Bun.write(list, `${text}\n${head}\n${found.join("\n")}\n`);
}
console.log(`${passed} passed, ${lost} of ${known.size} listed files lost`);
process.exit(lost === 0 ? 0 : 1);
