import { findIdentityFile, identityNames, readIdentityFile } from "@kiseki/cli";
import type { IdentityFiles } from "./connection.ts";

/** Texts of the files; what is absent is not shown, or believed by the system's authorities. */
export interface IdentityTexts {
  readonly authority: string | undefined;
  readonly certificate: string | undefined;
  readonly certificateKey: string | undefined;
  readonly token: string | undefined;
}

/** Reads them. Without a certificate, token and authority come from the node's config directory, if one is named. */
export async function readIdentity(files: IdentityFiles): Promise<IdentityTexts> {
  const { configDir, cert, key } = files;
  const isByToken = files.tokenFile === undefined && cert === undefined;
  const tokenFile = isByToken ? findIdentityFile(configDir, identityNames.token) : files.tokenFile;
  const authorityFile = files.ca ?? findIdentityFile(configDir, identityNames.certificate);
  return {
    authority: await readIdentityFile(authorityFile, "--ca"),
    certificate: await readIdentityFile(cert, "--cert"),
    certificateKey: await readIdentityFile(key, "--key"),
    token: (await readIdentityFile(tokenFile, "--token-file"))?.trim(),
  };
}
