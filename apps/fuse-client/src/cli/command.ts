/** What the commands of both programs share: how they run, and what every one of them has. */
import {
  CommandError,
  completionScript,
  type ExitCode,
  exitCode,
  runWords,
  shells,
} from "@kiseki/cli";
import { Command } from "commander";
import { withCacheFolder } from "./cache-folder.ts";
import { Console } from "./console.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** One run of a program. */
export interface Run {
  /** Of the program. */
  readonly name: string;
  readonly version: string;
  readonly words: readonly string[];
  readonly environment: Environment;
  /** Told how the command that ran ended. */
  readonly onEnd: (code: ExitCode) => void;
}

/** The value of an option that may be said more than once. */
export const collect = (
  value: string,
  before: readonly string[] | undefined,
): readonly string[] => [...(before ?? []), value];

const afterHelp = `
Exit codes: 0 done, 1 not done, 2 wrong words, 3 no node reached, 4 not let in.`;

/** The program without commands; what they inherit is set. */
function startProgram({ name, version }: Run, description: string): Command {
  return new Command(name)
    .description(description)
    .version(version, "--version", "version of this program")
    .option("--json", "print one JSON object a line, and nothing else")
    .showHelpAfterError(`("${name} --help" shows commands and options)`)
    .addHelpText("after", afterHelp)
    .exitOverride();
}

/** Commands that every program has. */
function addCommon(program: Command, { name, version, onEnd }: Run): void {
  program
    .command("version")
    .description("version of this program")
    .action(() => {
      const isJson = program.opts<{ json?: boolean }>().json ?? false;
      new Console(name, isJson).say(`${name} ${version}`, { version });
      onEnd(exitCode.ok);
    });
  program
    .command("completion <shell>")
    .description(`print a completion script for ${shells.join(", ")}`)
    .action((shell: string) => {
      const script = completionScript(program, shell);
      if (script !== undefined) process.stdout.write(script);
      const message = `Cannot complete for ${shell}: it is one of ${shells.join(", ")}`;
      const refusal = new CommandError(exitCode.arguments, message);
      onEnd(script === undefined ? new Console(name, false).fail(refusal) : exitCode.ok);
    });
}

/** A program of `commands`, and of those that every program has. */
export function buildProgram(
  run: Run,
  description: string,
  commands: readonly ((program: Command, run: Run) => void)[],
): Command {
  const program = startProgram(run, description);
  for (const add of [...commands, addCommon]) add(program, run);
  return program;
}

/** Runs the command that the words name. Never throws for bad words or refusals. */
export async function runCommand(
  build: (run: Run) => Command,
  run: Omit<Run, "onEnd">,
): Promise<ExitCode> {
  let ended: ExitCode = exitCode.ok;
  const { name, words } = run;
  const environment = withCacheFolder(run.environment);
  const program = build({ ...run, environment, onEnd: (code) => (ended = code) });
  if (words.includes("--json")) program.configureOutput({ writeErr: () => undefined });
  return (await runWords(program, words, (error) => new Console(name, true).fail(error))) ?? ended;
}
