import { expect, test } from "bun:test";
import { join } from "node:path";
import { helperWords } from "./mounter.ts";

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}
const run = (...words: string[]): Ended => runOf("kiseki-client-fuse", words);
function runOf(name: string, words: readonly string[]): Ended {
  const program = join(import.meta.dir, `../${name}.ts`);
  const environment = { PATH: process.env["PATH"]!, HOME: process.env["HOME"]! };
  const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, program, ...words], {
    env: environment,
  });
  return { code: exitCode, out: stdout.toString(), err: stderr.toString() };
}

test("kiseki-client-fuse says its version, and completes its commands", () => {
  expect(run("version").out).toMatch(/^kiseki-client-fuse \d+\.\d+\.\d+\n$/);
  expect(JSON.parse(run("--json", "version").out)).toEqual({ version: expect.any(String) });
  const bash = run("completion", "bash").out;
  expect(bash).toContain("complete -o filenames -F _kiseki_client_fuse kiseki-client-fuse");
  expect(bash).toContain("--data-addr");
  expect(bash).not.toContain("--detached");
  expect(run("completion", "tcsh").code).toBe(2);
});

test("kiseki-client-fuse mount tells what is wrong before it goes into the background", () => {
  const words = run("mount", "/nowhere", "-o", "frob");
  expect(words).toMatchObject({ code: 2, out: "" });
  expect(words.err).toMatch(/-o frob is not known[\s\S]*--data-addr[\s\S]*--tenant/);
  const json = run("mount", "/nowhere", "--json");
  expect(JSON.parse(json.err)).toMatchObject({ error: { code: "invalid", exit_code: 2 } });
  expect(run("mount").code).toBe(2);
  const place = ["--data-addr", "127.0.0.1:1", "--tenant", "t", "--namespace", "n"];
  const ca = run("mount", "/tmp", ...place, "--ca", "/nowhere/ca.pem");
  expect(ca).toMatchObject({ code: 2, err: expect.stringContaining("--ca") });
});

test("kiseki-client has the same mount, and commands of its own", () => {
  expect(runOf("kiseki-client", ["version"]).out).toMatch(/^kiseki-client \d+\.\d+\.\d+\n$/);
  const completion = runOf("kiseki-client", ["completion", "bash"]).out;
  expect(completion).toContain("_kiseki_client kiseki-client\n");
  const words = runOf("kiseki-client", ["mount", "/nowhere", "-o", "frob"]);
  expect(words).toMatchObject({ code: 2, out: "" });
  expect(words.err).toMatch(/^kiseki-client: [\s\S]*-o frob is not known/);
});

test("helperWords() turns what mount(8) says into words of our own", () => {
  expect(helperWords(["h:9100/t/n", "/mnt/a b", "-s", "-v", "-o", "rw,allow_other"])).toEqual([
    ...["mount", "/mnt/a b", "--data-addr", "h:9100", "--tenant", "t", "--namespace", "n"],
    ...["-o", "rw,allow_other"],
  ]);
  expect(helperWords(["h:9100/t/n", "/mnt", "-f", "-t", "fuse.kiseki"])).toBeUndefined();
  expect(() => helperWords(["h:9100/t/n", "/mnt", "-x"])).toThrow("-x");
  expect(run("mount-helper", "h:9100", "/mnt").code).toBe(1);
});
