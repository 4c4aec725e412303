import { X509Certificate } from "node:crypto";
import { chmod, readFile, rename, rm } from "node:fs/promises";
import type { ConfigDirectory } from "@kiseki/node";

const daysValid = 3650;
const dayMs = 86_400_000;
/** Renewed at the first start after this. */
const daysLeftMin = 30;

export interface Certificate {
  readonly certificate: string;
  readonly certificateKey: string;
}

const read = (path: string): Promise<string | undefined> =>
  readFile(path, "utf8").catch(() => undefined);

function isFresh(pem: string, now: number): boolean {
  try {
    return Date.parse(new X509Certificate(pem).validTo) - now > daysLeftMin * dayMs;
  } catch {
    return false; // not a certificate: made anew
  }
}

/**
 * The self-made certificate of the RPC listener on loopback, in the config directory (`rpc-cert.pem`,
 * `rpc-key.pem`): a caller trusts exactly this file. Made by openssl at the first start, and anew in
 * its last month. @throws {Error} when openssl is not there or fails.
 */
export async function ensureCertificate(
  config: ConfigDirectory,
  now: number,
): Promise<Certificate> {
  const certificatePath = config.file("rpc-cert.pem");
  const keyPath = config.file("rpc-key.pem");
  const [known, knownKey] = await Promise.all([read(certificatePath), read(keyPath)]);
  if (known && knownKey && isFresh(known, now))
    return { certificate: known, certificateKey: knownKey };
  const next = { certificate: `${certificatePath}.new`, key: `${keyPath}.new` };
  await rm(next.key, { force: true }); // openssl keeps the mode of a file that is there
  await runOpenssl([
    "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
    "-keyout", next.key, "-out", next.certificate, "-days", String(daysValid),
    "-subj", "/CN=kiseki", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1",
    "-addext", "extendedKeyUsage=serverAuth",
  ]); // prettier-ignore
  await chmod(next.key, 0o600);
  await rename(next.key, keyPath);
  await rename(next.certificate, certificatePath);
  return {
    certificate: await readFile(certificatePath, "utf8"),
    certificateKey: await readFile(keyPath, "utf8"),
  };
}

async function runOpenssl(words: readonly string[]): Promise<void> {
  let failure: string;
  try {
    const child = Bun.spawn(["openssl", ...words], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const [code, text] = await Promise.all([child.exited, new Response(child.stderr).text()]);
    if (code === 0) return;
    failure = text.trim().split("\n").at(-1) ?? `exit code ${code}`;
  } catch (reason) {
    failure = reason instanceof Error ? reason.message : "unknown";
  }
  throw new Error(`Cannot make the RPC certificate with openssl (is it installed?): ${failure}`);
}
