/** The package of python/kiseki: its own tests against a node, its types, and pip's installation of it. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { chmod, cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { chooseCommand, NodeProcess, plainEnvironment } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { cached } from "../support/tools.ts";

setDefaultTimeout(60_000);
const source = join(dirname(dirname(import.meta.dir)), "python/kiseki");
const python = cached("sdk-clients-1/bin/python");

let node: NodeProcess;
let folder: string;
let environment: Record<string, string>;

/** `kiseki-client` as one program, also where it is run out of its sources. */
async function clientProgram(): Promise<string> {
  const words = chooseCommand("kiseki-client");
  const path = join(folder, "kiseki-client");
  const quoted = words.map((word) => `'${word}'`).join(" ");
  await writeFile(path, `#!/bin/sh\nexec ${quoted} "$@"\n`);
  await chmod(path, 0o755);
  return path;
}

async function run(...words: readonly string[]): Promise<{ code: number; output: string }> {
  const child = Bun.spawn([python, ...words], {
    cwd: folder,
    env: environment,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, output: output + errors };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "kiseki-sdk-"));
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "192MiB" });
  using s3 = await S3Client.of(node);
  await s3.createBucket("data");
  environment = {
    ...plainEnvironment(),
    PYTHONDONTWRITEBYTECODE: "1",
    KISEKI_DATA_ADDR: `127.0.0.1:${node.rpcPort}`,
    KISEKI_TENANT: "default",
    KISEKI_NAMESPACE: "data",
    KISEKI_CONFIG_DIR: node.configDirectory,
    KISEKI_CLIENT: await clientProgram(),
  };
  // pip builds where the source is: a copy stays clean of what that leaves.
  await cp(source, join(folder, "source"), { recursive: true });
  const words = ["install", "--quiet", "--no-build-isolation", "--no-deps", "--target"];
  const { code, output } = await run("-m", "pip", ...words, join(folder, "site"), "./source");
  if (code !== 0) throw new Error(output);
  environment["PYTHONPATH"] = join(folder, "site");
});
afterAll(async () => {
  await node[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const files = readdirSync(join(source, "tests")).filter((name) => name.startsWith("test_"));
test.each(files)("the package that pip installed passes %s", async (file) => {
  const { code, output } = await run(
    "-m",
    "pytest",
    "-q",
    "-x",
    join(folder, "source/tests", file),
  );
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
});

test("the package has types throughout, and says so", async () => {
  const { code, output } = await run(
    "-m",
    "mypy",
    "--config-file",
    join(source, "pyproject.toml"),
    join(folder, "site/kiseki"),
  );
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
  expect(await Bun.file(join(folder, "site/kiseki/py.typed")).exists()).toBe(true);
});
