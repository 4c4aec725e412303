import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { CommandError, exitCode } from "./exit-codes.ts";
import type { IdentityFiles } from "./mount-plan.ts";

/** Texts of the files; what is absent is not shown, or believed by the system's authorities. */
export interface IdentityTexts {
  readonly authority: string | undefined;
  readonly certificate: string | undefined;
  readonly certificateKey: string | undefined;
  readonly token: string | undefined;
}

/** What a node keeps in its config directory for clients on the same machine. */
const tokenName = "rpc-token";
const certificateName = "rpc-cert.pem";
const sizeMax = 1024 * 1024;

async function readText(path: string, flag: string): Promise<string> {
  const file = Bun.file(path);
  try {
    if (file.size > sizeMax) throw new Error(`it has ${file.size} bytes`);
    return await readFile(path, "utf8");
  } catch (reason) {
    const message = reason instanceof Error ? reason.message : "unknown";
    throw new CommandError(exitCode.arguments, `Cannot read the file of ${flag}: ${message}`);
  }
}

/** Reads them. Without a certificate, token and authority come from the node's config directory, if one is named. */
export async function readIdentity(files: IdentityFiles): Promise<IdentityTexts> {
  const beside = (name: string): string | undefined => {
    const path = `${files.configDir}/${name}`;
    return files.configDir !== undefined && existsSync(path) ? path : undefined;
  };
  const tokenFile = files.tokenFile ?? (files.cert === undefined ? beside(tokenName) : undefined);
  const authorityFile = files.ca ?? beside(certificateName);
  const text = async (path: string | undefined, flag: string): Promise<string | undefined> =>
    path === undefined ? undefined : readText(path, flag);
  return {
    authority: await text(authorityFile, "--ca"),
    certificate: await text(files.cert, "--cert"),
    certificateKey: await text(files.key, "--key"),
    token: (await text(tokenFile, "--token-file"))?.trim(),
  };
}
