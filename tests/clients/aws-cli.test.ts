/** aws-cli with its default settings. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { NodeProcess, until } from "../support/node-process.ts";
import { oddKeys, sizes } from "../support/odd-keys.ts";
import { content, digest, S3Client, xmlValues } from "../support/s3-client.ts";
import { awsProgram, Tools } from "../support/tools.ts";

const MiB = 1024 * 1024;
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

async function uploadsOf(bucket: string): Promise<readonly string[]> {
  const { body } = await client.expect("GET", bucket, "", { query: { uploads: "" } });
  return xmlValues(body, "UploadId");
}

test("aws s3 mb, ls, cp of one file up and down, rm, rb", async () => {
  await tools.makeTree("one", new Map([["a file.txt", 12_345]]));
  await tools.aws("s3", "mb", "s3://made-by-aws");
  expect(await tools.aws("s3", "ls")).toContain("made-by-aws");
  await tools.aws("s3", "cp", "one/a file.txt", "s3://made-by-aws/a file.txt");
  expect(await tools.aws("s3", "ls", "s3://made-by-aws/")).toContain("12345 a file.txt");
  await tools.aws("s3", "cp", "s3://made-by-aws/a file.txt", "down.txt");
  expect(await hashOf(join(tools.folder, "down.txt"))).toBe(
    await hashOf(join(tools.folder, "one/a file.txt")),
  );
  await tools.aws("s3", "rm", "s3://made-by-aws/a file.txt");
  await tools.aws("s3", "rb", "s3://made-by-aws");
  expect(await tools.aws("s3", "ls")).not.toContain("made-by-aws");
}, 20_000);

test("aws s3 sync of every size up, again without work, down, and with --delete", async () => {
  const files = new Map<string, number>(sizes.map((size) => [`size/${size}`, size] as const));
  files.set("deep/er/and deeper/ünï+%.txt", 77);
  const source = await tools.makeTree("sizes", files);
  await client.createBucket("aws-sync");
  await tools.aws("s3", "sync", "--no-progress", source, "s3://aws-sync/below");
  expect(await tools.aws("s3", "sync", "--no-progress", source, "s3://aws-sync/below")).toBe("");
  await tools.aws("s3", "sync", "--no-progress", "s3://aws-sync/below", "back");
  for (const name of files.keys()) {
    const back = join(tools.folder, "back", name);
    expect([name, await hashOf(back)]).toEqual([name, await hashOf(join(source, name))]);
  }
  await rm(join(source, "size/1"));
  const said = await tools.aws("s3", "sync", "--delete", source, "s3://aws-sync/below");
  expect(said).toContain("delete: s3://aws-sync/below/size/1");
  expect((await client.list("aws-sync")).size).toBe(files.size - 1);
}, 20_000);

test("a broken aws s3 cp leaves an upload that is listed, aborted, and the retry succeeds", async () => {
  await client.createBucket("aws-broken");
  const source = join(await tools.makeTree("broken", new Map([["file", 64 * MiB]])), "file");
  // From its standard input, which does not end: it cannot be over too early.
  const upload = tools.pipeAws("s3", "cp", "--no-progress", "-", "s3://aws-broken/file");
  const writing = (async () => {
    void upload.stdin.write(await Bun.file(source).arrayBuffer());
    await upload.stdin.flush();
  })();
  writing.catch(() => undefined); // the pipe breaks with it
  await until("the upload has begun", async () => (await uploadsOf("aws-broken")).length === 1);
  upload.kill("SIGKILL");
  await upload.exited;
  expect(await client.get("aws-broken", "file")).toBeUndefined();
  const listed = await tools.aws("s3api", "list-multipart-uploads", "--bucket", "aws-broken");
  const [uploadId] = await uploadsOf("aws-broken");
  expect(listed).toContain(uploadId!);
  const words = ["--bucket", "aws-broken", "--key", "file", "--upload-id", uploadId!];
  await tools.aws("s3api", "list-parts", ...words);
  await tools.aws("s3api", "abort-multipart-upload", ...words);
  expect(await uploadsOf("aws-broken")).toEqual([]);
  await tools.aws("s3", "cp", "--no-progress", source, "s3://aws-broken/file");
  expect(digest((await client.get("aws-broken", "file"))!)).toBe(await hashOf(source));
}, 20_000);

test("aws s3 cp outlives a node that is killed and started again under it", async () => {
  await client.createBucket("aws-outage");
  const source = join(await tools.makeTree("outage", new Map([["file", 64 * MiB]])), "file");
  const upload = tools.startAws("s3", "cp", "--no-progress", source, "s3://aws-outage/file");
  const hasBegun = async () => (await uploadsOf("aws-outage")).length === 1;
  await until("it has begun, or is over", async () => upload.exitCode !== null || hasBegun());
  const { s3Port } = node;
  await node.kill();
  await node.start({ s3Port });
  expect(await upload.exited).toBe(0);
  expect(digest((await client.get("aws-outage", "file"))!)).toBe(await hashOf(source));
}, 20_000);

test("aws s3api puts, lists, gets and deletes odd keys", async () => {
  await client.createBucket("aws-odd");
  const some = oddKeys.filter((key) => /[/.%+ ü?&]/u.test(key) && key.length < 200).slice(0, 12);
  const body = join(await tools.makeTree("odd", new Map([["body", 99]])), "body");
  // One process for all of them: starting aws-cli costs a second each.
  const script = [
    "import sys",
    "from awscli.clidriver import create_clidriver",
    "driver = create_clidriver()",
    "for key in json.loads(os.environ['ODD_KEYS']):",
    "    for words in (['put-object', '--body', os.environ['BODY']], ['head-object']):",
    "        assert driver.main(['s3api', words[0], '--bucket', 'aws-odd', '--key', key, *words[1:]]) == 0, key",
    "    assert driver.main(['s3api', 'get-object', '--bucket', 'aws-odd', '--key', key, 'got']) == 0, key",
    "    assert open('got', 'rb').read() == open(os.environ['BODY'], 'rb').read(), key",
  ];
  const opening = `import os\nos.environ["ODD_KEYS"] = ${JSON.stringify(JSON.stringify(some))}\nos.environ["BODY"] = ${JSON.stringify(body)}\n`;
  await tools.boto3(opening + script.join("\n"));
  const listed = JSON.parse(await tools.aws("s3api", "list-objects-v2", "--bucket", "aws-odd")) as {
    Contents: { Key: string }[];
  };
  expect(listed.Contents.map(({ Key }) => Key).toSorted()).toEqual(some.toSorted());
  await tools.aws("s3", "rb", "--force", "s3://aws-odd");
}, 20_000);

test("aws s3api get-object of a range and of a condition", async () => {
  await client.createBucket("aws-range");
  const body = content("range", 100_000);
  await client.put("aws-range", "key", body);
  const place = ["--bucket", "aws-range", "--key", "key"];
  await tools.aws("s3api", "get-object", ...place, "--range", "bytes=1000-1999", "part");
  expect(await hashOf(join(tools.folder, "part"))).toBe(digest(body.subarray(1000, 2000)));
  const { code, output } = await tools.tryRun([
    awsProgram(),
    ...["s3api", "get-object", ...place, "--if-match", '"no"', "part"],
  ]);
  expect(code).not.toBe(0);
  expect(output).toContain("PreconditionFailed");
}, 20_000);
