import type { Command } from "commander";
import { collect, type Run } from "./command.ts";
import { addConnectionOptions, type ConnectionFlags } from "./connection.ts";
import { Console } from "./console.ts";
import { type ExitCode } from "@kiseki/cli";
import { planMount } from "./mount-plan.ts";

interface ServeFlags extends ConnectionFlags {
  readonly socket: string;
  readonly option?: readonly string[];
  readonly readOnly?: boolean;
}

async function serve(flags: ServeFlags, { name, environment }: Run): Promise<ExitCode> {
  const console = new Console(name, true);
  try {
    const plan = planMount(
      {
        target: "",
        connection: flags,
        isReadOnly: flags.readOnly ?? false,
        options: flags.option ?? [],
      },
      environment,
    );
    const { serveProcess } = await import("../process/serve-process.ts"); // the client is large
    return await serveProcess(plan, flags.socket, console);
  } catch (reason) {
    return console.fail(reason);
  }
}

/** `serve`: the process behind the libraries for Python and C. */
export function addServe(program: Command, run: Run): void {
  const command = program
    .command("serve")
    .description("serve a program's own library on a Unix socket; started by that library")
    .requiredOption("--socket <path>", "where to listen, in a folder of mode 0700")
    .option("-o, --option <list>", "comma-separated mount options; may be repeated", collect)
    .option("--read-only", "let nothing be changed");
  addConnectionOptions(command).action(async () => {
    run.onEnd(await serve(command.optsWithGlobals<ServeFlags>(), run));
  });
}
