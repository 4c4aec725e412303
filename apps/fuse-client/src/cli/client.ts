/** `kiseki-client`: what a job does with a namespace. */
import { buildProgram, type Environment, runCommand } from "./command.ts";
import type { ExitCode } from "@kiseki/cli";
import { addMount } from "./mount-command.ts";
import { addServe } from "./serve-command.ts";

const description = "Stages and mounts namespaces of Kiseki";

export function runClient(
  version: string,
  words: readonly string[],
  environment: Environment,
): Promise<ExitCode> {
  return runCommand((run) => buildProgram(run, description, [addMount, addServe]), {
    name: "kiseki-client",
    version,
    words,
    environment,
  });
}
