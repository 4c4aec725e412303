/**
 * A real MinIO moves in: filled over S3 and by `mc`, exported by `mc`, imported by `kiseki import minio`, compared.
 * In the full run alone, which builds both.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { kiseki } from "../support/cli.ts";
import { isFull, NodeProcess, plainEnvironment, until } from "../support/node-process.ts";
import { content, digest, S3Client } from "../support/s3-client.ts";
import { cached, Tools } from "../support/tools.ts";

const rootUser = "rootuser";
const rootPassword = "rootpassword";
let node: NodeProcess;
let tools: Tools;
let minio: Subprocess;
let port: number;
let from: S3Client;
let to: S3Client;

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
};

async function prepare(): Promise<void> {
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "512MiB" });
  tools = await Tools.of(node);
  port = await freePort();
  await mkdir(join(tools.folder, "minio"));
  const words = ["server", "--quiet", "--address", `127.0.0.1:${port}`];
  minio = Bun.spawn(
    [
      cached("peers/minio", "--tests-full"),
      ...words,
      ...["--console-address", `127.0.0.1:${await freePort()}`, join(tools.folder, "minio")],
    ],
    {
      env: {
        ...plainEnvironment(),
        MINIO_ROOT_USER: rootUser,
        MINIO_ROOT_PASSWORD: rootPassword,
        MINIO_KMS_SECRET_KEY: `key:${Buffer.alloc(32, 7).toString("base64")}`,
      },
      stdout: "ignore",
      stderr: "ignore",
    },
  );
  from = new S3Client(port, { accessKey: rootUser, secretKey: rootPassword });
  to = await S3Client.of(node);
  const health = `http://127.0.0.1:${port}/minio/health/live`;
  await until(
    "MinIO answers",
    async () => (await fetch(health).catch(() => undefined))?.ok === true,
  );
  const keys = { access_key: rootUser, secret_key: rootPassword };
  await writeFile(join(tools.folder, "minio.json"), JSON.stringify(keys), { mode: 0o600 });
}

const mc = (...words: string[]): Promise<string> =>
  tools.run([
    cached("peers/mc", "--tests-full"),
    "--quiet",
    "-C",
    join(tools.folder, "mc"),
    ...words,
  ]);

async function fill(): Promise<void> {
  await mc("alias", "set", "m", `http://127.0.0.1:${port}`, rootUser, rootPassword);
  await mc("mb", "m/plain", "m/full");
  await mc("mb", "--with-lock", "m/locked");
  await mc("version", "enable", "m/full");
  await mc("tag", "set", "m/full", "team=blue");
  await mc("ilm", "rule", "add", "--expire-days", "30", "--prefix", "tmp/", "m/full");
  await mc("encrypt", "set", "sse-kms", "key", "m/full");
  await mc("quota", "set", "m/full", "--size", "1GiB");
  await mc("retention", "set", "--default", "GOVERNANCE", "3d", "m/locked");
  await mc("anonymous", "set", "download", "m/plain");
  await mc("admin", "user", "add", "m", "carol", "carolsecret");
  await mc("admin", "policy", "attach", "m", "readonly", "--user", "carol");
  const files = new Map([
    ["a/large", 70 * 1024 * 1024],
    ["b ü+", 4097],
    ["empty", 0],
  ]);
  const tree = await tools.makeTree("tree", files);
  await mc("mirror", tree, "m/plain/tree");
  await mc("cp", "--attr", "who=me;Cache-Control=no-cache", join(tree, "b ü+"), "m/full/v");
  await mc("cp", "--tags", "n=1", join(tree, "empty"), "m/full/v");
  await mc("rm", "m/full/v");
  await mc("cp", join(tree, "a/large"), "m/full/v");
  await mc("cp", join(tree, "b ü+"), "m/locked/held");
  await mc("legalhold", "set", "m/locked/held");
}

if (isFull) {
  beforeAll(prepare, 60_000);
  afterAll(async () => {
    minio.kill();
    await minio.exited;
    from[Symbol.dispose]();
    to[Symbol.dispose]();
    await node[Symbol.asyncDispose]();
  });

  test("import minio carries what a real MinIO exports and holds, and says what it does not", async () => {
    await fill();
    const iam = join(tools.folder, "iam.zip");
    await mc("admin", "cluster", "iam", "export", "m", "-o", iam);
    await mc("admin", "cluster", "bucket", "export", "m");
    const words = [
      ...["import", "minio", "--json", "--config-dir", node.configDirectory, "--iam", iam],
      ...["--bucket-metadata", join(tools.folder, "m-bucket-metadata.zip")],
      ...["--from", `http://127.0.0.1:${port}`],
      ...["--from-credentials", join(tools.folder, "minio.json"), "--root-user", rootUser],
    ];
    const { code, out, error } = await kiseki(words);
    const rows = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const left = rows.filter(({ kind }) => kind === "not_carried");
    // The default key is MinIO's own: the tenant's takes its place.
    expect([error, left.map(({ name }) => name)]).toEqual(["", ["full/bucket-encryption.xml"]]);
    expect(code).toBe(1);
    await to.put("full", "later", "sealed by default");
    expect(await to.list("plain")).toEqual(await from.list("plain"));
    for (const [name, size] of [
      ["tree/a/large", 70 * 1024 * 1024],
      ["tree/b ü+", 4097],
    ] as const) {
      const sent = content(name, size);
      expect(digest((await to.get("plain", name))!)).toBe(digest(sent));
    }
    const versions = await historyOf(from);
    expect(versions).toHaveLength(4);
    expect(await historyOf(to)).toEqual(versions);
    const held = await to.expect("GET", "locked", "held", { query: { "legal-hold": "" } });
    expect(Buffer.from(held.body).toString()).toContain("<Status>ON</Status>");
    using carol = new S3Client(node.s3Port, { accessKey: "carol", secretKey: "carolsecret" });
    expect((await carol.call("GET", "plain", "tree/empty")).status).toBe(200);
    expect((await carol.call("PUT", "plain", "new", { body: "x" })).status).toBe(403);
  }, 240_000);
}

/** Digest and metadata of each version of `full/v`, newest first. */
async function historyOf(client: S3Client): Promise<string[]> {
  const { body } = await client.expect("GET", "full", "", { query: { versions: "", prefix: "v" } });
  const entries = Buffer.from(body)
    .toString()
    .matchAll(/<(Version|DeleteMarker)>(.*?)<\/\1>/gs);
  const history: string[] = [];
  for (const [, kind, entry = ""] of entries) {
    const versionId = /<VersionId>([^<]*)</.exec(entry)![1]!;
    if (kind === "DeleteMarker") {
      history.push("marker");
      continue;
    }
    const got = await client.expect("GET", "full", "v", { query: { versionId } });
    const headers = ["content-type", "cache-control", "x-amz-meta-who", "x-amz-tagging-count"];
    const facts = headers.map((name) => got.headers.get(name) ?? "-");
    history.push([digest(got.body), ...facts].join(" "));
  }
  return history;
}
