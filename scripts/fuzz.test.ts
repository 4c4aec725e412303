// Goal: every parser of outside bytes is under fire for a while, and the fire can hit.
// Method: scripts/fuzz as a program, a few targets at a time; its canary must be found.
import { expect, test } from "bun:test";
import { join } from "node:path";

const program = join(import.meta.dir, "fuzz.ts");
const isFull = process.env["KISEKI_TEST_FULL"] === "1";
/** For each target. */
const seconds = Number(process.env["KISEKI_FUZZ_SECONDS"] ?? (isFull ? 300 : 10));

/** In the full run the servers of other tests go first. */
const nice = isFull ? ["nice", "-n", "19"] : [];

async function runFuzz(...words: string[]): Promise<{ code: number; text: string }> {
  const child = Bun.spawn([...nice, process.execPath, program, ...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, text: out + error };
}
const names = (await runFuzz("--list")).text.trim().split("\n");

/** At most so many targets run at once. */
const lanes = isFull ? 3 : 2;
const running = new Map<string, Promise<{ code: number; text: string }>>();
async function runInTurn(): Promise<void> {
  const rest = [...names];
  const one = async (): Promise<void> => {
    for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
      const run = runFuzz(name, "--seconds", String(seconds));
      running.set(name, run);
      await run;
    }
  };
  await Promise.all(Array.from({ length: lanes }, one));
}

test("the canary is found, its seed finds it at once, and the input is printed", async () => {
  const { code, text } = await runFuzz("canary", "--seconds", "10");
  expect(code).toBe(1);
  const [, seed, hex] = /^canary --seed (\d+): .*\ninput in hex: ([0-9a-f]+)/.exec(text) ?? [];
  expect(hex).toStartWith("ca");
  const again = await runFuzz("canary", "--seed", seed!);
  expect(again.text).toBe(text);
});

test("what is no target, no time and no seed is refused", async () => {
  expect((await runFuzz("nobody")).code).toBe(2);
  expect((await runFuzz("--seconds", "0")).code).toBe(2);
  expect((await runFuzz("--seed", "x")).code).toBe(2);
});

test("every target is in docs/fuzzing.md, and every name there is a target", async () => {
  const page = await Bun.file(join(import.meta.dir, "../docs/fuzzing.md")).text();
  const cells = page.split("\n").flatMap((line) => /^\|[^|]*\|([^|]*)\|/.exec(line)?.[1] ?? []);
  const listed = cells.flatMap((cell) => [...cell.matchAll(/`([a-z0-9-]+)`/g)]);
  expect(listed.map(([, name]) => name!).toSorted()).toEqual(names.toSorted());
});

test(
  `every target stands ${seconds} s`,
  async () => {
    await runInTurn();
    for (const [name, run] of running) {
      const { code, text } = await run;
      console.log(text.trim().split("\n").at(-1));
      expect({ name, code, text }).toEqual({ name, code: 0, text: expect.any(String) });
    }
  },
  (seconds + 5) * names.length * 1000,
);
