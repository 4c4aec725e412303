import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { CommandError, exitCode } from "./exit-codes.ts";

/** What a node keeps in its config directory for callers on the same machine. */
export const identityNames = { token: "rpc-token", certificate: "rpc-cert.pem" } as const;
const sizeMax = 1024 * 1024;

/** The path of a file of the config directory, if both are there. */
export function findIdentityFile(
  configDir: string | undefined,
  name: (typeof identityNames)[keyof typeof identityNames],
): string | undefined {
  const path = `${configDir}/${name}`;
  return configDir !== undefined && existsSync(path) ? path : undefined;
}

/** The text of a file that `flag` names, or the config directory in its place; `undefined` where none is named. */
export async function readIdentityFile(
  path: string | undefined,
  flag: string,
): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const file = Bun.file(path);
  try {
    if (file.size > sizeMax) throw new Error(`it has ${file.size} bytes`);
    return await readFile(path, "utf8");
  } catch (reason) {
    const message = reason instanceof Error ? reason.message : "unknown";
    const isDenied = reason instanceof Error && "code" in reason && reason.code === "EACCES";
    if (!isDenied)
      throw new CommandError(exitCode.arguments, `Cannot read the file of ${flag}: ${message}`);
    const advice = "Run it as the user that the node runs as.";
    throw new CommandError(exitCode.authentication, `Cannot read ${path}: ${message}`, advice);
  }
}
