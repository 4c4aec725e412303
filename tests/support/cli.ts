import type { Subprocess } from "bun";
import { chooseCommand, plainEnvironment } from "./node-process.ts";

let command: readonly string[] | undefined;

/** How one call of the `kiseki` command ended. */
export interface CliEnding {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

/** Starts `kiseki` with `words`; `input` is its standard input. */
export function startKiseki(
  words: readonly string[],
  input = "",
): Subprocess<Blob, "pipe", "pipe"> {
  command ??= chooseCommand("kiseki");
  return Bun.spawn([...command, ...words], {
    env: plainEnvironment(),
    stdin: new Blob([input]),
    stdout: "pipe",
    stderr: "pipe",
  });
}

/** Runs `kiseki` with `words` to its end. */
export async function kiseki(words: readonly string[], input = ""): Promise<CliEnding> {
  const child = startKiseki(words, input);
  const [code, out, error] = await Promise.all([
    child.exited,
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code, out, error };
}

/** The lines of JSON that a call printed. @throws {Error} with what it said when it did not end well. */
export async function kisekiJson(
  words: readonly string[],
  input = "",
): Promise<readonly Record<string, unknown>[]> {
  const ending = await kiseki([...words, "--json"], input);
  if (ending.code !== 0)
    throw new Error(`kiseki ${words.join(" ")}: ${ending.code} ${ending.error}`);
  const lines = ending.out.split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}
