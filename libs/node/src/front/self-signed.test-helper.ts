import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FrontTls } from "./types.ts";

/** A certificate of its own for each run; no key lies in the tree. */
export async function selfSigned(): Promise<FrontTls> {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-front-"));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
  const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")] as const;
  const child = Bun.spawn(
    [
      "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
      "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
      "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
    ], // prettier-ignore
    { stdout: "ignore", stderr: "ignore" },
  );
  if ((await child.exited) !== 0) throw new Error("Cannot make a certificate: openssl failed");
  return { certificate: await Bun.file(certificate).text(), key: await Bun.file(key).text() };
}
