import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "../../..");
const seed = Number(process.env["KISEKI_SIM_SEED"] ?? 1);
const flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-O1", "-g"];

function run(...command: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd: root });
  return exitCode === 0 ? "" : `${command[0]}: ${exitCode}\n${stdout}${stderr}`;
}

test(`hostile records get errors, under ASan and UBSan (seed ${seed})`, async () => {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-hostile-"));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
  expect(run("scripts/native", "--sanitize", "datapath")).toBe("");
  const library = join(root, "build/native/libkiseki-datapath.asan.so");
  const program = join(folder, "hostile");
  const sources = ["-Iffi/datapath/native", "ffi/datapath/native-test/hostile.c", library];
  const link = [`-Wl,-rpath,${join(root, "build/native")}`, "-lpthread"];
  expect(
    run("gcc", ...flags, "-fsanitize=address,undefined", "-o", program, ...sources, ...link),
  ).toBe("");
  expect(run(program, String(seed), "600")).toBe("");
}, 60_000);

// The development package of liberasurecode is not needed to build or run; where it is there, it is compared with.
test.skipIf(!existsSync("/usr/include/liberasurecode/erasurecode.h"))(
  "parity equals that of liberasurecode's isa_l_rs_cauchy",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "kiseki-parity-"));
    await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
    const program = join(folder, "parity");
    const native = "ffi/erasure-code/native";
    const sources = [`-I${native}`, `${native}/erasure-code.c`, `${native}-test/liberasurecode.c`];
    const libraries = ["-lisal", "-lerasurecode", "-lpthread"];
    expect(run("gcc", ...flags, "-o", program, ...sources, ...libraries)).toBe("");
    expect(run(program)).toBe("");
  },
);
