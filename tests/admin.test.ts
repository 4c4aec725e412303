/**
 * The `kiseki` command against real nodes: what an operator does, and how it ends when it cannot be done.
 * Faults: a wrong token, no server, damaged devices, a burnt config directory, a lost device.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, open, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { kiseki, kisekiJson } from "./support/cli.ts";
import { NodeProcess } from "./support/node-process.ts";
import { S3Client } from "./support/s3-client.ts";

setDefaultTimeout(20_000);
const layout = { devices: 1, mirrors: 1, deviceSize: "128MiB" };
let node: NodeProcess;
let words: readonly string[];

beforeAll(async () => {
  node = await NodeProcess.started(layout);
  words = ["--config-dir", node.configDirectory];
});
afterAll(() => node[Symbol.asyncDispose]());

function rpcPort(of: NodeProcess): number {
  return Number(/"rpc_port":(\d+)/.exec(of.output)![1]);
}

test("status shows the node, as text and as one line of JSON", async () => {
  const text = await kiseki([...words, "status"]);
  expect(text.error).toBe("");
  expect(text.out).toContain("State    ready");
  const [status] = await kisekiJson([...words, "status"]);
  expect(status).toMatchObject({ is_ready: true, epoch: 1, alerts: [] });
  expect(status!["members"]).toHaveLength(2);
  expect(status!["s3_endpoint"]).toBe(`http://127.0.0.1:${node.s3Port}`);
});

test("buckets: made, listed, seen by S3, deleted, and made again", async () => {
  using s3 = await S3Client.of(node);
  expect((await kiseki([...words, "bucket", "create", "papers"])).code).toBe(0);
  await s3.put("papers", "one", "first");
  const [bucket] = await kisekiJson([...words, "bucket", "list"]);
  expect(bucket).toMatchObject({ name: "papers", object_count: 1, object_bytes: 5 });
  const full = await kiseki([...words, "bucket", "delete", "papers"]);
  expect(full).toMatchObject({ code: 1, out: "" });
  expect(full.error).toContain("holds objects");
  await s3.delete("papers", "one");
  expect((await kiseki([...words, "bucket", "delete", "papers"])).code).toBe(0);
  expect((await s3.call("GET", "papers", "")).status).toBe(404);
  expect((await kiseki([...words, "bucket", "create", "papers"])).code).toBe(0);
  await s3.put("papers", "two", "second"); // what the gateway remembered of the old bucket is gone
  expect((await kiseki([...words, "bucket", "create", "papers"])).code).toBe(1);
  expect((await kiseki([...words, "bucket", "create", "Bad_Name"])).code).toBe(2);
  expect((await kiseki([...words, "bucket", "delete", "nobody"])).code).toBe(1);
});

test("lifecycle status: buckets with rules, as text and as JSON, none at first", async () => {
  using s3 = await S3Client.of(node);
  expect(await kisekiJson([...words, "lifecycle", "status"])).toEqual([]);
  await s3.createBucket("ruled");
  const rule =
    "<Rule><Filter/><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>";
  const body = `<LifecycleConfiguration>${rule}</LifecycleConfiguration>`;
  await s3.expect("PUT", "ruled", "", { query: { lifecycle: "" }, body });
  const [status] = await kisekiJson([...words, "lifecycle", "status"]);
  expect(status).toMatchObject({ bucket: "ruled", rule_count: 1, held_count: 0 });
  expect(status!["state"]).toMatch(/^(waiting|running)$/);
  const text = await kiseki([...words, "lifecycle", "status"]);
  expect([text.code, text.error]).toEqual([0, ""]);
  expect(text.out).toMatch(/^BUCKET +STATE +RULES +LAST ROUND .*\nruled +(waiting|running) +1 /);
  expect((await kiseki([...words, "lifecycle", "nonsense"])).code).toBe(2);
});

test("holds: set, listed, keep all that a bucket has, released", async () => {
  using s3 = await S3Client.of(node);
  await s3.createBucket("held");
  await s3.put("held", "k", "kept");
  const until = new Date(Date.now() + 3_600_000).toISOString();
  const set = await kisekiJson([...words, "hold", "set", "held", "case-7", "--until", until]);
  expect(set).toEqual([{ id: "case-7", until_unix_ms: Date.parse(until) }]);
  const refused = [
    await s3.call("DELETE", "held", "k"),
    await s3.call("PUT", "held", "k", { body: "over" }),
    await s3.call("DELETE", "held", ""),
  ];
  expect(refused.map(({ status }) => status)).toEqual([403, 403, 403]);
  expect((await kiseki([...words, "bucket", "delete", "held"])).code).toBe(1);
  await s3.put("held", "new", "taken");
  expect((await kiseki([...words, "hold", "list", "held"])).out).toContain("case-7");
  const wrong: readonly (readonly [number, readonly string[]])[] = [
    [1, ["release", "held", "nothing"]],
    [2, ["set", "held", "a b"]],
    [0, ["release", "held", "case-7"]],
  ];
  for (const [code, each] of wrong) {
    expect((await kiseki([...words, "hold", ...each])).code).toBe(code);
  }
  for (const key of ["k", "new"]) await s3.delete("held", key);
  await s3.expect("DELETE", "held", "");
});

test("cache-policy: set, shown, narrowed by the tenant, cleared, and its faults told", async () => {
  const run = async (...more: readonly string[]) =>
    (await kisekiJson([...words, "cache-policy", ...more]))[0];
  const rules = { max_cache_bytes: 1024 ** 3, allowed_modes: ["organic", "bypass"] };
  const set = ["set", "--max-cache-bytes", "1GiB", "--allowed-modes", "organic,bypass"];
  expect(await run(...set)).toMatchObject({ tenant: null, rules, policy: rules });
  // What is left out stays.
  expect(await run("set", "--staging-enabled", "no")).toMatchObject({
    rules: { ...rules, staging_enabled: false },
  });
  const tenant = ["--tenant", "default"];
  const narrowed = await run(
    "set",
    ...tenant,
    "--max-cache-bytes",
    "2GiB",
    "--cache-enabled",
    "no",
  );
  expect(narrowed).toMatchObject({
    tenant: "default",
    rules: { max_cache_bytes: 2 * 1024 ** 3 },
    policy: { ...rules, cache_enabled: false, staging_enabled: false, metadata_ttl_ms: 5000 },
  });
  expect((await kiseki([...words, "cache-policy", "show"])).out).toContain(
    "max_cache_bytes         1073741824  (set here)",
  );
  expect(await run("clear", ...tenant)).toMatchObject({ rules: {}, policy: rules });
  expect(await run("clear")).toMatchObject({ policy: { max_cache_bytes: 50 * 1024 ** 3 } });
  for (const [code, more] of [
    [1, ["show", "--tenant", "nobody"]],
    [2, ["set", ...tenant, "--max-disconnect-seconds", "5"]],
    [2, ["set"]],
    [2, ["set", "--allowed-modes", "lots"]],
    [2, ["set", "--cache-enabled", "maybe"]],
    [2, ["set", "--key-health-interval-ms", "1"]],
  ] as const)
    expect((await kiseki([...words, "cache-policy", ...more])).code).toBe(code);
});

test("quotas: set, shown, refuse the write that exceeds them, cleared, of bucket and tenant", async () => {
  using s3 = await S3Client.of(node);
  await s3.createBucket("limited");
  const set = await kisekiJson([...words, "quota", "set", "limited", "--bytes", "1KiB"]);
  expect(set).toEqual([{ bucket: "limited", quota: { bytes_max: 1024, bytes: 0, objects: 0 } }]);
  await s3.put("limited", "one", "x".repeat(1000));
  const refused = await s3.call("PUT", "limited", "two", { body: "y".repeat(25) });
  expect(refused.status).toBe(403);
  expect(Buffer.from(refused.body).toString()).toContain("<Code>QuotaExceeded</Code>");
  const list = await kisekiJson([...words, "bucket", "list"]);
  const bucket = list.find(({ name }) => name === "limited");
  expect(bucket).toMatchObject({ quota: { bytes_max: 1024, bytes: 1000, objects: 1 } });
  expect((await kiseki([...words, "quota", "show", "limited"])).out).toBe(
    "Bucket limited: 1000 B of 1.0 KiB, 1 objects\n",
  );
  expect((await kiseki([...words, "quota", "clear", "limited"])).code).toBe(0);
  await s3.put("limited", "two", "y".repeat(25));
  expect((await kiseki([...words, "quota", "set", "--objects", "0"])).code).toBe(0);
  const [status] = await kisekiJson([...words, "status"]);
  expect(status).toMatchObject({ quota: { objects_max: 0, bytes: expect.any(Number) } });
  expect((await s3.call("PUT", "limited", "three", { body: "" })).status).toBe(403);
  await s3.delete("limited", "two");
  expect((await kiseki([...words, "quota", "clear"])).code).toBe(0);
  await s3.delete("limited", "one");
  expect((await kiseki([...words, "bucket", "delete", "limited"])).code).toBe(0);
  const wrong: readonly (readonly [number, readonly string[]])[] = [
    [1, ["quota", "show", "nobody"]],
    [2, ["quota", "set", "limited"]],
    [2, ["quota", "set", "--bytes", "much"]],
  ];
  for (const [code, each] of wrong) expect((await kiseki([...words, ...each])).code).toBe(code);
});

test("access keys: a new one signs, a disabled one does not, a deleted one is unknown", async () => {
  const [made] = await kisekiJson([...words, "access-key", "create"]);
  const accessKey = String(made!["access_key_id"]);
  using s3 = new S3Client(node.s3Port, {
    accessKey,
    secretKey: String(made!["secret_access_key"]),
  });
  expect((await s3.call("GET", "", "")).status).toBe(200);
  const [limited] = await kisekiJson([
    ...[...words, "access-key", "limit", accessKey],
    ...["--requests-per-second", "1", "--burst", "1", "--bytes-per-second", "1GiB"],
  ]);
  expect(limited).toMatchObject({ limits: { burst: 1, bytes_per_second: 1024 ** 3 } });
  await s3.call("GET", "", "");
  expect((await s3.call("GET", "", "")).status).toBe(503);
  expect((await kiseki([...words, "access-key", "limit", accessKey])).out).toContain("flags say");
  expect((await kiseki([...words, "access-key", "disable", accessKey])).code).toBe(0);
  expect((await s3.call("GET", "", "")).status).toBe(403);
  expect((await kiseki([...words, "access-key", "enable", accessKey])).code).toBe(0);
  expect((await s3.call("GET", "", "")).status).toBe(200);
  expect((await kiseki([...words, "access-key", "delete", accessKey])).code).toBe(0);
  expect((await s3.call("GET", "", "")).status).toBe(403);
  expect((await kiseki([...words, "access-key", "disable", accessKey])).code).toBe(1);
  const list = await kiseki([...words, "--json", "access-key", "list"]);
  expect(list.out).not.toContain(String(made!["secret_access_key"]));
  expect(node.output).not.toContain(String(made!["secret_access_key"]));
});

test("version names the crypto module, doctor finds no fault", async () => {
  const version = await kiseki([...words, "version"]);
  expect(version.out).toMatch(/AWS-LC \d+\.\d+/);
  const findings = await kisekiJson([...words, "doctor"]);
  expect(findings.filter(({ outcome }) => outcome === "fault")).toEqual([]);
  await chmod(join(node.configDirectory, "rpc-token"), 0o644);
  const loose = await kiseki([...words, "doctor"]);
  await chmod(join(node.configDirectory, "rpc-token"), 0o600);
  expect(loose.code).toBe(1);
  expect(loose.out).toContain("chmod 600");
});

test("exit codes: 2 for wrong words, 3 without a node, 4 for a wrong token", async () => {
  const endpoint = `https://127.0.0.1:${rpcPort(node)}`;
  const authority = ["--ca", join(node.configDirectory, "rpc-cert.pem")];
  const wrong = join(node.directory, "wrong-token");
  await writeFile(wrong, "not the token\n");
  const calls: readonly (readonly [number, readonly string[]])[] = [
    [2, [...words, "no-such-command"]],
    [2, [...words, "bucket", "create"]],
    [2, ["--endpoint", "http://127.0.0.1:1", "status"]],
    [2, ["--endpoint", endpoint, "--ca", join(node.directory, "nothing"), "status"]],
    [3, ["--config-dir", node.directory, "status"]],
    [3, ["--endpoint", "https://127.0.0.1:1", "status"]],
    [3, ["--endpoint", endpoint, "status"]],
    [4, ["--endpoint", endpoint, ...authority, "status"]],
    [4, ["--endpoint", endpoint, ...authority, "--token-file", wrong, "status"]],
    [0, ["--endpoint", endpoint, ...words, "status"]],
    [0, ["--socket", join(node.configDirectory, "admin.sock"), "status"]],
  ];
  const endings = await Promise.all(calls.map(([, each]) => kiseki(each)));
  expect(endings.map(({ code }) => code)).toEqual(calls.map(([code]) => code));
  for (const { code, error } of endings) expect(error === "").toBe(code === 0);
  const { error } = await kiseki(["--json", "bucket", "create"]);
  expect(JSON.parse(error)).toMatchObject({ error: { code: "invalid", exit_code: 2 } });
  const mode = (await stat(join(node.configDirectory, "admin.sock"))).mode & 0o777;
  expect(mode).toBe(0o600);
});

test("a port without TLS says nothing", async () => {
  const answer = await fetch(`http://127.0.0.1:${rpcPort(node)}/`).then(
    ({ status }) => status,
    () => "refused",
  );
  expect(answer).not.toBe(200);
});

/** Spoils a piece of every 32 KiB that a device holds, behind its superblock. */
async function spoil(path: string): Promise<void> {
  await using file = await open(path, "r+");
  const { size } = await file.stat();
  const first = 66 * 1024;
  for (let at = first; at + 512 <= size - 1024 * 1024; at += 32 * 1024) {
    await file.write(new Uint8Array(512).fill(7), 0, 512, at);
  }
  await file.sync();
}

test("verify and scrub: clean at first, degraded is repaired, lost is named", async () => {
  await using three = await NodeProcess.started({ devices: 3, mirrors: 0, deviceSize: "128MiB" });
  const its = ["--config-dir", three.configDirectory];
  using s3 = await S3Client.of(three);
  await s3.createBucket("pictures");
  await s3.put("pictures", "small", "tiny");
  const body = new Uint8Array(600_000).map((_, at) => (at * 2_654_435_761) >>> 13);
  await s3.put("pictures", "odd\nkey", body);
  const clean = await kiseki([...its, "verify"]);
  expect(clean).toMatchObject({ code: 0, error: "" });
  expect(clean.out).toContain("2 objects (585.9 KiB) verified: 0 lost, 0 degraded");

  await spoil(three.devices[0]!);
  expect((await kiseki([...its, "scrub"])).code).toBe(0); // repaired from the others
  expect((await kiseki([...its, "verify"])).code).toBe(0);
  for (const device of three.devices) await spoil(device);
  const damaged = await kiseki([...its, "verify", "pictures"]);
  expect(damaged.code).toBe(1);
  expect(damaged.out).toMatch(/^lost +pictures +odd\\x0akey +too few good fragments are left$/m);
  const lines = (await kiseki([...its, "--json", "verify", "--quick"])).out.trim().split("\n");
  expect(JSON.parse(lines[0]!)).toMatchObject({ key: "odd\nkey", state: "lost" });
  expect((await kiseki([...its, "scrub"])).code).toBe(1);
});

test("device replace: a lost device's place is taken, content is whole, the next start is too", async () => {
  await using three = await NodeProcess.started({ devices: 3, mirrors: 0, deviceSize: "128MiB" });
  const its = ["--config-dir", three.configDirectory];
  using s3 = await S3Client.of(three);
  await s3.createBucket("pictures");
  const body = new Uint8Array(700_000).fill(3);
  await s3.put("pictures", "one", body);
  await three.kill();
  await rm(three.devices[1]!);
  await three.start();
  const [[status], devices, degraded] = await Promise.all([
    kisekiJson([...its, "status"]),
    kisekiJson([...its, "device", "list"]),
    kiseki([...its, "verify", "--quick"]),
  ]);
  expect(String(status!["alerts"])).toContain("is missing");
  expect(degraded.code).toBe(1);
  expect(degraded.out).toMatch(/^degraded +pictures +one /m);
  const pathOf = (wanted: string, field: string): string =>
    String(devices.find(({ state }) => state === wanted)![field]);
  const lost = pathOf("missing", "device_id");
  const path = three.devices[1]!;
  const replace = (...named: readonly string[]) => kiseki([...its, "device", "replace", ...named]);
  const refused = [replace(lost, pathOf("healthy", "path")), replace("nonsense", path)];
  expect((await Promise.all(refused)).map(({ code }) => code).toSorted()).toEqual([1, 2]);
  const done = await replace(lost, path);
  expect(done.error).toContain("--devices");
  expect(done.code).toBe(0);
  const expectWhole = async (devices: readonly string[]): Promise<void> => {
    await three.start({ words: ["--devices", devices.join(",")] });
    const [[after], whole] = await Promise.all([
      kisekiJson([...its, "status"]),
      kiseki([...its, "verify"]),
    ]);
    expect(after!["alerts"]).toEqual([]);
    expect(whole.code).toBe(0);
    using again = await S3Client.of(three);
    expect(await again.get("pictures", "one")).toEqual(body);
  };
  await three.stop();
  await expectWhole(three.devices);
  // A healthy one goes elsewhere; its old file stays in the list that the next start is given.
  const spare = join(three.directory, "spare");
  const [moved] = await kisekiJson([...its, "device", "list"]);
  expect(moved!["path"]).toBe(three.devices[0]!);
  expect((await replace(String(moved!["device_id"]), spare)).code).toBe(0);
  await three.stop();
  await expectWhole(three.devices);
  expect(three.output).toContain("is none of the pool's");
  await three.stop();
  await expectWhole([spare, ...three.devices.slice(1)]);
});

/** A node with one object, and what is needed to open it again once its config directory is gone. */
async function nodeToBurn() {
  const node = await NodeProcess.started(layout);
  const { configDirectory, dataDirectory, mirrors } = node;
  const credentials = await node.credentials();
  using s3 = await S3Client.of(node);
  await s3.createBucket("letters");
  await s3.put("letters", "one", "dear reader");
  const folders = [
    ...["--config-dir", configDirectory],
    ...["--data-dir", dataDirectory, "--mirror", mirrors.join(",")],
  ];
  const expectWhole = async (): Promise<void> => {
    await node.start();
    using again = new S3Client(node.s3Port, credentials);
    expect(Buffer.from((await again.get("letters", "one"))!).toString()).toBe("dear reader");
  };
  return { node, folders, configDirectory, expectWhole };
}

test("encryption recover: the code opens a node whose config directory burnt down", async () => {
  const { node: burnt, folders, configDirectory, expectWhole } = await nodeToBurn();
  await using _ = burnt;
  const recover = ["encryption", "recover", ...folders];
  const code = burnt.recoveryCode;
  const running = await kiseki(recover, code);
  expect(running.code).toBe(1);
  expect(running.error).toContain("running");
  await burnt.stop();
  await rm(configDirectory, { recursive: true });
  expect((await burnt.tryStart())?.code).toBe(1); // nothing is made anew over data that is there
  await rm(configDirectory, { recursive: true });
  const typo = `${code.slice(0, -1)}${code.endsWith("1") ? "2" : "1"}`;
  expect((await kiseki(recover, typo)).code).toBe(1);
  expect((await kiseki(recover, `${code}\n`)).code).toBe(0);
  // A device that is missing too is a loss, never made anew.
  expect(await Bun.file(join(configDirectory, "devices")).exists()).toBe(true);
  await expectWhole();
});

test("encryption export and import: the sealed file opens a node whose config directory burnt down", async () => {
  const { node: burnt, folders, configDirectory, expectWhole } = await nodeToBurn();
  await using _ = burnt;
  const file = join(burnt.directory, "export");
  const give = ["encryption", "export", file, "--config-dir", configDirectory];
  const passphrase = "correct horse battery\n";
  expect((await kiseki(give, "short\n")).code).toBe(2);
  expect((await kiseki(give, passphrase)).code).toBe(0);
  expect((await kiseki(give, passphrase)).code).toBe(2); // never over a file that is there
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  await burnt.kill();
  await rm(configDirectory, { recursive: true });
  const take = ["encryption", "import", file, ...folders];
  expect((await kiseki(take, "wrong passphrase\n")).code).toBe(1);
  const [imported] = await kisekiJson(take, passphrase);
  expect(imported!["recovery_code"]).toMatch(/^[0-9A-Z-]{40,}$/);
  expect(imported!["recovery_code"]).not.toBe(burnt.recoveryCode);
  await expectWhole();
  expect(burnt.output).not.toContain("correct horse");
});

test("beyond loopback the RPC listener is refused without client certificates", async () => {
  await using open = await NodeProcess.create(layout);
  const ending = await open.tryStart({ words: ["--data-addr", "0.0.0.0:0"] });
  expect(ending?.code).toBe(2);
  expect(open.output).toContain("--ca-path");
});

test("with --ca-path a client certificate opens the door, and nothing else does", async () => {
  await using strict = await NodeProcess.create(layout);
  const { temporaryDirectory: folder, configDirectory } = strict;
  const path = (name: string): string => join(folder, name);
  const openssl = async (...words: readonly string[]): Promise<void> => {
    const child = Bun.spawn(["openssl", ...words], { stdout: "ignore", stderr: "ignore" });
    expect(await child.exited).toBe(0);
  };
  const request = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const names = ["authority", "stranger"];
  for (const name of names) {
    const files = ["-keyout", path(`${name}.key`), "-out", path(`${name}.pem`)];
    await openssl(...request, "-x509", ...files, "-days", "2", "-subj", `/CN=${name}`);
  }
  for (const name of names) {
    const client = path(`${name}-client`);
    await openssl(
      ...request,
      "-keyout",
      `${client}.key`,
      "-out",
      `${client}.csr`,
      "-subj",
      "/CN=c",
    );
    const signer = ["-CA", path(`${name}.pem`), "-CAkey", path(`${name}.key`), "-CAcreateserial"];
    await openssl("x509", "-req", "-in", `${client}.csr`, "-out", `${client}.pem`, ...signer);
  }
  await strict.start({ words: ["--ca-path", path("authority.pem")] });
  const target = [
    "--endpoint",
    `https://127.0.0.1:${rpcPort(strict)}`,
    "--config-dir",
    configDirectory,
  ];
  const show = (name: string) => [
    "--cert",
    path(`${name}-client.pem`),
    "--key",
    path(`${name}-client.key`),
  ];
  expect((await kiseki([...target, ...show("authority"), "bucket", "list"])).code).toBe(0);
  const refused = await Promise.all([
    kiseki([...target, "bucket", "list"]),
    kiseki([...target, ...show("stranger"), "bucket", "list"]),
  ]);
  for (const { code, out, error } of refused) {
    expect(out).toBe("");
    expect(code).toBe(4);
    expect(error).toContain("certificate");
  }
});
