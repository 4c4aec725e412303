/** `kiseki-client-fuse`: mounts, by its own words or by those of mount(8). */
import { buildProgram, type Environment, runCommand } from "./command.ts";
import { Console } from "./console.ts";
import { CommandError, type ExitCode, exitCode } from "@kiseki/cli";
import { mountExitCode } from "./fates.ts";
import { addMount } from "./mount-command.ts";
import { parseSource } from "./mount-plan.ts";

const name = "kiseki-client-fuse";

const description = "Mounts namespaces of Kiseki as file systems";

export function runMounter(
  version: string,
  words: readonly string[],
  environment: Environment,
): Promise<ExitCode> {
  return runCommand((run) => buildProgram(run, description, [addMount]), {
    name,
    version,
    words,
    environment,
  });
}

/** The words of mount(8)'s helper: `mount.fuse.kiseki SOURCE TARGET [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]`. */
export function helperWords(words: readonly string[]): readonly string[] | undefined {
  const [source = "", target = "", ...rest] = words;
  const { dataAddr, tenant, namespace } = parseSource(source);
  const made = ["mount", target, "--data-addr", dataAddr, "--tenant", tenant];
  made.push("--namespace", namespace);
  for (let at = 0; at < rest.length; at++) {
    const word = rest[at]!;
    if (word === "-o") made.push("-o", rest[++at] ?? "");
    else if (word === "-t" || word === "-N") at += 1;
    else if (word === "-f")
      return undefined; // a trial: nothing is mounted
    else if (!/^-[snv]+$/.test(word))
      throw new CommandError(exitCode.arguments, `Cannot mount with ${JSON.stringify(word)}`);
  }
  return made;
}

/** Runs as mount(8)'s helper, whose exit codes are its own. */
export async function runHelper(
  version: string,
  words: readonly string[],
  environment: Environment,
): Promise<number> {
  try {
    const own = helperWords(words);
    if (own === undefined) return mountExitCode.ok;
    const code = await runMounter(version, own, environment);
    if (code === exitCode.ok) return mountExitCode.ok;
    return code === exitCode.arguments ? mountExitCode.usage : mountExitCode.failure;
  } catch (reason) {
    new Console(name, false).fail(reason);
    return mountExitCode.usage;
  }
}
