// Goal: of several threads that read requests none lets a lock overtake the release that the kernel sent before it.
// Method: native-test/order.c, with ASan and UBSan, and again with TSan.
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "../../..");
const rounds = 20;
const flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-O1", "-g"];
const wrapped = ["read", "open", "ioctl"].map((each) => `-Wl,--wrap=${each}`);

function run(...command: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd: root });
  return exitCode === 0 ? "" : `${command[0]}: ${exitCode}\n${stdout}${stderr}`;
}

test.each(["address,undefined", "thread"])(
  "a lock is asked for after what was read before it, under -fsanitize=%s",
  async (sanitizer) => {
    const folder = await mkdtemp(join(tmpdir(), "kiseki-order-"));
    await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
    const program = join(folder, "order");
    const native = ["device", "lent", "notify", "quick", "quiet", "segments"].map(
      (each) => `ffi/fuse/native/${each}.c`,
    );
    const sources = [
      "-Iffi",
      "-Iffi/fuse/native",
      "ffi/fuse/native-test/order.c",
      ...native,
      "-lpthread",
    ];
    const words = [...flags, `-fsanitize=${sanitizer}`, ...wrapped, "-o", program];
    expect(run("gcc", ...words, ...sources)).toBe("");
    expect(run("timeout", "15", program, String(rounds))).toBe("");
  },
  20_000,
);
