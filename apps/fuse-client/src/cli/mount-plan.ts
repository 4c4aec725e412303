/** What the words of a command line, of fstab and of the environment ask for, checked before anything is done. */
import { mountFlags } from "@kiseki/fuse-device";
import { CommandError, exitCode } from "@kiseki/cli";
import {
  type CachePolicy,
  type MountSettings,
  policyUsual,
  resolveSettings,
  settingOptions,
} from "./settings.ts";

export interface MountPlan {
  readonly target: string;
  /** `host:port,…` of nodes. */
  readonly seeds: string;
  readonly tenant: string;
  readonly namespace: string;
  /** `host:port/tenant/namespace`: what tools show as mounted. */
  readonly source: string;
  readonly kernelOptions: readonly string[];
  /** Of mount(2). */
  readonly flags: number;
  readonly isReadOnly: boolean;
  readonly identity: IdentityFiles;
  readonly settings: MountSettings;
  readonly readerCount: number;
  /** Where a mount in the background writes its log. */
  readonly logFile: string | undefined;
  /** What has no effect, for whoever mounts. */
  readonly notes: readonly string[];
}
/** Files that say who this client is, and whom it believes. */
export interface IdentityFiles {
  readonly tokenFile: string | undefined;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly configDir: string | undefined;
}

/** What is asked for before it is checked; `undefined`: not said. */
export interface MountWords {
  readonly target: string;
  readonly dataAddr: string | undefined;
  readonly tenant: string | undefined;
  readonly namespace: string | undefined;
  readonly isReadOnly: boolean;
  readonly identity: IdentityFiles;
  /** Each text of a `-o`. */
  readonly options: readonly string[];
}

const readersMax = 8;

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
/** Values that flags of the command line say too. */
const namedOptions = [
  "data_addr",
  "tenant",
  "namespace",
  "token_file",
  "ca",
  "cert",
  "key",
] as const;
const ownOptions: ReadonlySet<string> = new Set([
  ...namedOptions,
  ...settingOptions,
  ...["config_dir", "log_file", "readers"],
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
export function planMount(
  words: MountWords,
  environment: Readonly<Record<string, string | undefined>>,
  policy: CachePolicy = policyUsual,
): MountPlan {
  const faults: string[] = [];
  const { values, kernelOptions, flags } = readOptions(words.options, faults);
  const need = (flag: string, given: string | undefined, option: string): string => {
    const value = given ?? values.get(option);
    if (value) return value;
    faults.push(`${flag} (-o ${option}) is required`);
    return "";
  };
  const seeds = need("--data-addr", words.dataAddr ?? environment["KISEKI_DATA_ADDR"], "data_addr");
  const tenant = need("--tenant", words.tenant, "tenant");
  const namespace = need("--namespace", words.namespace, "namespace");
  const found = resolveSettings(values, environment, policy);
  faults.push(...found.faults);
  const identity = identityOf(words.identity, values, environment);
  if ((identity.cert === undefined) !== (identity.key === undefined))
    faults.push("--cert and --key are given together, or neither");
  const readerCount = Number(values.get("readers") ?? 1);
  if (!(Number.isSafeInteger(readerCount) && readerCount >= 1 && readerCount <= readersMax))
    faults.push(`-o readers is an integer from 1 to ${readersMax}`);
  if (faults.length > 0) {
    const lines = faults.map((fault) => `  ${fault}`).join("\n");
    throw new CommandError(exitCode.arguments, `Cannot mount with these words:\n${lines}`);
  }
  const isReadOnly = words.isReadOnly || (flags & mountFlags.readOnly) !== 0;
  return {
    target: words.target,
    seeds,
    tenant,
    namespace,
    source: `${seeds}/${tenant}/${namespace}`,
    kernelOptions: [...kernelOptions],
    flags: isReadOnly ? flags | mountFlags.readOnly : flags,
    isReadOnly,
    identity,
    settings: found.settings,
    readerCount,
    logFile: values.get("log_file"),
    notes: found.notes,
  };
}

function identityOf(
  files: IdentityFiles,
  values: ReadonlyMap<string, string>,
  environment: Readonly<Record<string, string | undefined>>,
): IdentityFiles {
  return {
    tokenFile:
      files.tokenFile ??
      values.get("token_file") ??
      (environment["KISEKI_TOKEN_FILE"] || undefined),
    ca: files.ca ?? values.get("ca"),
    cert: files.cert ?? values.get("cert"),
    key: files.key ?? values.get("key"),
    configDir:
      files.configDir ??
      values.get("config_dir") ??
      (environment["KISEKI_CONFIG_DIR"] || undefined),
  };
}
