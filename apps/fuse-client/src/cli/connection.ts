/** Which namespace, on which nodes, and as whom: read alike by every command that talks to nodes. */
import type { Command } from "commander";
import type { Environment } from "./command.ts";

/** Files that say who this client is, and whom it believes. */
export interface IdentityFiles {
  readonly tokenFile: string | undefined;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly configDir: string | undefined;
}

export interface Connection {
  /** `host:port,…` of nodes. */
  readonly seeds: string;
  readonly tenant: string;
  readonly namespace: string;
  readonly identity: IdentityFiles;
}

/** What flags say; `undefined`: not said. */
export interface ConnectionFlags {
  readonly dataAddr?: string | undefined;
  readonly tenant?: string | undefined;
  readonly namespace?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly configDir?: string | undefined;
}

/** As `-o` names what flags say too. */
export const connectionOptionNames = [
  "data_addr",
  "tenant",
  "namespace",
  "token_file",
  "ca",
  "cert",
  "key",
  "config_dir",
] as const;

const variables: Readonly<Record<keyof ConnectionFlags, string>> = {
  dataAddr: "KISEKI_DATA_ADDR",
  tenant: "KISEKI_TENANT",
  namespace: "KISEKI_NAMESPACE",
  tokenFile: "KISEKI_TOKEN_FILE",
  ca: "KISEKI_CA",
  cert: "KISEKI_CERT",
  key: "KISEKI_KEY",
  configDir: "KISEKI_CONFIG_DIR",
};

export function addConnectionOptions(command: Command): Command {
  return command
    .option("--data-addr <list>", "host:9100[,…] of storage nodes (KISEKI_DATA_ADDR)")
    .option("--tenant <id>", "name or id of the tenant (KISEKI_TENANT)")
    .option("--namespace <id>", "the namespace: a bucket of S3 (KISEKI_NAMESPACE)")
    .option("--token-file <path>", "token of a node on this machine (KISEKI_TOKEN_FILE)")
    .option("--ca <path>", "PEM of the authority of the nodes' certificates (KISEKI_CA)")
    .option("--cert <path>", "PEM of the tenant's certificate to show to nodes (KISEKI_CERT)")
    .option("--key <path>", "PEM key of --cert (KISEKI_KEY)")
    .option("--config-dir <dir>", "config directory of a node on this machine: token, certificate");
}

/** Flags win over values of `-o`, those over variables. What is missing or at odds is added to `faults`. */
export function readConnection(
  flags: ConnectionFlags,
  values: ReadonlyMap<string, string>,
  environment: Environment,
  faults: string[],
): Connection {
  const find = (name: keyof ConnectionFlags): string | undefined => {
    const option = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return flags[name] ?? values.get(option) ?? (environment[variables[name]] || undefined);
  };
  const need = (flag: string, name: keyof ConnectionFlags): string => {
    const value = find(name);
    if (value) return value;
    faults.push(`${flag} (${variables[name]}) is required`);
    return "";
  };
  const found = {
    seeds: need("--data-addr", "dataAddr"),
    tenant: need("--tenant", "tenant"),
    namespace: need("--namespace", "namespace"),
    identity: {
      tokenFile: find("tokenFile"),
      ca: find("ca"),
      cert: find("cert"),
      key: find("key"),
      configDir: find("configDir"),
    },
  };
  if ((found.identity.cert === undefined) !== (found.identity.key === undefined))
    faults.push("--cert and --key are given together, or neither");
  return found;
}
