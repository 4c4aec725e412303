/** A journal keeps what it is told: the recovery code goes into a file of the config directory instead. */
import { expect, test } from "bun:test";
import { mkdtemp, open, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chooseCommand, plainEnvironment, until } from "./support/node-process.ts";

const codePattern = /\b[0-9A-Z]{5}(-[0-9A-Z]{5}){4,}\b/;

/** What the first start of a node prints to a file that `JOURNAL_STREAM` names, or names another. */
async function firstStart(isJournal: boolean): Promise<{ output: string; file: string }> {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-journal-"));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
  await using journal = await open(join(folder, "journal"), "w+");
  const { dev, ino } = await journal.stat({ bigint: true });
  const at = (name: string): string => join(folder, name);
  const anyPort = ["--s3-addr", "--data-addr", "--bulk-addr", "--metrics-addr"].flatMap((flag) => [
    flag,
    "127.0.0.1:0",
  ]);
  const child = Bun.spawn(
    [
      ...chooseCommand("kiseki-server"),
      ...["--data-dir", at("data"), "--config-dir", at("config"), "--device-size", "128MiB"],
      ...anyPort,
    ],
    {
      env: { ...plainEnvironment(), JOURNAL_STREAM: `${dev}:${isJournal ? ino : ino + 1n}` },
      stdin: "ignore",
      stdout: journal.fd,
      stderr: journal.fd,
    },
  );
  const read = (): Promise<string> => readFile(at("journal"), "utf8");
  try {
    await until("the node is ready", async () => (await read()).includes('"ready":true'));
  } finally {
    child.kill("SIGTERM");
    await child.exited;
  }
  const file = at("config/recovery-code");
  const text = await readFile(file, "utf8").catch(() => "");
  if (text !== "") expect((await stat(file)).mode & 0o777).toBe(0o600);
  return { output: await read(), file: text };
}

test("kiseki-server tells a journal where the recovery code is, and not the code", async () => {
  const { output, file } = await firstStart(true);
  expect(file).toMatch(codePattern);
  expect(output).not.toMatch(codePattern);
  expect(output).toContain("config/recovery-code");
}, 20_000);

test("kiseki-server prints the recovery code to anybody else, and keeps it nowhere", async () => {
  const { output, file } = await firstStart(false);
  expect(output).toMatch(codePattern);
  expect(file).toBe("");
}, 20_000);
