import type { Command } from "commander";
import { exitOfFailure, type Started, startInBackground } from "./background.ts";
import { collect, type Environment, type Run } from "./command.ts";
import { addConnectionOptions, type ConnectionFlags } from "./connection.ts";
import { Console } from "./console.ts";
import { type ExitCode, exitCode } from "@kiseki/cli";
import { type MountPlan, planMount } from "./mount-plan.ts";

const mountHelp = `
Options of -o: cache_mode=pinned|organic|bypass, cache_dir=PATH, cache_l1_max=SIZE, cache_l2_max=SIZE, meta_ttl_ms=N,
allow_other, no_default_permissions, ro, suid, dev, noexec, noatime, readers=N, timeout_s=N, log_file=PATH, and data_addr, tenant,
namespace, token_file, ca, cert, key, config_dir as the flags of those names.`;

interface MountFlags extends ConnectionFlags {
  readonly option?: readonly string[];
  readonly readOnly?: boolean;
  readonly foreground?: boolean;
  readonly detached?: boolean;
  readonly json?: boolean;
}

function planOf(target: string, flags: MountFlags, environment: Environment): MountPlan {
  const isReadOnly = flags.readOnly ?? false;
  const options = flags.option ?? [];
  return planMount({ target, connection: flags, isReadOnly, options }, environment);
}

/** Mounts here, or in another process that goes on when this one has ended. */
async function mount(
  target: string,
  flags: MountFlags,
  { name, words, environment }: Run,
): Promise<ExitCode> {
  const console = new Console(name, flags.json ?? false);
  try {
    const plan = planOf(target, flags, environment);
    if (flags.foreground || flags.detached) {
      if (!flags.detached) for (const note of plan.notes) console.note(note);
      const { serveMount } = await import("../serve-mount.ts"); // the client is large
      return await serveMount(plan, console, flags.detached ?? false);
    }
    for (const note of plan.notes) console.note(note);
    const started = await startInBackground([...words, "--detached"]);
    return tell(plan, started, console);
  } catch (reason) {
    return console.fail(reason);
  }
}
function tell(plan: MountPlan, started: Started, console: Console): ExitCode {
  if (started.kind === "failed") return exitOfFailure(started);
  const { pid, said } = started;
  const { target, notes } = said as { readonly target: string; readonly notes: readonly string[] };
  for (const note of notes) console.note(note);
  console.say(`${plan.source} is mounted on ${target}`, { mounted: target, pid, notes });
  return exitCode.ok;
}

/** `mount`, the same in both programs. */
export function addMount(program: Command, run: Run): void {
  const command = program
    .command("mount <mountpoint>")
    .description("mount a namespace; ends once it works, unless told to stay in the foreground")
    .option("-o, --option <list>", "comma-separated mount options; may be repeated", collect)
    .option("--read-only", "let nothing be changed; the same as -o ro")
    .option("--foreground", "serve in this process, log to standard error")
    .addHelpText("after", mountHelp);
  addConnectionOptions(command).addOption(command.createOption("--detached").hideHelp());
  command.action(async (target: string) => {
    run.onEnd(await mount(target, command.optsWithGlobals<MountFlags>(), run));
  });
}
