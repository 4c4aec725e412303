/** Users, policies and access keys by the command line, against a built node. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kiseki, kisekiJson } from "./support/cli.ts";
import { NodeProcess } from "./support/node-process.ts";
import { S3Client } from "./support/s3-client.ts";

setDefaultTimeout(20_000);
let node: NodeProcess;
let folder: string;
let words: readonly string[];
beforeAll(async () => {
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "128MiB" });
  folder = await mkdtemp(join(tmpdir(), "kiseki-users-"));
  words = ["--config-dir", node.configDirectory];
});
afterAll(async () => {
  await node[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const run = async (...command: readonly string[]): Promise<number> =>
  (await kiseki([...words, ...command])).code;
async function policyFile(action: string): Promise<string> {
  const path = join(folder, `${action.replaceAll(/\W/g, "-")}.json`);
  const statement = { Effect: "Allow", Action: action, Resource: "*" };
  await writeFile(path, JSON.stringify({ Version: "2012-10-17", Statement: [statement] }));
  return path;
}
async function keyOf(
  ...options: readonly string[]
): Promise<{ readonly client: S3Client; readonly id: string }> {
  const [made] = await kisekiJson([...words, "access-key", "create", ...options]);
  const id = String(made!["access_key_id"]);
  const client = new S3Client(node.s3Port, {
    accessKey: id,
    secretKey: String(made!["secret_access_key"]),
  });
  return { client, id };
}

test("a user may do what it is given, from the next request on", async () => {
  using s3 = await S3Client.of(node);
  await s3.createBucket("shared");
  await s3.put("shared", "key", "content");
  const [bob] = await kisekiJson([...words, "user", "create", "bob"]);
  expect(bob).toMatchObject({
    name: "bob",
    is_enabled: true,
    policies: [],
    arn: expect.stringMatching(/^arn:aws:iam::\d{12}:user\/bob$/),
  });
  const { client } = await keyOf("--user", "bob");
  using own = client;
  const statuses = async () => [
    (await own.call("GET", "shared", "key")).status,
    (await own.call("PUT", "shared", "new", { body: "x" })).status,
  ];
  expect(await statuses()).toEqual([403, 403]);
  expect(await run("user", "attach", "bob", "readonly")).toBe(0);
  expect(await statuses()).toEqual([200, 403]);
  expect(
    await run("policy", "create", "writer", "--policy-file", await policyFile("s3:PutObject")),
  ).toBe(0);
  expect(await run("user", "attach", "bob", "writer")).toBe(0);
  expect(await statuses()).toEqual([200, 200]);
  expect(
    await run("policy", "update", "writer", "--policy-file", await policyFile("s3:ListBucket")),
  ).toBe(0);
  expect(await statuses()).toEqual([200, 403]);
  expect(await run("policy", "delete", "writer")).toBe(1);
  expect(await run("user", "detach", "bob", "writer")).toBe(0);
  expect(await run("policy", "delete", "writer")).toBe(0);
});

test("a user that is disabled or deleted signs nothing more", async () => {
  await kisekiJson([...words, "user", "create", "eva", "--policies", "readwrite"]);
  const { client } = await keyOf("--user", "eva");
  using own = client;
  const status = async () => (await own.call("GET", "", "")).status;
  expect(await status()).toBe(200);
  expect(await run("user", "disable", "eva")).toBe(0);
  expect(await status()).toBe(403);
  expect(await run("user", "enable", "eva")).toBe(0);
  expect(await status()).toBe(200);
  expect((await kiseki([...words, "user", "show", "eva"])).out).toContain("readwrite");
  expect(await run("user", "delete", "eva")).toBe(0);
  expect(await status()).toBe(403);
  const users = await kisekiJson([...words, "user", "list"]);
  expect(users.map(({ name }) => name)).not.toContain("eva");
});

test("an access key has a policy, an end and a description of its own", async () => {
  const options = [
    "--policy-file",
    await policyFile("s3:ListAllMyBuckets"),
    "--description",
    "backup",
    "--expires",
    "2100-01-01T00:00:00Z",
  ];
  const { client, id } = await keyOf(...options);
  using own = client;
  expect((await own.call("GET", "", "")).status).toBe(200);
  expect((await own.call("PUT", "another", "")).status).toBe(403);
  const [shown] = await kisekiJson([...words, "access-key", "show", id]);
  expect(shown).toMatchObject({
    user: "root",
    description: "backup",
    expires_unix_ms: Date.UTC(2100, 0, 1),
  });
  expect((await kiseki([...words, "access-key", "show", id])).out).toContain("s3:ListAllMyBuckets");
});

test("wrong words and refusals have their exit codes", async () => {
  const broken = join(folder, "broken.json");
  await writeFile(broken, "{}");
  const good = await policyFile("s3:GetObject");
  const wrong: readonly (readonly [number, readonly string[]])[] = [
    [1, ["user", "show", "nobody"]],
    [1, ["user", "create", "eve", "--policies", "readonly,nothing"]],
    [1, ["policy", "show", "nothing"]],
    [1, ["access-key", "show", "nothing"]],
    [2, ["user", "delete", "root"]],
    [2, ["policy", "create", "broken", "--policy-file", broken]],
    [2, ["policy", "create", "broken", "--policy-file", join(folder, "none")]],
    [2, ["policy", "update", "readonly", "--policy-file", good]],
    [2, ["access-key", "create", "--expires", "yesterday"]],
  ];
  const half = Math.ceil(wrong.length / 2); // two at a time: each is a process
  const check = async (list: typeof wrong) => {
    for (const [code, each] of list) expect([each, await run(...each)]).toEqual([each, code]);
  };
  await Promise.all([check(wrong.slice(0, half)), check(wrong.slice(half))]);
  const policies = await kisekiJson([...words, "policy", "list"]);
  expect(policies.map(({ name }) => name)).toContain("consoleAdmin");
});
