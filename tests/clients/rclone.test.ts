/** rclone with its default settings for an S3 provider it does not know ("Other"). */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { NodeProcess } from "../support/node-process.ts";
import { sizes } from "../support/odd-keys.ts";
import { content, digest, S3Client } from "../support/s3-client.ts";
import { Tools } from "../support/tools.ts";

let node: NodeProcess;
let client: S3Client;
let tools: Tools;
const root = dirname(dirname(import.meta.dir));

beforeAll(async () => {
  node = await NodeProcess.started({ devices: 6, mirrors: 2 });
  client = await S3Client.of(node);
  tools = await Tools.of(node);
});
afterAll(async () => {
  client[Symbol.dispose]();
  await node[Symbol.asyncDispose]();
});

test("rclone sync and check --download of a source tree", async () => {
  const tree = join(root, "libs");
  const words = ["--exclude", "node_modules/**", tree];
  await tools.rclone("sync", ...words, "kiseki:rclone-source/libs");
  const said = await tools.rclone("check", "--download", ...words, "kiseki:rclone-source/libs");
  expect(said).toContain("0 differences found");
  const listed = await tools.rclone("lsf", "-R", "--files-only", "kiseki:rclone-source/libs");
  expect(listed.split("\n").length).toBeGreaterThan(100);
  expect(listed).toContain("base/src/index.ts");
}, 20_000);

test("rclone sync of every size and of odd names, then with a file less", async () => {
  const files = new Map<string, number>(sizes.map((size) => [`size-${size}`, size]));
  for (const name of [
    "a b/c d",
    "ünï/日本語",
    "plus+/per%cent%2F",
    "what?#&;='\"",
    "-rf",
    "tab\tname",
  ]) {
    files.set(name, 321);
  }
  const tree = await tools.makeTree("rclone", files);
  await tools.rclone("sync", tree, "kiseki:rclone-odd");
  expect(await tools.rclone("check", "--download", tree, "kiseki:rclone-odd")).toContain(
    "0 differences found",
  );
  await rm(join(tree, "a b"), { recursive: true });
  await tools.rclone("sync", tree, "kiseki:rclone-odd");
  expect((await client.list("rclone-odd")).size).toBe(files.size - 1);
  await tools.rclone("copyto", "kiseki:rclone-odd/-rf", "kiseki:rclone-odd/server side copy");
  expect(await client.get("rclone-odd", "server side copy")).toEqual(
    (await client.get("rclone-odd", "-rf"))!,
  );
  await tools.rclone("purge", "kiseki:rclone-odd");
  expect(await tools.rclone("lsd", "kiseki:")).not.toContain("rclone-odd");
}, 20_000);

test("rclone bisync carries what either side made, changed and removed to the other", async () => {
  const files = new Map([
    ["both", 4097],
    ["to change here", 100],
    ["to change there", 100],
    ["to go here", 70_000],
    ["to go there/ünï+%", 1],
  ]);
  const tree = await tools.makeTree("bisync", files);
  await client.createBucket("rclone-bisync");
  const bisync = (...words: string[]): Promise<string> =>
    tools.rclone("bisync", tree, "kiseki:rclone-bisync/side", ...words);
  await bisync("--resync");
  expect((await client.list("rclone-bisync")).size).toBe(files.size);
  await Bun.sleep(1100); // changes are told by a whole second
  await Bun.write(join(tree, "to change here"), content("changed here", 200));
  await Bun.write(join(tree, "new here/é"), content("new here", 1_500_000));
  await rm(join(tree, "to go here"));
  await client.put("rclone-bisync", "side/to change there", content("changed there", 300));
  await client.put("rclone-bisync", "side/new there", content("new there", 0));
  await client.delete("rclone-bisync", "side/to go there/ünï+%");
  await bisync();
  const said = await tools.rclone("check", "--download", tree, "kiseki:rclone-bisync/side");
  expect(said).toContain("0 differences found");
  expect([...(await client.list("rclone-bisync")).keys()].toSorted()).toEqual(
    ["both", "new here/é", "new there", "to change here", "to change there"]
      .map((name) => Buffer.from(`side/${name}`).toString("latin1"))
      .toSorted(),
  );
  const changed = await Bun.file(join(tree, "to change there")).bytes();
  expect(digest(changed)).toBe(digest(content("changed there", 300)));
}, 20_000);
