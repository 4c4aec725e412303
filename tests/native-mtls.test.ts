/** The native client against a node that asks for certificates: RPC and bulk in TLS, tenants told apart by what they show. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatapath } from "../ffi/datapath/src/index.ts";
import { newBytes, prngFromSeed } from "../libs/base/src/index.ts";
import { openClient } from "../libs/client/src/index.ts";
import { nativeDirectory, openCrypto, systemClock, systemPrng } from "../libs/host/src/index.ts";
import type { Datapath } from "../libs/ports/src/index.ts";
import { kiseki } from "./support/cli.ts";
import { NodeProcess } from "./support/node-process.ts";

const crypto = openCrypto();
let datapath: Datapath;
let folder: string;
const at = (name: string): string => join(folder, name);
const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

async function openssl(...words: readonly string[]): Promise<void> {
  const child = Bun.spawn(["openssl", ...words], { cwd: folder, stderr: "ignore" });
  expect(await child.exited).toBe(0);
}
/** `NAME.pem` and `NAME.key`, signed by `authority`. */
async function certify(name: string, subject: string, alternative: string, authority = "ca") {
  await openssl(
    "req",
    ...newKey,
    "-keyout",
    `${name}.key`,
    "-out",
    `${name}.csr`,
    "-subj",
    subject,
  );
  await writeFile(at(`${name}.ext`), `subjectAltName=${alternative}\n`);
  const signer = ["-CA", `${authority}.pem`, "-CAkey", `${authority}.key`, "-CAcreateserial"];
  const out = ["-in", `${name}.csr`, "-out", `${name}.pem`, "-extfile", `${name}.ext`];
  await openssl("x509", "-req", ...signer, "-days", "2", ...out);
}

beforeAll(async () => {
  const sizes = { arenaSize: 32 << 20, computeThreads: 1, deviceThreads: 1 };
  datapath = openDatapath({ directory: nativeDirectory, ...sizes });
  folder = await mkdtemp(join(tmpdir(), "kiseki-mtls-"));
  for (const name of ["ca", "strange"]) {
    const out = ["-keyout", `${name}.key`, "-out", `${name}.pem`, "-subj", `/CN=${name}`];
    await openssl("req", "-x509", ...newKey, ...out);
  }
  await certify("server", "/OU=kiseki-server/CN=server", "IP:127.0.0.1");
  await certify("elsewhere", "/OU=kiseki-server/CN=elsewhere", "DNS:elsewhere.example");
  await certify("default", "/OU=tenant-default/CN=x", "DNS:x");
  await certify("other", "/OU=tenant-other/CN=x", "DNS:x");
  await certify("admin", "/OU=kiseki-admin/CN=x", "DNS:x");
  await certify("stranger", "/OU=tenant-default/CN=x", "DNS:x", "strange");
});
afterAll(async () => {
  await datapath[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** A node that shows the certificate `server`, with a bucket `data`. */
async function startNode(server: string): Promise<NodeProcess> {
  const files = ["--cert-path", at(`${server}.pem`), "--key-path", at(`${server}.key`)];
  const words = ["--allow-single-copy", ...files, "--ca-path", at("ca.pem")];
  const node = await NodeProcess.started({ devices: 1, mirrors: 0 }, { words });
  const socket = join(node.configDirectory, "admin.sock");
  const made = await kiseki(["--socket", socket, "bucket", "create", "data"]);
  expect(made).toMatchObject({ code: 0 });
  return node;
}
async function tryAs(node: NodeProcess, name: string, tenant = "") {
  const [authority, certificate, certificateKey] = await Promise.all(
    ["ca.pem", `${name}.pem`, `${name}.key`].map((file) => readFile(at(file), "utf8")),
  );
  return openClient(
    { clock: systemClock, prng: systemPrng, crypto, datapath },
    {
      seeds: `127.0.0.1:${node.rpcPort}`,
      tenant,
      namespace: "data",
      hostName: "test",
      identity: { authority, certificate, certificateKey },
      deadlineMs: 4_000,
    },
  );
}

test("openClient() with a tenant's certificate reads and writes over TLS on both ports", async () => {
  await using node = await startNode("server");
  const client = await tryAs(node, "default");
  if (client.kind === "refused") throw new Error(client.message);
  await using _ = { [Symbol.asyncDispose]: () => client.close() };
  const source = prngFromSeed(21).fill(newBytes(1_200_000));
  const content = await client.content.write(client.files.root, source);
  if (!("length" in content)) throw new Error(content.code);
  const made = await client.files.apply({
    kind: "create",
    parent: client.files.root.inode,
    name: Buffer.from("file"),
    node: { kind: "file" },
    mode: 0o644,
    uid: 0,
    gid: 0,
    isExclusive: true,
  });
  if (made.kind === "refused") throw new Error(made.code);
  const file = made.attributes.ref;
  const written = await client.files.apply({
    kind: "write",
    file,
    pieces: [{ offset: 0, content }],
  });
  expect(written.kind).toBe("applied");
  const plan = await client.files.plan(file, 0, source.byteLength);
  if (plan.kind === "refused" || plan.pieces[0]?.kind !== "chunk") throw new Error("no plan");
  const target = newBytes(source.byteLength);
  expect(await client.content.read(plan.pieces[0], 0, target)).toEqual({ kind: "read" });
  expect(Buffer.compare(target, source)).toBe(0);
});

test("openClient() is refused with another's certificate, an administrator's, a stranger's", async () => {
  await using node = await startNode("server");
  const codeOf = async (name: string, tenant = ""): Promise<string> => {
    const opened = await tryAs(node, name, tenant);
    if (opened.kind === "refused") return opened.code;
    await opened.close();
    return "opened";
  };
  expect(await codeOf("default", "default")).toBe("opened");
  expect(await codeOf("default", "other")).toBe("forbidden");
  expect(await codeOf("other")).toBe("forbidden");
  expect(await codeOf("admin")).toBe("forbidden");
  expect(["forbidden", "unreachable"]).toContain(await codeOf("stranger"));
});

test("openClient() believes no node that shows a certificate of another name", async () => {
  await using node = await startNode("elsewhere");
  const opened = await tryAs(node, "default");
  expect(opened).toMatchObject({ kind: "refused", code: "forbidden" });
  expect(opened).toHaveProperty("message", expect.stringContaining("untrusted"));
});
