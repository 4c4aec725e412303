import { completionScript, shells } from "@kiseki/cli";
import { Command, CommanderError } from "commander";
import { type Started, startInBackground } from "./background.ts";
import { Console } from "./console.ts";
import { CommandError, type ExitCode, exitCode } from "@kiseki/cli";
import { mountExitCode } from "./fates.ts";
import { type MountPlan, parseSource, planMount } from "./mount-plan.ts";

const afterHelp = `
Exit codes: 0 done, 1 not done, 2 wrong words, 3 no node reached, 4 not let in.`;
const mountHelp = `
Options of -o: cache_mode=pinned|organic|bypass, cache_dir=PATH, cache_l1_max=SIZE, cache_l2_max=SIZE, meta_ttl_ms=N,
allow_other, no_default_permissions, ro, suid, dev, noexec, noatime, readers=N, log_file=PATH, and data_addr, tenant,
namespace, token_file, ca, cert, key, config_dir as the flags of those names.`;

interface MountFlags {
  readonly dataAddr?: string;
  readonly tenant?: string;
  readonly namespace?: string;
  readonly option?: readonly string[];
  readonly readOnly?: boolean;
  readonly foreground?: boolean;
  readonly detached?: boolean;
  readonly tokenFile?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly configDir?: string;
  readonly json?: boolean;
}
type Environment = Readonly<Record<string, string | undefined>>;

function planOf(target: string, flags: MountFlags, environment: Environment): MountPlan {
  const words = {
    target,
    dataAddr: flags.dataAddr,
    tenant: flags.tenant,
    namespace: flags.namespace,
    isReadOnly: flags.readOnly ?? false,
    identity: {
      tokenFile: flags.tokenFile,
      ca: flags.ca,
      cert: flags.cert,
      key: flags.key,
      configDir: flags.configDir,
    },
    options: flags.option ?? [],
  };
  return planMount(words, environment);
}

/** Mounts here, or in another process that goes on when this one has ended. */
async function mount(
  target: string,
  flags: MountFlags,
  words: readonly string[],
  environment: Environment,
): Promise<ExitCode> {
  const console = new Console(flags.json ?? false);
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
  if (started.kind === "ready") {
    const { pid, target } = started;
    console.say(`${plan.source} is mounted on ${target}`, { mounted: target, pid });
    return exitCode.ok;
  }
  const known = Object.values(exitCode).find((code) => code === started.code);
  return known === undefined || known === exitCode.ok ? exitCode.general : known;
}

const collect = (value: string, before: readonly string[] | undefined): readonly string[] => [
  ...(before ?? []),
  value,
];

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
    const code = await runProgram(version, own, environment);
    if (code === exitCode.ok) return mountExitCode.ok;
    return code === exitCode.arguments ? mountExitCode.usage : mountExitCode.failure;
  } catch (reason) {
    new Console(false).fail(reason);
    return mountExitCode.usage;
  }
}

/** The program with its commands; `onEnd` is told how the one that ran ended. */
export function buildProgram(
  version: string,
  words: readonly string[],
  environment: Environment,
  onEnd: (code: ExitCode) => void,
): Command {
  const program = new Command("kiseki-client-fuse")
    .description("Mounts namespaces of Kiseki as file systems")
    .version(version, "--version", "version of this program")
    .option("--json", "print one JSON object a line, and nothing else")
    .showHelpAfterError('("kiseki-client-fuse --help" shows commands and options)')
    .addHelpText("after", afterHelp)
    .exitOverride();
  const command = program
    .command("mount <mountpoint>")
    .description("mount a namespace; ends once it works, unless told to stay in the foreground")
    .option("--data-addr <list>", "host:9100[,…] of storage nodes (KISEKI_DATA_ADDR)")
    .option("--tenant <id>", "name or id of the tenant")
    .option("--namespace <id>", "the namespace: a bucket of S3")
    .option("-o, --option <list>", "comma-separated mount options; may be repeated", collect)
    .option("--read-only", "let nothing be changed; the same as -o ro")
    .option("--foreground", "serve in this process, log to standard error")
    .option("--token-file <path>", "token of a node on this machine (KISEKI_TOKEN_FILE)")
    .option("--ca <path>", "PEM of the authority of the nodes' certificates")
    .option("--cert <path>", "PEM of the tenant's certificate to show to nodes")
    .option("--key <path>", "PEM key of --cert")
    .option("--config-dir <dir>", "config directory of a node on this machine: token, certificate")
    .addHelpText("after", mountHelp);
  command.addOption(command.createOption("--detached").hideHelp());
  command.action(async (target: string) => {
    onEnd(await mount(target, command.optsWithGlobals<MountFlags>(), words, environment));
  });
  program
    .command("version")
    .description("version of this program")
    .action(() => {
      const isJson = program.opts<{ json?: boolean }>().json ?? false;
      new Console(isJson).say(`kiseki-client-fuse ${version}`, { version });
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
      onEnd(script === undefined ? new Console(false).fail(refusal) : exitCode.ok);
    });
  return program;
}

/** Runs the command that `words` name. Never throws for bad words or refusals. */
export async function runProgram(
  version: string,
  words: readonly string[],
  environment: Environment,
): Promise<ExitCode> {
  let ended: ExitCode = exitCode.ok;
  const isJson = words.includes("--json");
  const program = buildProgram(version, words, environment, (code) => (ended = code));
  if (isJson) program.configureOutput({ writeErr: () => undefined });
  try {
    await program.parseAsync(words, { from: "user" });
    return ended;
  } catch (reason) {
    if (!(reason instanceof CommanderError)) throw reason;
    if (reason.exitCode === 0) return exitCode.ok;
    if (!isJson) return exitCode.arguments; // said by commander already
    const message = reason.message.replace(/^error: /, "");
    return new Console(true).fail(new CommandError(exitCode.arguments, message));
  }
}
