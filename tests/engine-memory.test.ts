/** Decision 0005: the program bounds the engine's memory by replacing itself once. */
import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { chooseCommand, NodeProcess, plainEnvironment } from "./support/node-process.ts";

const variable = "BUN_JSC_forceRAMSize";
const layout = { devices: 1, mirrors: 0 } as const;

async function readList(pid: number, name: "environ" | "cmdline"): Promise<readonly string[]> {
  return (await readFile(`/proc/${pid}/${name}`, "utf8")).split("\0").filter((one) => one !== "");
}
const valuesOf = (environment: readonly string[]): readonly string[] =>
  environment.filter((one) => one.startsWith(`${variable}=`));

test("kiseki-server bounds the engine's memory and stays the process that was started", async () => {
  await using node = await NodeProcess.started(layout);
  // What /proc shows is what the process was last started with: here by itself, under the same pid.
  expect(valuesOf(await readList(node.pid, "environ"))).toEqual([`${variable}=${1024 ** 3}`]);
  const words = await readList(node.pid, "cmdline");
  expect(words.filter((word) => word === "--data-dir")).toHaveLength(1);
  expect(words.filter((word) => word.includes("kiseki-server"))).toHaveLength(1);
  expect(await readFile(`/proc/${node.pid}/task/${node.pid}/children`, "utf8")).toBe("");
  expect(await node.stop()).toEqual({ code: 0, signal: null });
});

test("kiseki-server leaves an operator's own bound alone", async () => {
  const own = String(512 * 1024 ** 2);
  await using node = await NodeProcess.started(layout, { environment: { [variable]: own } });
  expect(valuesOf(await readList(node.pid, "environ"))).toEqual([`${variable}=${own}`]);
});

test("kiseki-server keeps its words, output and exit status when it starts itself anew", async () => {
  const run = async (...words: readonly string[]) => {
    const child = Bun.spawn([...chooseCommand("kiseki-server"), ...words], {
      env: plainEnvironment(),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { code: await child.exited, out, err };
  };
  const help = await run("--help");
  expect(help.code).toBe(0);
  expect(help.out.match(/--data-dir/g)).toHaveLength(1);
  const refused = await run("--no such flag", "--data-dir", "a b");
  expect(refused.code).toBe(2);
  expect(refused.err).toContain("no such flag");
});
