/**
 * Runs ceph/s3-tests, from a folder that the caller brings, against a node of its own.
 *
 *   bun scripts/suites.ts --from DIR            the ids of tests/s3-tests/passing.txt; exits 1 if one does not pass
 *   bun scripts/suites.ts --from DIR --widen    every test; what passes and is not in the list is added to it
 *   … --failures FILE                           with --widen: what did not pass, with the line that says why
 *
 * `DIR` is a checkout of the suite. `--python` names the interpreter that has its requirements, pytest and
 * pytest-timeout (default: `DIR/venv/bin/python`); `--workers N` runs N tests at a time by pytest-xdist. The list
 * may only grow: an id is there for good, under the commits that it first passed at. An id that is in neither list,
 * passing.txt nor not-passing.md with its reason, is told and counts as a fault.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { toUuid } from "../libs/base/src/index.ts";
import { Bed, type User } from "../libs/node/src/gateway/bed.test-helper.ts";
import { kmsKeyArn } from "../libs/node/src/keys/key-name.ts";

const root = join(import.meta.dir, "..");
const list = join(root, "tests/s3-tests/passing.txt");
const excuses = join(root, "tests/s3-tests/not-passing.md");
const folder = "s3tests/functional";
const testSeconds = 300; // two tests put a thousand objects one after another

interface Result {
  readonly passed: ReadonlySet<string>;
  /** By id, the line that says why. */
  readonly failed: ReadonlyMap<string, string>;
}

/** Out of pytest's JUnit report. */
function readReport(text: string): Result {
  const passed = new Set<string>();
  const failed = new Map<string, string>();
  for (const piece of text.split("<testcase ").slice(1)) {
    const [, place = ""] = /classname="([^"]*)"/.exec(piece) ?? [];
    const [, name = ""] = /(?:^| )name="([^"]*)"/.exec(piece) ?? [];
    const id = `${place.replaceAll(".", "/")}.py::${name}`;
    const why = /<(?:failure|error|skipped)[^>]*? message="([^"]*)"/.exec(piece);
    const isPassed = !/<(failure|error|skipped)/.test(piece);
    if (isPassed) passed.add(id);
    else failed.set(id, (why?.[1] ?? "").split("&#10;", 1)[0]!.slice(0, 300));
  }
  return { passed, failed };
}

async function ownerOf(bed: Bed, user: User): Promise<string> {
  const { text } = await bed.call(user, "GET", "/");
  return /<ID>([^<]*)</.exec(text)?.[1] ?? "";
}

/** The suite's configuration: two tenants stand for its two accounts. */
async function writeSettings(bed: Bed, path: string): Promise<void> {
  const section = async (name: string, user: User, more = "") =>
    `[${name}]\naccess_key = ${user.id}\nsecret_key = ${user.secret}\nuser_id = ${await ownerOf(bed, user)}\ndisplay_name = ${user === bed.main ? "default" : "other"}\nemail = ${name.replaceAll(" ", "-")}@example.org\n${more}`;
  // One key a tenant, under two of its names.
  const { defaultTenant } = bed.node;
  const keys = `kms_keyid = ${kmsKeyArn(defaultTenant, "us-east-1")}\nkms_keyid2 = ${toUuid(defaultTenant)}\n`;
  const main = `api_name =\nstorage_classes = REDUCED_REDUNDANCY\n${keys}`;
  const text = [
    `[DEFAULT]\nhost = 127.0.0.1\nport = ${bed.port}\nis_secure = False\nssl_verify = False\n`,
    "[fixtures]\nbucket prefix = kt-{random}-\niam name prefix = kt-\niam path prefix = /kt/\n",
    await section("s3 main", bed.main, main),
    await section("s3 alt", bed.other),
    await section("s3 tenant", bed.other, "tenant = other\n"),
    await section("iam", bed.main),
    await section("iam root", bed.main),
    await section("iam alt root", bed.other),
  ];
  await Bun.write(path, text.join("\n"));
}

interface Wanted {
  readonly from: string;
  readonly python: string;
  readonly workers: string | undefined;
  readonly ids: readonly string[];
}

async function runTests({ from, python, workers, ids }: Wanted): Promise<Result> {
  const work = await mkdtemp(join(tmpdir(), "kiseki-suites-"));
  try {
    // As the suite assumes: a day is short, logs come soon, and ACLs mean something, as they did in new buckets until April 2023.
    const settingWords = [
      ...["--lifecycle-day-seconds", "10", "--bucket-logging-interval-s", "5"],
      ...["--object-ownership", "ObjectWriter"],
    ];
    await using bed = await Bed.open("2GiB", settingWords);
    const settings = join(work, "s3tests.conf");
    const report = join(work, "report.xml");
    await writeSettings(bed, settings);
    const words = ["-m", "pytest", "-q", "-p", "no:cacheprovider"];
    if (workers !== undefined) words.push("-n", workers);
    const child = Bun.spawn(
      [python, ...words, "--timeout", String(testSeconds), `--junitxml=${report}`, ...ids],
      {
        cwd: from,
        env: { ...process.env, S3TEST_CONF: settings, PYTHONDONTWRITEBYTECODE: "1" },
        stdin: "ignore",
        stdout: "inherit",
        stderr: "inherit",
      },
    );
    await child.exited;
    return readReport(await Bun.file(report).text());
  } finally {
    await rm(work, { recursive: true });
  }
}

const commitOf = (path: string): string => {
  const git = Bun.spawnSync(["git", "-C", path, "rev-parse", "--short=12", "HEAD"]);
  return git.stdout.toString().trim() || "unknown";
};

const { values } = parseArgs({
  options: {
    from: { type: "string" },
    workers: { type: "string" },
    python: { type: "string" },
    widen: { type: "boolean", default: false },
    failures: { type: "string" },
  },
});
if (values.from === undefined) {
  console.error(
    "usage: bun scripts/suites.ts --from DIR [--python PATH] [--workers N] [--widen [--failures FILE]]",
  );
  process.exit(2);
}
const python = values.python ?? join(values.from, "venv/bin/python");
const text = await Bun.file(list).text();
const known = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
const excused = new Set(
  [...(await Bun.file(excuses).text()).matchAll(/^- `([^`]+)`/gm)].map(
    ([, id]) => `${folder}/${id}`,
  ),
);
const { passed, failed } = await runTests({
  from: values.from,
  python,
  workers: values.workers,
  ids: values.widen ? [folder] : known,
});
const lost = known.filter((id) => !passed.has(id));
for (const id of lost) console.error(`does not pass any more: ${id}`);
const found = [...passed].filter((id) => !known.includes(id)).toSorted();
if (values.widen && found.length > 0) {
  const day = new Date().toISOString().slice(0, 10);
  const head = `# ${day}, ceph/s3-tests ${commitOf(values.from)}, kiseki ${commitOf(root)}`;
  await Bun.write(list, `${text}\n${head}\n${found.join("\n")}\n`);
}
for (const id of found.filter((one) => excused.has(one))) {
  console.error(`passes, take it out of not-passing.md: ${id}`);
}
const unexplained = [...failed.keys()].filter((id) => !excused.has(id) && !known.includes(id));
for (const id of unexplained) console.error(`no reason in not-passing.md: ${id}`);
if (values.failures !== undefined) {
  const lines = [...failed].map(([id, why]) => `${id}\t${why}\n`);
  await Bun.write(values.failures, lines.join(""));
}
const isGood = lost.length === 0 && unexplained.length === 0;
console.log(`${passed.size} passed, ${lost.length} of ${known.length} listed ids lost`);
process.exit(isGood ? 0 : 1);
