/**
 * `kiseki import minio`: users, policies and settings from files that a real MinIO exported, objects over S3. Here the
 * source of objects is another node, which speaks S3 as MinIO does; `tests/clients/minio.test.ts` has the real one.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { kiseki, startKiseki } from "./support/cli.ts";
import { isFull, NodeProcess, until } from "./support/node-process.ts";
import { content, digest, S3Client, xmlValues } from "./support/s3-client.ts";

setDefaultTimeout(isFull ? 60_000 : 20_000); // fuzzing goes on beside the full run
const fixtures = join(import.meta.dir, "fixtures/minio");
const layout = { devices: 1, mirrors: 0, deviceSize: "128MiB" };
let source: NodeProcess;
let node: NodeProcess;
let from: S3Client;
let to: S3Client;

const versioned = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";

beforeAll(async () => {
  source = await NodeProcess.started(layout);
  node = await NodeProcess.started(layout);
  from = await S3Client.of(source);
  to = await S3Client.of(node);
}, 40_000);
afterAll(async () => {
  from[Symbol.dispose]();
  to[Symbol.dispose]();
  await Promise.all([source[Symbol.asyncDispose](), node[Symbol.asyncDispose]()]);
});

const importWords = (...words: string[]): readonly string[] => [
  ...["import", "minio", "--json", "--config-dir", node.configDirectory],
  ...["--from", `http://127.0.0.1:${source.s3Port}`],
  ...["--from-credentials", join(source.configDirectory, "credentials.json"), ...words],
];

/** Runs the import from the source node; the lines of JSON that it printed. */
async function importObjects(...words: string[]) {
  const ending = await kiseki(importWords(...words));
  const lines = ending.out.split("\n").filter((line) => line !== "");
  const rows = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { ...ending, rows, total: rows.at(-1) };
}

/** Ids of a key's versions, newest first, with the digest of each; "marker" for a delete marker. */
async function historyOf(client: S3Client, bucket: string, key: string): Promise<string[]> {
  const query = { versions: "", prefix: key };
  const { body } = await client.expect("GET", bucket, "", { query });
  const entries = Buffer.from(body)
    .toString()
    .matchAll(/<(Version|DeleteMarker)>(.*?)<\/\1>/gs);
  const history: string[] = [];
  for (const [, kind, entry = ""] of entries) {
    const versionId = xmlValues(entry, "VersionId")[0]!;
    if (kind === "DeleteMarker") history.push("marker");
    else {
      const got = await client.expect("GET", bucket, key, { query: { versionId } });
      history.push(digest(got.body));
    }
  }
  return history;
}

async function createVersioned(bucket: string): Promise<void> {
  await from.createBucket(bucket);
  await from.expect("PUT", bucket, "", { query: { versioning: "" }, body: versioned });
}

async function fillObjects(): Promise<void> {
  await from.createBucket("objects");
  const headers = {
    "content-type": "a/b",
    "cache-control": "no-cache",
    "x-amz-meta-who": "me",
    "x-amz-tagging": "team=blue%20%2B&n=1",
  };
  await from.put("objects", "dir/ünï +%", content("one", 70_000), { headers });
  await from.put("objects", "empty", "");
  const many = Array.from({ length: 6 }, (_, at) =>
    from.put("objects", `many/${at}`, `body ${at}`),
  );
  await Promise.all(many);
  const upload = await from.createUpload("objects", "parts");
  const parts = [
    content("p1", 5 * 1024 * 1024),
    content("p2", 5 * 1024 * 1024 + 1),
    content("p3", 9),
  ];
  const etags: string[] = [];
  for (const [at, part] of parts.entries()) {
    etags.push(await from.uploadPart("objects", "parts", upload, at + 1, part));
  }
  await from.completeUpload("objects", "parts", upload, etags);
}

async function fillVersions(): Promise<void> {
  await createVersioned("versions");
  for (const body of ["first", "second"]) await from.put("versions", "v", body);
  await from.delete("versions", "v");
  await from.put("versions", "v", content("third", 9_000_000));
  await from.put("versions", "gone", "gone");
  await from.delete("versions", "gone");
}

test("import carries objects with their attributes, tags and parts, and says so as JSON", async () => {
  await fillObjects();
  const dry = await importObjects("--dry-run", "--bucket", "objects");
  expect([dry.code, dry.total!["objects"], dry.total!["is_dry"]]).toEqual([0, 9, true]);
  expect((await to.call("GET", "objects", "")).status).toBe(404);
  const done = await importObjects("--read-back", "--bucket", "objects");
  expect(done.error).toBe("");
  expect([done.code, done.total]).toMatchObject([0, { objects: 9, found: 0, not_carried: 0 }]);
  expect(await to.list("objects")).toEqual(await from.list("objects"));
  for (const name of ["dir/ünï +%", "empty", "many/3", "parts"]) {
    expect(digest((await to.get("objects", name))!)).toBe(
      digest((await from.get("objects", name))!),
    );
  }
  const { headers } = await to.expect("HEAD", "objects", "dir/ünï +%");
  expect(Object.fromEntries(headers)).toMatchObject({
    "content-type": "a/b",
    "cache-control": "no-cache",
    "x-amz-meta-who": "me",
    "x-amz-tagging-count": "2",
  });
  const tags = await to.expect("GET", "objects", "dir/ünï +%", { query: { tagging: "" } });
  expect(xmlValues(tags.body, "Value").toSorted()).toEqual(["1", "blue +"]);
});

test("import carries versions and delete markers in their order", async () => {
  await fillVersions();
  const done = await importObjects("--bucket", "versions");
  expect([done.code, done.error, done.total]).toMatchObject([0, "", { objects: 6, found: 0 }]);
  for (const key of ["v", "gone"]) {
    expect(await historyOf(to, "versions", key)).toEqual(await historyOf(from, "versions", key));
  }
});

test("import again finds what is there, adds what is new, and goes on from its state", async () => {
  await createVersioned("again");
  for (const key of ["a", "b", "c", "v", "v"]) await from.put("again", key, key);
  const buckets = ["--bucket", "again"];
  expect((await importObjects(...buckets)).total).toMatchObject({ objects: 5, found: 0 });
  await from.put("again", "v", "third");
  await from.put("again", "added", "added");
  const state = ["--state", join(node.directory, "again-state.json")];
  const more = await importObjects(...buckets, ...state);
  expect([more.code, more.total]).toMatchObject([0, { objects: 7, found: 5 }]);
  expect(await historyOf(to, "again", "v")).toEqual(await historyOf(from, "again", "v"));
  const rest = await importObjects(...buckets, ...state);
  expect([rest.code, rest.total]).toMatchObject([0, { objects: 0 }]);
});

test("import names what another object is in the way of, and replaces it only when told to", async () => {
  await from.createBucket("contested");
  await to.createBucket("contested");
  for (const key of ["a", "b", "c"]) await from.put("contested", key, `theirs ${key}`);
  await to.put("contested", "b", "ours");
  const state = join(node.directory, "contested-state.json");
  const words = ["--bucket", "contested", "--state", state];
  const first = await importObjects(...words);
  expect(first.code).toBe(1);
  expect(first.rows).toContainEqual({
    kind: "not_carried",
    what: "object",
    name: "contested/b",
    reason: "there is another object of this name; --overwrite replaces it",
  });
  expect(Buffer.from((await to.get("contested", "b"))!).toString()).toBe("ours");
  expect(Buffer.from((await to.get("contested", "c"))!).toString()).toBe("theirs c");
  const second = await importObjects(...words, "--overwrite");
  expect([second.code, second.total]).toMatchObject([0, { objects: 3, found: 2 }]);
  expect(Buffer.from((await to.get("contested", "b"))!).toString()).toBe("theirs b");
});

/** Passes bytes on; those that come from `port` as `change` makes them, which keeps none where it answers nothing. */
async function startProxy(
  port: number,
  change: (bytes: Buffer) => Buffer | undefined,
): Promise<{ readonly server: Server; readonly url: string }> {
  const server = createServer((client) => {
    const target = connect(port, "127.0.0.1");
    client.pipe(target);
    target.on("data", (bytes: Buffer) => {
      const changed = change(bytes);
      if (changed !== undefined) client.write(changed);
    });
    target.on("end", () => client.end());
    for (const socket of [client, target])
      socket.on("error", () => [client, target].map((each) => each.destroy()));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { server, url: `http://127.0.0.1:${address.port}` };
}

/** Changes what is sent wherever it says `corrupt me`, and hides checksums. */
function lie(bytes: Buffer): Buffer {
  const at = bytes.indexOf("corrupt me");
  if (at !== -1) bytes.write("C", at);
  const text = bytes.toString("latin1").replaceAll("x-amz-checksum-", "x-amz-nothing--");
  return Buffer.from(text, "latin1");
}

test("import names an object that a byte changed of on its way, and takes no copy for done", async () => {
  await from.createBucket("lied");
  await from.put("lied", "good", "as it is");
  await from.put("lied", "bad", "corrupt me, if you can");
  const liar = await startProxy(source.s3Port, lie);
  const state = join(node.directory, "lied-state.json");
  const words = ["--bucket", "lied", "--state", state];
  try {
    const { code, rows } = await importObjects(...words, "--from", liar.url);
    const left = rows.filter(({ kind }) => kind === "not_carried").map(({ name }) => name);
    expect([code, left]).toEqual([1, ["lied/bad"]]);
  } finally {
    liar.server.close();
  }
  expect(Buffer.from((await to.get("lied", "good"))!).toString()).toBe("as it is");
  expect(existsSync(state)).toBe(false);
});

test("import that was killed goes on where it was, and leaves nothing out", async () => {
  await from.createBucket("killed");
  const keys = Array.from({ length: 12 }, (_, at) => `key/${at}`);
  await Promise.all(keys.map((key) => from.put("killed", key, `body of ${key}`)));
  const state = join(node.directory, "killed-state.json");
  const words = ["--bucket", "killed", "--state", state];
  // At first it never gets past one of them: else it might be over before it is killed.
  let isHeld = true;
  const proxy = await startProxy(source.s3Port, (bytes) =>
    isHeld && bytes.includes("body of key/5") ? undefined : bytes,
  );
  words.push("--from", proxy.url);
  const child = startKiseki(importWords(...words, "--parallel", "1"));
  await until("a step was noted", () => existsSync(state));
  child.kill("SIGKILL");
  await child.exited;
  isHeld = false;
  const there = (await to.list("killed")).size;
  const { code, total } = await importObjects(...words);
  proxy.server.close();
  expect([code, Number(total!["objects"]) < 12, there < 12]).toEqual([0, true, true]);
  expect(await to.list("killed")).toEqual(await from.list("killed"));
});

test("import of MinIO's export files makes users that may what they might, and settings that hold", async () => {
  const words = [
    ...["import", "minio", "--config-dir", node.configDirectory, "--root-user", "rootuser"],
    ...["--iam", join(fixtures, "iam-info.zip")],
    ...["--bucket-metadata", join(fixtures, "cluster-metadata.zip")],
  ];
  for (const round of ["first", "again"]) {
    const { code, out, error } = await kiseki([...words, "--json"]);
    expect([round, error]).toEqual([round, ""]);
    const rows = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const left = rows.filter(({ kind }) => kind === "not_carried").map(({ name }) => name);
    expect([code, left]).toEqual([1, ["readers"]]); // groups there are none
    expect(out + node.output).not.toContain("alicesecret");
  }
  await to.put("plain", "readable", "read me");
  const ask = async (accessKey: string, secretKey: string, method: string, key: string) => {
    using client = new S3Client(node.s3Port, { accessKey, secretKey });
    return (await client.call(method, "plain", key, method === "PUT" ? { body: "x" } : {})).status;
  };
  expect(await ask("alice", "alicesecret", "GET", "readable")).toBe(200);
  expect(await ask("alice", "alicesecret", "PUT", "new")).toBe(403);
  expect(await ask("ALICESVC0001", "alicesvcsecret", "GET", "readable")).toBe(200);
  expect(await ask("bob", "bobsecret12", "GET", "readable")).toBe(403); // disabled there too
  expect(await ask("ROOTSVC00001", "rootsvcsecret", "PUT", "new")).toBe(200);
  const setting = async (bucket: string, name: string): Promise<string> => {
    const { body } = await to.expect("GET", bucket, "", { query: { [name]: "" } });
    return Buffer.from(body).toString();
  };
  expect(await setting("full", "tagging")).toContain("<Key>team</Key>");
  expect(await setting("full", "lifecycle")).toContain("<NoncurrentDays>7</NoncurrentDays>");
  expect(await setting("full", "encryption")).toContain("<SSEAlgorithm>AES256</SSEAlgorithm>");
  expect(await setting("locked", "object-lock")).toContain("<Days>3</Days>");
  expect(await setting("plain", "policy")).toContain('"s3:GetObject"');
  const anonymous = await fetch(`http://127.0.0.1:${node.s3Port}/plain/readable`);
  expect([anonymous.status, await anonymous.text()]).toEqual([200, "read me"]);
  const quota = await kiseki([
    "quota",
    "show",
    "full",
    "--json",
    "--config-dir",
    node.configDirectory,
  ]);
  expect(JSON.parse(quota.out)).toMatchObject({ quota: { bytes_max: 1_073_741_824 } });
});

test("import ends with 2 for wrong words and files, 3 where nothing answers, 4 where keys are refused", async () => {
  const run = async (...words: string[]) => (await kiseki(["import", "minio", ...words])).code;
  expect(await run("--config-dir", node.configDirectory)).toBe(2);
  expect(await run("--iam", join(import.meta.dir, "import.test.ts"))).toBe(2);
  expect(await run("--from", "http://127.0.0.1:1", "--config-dir", node.configDirectory)).toBe(2);
  const wrong = join(node.directory, "wrong.json");
  await Bun.write(wrong, JSON.stringify({ access_key: "nobody", secret_key: "wrongwrong" }));
  const ending = await importObjects("--from-credentials", wrong);
  expect([ending.code, ending.out]).toEqual([4, ""]);
  expect(ending.error).toContain("InvalidAccessKeyId");
  const nobody = ["--from", "http://127.0.0.1:1", "--from-credentials", wrong];
  expect(await run(...nobody, "--config-dir", node.configDirectory)).toBe(3);
});
