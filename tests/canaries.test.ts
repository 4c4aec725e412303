/**
 * Nothing that a tenant gave is found in what a node leaves on disks or says: content, names, metadata and
 * secrets are looked for raw, in hex, base64 and UTF-16. The controls find the same canaries in plain files, and
 * in what a node leaves whose ciphers only copy; and a core where one was asked for.
 */
import { createHash } from "node:crypto";
import { expect, test } from "bun:test";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { NodeProcess, until } from "./support/node-process.ts";
import { S3Client } from "./support/s3-client.ts";

/** 24 characters, so that base64 of them has no padding and is found at any offset of three. */
const canary = (name: string): string =>
  `CANARY${name.toUpperCase()}`.padEnd(24, "qZ7").slice(0, 24);

const canaries = {
  content: canary("content"),
  smallContent: canary("small"),
  name: canary("name"),
  directory: canary("direct"),
  metadata: canary("meta"),
  contentType: canary("type"),
  uploadName: canary("upload"),
  bucket: "canary-bucket-name-qzqzq",
  ownContent: canary("owncontent"),
  ownSmall: canary("ownsmall"),
} as const;
/** A customer's key (SSE-C), 32 characters: it is kept nowhere, sealed or not. */
const customerKey = canary("key").padEnd(32, "qZ7");
const customerHeaders = (key: string) => ({
  "x-amz-server-side-encryption-customer-algorithm": "AES256",
  "x-amz-server-side-encryption-customer-key": Buffer.from(key).toString("base64"),
  "x-amz-server-side-encryption-customer-key-md5": createHash("md5").update(key).digest("base64"),
});

function formsOf(text: string): readonly Buffer[] {
  const bytes = Buffer.from(text);
  const base64 = [0, 1, 2].map((shift) => {
    // The middle of the coding, which does not depend on what stands before and after.
    const coded = Buffer.concat([Buffer.alloc(shift, 65), bytes]).toString("base64");
    return Buffer.from(coded.replaceAll("=", "").slice(4, -4));
  });
  return [
    bytes,
    Buffer.from(bytes.toString("hex")),
    Buffer.from(bytes.toString("hex").toUpperCase()),
    Buffer.from(text, "utf16le"),
    Buffer.from(Buffer.from(text, "utf16le")).swap16(),
    ...base64,
  ];
}

async function filesBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

const zeros = Buffer.alloc(4096);
/** Without the blocks of zeros of which a device mostly consists: it takes long to look for so much in them. */
function withoutZeros(bytes: Buffer): Buffer {
  const blocks: Buffer[] = [];
  for (let at = 0; at < bytes.byteLength; at += zeros.byteLength) {
    const block = bytes.subarray(at, at + zeros.byteLength);
    if (!block.equals(zeros)) blocks.push(block);
  }
  return Buffer.concat(blocks);
}

/** `file: canary` for every canary found in any of its forms. */
async function search(
  files: readonly string[],
  wanted: Readonly<Record<string, string>>,
): Promise<readonly string[]> {
  const found: string[] = [];
  for (const file of files) {
    if ((await stat(file)).size === 0) continue;
    const bytes = withoutZeros(await readFile(file));
    for (const [name, text] of Object.entries(wanted)) {
      if (formsOf(text).some((form) => bytes.includes(form))) found.push(`${file}: ${name}`);
    }
  }
  return found;
}

async function use(client: S3Client): Promise<void> {
  const { bucket } = canaries;
  await client.createBucket(bucket);
  const large = Buffer.from(canaries.content.repeat(20_000));
  const headers = {
    "x-amz-meta-canary": canaries.metadata,
    "content-type": `text/${canaries.contentType}`,
  };
  await client.put(bucket, `${canaries.directory}/${canaries.name}`, large, { headers });
  await client.put(bucket, "small", canaries.smallContent.repeat(20), { headers });
  await client.copy(bucket, "small", `${canaries.name} copied`);
  const upload = await client.createUpload(bucket, canaries.uploadName);
  const etag = await client.uploadPart(bucket, canaries.uploadName, upload, 1, large);
  const left = await client.createUpload(bucket, `${canaries.uploadName} left open`);
  await client.uploadPart(bucket, `${canaries.uploadName} left open`, left, 1, large);
  await client.completeUpload(bucket, canaries.uploadName, upload, [etag]);
  await client.get(bucket, `${canaries.directory}/${canaries.name}`);
  await client.list(bucket);
  await useCustomerKey(client);
  await client.call("GET", bucket, `${canaries.name} not there`);
  await client.call("PUT", `${canaries.bucket}-none`, canaries.name, { body: canaries.content });
  await client.delete(bucket, `${canaries.name} copied`);
}

async function useCustomerKey(client: S3Client): Promise<void> {
  const { bucket } = canaries;
  const headers = customerHeaders(customerKey);
  const large = canaries.ownContent.repeat(20_000);
  await client.put(bucket, "own", Buffer.from(large), { headers });
  await client.put(bucket, "own small", canaries.ownSmall.repeat(20), { headers });
  const got = await client.call("GET", bucket, "own", { headers });
  expect(Buffer.from(got.body).toString()).toBe(large);
  const wrong = customerHeaders("w".repeat(32));
  expect((await client.call("GET", bucket, "own", { headers: wrong })).status).toBe(403);
  const bad = { ...headers, "x-amz-server-side-encryption-customer-key-md5": "AAAA" };
  expect((await client.call("PUT", bucket, "own bad", { headers: bad, body: "x" })).status).toBe(
    400,
  );
}

test("no content, name, metadata or secret in devices, data, mirrors, logs, metrics, temporary files", async () => {
  await using node = await NodeProcess.create({ devices: 3, mirrors: 1 });
  await node.start({ environment: { KISEKI_LOG_LEVEL: "debug" } });
  const { accessKey, secretKey } = await node.credentials();
  const said = join(node.directory, "said");
  {
    using client = await S3Client.of(node);
    await use(client);
    using forger = new S3Client(node.s3Port, { accessKey, secretKey: `${secretKey}x` });
    await forger.call("PUT", canaries.bucket, canaries.name, { body: canaries.content });
    await writeFile(said, await node.metrics());
    await node.kill(); // the logs are as they are under load
  }
  const wanted = {
    ...canaries,
    customerKey,
    secretKey,
    recoveryCode: node.recoveryCode,
  };
  await writeFile(join(node.temporaryDirectory, "output"), printed(node));
  const listFiles = async (): Promise<string[]> => [
    ...(await filesBelow(node.dataDirectory)),
    ...(await Promise.all(node.mirrors.map(filesBelow))).flat(),
    ...(await filesBelow(node.temporaryDirectory)),
    ...node.devices,
    said,
  ];
  const files = await listFiles();
  expect(files.length).toBeGreaterThan(12);
  expect(await search(files, wanted)).toEqual([]);
  await node.start();
  await node.stop();
  expect(await search(await listFiles(), wanted)).toEqual([]);
  const configured = await filesBelow(node.configDirectory);
  const secret = await search(configured, wanted);
  expect(secret).toEqual([`${join(node.configDirectory, "credentials.json")}: secretKey`]);
  expect((await stat(join(node.configDirectory, "credentials.json"))).mode & 0o077).toBe(0);
}, 20_000);

const root = dirname(import.meta.dir);

async function run(words: readonly string[]): Promise<number> {
  return Bun.spawn([...words], { cwd: root, stdout: "ignore", stderr: "ignore" }).exited;
}

test("control: where ciphers only copy, devices and sealed files show every canary", async () => {
  const libraries = ["aws-lc", "datapath", "sealed-sqlite"];
  expect(await run(["scripts/native", "--unsealed", ...libraries])).toBe(0);
  await using node = await NodeProcess.create({ devices: 1, mirrors: 1 });
  await node.start({ environment: { KISEKI_NATIVE_DIR: join(root, "build/native-unsealed") } });
  const { secretKey } = await node.credentials();
  {
    using client = await S3Client.of(node);
    await use(client);
    await node.kill();
  }
  const shown = async (files: readonly string[]): Promise<ReadonlySet<string>> => {
    const found = await search(files, { ...canaries, customerKey, secretKey });
    return new Set(found.map((line) => line.split(": ")[1]!));
  };
  expect([...(await shown(node.devices))].toSorted()).toEqual([
    "content",
    "ownContent",
    "ownSmall",
    "smallContent",
  ]);
  for (const folder of [node.dataDirectory, ...node.mirrors]) {
    const { content, smallContent, ownContent, ownSmall, ...named } = canaries;
    const wanted = [...Object.keys(named), "secretKey"].toSorted();
    expect([...(await shown(await filesBelow(folder)))].toSorted()).toEqual(wanted);
  }
}, 20_000);

/** Whatever the machine's pattern: a core or its parts would lie where the process stood. */
async function coresOf(node: NodeProcess): Promise<readonly string[]> {
  return (await filesBelow(node.temporaryDirectory)).filter((file) => /\/core[^/]*$/.test(file));
}

/** A node that is aborted under load, though its limit was lifted from outside. */
async function aborted(words: readonly string[]): Promise<NodeProcess> {
  const node = await NodeProcess.started({ devices: 1, mirrors: 0 }, { words });
  using client = await S3Client.of(node);
  await run(["prlimit", "--pid", String(node.pid), "--core=unlimited"]);
  const load = use(client).catch(() => undefined); // the connection breaks
  using look = await S3Client.of(node);
  const isThere = async () => (await look.call("HEAD", canaries.bucket, "")).status === 200;
  await until("the load has begun", isThere);
  process.kill(node.pid, "SIGABRT");
  expect((await node.ended()).signal).toBe("SIGABRT");
  await load;
  return node;
}

test("a crash leaves no core, whatever the limit; where one was asked for it shows names", async () => {
  await using node = await aborted([]);
  expect(await coresOf(node)).toEqual([]);
  const pattern = (await readFile("/proc/sys/kernel/core_pattern", "utf8")).trim();
  if (/[|/]/.test(pattern)) return; // it would go where this test cannot look
  await using open = await aborted(["--allow-core-dumps"]);
  const cores = await coresOf(open);
  expect(cores).toHaveLength(1);
  expect(await run(["grep", "-qaF", canaries.bucket, cores[0]!])).toBe(0); // sparse, and larger than memory
}, 20_000);

/** What it said, without the line that hands out the recovery code, once, on purpose. */
const printed = (node: NodeProcess): string =>
  node.output
    .split("\n")
    .filter((line) => !line.includes("recovery_code"))
    .join("\n");

test("control: the same canaries in plain files are found, in every form", async () => {
  await using node = await NodeProcess.create({ devices: 0, mirrors: 0 });
  const folder = join(node.directory, "plain");
  await mkdir(folder);
  const texts = Object.values(canaries).join(" ");
  await writeFile(join(folder, "raw"), `some bytes before ${texts}`);
  await writeFile(join(folder, "hex"), Buffer.from(`x${texts}`).toString("hex"));
  await writeFile(join(folder, "base64-0"), Buffer.from(texts).toString("base64"));
  await writeFile(join(folder, "base64-1"), Buffer.from(`1${texts}`).toString("base64"));
  await writeFile(join(folder, "base64-2"), Buffer.from(`12${texts}`).toString("base64"));
  await writeFile(join(folder, "utf16"), Buffer.from(texts, "utf16le"));
  const found = await search(await filesBelow(folder), canaries);
  expect(found).toHaveLength(6 * Object.keys(canaries).length);
});
