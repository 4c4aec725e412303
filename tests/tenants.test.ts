/** Tenants by the command line, against a built node: each with buckets, users, keys, roles and rules of its own. */
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
let root: S3Client;
let accessKey: string;
beforeAll(async () => {
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "128MiB" });
  folder = await mkdtemp(join(tmpdir(), "kiseki-tenants-"));
  words = ["--config-dir", node.configDirectory];
  const [made] = await kisekiJson([...words, "tenant", "create", "acme"]);
  accessKey = String(made!["access_key_id"]);
  root = clientOf(made!);
});
afterAll(async () => {
  root[Symbol.dispose]();
  await node[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const clientOf = (made: Record<string, unknown>): S3Client =>
  new S3Client(node.s3Port, {
    accessKey: String(made["access_key_id"]),
    secretKey: String(made["secret_access_key"]),
  });
const ask = (...command: readonly string[]) => kisekiJson([...words, ...command]);
const its = (...command: readonly string[]) => ask(...command, "--tenant", "acme");
const run = async (...command: readonly string[]): Promise<number> =>
  (await kiseki([...words, ...command])).code;
const namesOf = (lines: readonly Record<string, unknown>[]) => lines.map(({ name }) => name);

test("a tenant is listed with its account, and made once", async () => {
  const tenants = await ask("tenant", "list");
  expect(namesOf(tenants).toSorted()).toEqual(["acme", "default"]);
  const [acme] = tenants.filter(({ name }) => name === "acme");
  expect(acme).toMatchObject({ is_default: false, account: expect.stringMatching(/^\d{12}$/) });
  expect(await run("tenant", "create", "acme")).toBe(1);
  expect(await run("tenant", "create", "a/b")).toBe(2);
  expect(await run("bucket", "list", "--tenant", "nobody")).toBe(1);
  const byId = await ask("user", "list", "--tenant", String(acme!["id"]));
  expect(byId).toEqual(await its("user", "list"));
});

test("buckets, quotas, holds and rules of a tenant are not the default one's", async () => {
  await root.createBucket("theirs");
  expect(namesOf(await its("bucket", "list"))).toEqual(expect.arrayContaining(["theirs"]));
  expect(namesOf(await ask("bucket", "list"))).toEqual([]);
  expect(await run("quota", "show", "theirs")).toBe(1);
  await its("quota", "set", "theirs", "--objects", "1");
  await root.put("theirs", "one", "x");
  expect((await root.call("PUT", "theirs", "two", { body: "x" })).status).toBe(403);
  await its("hold", "set", "theirs", "case-1");
  expect((await root.call("DELETE", "theirs", "one")).status).toBe(403);
  const rules =
    "<LifecycleConfiguration><Rule><ID>a</ID><Status>Enabled</Status><Filter/><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>";
  await root.expect("PUT", "theirs", "", { query: { lifecycle: "" }, body: rules });
  expect(await its("lifecycle", "status")).toMatchObject([{ bucket: "theirs", rule_count: 1 }]);
  expect(await ask("lifecycle", "status")).toEqual([]);
});

test("users and keys of a tenant are not the default one's", async () => {
  await its("user", "create", "ann", "--policies", "readwrite");
  expect(namesOf(await its("user", "list"))).toContain("ann");
  expect(namesOf(await ask("user", "list"))).not.toContain("ann");
  const [made] = await its("access-key", "create", "--user", "ann");
  using ann = clientOf(made!);
  await its("bucket", "create", "by-hand");
  await ann.put("by-hand", "hers", "content");
  expect(await run("access-key", "disable", accessKey)).toBe(1); // no key of the default tenant's
  await its("access-key", "disable", String(made!["access_key_id"]));
  expect((await ann.call("GET", "by-hand", "hers")).status).toBe(403);
});

test("roles and identity providers of a tenant are not the default one's", async () => {
  const trust = join(folder, "trust.json");
  const statement = {
    ...{ Effect: "Allow", Action: "sts:AssumeRole" },
    Principal: { AWS: "*" },
  };
  await writeFile(trust, JSON.stringify({ Version: "2012-10-17", Statement: [statement] }));
  await its("role", "create", "reader", "--trust-file", trust);
  await its("role", "attach", "reader", "readonly");
  expect(await its("role", "list")).toMatchObject([{ name: "reader", policies: ["readonly"] }]);
  expect(await ask("role", "list")).toEqual([]);
  await its("oidc", "add", "idp", "https://id.example/realm", "--client-ids", "app");
  expect(namesOf(await its("oidc", "list"))).toEqual(["idp"]);
  expect(await ask("oidc", "list")).toEqual([]);
  expect(await run("role", "delete", "reader")).toBe(1);
});
