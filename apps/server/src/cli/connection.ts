import { existsSync } from "node:fs";
import { type NodeAdminTarget, RpcError } from "@kiseki/rpc";
import {
  CommandError,
  exitCode,
  findIdentityFile,
  identityNames,
  readIdentityFile,
} from "@kiseki/cli";

/** Name of the local socket in the config directory. */
export const adminSocketName = "admin.sock";
/** Config directory of the systemd unit. */
const packagedConfigDir = "/var/lib/kiseki-config";

/** Options of every command that calls a node, as commander gives them. */
export interface ConnectionOptions {
  readonly configDir?: string;
  readonly socket?: string;
  readonly endpoint?: string;
  readonly tokenFile?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}
type Environment = Readonly<Record<string, string | undefined>>;

/** Where `scripts/up` puts it, when a node was started there, else where the systemd unit does. */
function usualConfigDir(environment: Environment): string {
  const base = notEmpty(environment["XDG_CONFIG_HOME"]) ?? `${environment["HOME"] ?? ""}/.config`;
  const own = `${base}/kiseki`;
  const listens = [own, packagedConfigDir].find((path) => existsSync(`${path}/${adminSocketName}`));
  return listens ?? (existsSync(own) ? own : packagedConfigDir);
}

const notEmpty = (text: string | undefined): string | undefined => (text === "" ? undefined : text);

/**
 * Where the node is: flags win over the environment. A socket wins over an endpoint of the environment; without
 * either it is the socket of the config directory. With an endpoint, token and certificate that are not named
 * come from the config directory, if there is one.
 */
export async function findTarget(
  options: ConnectionOptions,
  environment: Environment,
): Promise<NodeAdminTarget> {
  if (options.socket !== undefined && options.endpoint !== undefined) {
    throw new CommandError(exitCode.arguments, "Give --socket or --endpoint, not both");
  }
  if (options.socket !== undefined) return { kind: "local", path: options.socket };
  const named = notEmpty(options.configDir) ?? notEmpty(environment["KISEKI_CONFIG_DIR"]);
  const configDir = named ?? usualConfigDir(environment);
  const endpoint =
    options.endpoint ??
    (options.configDir === undefined ? notEmpty(environment["KISEKI_ENDPOINT"]) : undefined);
  if (endpoint === undefined) {
    const path = `${configDir}/${adminSocketName}`;
    if (named === undefined && !existsSync(path)) {
      throw new RpcError("unreachable", `No node is running here: there is no ${path}`);
    }
    return { kind: "local", path };
  }
  const tokenFile =
    options.tokenFile ??
    notEmpty(environment["KISEKI_TOKEN_FILE"]) ??
    findIdentityFile(configDir, identityNames.token);
  const authorityFile = options.ca ?? findIdentityFile(configDir, identityNames.certificate);
  const { cert, key } = options;
  if ((cert === undefined) !== (key === undefined)) {
    throw new CommandError(exitCode.arguments, "Give --cert and --key together, or neither");
  }
  return {
    kind: "tls",
    endpoint,
    token: (await readIdentityFile(tokenFile, "--token-file"))?.trim(),
    authority: await readIdentityFile(authorityFile, "--ca"),
    certificate: await readIdentityFile(cert, "--cert"),
    certificateKey: await readIdentityFile(key, "--key"),
  };
}
