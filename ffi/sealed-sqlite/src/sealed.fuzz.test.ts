// Goal: no bytes on a disk make the sealing VFS crash, answer rows that were never committed, or lose what another member has.
// Method: the targets of sealed.fuzz.ts, here and in a process whose library was built with ASan and UBSan.
// KISEKI_FUZZ_EVENTS makes it longer, the same KISEKI_FUZZ_SEED replays a run.
import { expect, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fuzz } from "@kiseki/base/contract";
import { sealedTargets } from "./sealed.fuzz.ts";

const seed = Number(process.env["KISEKI_FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const events = Number(process.env["KISEKI_FUZZ_EVENTS"] ?? 150);
const isFull = process.env["KISEKI_TEST_FULL"] === "1";
const root = join(import.meta.dir, "../../..");

test.each([...sealedTargets])(
  `$name keeps its promises (KISEKI_FUZZ_SEED=${seed})`,
  (target) => {
    const { words } = fuzz(target, seed, (executions) => executions < events);
    // Else all is refused before it is looked at, or nothing is.
    expect(words.get("accepted")).toBeGreaterThan(events / 10);
    expect(words.size).toBeGreaterThan(2);
  },
  20_000,
);

function output(...command: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd: root });
  if (exitCode !== 0) throw new Error(`${command[0]}: ${exitCode}\n${stdout}${stderr}`);
  return stdout.toString().trim();
}

async function runSanitized(name: string, folder: string): Promise<string> {
  const preloaded = ["libasan.so", "libubsan.so"].map((library) =>
    output("gcc", `-print-file-name=${library}`),
  );
  const seconds = isFull ? "60" : "3";
  const words = ["scripts/fuzz.ts", name, "--seconds", seconds, "--seed", "1"];
  const child = Bun.spawn([process.execPath, ...words], {
    cwd: root,
    env: {
      ...process.env,
      KISEKI_NATIVE_FOLDER: folder,
      LD_PRELOAD: preloaded.join(" "),
      ASAN_OPTIONS: "detect_leaks=0:handle_segv=0:handle_sigfpe=0", // the engine has its own handlers and keeps its heap
    },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return child.exitCode === 0 && /accepted \d/.test(out) ? "stood" : `${out}${error}`;
}

test("every target stands with a library under ASan and UBSan", async () => {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-sanitized-"));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
  output("scripts/native", "--sanitize", "sealed-sqlite");
  const library = "libkiseki-sealed-sqlite";
  symlinkSync(join(root, `build/native/${library}.asan.so`), join(folder, `${library}.so`));
  for (const { name } of sealedTargets)
    expect([name, await runSanitized(name, folder)]).toEqual([name, "stood"]);
}, 300_000);
