/** `kiseki-client`: what a job does with a namespace. */
import { addCache } from "./cache-command.ts";
import { buildProgram, type Environment, runCommand } from "./command.ts";
import type { ExitCode } from "@kiseki/cli";
import { addMount } from "./mount-command.ts";
import { addScrub } from "./scrub-command.ts";
import { addServe } from "./serve-command.ts";
import { addStage } from "./stage-command.ts";

const description = "Stages and mounts namespaces of Kiseki";

export function runClient(
  version: string,
  words: readonly string[],
  environment: Environment,
): Promise<ExitCode> {
  return runCommand(
    (run) => buildProgram(run, description, [addStage, addCache, addScrub, addMount, addServe]),
    {
      name: "kiseki-client",
      version,
      words,
      environment,
    },
  );
}
