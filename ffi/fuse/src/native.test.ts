import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "../../..");
const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

function run(...command: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd: root });
  return exitCode === 0 ? "" : `${command[0]}: ${exitCode}\n${stdout}${stderr}`;
}

test(`hostile requests, answers and sizes get errors, under ASan and UBSan (KISEKI_SIM_SEED=${seed})`, async () => {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-hostile-"));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
  expect(run("scripts/native", "--sanitize", "fuse")).toBe("");
  const library = join(root, "build/native/libkiseki-fuse.asan.so");
  const program = join(folder, "hostile");
  const words = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-O1", "-g"];
  const sources = ["-Iffi/fuse/native", "ffi/fuse/native-test/hostile.c", library];
  const link = [`-Wl,-rpath,${join(root, "build/native")}`, "-lpthread"];
  words.push("-fsanitize=address,undefined", "-o", program);
  expect(run("gcc", ...words, ...sources, ...link)).toBe("");
  expect(run("timeout", "40", program, String(seed), "300")).toBe("");
}, 60_000);
