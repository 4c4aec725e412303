/** The package of python/kiseki: its own tests against a node, its types, and pip's installation of it. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { isFull } from "../support/node-process.ts";
import { cached } from "../support/tools.ts";
import { type Ran, root, SdkBed } from "./sdk-bed.ts";

setDefaultTimeout(60_000);
const source = join(root, "python/kiseki");
const python = cached("sdk-clients-1/bin/python");

let bed: SdkBed;
beforeAll(async () => {
  bed = await SdkBed.start();
  // pip builds where the source is: a copy stays clean of what that leaves.
  await cp(source, join(bed.folder, "source"), { recursive: true });
  const words = ["install", "--quiet", "--no-build-isolation", "--no-deps", "--target"];
  await bed.need(python, "-m", "pip", ...words, join(bed.folder, "site"), "./source");
  bed.environment["PYTHONPATH"] = join(bed.folder, "site");
});
afterAll(() => bed[Symbol.asyncDispose]());

const passed: Ran = { code: 0, output: "" };
const short = ({ code, output }: Ran): Ran => ({ code, output: code === 0 ? "" : output });
const pytest = (program: string, file: string): Promise<Ran> =>
  bed.run(program, "-m", "pytest", "-q", "-x", join(bed.folder, "source/tests", file));

const files = readdirSync(join(source, "tests")).filter(
  (name) => name.startsWith("test_") && name !== "test_torch.py",
);
test.each(files)("the package that pip installed passes %s", async (file) => {
  expect(short(await pytest(python, file))).toEqual(passed);
});

test("calls of a client carry the workflow that it declared, until it ends", async () => {
  const program = [
    "import kiseki",
    "with kiseki.Client(meta_ttl_ms=0) as client:",
    "    client.stat('/')",
    "    workflow = client.declare_workflow(profile='ai-training', tag='load')",
    "    client.write_bytes('/with-workflow', b'x')",
    "    client.end_workflow(workflow)",
    "    client.write_bytes('/without', b'x')",
  ];
  const before = await bed.metrics();
  expect(short(await bed.run(python, "-c", program.join("\n")))).toEqual(passed);
  const counted = (text: string, result: string): number =>
    Number(
      text
        .split(`kiseki_workflow_refs_total{protocol="rpc",result="${result}"} `)[1]
        ?.split("\n")[0] ?? 0,
    );
  const after = await bed.metrics();
  expect(counted(after, "known")).toBeGreaterThan(counted(before, "known"));
  expect(counted(after, "unknown")).toBe(counted(before, "unknown"));
  expect(after).toContain("kiseki_data_path_blocked_on_advisory_total 0\n");
});

test("policy narrows what the constructor says", async () => {
  const program = [
    "import kiseki",
    "with kiseki.Client(cache_mode='organic') as client:",
    "    print(client.cache_mode())",
    "    try: client.stage('/')",
    "    except kiseki.KisekiError as reason: print(reason.errno)",
  ];
  await bed.kiseki("cache-policy", "set", "--allowed-modes", "pinned", "--staging-enabled", "no");
  const { code, output } = await bed.run(python, "-c", program.join("\n"));
  await bed.kiseki("cache-policy", "clear");
  expect({ code, output }).toEqual({ code: 0, output: expect.stringMatching(/^pinned\n1\n/) });
});

if (isFull) {
  test("pip installs the package where there is nothing but Python", async () => {
    await bed.need("python3", "-m", "venv", "bare");
    const bare = join(bed.folder, "bare/bin/python");
    await bed.need(bare, "-m", "pip", "install", "--quiet", "./source");
    const program = "import kiseki; print(kiseki.__file__); kiseki.Client().close()";
    const { code, output } = await bed.run("env", "-u", "PYTHONPATH", bare, "-c", program);
    expect({ code, output }).toEqual({ code: 0, output: expect.stringContaining("/bare/lib/") });
  }, 180_000);

  // The system's PyTorch, which comes without CUDA.
  test("a model of PyTorch trains over files of a namespace", async () => {
    const torch = cached("sdk-torch-1/bin/python", "--tests-full");
    expect(short(await pytest(torch, "test_torch.py"))).toEqual(passed);
  });
}

test("the package has types throughout, and says so", async () => {
  const words = ["-m", "mypy", "--config-file", join(source, "pyproject.toml")];
  const site = join(bed.folder, "site/kiseki");
  expect(short(await bed.run(python, ...words, site))).toEqual(passed);
  expect(await Bun.file(join(site, "py.typed")).exists()).toBe(true);
});
