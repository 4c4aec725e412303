import { type Command, CommanderError } from "commander";
import { CommandError, type ExitCode, exitCode } from "./exit-codes.ts";

/**
 * Runs the command of `program` that `words` name; `undefined` when it ran. Else how the program ends: 0 after help was asked
 * for, 2 for wrong words, which commander has told, or `fail` tells with `--json`. Never throws for bad words.
 */
export async function runWords(
  program: Command,
  words: readonly string[],
  fail: (error: CommandError) => ExitCode,
): Promise<ExitCode | undefined> {
  try {
    await program.parseAsync(words, { from: "user" });
    return undefined;
  } catch (reason) {
    if (!(reason instanceof CommanderError)) throw reason;
    if (reason.exitCode === 0) return exitCode.ok;
    if (!words.includes("--json")) return exitCode.arguments;
    const isBare = reason.code === "commander.help";
    const message = isBare ? "No command was given" : reason.message.replace(/^error: /, "");
    const advice = `"${program.name()} --help" shows commands and options`;
    return fail(new CommandError(exitCode.arguments, message, advice));
  }
}
