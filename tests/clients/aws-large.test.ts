/** The largest objects through aws-cli with its default settings: multipart up, ranges down, every byte hashed. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { open, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { isFull, NodeProcess } from "../support/node-process.ts";
import { content, S3Client } from "../support/s3-client.ts";
import { Tools } from "../support/tools.ts";

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;
/** Of a part, as aws-cli makes them. */
const partSize = 8 * MiB;
let node: NodeProcess;
let client: S3Client;
let tools: Tools;

beforeAll(async () => {
  node = await NodeProcess.create({ devices: 3, mirrors: 1 });
  // Files with holes: to write gigabytes of zeros first would take as long as the tests.
  for (const path of node.devices) {
    await Bun.write(path, "");
    await truncate(path, isFull ? 5 * GiB : 2 * GiB);
  }
  await node.start();
  client = await S3Client.of(node);
  tools = await Tools.of(node);
  await client.createBucket("large");
}, 20_000);
afterAll(async () => {
  client[Symbol.dispose]();
  await node[Symbol.asyncDispose]();
}, 20_000);

/** A body in pieces that do not repeat and do not compress; hashes what it hands out. */
class LargeBody {
  readonly hash = createHash("sha256");
  readonly #md5s: Uint8Array[] = [];
  readonly #name: string;
  readonly #size: number;
  constructor(name: string, size: number) {
    this.#name = name;
    this.#size = size;
  }
  *[Symbol.iterator](): Generator<Uint8Array> {
    for (let at = 0; at < this.#size; at += partSize) {
      const piece = content(`${this.#name} ${at}`, Math.min(partSize, this.#size - at));
      this.hash.update(piece);
      this.#md5s.push(createHash("md5").update(piece).digest());
      yield piece;
    }
  }
  /** Of the upload, once all is handed out. */
  get etag(): string {
    const md5 = createHash("md5").update(Buffer.concat(this.#md5s)).digest("hex");
    return `"${md5}-${this.#md5s.length}"`;
  }
}

async function putByParts(key: string, body: LargeBody): Promise<void> {
  const uploadId = await client.createUpload("large", key);
  const etags: Promise<string>[] = [];
  for (const piece of body) {
    etags.push(client.uploadPart("large", key, uploadId, etags.length + 1, piece));
    await etags.at(-4);
  }
  await client.completeUpload("large", key, uploadId, await Promise.all(etags));
}

test("aws s3 cp of 1 GiB up by multipart", async () => {
  const body = new LargeBody("up", GiB);
  await tools.awsFrom(body, "s3", "cp", "--no-progress", "-", "s3://large/up");
  const head = await client.expect("HEAD", "large", "up");
  expect([head.headers.get("content-length"), head.headers.get("etag")]).toEqual([
    String(GiB),
    body.etag,
  ]);
  await client.delete("large", "up");
}, 120_000); // 10 s on two quiet cores, all of it work

test("aws s3 cp of 1 GiB down", async () => {
  const body = new LargeBody("down", GiB);
  await putByParts("down", body);
  const hash = await tools.hashFromAws("s3", "cp", "s3://large/down", "-");
  expect(hash).toBe(body.hash.digest("hex"));
  await client.delete("large", "down");
}, 120_000); // 10 s on two quiet cores, all of it work

if (isFull) {
  test("aws s3 cp of a file of 5 GiB up by multipart, and down", async () => {
    const path = join(tools.folder, "5 GiB");
    const body = new LargeBody("file", 5 * GiB);
    const file = await open(path, "wx");
    for (const piece of body) await file.writeFile(piece);
    await file.close();
    await tools.aws("s3", "cp", "--no-progress", path, "s3://large/file");
    await rm(path); // one copy on the disk at a time
    const head = await client.expect("HEAD", "large", "file");
    expect(head.headers.get("etag")).toBe(body.etag);
    await tools.aws("s3", "cp", "--no-progress", "s3://large/file", path);
    const back = createHash("sha256");
    for await (const piece of Bun.file(path).stream()) back.update(piece);
    expect(back.digest("hex")).toBe(body.hash.digest("hex"));
    await rm(path);
    await client.delete("large", "file");
  }, 900_000);
}
