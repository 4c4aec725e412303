// Goal: commits and checkpoints of several connections at once in other threads race with nobody, and use nothing that was closed.
// Method: native-test/commits.c over SQLite as it is installed, with ASan and UBSan, and again with TSan.
import { expect, test } from "bun:test";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "../../..");
const rounds = 100;
const flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-O1", "-g"];

function run(...command: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd: root });
  return exitCode === 0 ? "" : `${command[0]}: ${exitCode}\n${stdout}${stderr}`;
}

test.each(["address,undefined", "thread"])(
  "committers of several connections, under -fsanitize=%s",
  async (sanitizer) => {
    const folder = await mkdtemp(join(tmpdir(), "kiseki-commits-"));
    await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
    const program = join(folder, "commits");
    await mkdir(join(folder, "data"));
    const native = ["-DSQLITE_CORE", "-Iffi", "-Iffi/sealed-sqlite/native"];
    const sources = ["native-test/commits.c", "native/commits.c"].map(
      (each) => `ffi/sealed-sqlite/${each}`,
    );
    const link = ["-lsqlite3", "-lpthread"];
    expect(
      run(
        "gcc",
        ...flags,
        `-fsanitize=${sanitizer}`,
        "-o",
        program,
        ...native,
        ...sources,
        ...link,
      ),
    ).toBe("");
    expect(run("timeout", "15", program, join(folder, "data"), String(rounds))).toBe("");
  },
  20_000,
);
