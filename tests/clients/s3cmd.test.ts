/** s3cmd with its default settings: SigV4, path style, multipart above 15 MB. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { NodeProcess } from "../support/node-process.ts";
import { sizes } from "../support/odd-keys.ts";
import { digest, S3Client } from "../support/s3-client.ts";
import { Tools } from "../support/tools.ts";

let node: NodeProcess;
let client: S3Client;
let tools: Tools;

beforeAll(async () => {
  node = await NodeProcess.started({ devices: 3, mirrors: 1, deviceSize: "256MiB" });
  client = await S3Client.of(node);
  tools = await Tools.of(node);
}, 20_000);
afterAll(async () => {
  client[Symbol.dispose]();
  await node[Symbol.asyncDispose]();
});

const hashOf = async (path: string): Promise<string> =>
  digest(new Uint8Array(await Bun.file(path).arrayBuffer()));

test("s3cmd sync of every size up, down, and with --delete-removed", async () => {
  const files = new Map<string, number>(sizes.map((size) => [`size-${size}`, size]));
  files.set("a b/ünï+%.txt", 55);
  const tree = await tools.makeTree("tree", files);
  await tools.s3cmd("mb", "s3://s3cmd-sync");
  await tools.s3cmd("sync", "--no-progress", `${tree}/`, "s3://s3cmd-sync/below/");
  await tools.s3cmd("sync", "--no-progress", "s3://s3cmd-sync/below/", "back/");
  for (const name of files.keys()) {
    const back = await hashOf(join(tools.folder, "back", name));
    expect([name, back]).toEqual([name, await hashOf(join(tree, name))]);
  }
  await rm(join(tree, "size-1"));
  await tools.s3cmd("sync", "--delete-removed", `${tree}/`, "s3://s3cmd-sync/below/");
  expect((await client.list("s3cmd-sync")).size).toBe(files.size - 1);
}, 20_000);

test("s3cmd put, info, cp, mv, ls, del and rb", async () => {
  await tools.makeTree("one", new Map([["file", 777]]));
  await tools.s3cmd("mb", "s3://s3cmd-one");
  await tools.s3cmd("put", "--add-header=x-amz-meta-who: me", "one/file", "s3://s3cmd-one/file");
  await tools.s3cmd("cp", "s3://s3cmd-one/file", "s3://s3cmd-one/copy one");
  await tools.s3cmd("mv", "s3://s3cmd-one/copy one", "s3://s3cmd-one/moved+");
  expect([...(await client.list("s3cmd-one")).keys()]).toEqual(["file", "moved+"]);
  expect(await tools.s3cmd("ls", "s3://s3cmd-one")).toContain("s3://s3cmd-one/moved+");
  await tools.s3cmd("del", "--recursive", "--force", "s3://s3cmd-one");
  await tools.s3cmd("rb", "s3://s3cmd-one");
  expect((await client.call("HEAD", "s3cmd-one", "")).status).toBe(404);
}, 20_000);
