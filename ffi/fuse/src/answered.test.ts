// Goal: the threads that answer opens and reads by themselves never say what was withdrawn or taken back, lose no handle between them
// and JavaScript, and give no wrong byte. Method: native-test/quick.c and lent.c, with ASan and UBSan, and again with TSan. KISEKI_TEST_FULL makes it longer.
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "../../..");
const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 2 ** 30));
const events = process.env["KISEKI_TEST_FULL"] === "1" ? 100_000 : 2500;
const flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-O1", "-g"];

function run(...command: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd: root });
  return exitCode === 0 ? "" : `${command[0]}: ${exitCode}\n${stdout}${stderr}`;
}

test.each([
  ["opens", "quick", "address,undefined"],
  ["opens", "quick", "thread"],
  ["reads", "lent", "address,undefined"],
  ["reads", "lent", "thread"],
] as const)(
  `%s that are answered without JavaScript, %s.c under -fsanitize=%s (KISEKI_SIM_SEED=${seed})`,
  async (_what, name, sanitizer) => {
    const folder = await mkdtemp(join(tmpdir(), `kiseki-${name}-`));
    await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
    const program = join(folder, name);
    const native = ["device", "lent", "notify", "quick", "quiet", "segments"].map(
      (each) => `ffi/fuse/native/${each}.c`,
    );
    const sources = [
      "-Iffi",
      "-Iffi/fuse/native",
      `ffi/fuse/native-test/${name}.c`,
      ...native,
      "-lpthread",
    ];
    expect(run("gcc", ...flags, `-fsanitize=${sanitizer}`, "-o", program, ...sources)).toBe("");
    expect(run(program, String(seed), String(events))).toBe("");
  },
  20_000,
);
