import { readFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { type NodeAdminTarget, RpcError } from "@kiseki/rpc";
import { CommandError, exitCode } from "./exit-codes.ts";

/** Name of the local socket in the config directory. */
export const adminSocketName = "admin.sock";
/** What the server keeps there for callers over loopback TLS. */
const tokenName = "rpc-token";
const certificateName = "rpc-cert.pem";
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

async function readText(path: string, flag: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (reason) {
    const message = reason instanceof Error ? reason.message : "unknown";
    const isDenied = reason instanceof Error && "code" in reason && reason.code === "EACCES";
    if (isDenied) throw new RpcError("forbidden", `Cannot read ${path}: ${message}`);
    throw new CommandError(exitCode.arguments, `Cannot read the file of ${flag}: ${message}`);
  }
}

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
  const beside = (name: string): string | undefined => {
    const path = `${configDir}/${name}`;
    return existsSync(path) ? path : undefined;
  };
  const tokenFile =
    options.tokenFile ?? notEmpty(environment["KISEKI_TOKEN_FILE"]) ?? beside(tokenName);
  const authorityFile = options.ca ?? beside(certificateName);
  const { cert, key } = options;
  if ((cert === undefined) !== (key === undefined)) {
    throw new CommandError(exitCode.arguments, "Give --cert and --key together, or neither");
  }
  return {
    kind: "tls",
    endpoint,
    token: tokenFile && (await readText(tokenFile, "--token-file")).trim(),
    authority: authorityFile && (await readText(authorityFile, "--ca")),
    certificate: cert && (await readText(cert, "--cert")),
    certificateKey: key && (await readText(key, "--key")),
  };
}
