import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isGenerated } from "./tree.ts";

const root = join(import.meta.dir, "../..");

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(words: readonly string[], cwd: string = root): Promise<Outcome> {
  const child = Bun.spawn([...words], { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

interface Named {
  readonly name: string;
}
interface KnipReport {
  readonly issues: readonly (Readonly<Record<string, readonly Named[]>> & {
    readonly file: string;
  })[];
}

const knipKinds = [
  ...["files", "exports", "types", "duplicates"],
  ...["dependencies", "devDependencies", "unlisted", "unresolved"],
] as const;

/** What nothing uses, as knip sees it: files, exports, dependencies; and imports that no `package.json` names. */
function deadFaults(report: string): string[] {
  const { issues } = JSON.parse(report) as KnipReport;
  return issues
    .filter(({ file }) => !isGenerated(file))
    .flatMap((issue) =>
      knipKinds.flatMap((kind) =>
        // A duplicate is a list of names.
        (issue[kind] ?? []).flat().map(({ name }) => `${issue.file}: ${kind}: ${name}`),
      ),
    );
}

/** Asks knip about the house, or about another folder with a configuration of its own. */
export async function findDead(folder: string = root): Promise<string[]> {
  const program = join(root, "node_modules/.bin/knip");
  const include = knipKinds.join(",");
  const words = [
    "bun",
    "--bun",
    program,
    "--no-config-hints",
    "--reporter",
    "json",
    "--include",
    include,
  ];
  const { stdout, stderr } = await run(words, folder);
  if (!stdout.startsWith("{")) throw new Error(`knip failed: ${stderr}`);
  return deadFaults(stdout);
}

/** Runs the generators into a folder of their own and returns the generated files by name. */
export async function generate(): Promise<Map<string, string>> {
  const work = await mkdtemp(join(tmpdir(), "kiseki-gen-"));
  try {
    const out = join(work, "proto"); // the template's paths lead out of `proto/`, so the output lands in `work/libs`
    await mkdir(out);
    const buf = join(root, "node_modules/.bin/buf");
    const words = ["bun", "--bun", buf, "generate", "-o", out]; // a bare Debian's node is too old for it
    const { code, stderr } = await run(words, join(root, "proto"));
    if (code !== 0) throw new Error(`buf generate failed: ${stderr}`);
    return await readFolder(join(work, "libs/rpc/src/gen"));
  } finally {
    await rm(work, { recursive: true });
  }
}

/** Every file below `folder`, by its path there. */
export async function readFolder(folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for await (const path of new Bun.Glob("**/*").scan({ cwd: folder })) {
    files.set(path, await readFile(join(folder, path), "utf8"));
  }
  return files;
}

/** Paths that two folders do not share byte for byte. */
export function differences(
  a: ReadonlyMap<string, string>,
  b: ReadonlyMap<string, string>,
): string[] {
  const paths = [...new Set([...a.keys(), ...b.keys()])].sort();
  return paths.filter((path) => a.get(path) !== b.get(path));
}

/** Whether `path` is free of registries' addresses. */
export async function checkLockfile(path: string = join(root, "bun.lockb")): Promise<string[]> {
  const { code, stderr } = await run(["bun", join(root, "scripts/lockfile.ts"), "--check", path]);
  return code === 0 ? [] : [stderr.trim()];
}
