import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { CommandError, exitCode } from "@kiseki/cli";

const secretSizeMax = 4096;

/**
 * A passphrase or code, from the file if one is named, asked for on a terminal without echo, or the first line
 * of standard input. Never a word of the command line, which every process may see.
 */
export async function readSecret(what: string, path: string | undefined): Promise<string> {
  let text: string;
  if (path !== undefined && path !== "-") text = await readSecretFile(what, path);
  else if (process.stdin.isTTY) text = await ask(`${what}: `);
  else text = await Bun.stdin.text();
  const line = text.split(/\r?\n/, 1)[0] ?? "";
  if (line === "" || Buffer.byteLength(line) > secretSizeMax) {
    throw new CommandError(exitCode.arguments, `${what}: nothing was given, or too much`);
  }
  return line;
}

/** On a terminal asks twice: what is typed wrong here locks its owner out. */
export async function readNewSecret(what: string, path: string | undefined): Promise<string> {
  const first = await readSecret(what, path);
  if (path !== undefined || !process.stdin.isTTY) return first;
  if ((await ask(`${what} again: `)) !== first) {
    throw new CommandError(exitCode.arguments, "The two are not the same; nothing was done");
  }
  return first;
}

async function readSecretFile(what: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (reason) {
    const message = reason instanceof Error ? reason.message : "unknown";
    throw new CommandError(exitCode.arguments, `${what}: ${message}`);
  }
}

/** One line of the terminal, not shown. */
async function ask(prompt: string): Promise<string> {
  process.stderr.write(prompt);
  const mute = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: mute, terminal: true });
  try {
    const { promise, resolve } = Promise.withResolvers<string>();
    lines.once("line", resolve);
    lines.once("close", () => resolve(""));
    return await promise;
  } finally {
    lines.close();
    process.stderr.write("\n");
  }
}
