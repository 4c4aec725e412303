/** What the words of a command line, of fstab and of the environment ask for, checked before anything is done. */
import { mountFlags } from "@kiseki/fuse-device";
import { CommandError, exitCode } from "@kiseki/cli";
import { readWorkflowRef } from "@kiseki/advisory";
import type { Environment } from "./command.ts";
import {
  type Connection,
  type ConnectionFlags,
  connectionOptionNames,
  readConnection,
} from "./connection.ts";
import { type MountSettings, resolveSettings, settingOptions } from "./settings.ts";

export interface MountPlan extends Connection {
  readonly target: string;
  /** `host:port/tenant/namespace`: what tools show as mounted. */
  readonly source: string;
  readonly kernelOptions: readonly string[];
  /** Of mount(2). */
  readonly flags: number;
  readonly isReadOnly: boolean;
  readonly settings: MountSettings;
  readonly readerCount: number;
  /** How long an operation waits for nodes before it fails with EIO. */
  readonly timeoutMs: number;
  /** To which calls belong, in hex. */
  readonly workflow?: string;
  /** Where a mount in the background writes its log. */
  readonly logFile: string | undefined;
  /** What has no effect, for whoever mounts. */
  readonly notes: readonly string[];
}
/** What is asked for before it is checked; `undefined`: not said. */
export interface MountWords {
  /** Empty: nothing is mounted. */
  readonly target: string;
  readonly connection: ConnectionFlags;
  readonly isReadOnly: boolean;
  /** Each text of a `-o`. */
  readonly options: readonly string[];
}

const readersMax = 8;
const timeoutUsual = 30;
const timeoutMax = 86_400;

/** Words of mount(8) with the bit that they set or clear. */
const flagWords = new Map<string, readonly [bit: number, isSet: boolean]>([
  ["ro", [mountFlags.readOnly, true]],
  ["rw", [mountFlags.readOnly, false]],
  ["nosuid", [mountFlags.noSuid, true]],
  ["suid", [mountFlags.noSuid, false]],
  ["nodev", [mountFlags.noDevices, true]],
  ["dev", [mountFlags.noDevices, false]],
  ["noexec", [mountFlags.noExecute, true]],
  ["exec", [mountFlags.noExecute, false]],
  ["noatime", [mountFlags.noAtime, true]],
  ["atime", [mountFlags.noAtime, false]],
]);
/** For mount(8), systemd and people alone. */
const foreignWord =
  /^(defaults|auto|noauto|users?|nouser|owner|group|_netdev|nofail|async|relatime|norelatime|x-.*|comment=.*)$/;
const ownOptions: ReadonlySet<string> = new Set([
  ...connectionOptionNames,
  ...settingOptions,
  ...["log_file", "readers", "timeout_s", "workflow_ref"],
]);

interface OptionWords {
  readonly values: Map<string, string>;
  readonly kernelOptions: Set<string>;
  flags: number;
}

/** Takes the words of `-o` apart; the last of two that differ wins. */
function readOptions(texts: readonly string[], faults: string[]): OptionWords {
  const found: OptionWords = {
    values: new Map(),
    kernelOptions: new Set(["default_permissions"]),
    flags: mountFlags.noSuid | mountFlags.noDevices,
  };
  const words = texts.flatMap((text) => text.split(",")).filter((word) => word !== "");
  for (const word of words) {
    const flag = flagWords.get(word);
    const [name = "", ...rest] = word.split("=");
    if (flag !== undefined) found.flags = flag[1] ? found.flags | flag[0] : found.flags & ~flag[0];
    else if (word === "allow_other" || word === "default_permissions")
      found.kernelOptions.add(word);
    else if (word === "no_default_permissions") found.kernelOptions.delete("default_permissions");
    else if (ownOptions.has(name) && rest.length > 0) found.values.set(name, rest.join("="));
    else if (ownOptions.has(name)) faults.push(`-o ${name} needs a value`);
    else if (!foreignWord.test(word)) faults.push(`-o ${word} is not known`);
  }
  return found;
}

/** `host:port[,…]/tenant/namespace`, as fstab names it. @throws {CommandError} */
export function parseSource(source: string): {
  readonly dataAddr: string;
  readonly tenant: string;
  readonly namespace: string;
} {
  const [dataAddr, tenant, namespace, ...rest] = source.split("/");
  if (dataAddr && tenant && namespace && rest.length === 0) return { dataAddr, tenant, namespace };
  throw new CommandError(
    exitCode.arguments,
    `Cannot mount ${JSON.stringify(source)}: write host:9100/tenant/namespace`,
  );
}

/**
 * The plan of a mount.
 *
 * @throws {CommandError} naming every fault, not the first.
 */
export function planMount(words: MountWords, environment: Environment): MountPlan {
  const faults: string[] = [];
  const { values, kernelOptions, flags } = readOptions(words.options, faults);
  const connection = readConnection(words.connection, values, environment, faults);
  const found = resolveSettings(values, environment);
  faults.push(...found.faults);
  const readerCount = Number(values.get("readers") ?? 1);
  if (!(Number.isSafeInteger(readerCount) && readerCount >= 1 && readerCount <= readersMax))
    faults.push(`-o readers is an integer from 1 to ${readersMax}`);
  const timeout = Number(values.get("timeout_s") ?? timeoutUsual);
  if (!(Number.isSafeInteger(timeout) && timeout >= 1 && timeout <= timeoutMax))
    faults.push(`-o timeout_s is an integer from 1 to ${timeoutMax}`);
  const workflowText =
    values.get("workflow_ref") ?? (environment["KISEKI_WORKFLOW_REF"] || undefined);
  const workflow = workflowText === undefined ? undefined : readWorkflowRef(workflowText, false);
  if (workflowText !== undefined && workflow === undefined)
    faults.push("-o workflow_ref (KISEKI_WORKFLOW_REF) is a UUID or 32 hex digits");
  if (faults.length > 0) {
    const lines = faults.map((fault) => `  ${fault}`).join("\n");
    const what = words.target === "" ? "open the client" : "mount";
    throw new CommandError(exitCode.arguments, `Cannot ${what} with these words:\n${lines}`);
  }
  const { seeds, tenant, namespace } = connection;
  const isReadOnly = words.isReadOnly || (flags & mountFlags.readOnly) !== 0;
  return {
    ...connection,
    target: words.target,
    source: `${seeds}/${tenant}/${namespace}`,
    kernelOptions: [...kernelOptions],
    flags: isReadOnly ? flags | mountFlags.readOnly : flags,
    isReadOnly,
    settings: found.settings,
    readerCount,
    timeoutMs: timeout * 1000,
    ...(workflow === undefined ? {} : { workflow }),
    logFile: values.get("log_file"),
    notes: found.notes,
  };
}
