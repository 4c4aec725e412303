import { expect, test } from "bun:test";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { plainEnvironment } from "./support/node-process.ts";

const script = join(import.meta.dir, "../scripts/up.ts");

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A home of its own, with nodes on free ports; whatever was started there is stopped at the end. */
class Home implements AsyncDisposable {
  readonly path: string;
  private constructor(path: string) {
    this.path = path;
  }
  static async make(): Promise<Home> {
    return new Home(await mkdtemp(join(tmpdir(), "kiseki-up-")));
  }
  get config(): string {
    return join(this.path, "config/kiseki");
  }
  async up(...words: string[]): Promise<Outcome> {
    const child = Bun.spawn(["bun", script, ...words], {
      env: {
        ...plainEnvironment(),
        HOME: this.path,
        XDG_DATA_HOME: join(this.path, "data"),
        XDG_CONFIG_HOME: join(this.path, "config"),
        KISEKI_S3_ADDR: "127.0.0.1:0",
        KISEKI_DATA_ADDR: "127.0.0.1:0",
        KISEKI_BULK_ADDR: "127.0.0.1:0",
        KISEKI_METRICS_ADDR: "127.0.0.1:0",
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { code, stdout, stderr };
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.up("--stop");
    await rm(this.path, { recursive: true, force: true });
  }
}

const lastObject = ({ stdout }: Outcome) =>
  JSON.parse(stdout.trimEnd().split("\n").at(-1)!) as Readonly<Record<string, string | number>>;

/** What `--json` prints on every call, no more and no less. */
const factNames = [
  ...["access_key", "data_dir", "metrics_endpoint", "pid", "region", "rpc_endpoint"],
  ...["s3_endpoint", "secret_key"],
];

const start = ["--devices", "2", "--device-size", "128MiB", "--mirror"] as const;

test("up starts a node, says secrets once, and leaves a running node alone", async () => {
  await using home = await Home.make();
  const first = await home.up(...start, join(home.path, "mirror"));
  expect(first.stderr).toContain("start and wait until ready");
  expect(first.code).toBe(0);
  const secret = JSON.parse(await readFile(join(home.config, "credentials.json"), "utf8")) as {
    secret_key: string;
  };
  expect(first.stdout).toContain(secret.secret_key);
  expect(first.stdout).toContain("Recovery code");

  const second = await home.up();
  expect(second.code).toBe(0);
  expect(second.stdout).not.toContain(secret.secret_key);
  expect(second.stdout).not.toContain("Recovery code");

  const facts = lastObject(await home.up("--json"));
  expect(facts["secret_key"]).toBe(secret.secret_key);
  expect(Object.keys(facts).toSorted()).toEqual(factNames);
  expect((await fetch(`${facts["metrics_endpoint"]}/health/ready`)).status).toBe(200);
  expect((await fetch(String(facts["s3_endpoint"]))).headers.get("x-amz-request-id")).toBeTruthy();
  expect((await stat(join(home.path, "mirror/cluster-key"))).isFile()).toBe(true);
}, 20_000);

test("up --status and --stop say what is, and a stopped node starts with what it had", async () => {
  await using home = await Home.make();
  expect((await home.up("--status")).code).toBe(3);
  expect((await home.up("--stop")).code).toBe(0);
  const first = lastObject(await home.up(...start, join(home.path, "mirror"), "--json"));
  expect(Object.keys(first).toSorted()).toEqual(factNames);
  const status = await home.up("--status", "--json");
  expect(status.code).toBe(0);
  expect(lastObject(status)).toEqual(first);
  const other = await home.up("--device-size", "256MiB");
  expect(other.code).toBe(1);
  expect(other.stderr).toContain("stop it first");
  expect((await home.up("--stop")).code).toBe(0);
  expect((await home.up("--status")).code).toBe(3);
  const again = lastObject(await home.up("--json"));
  expect(again["access_key"]).toBe(first["access_key"]!);
  expect(again["pid"]).not.toBe(first["pid"]!);
  const facts = lastObject(await home.up("--json")); // it runs, and is left alone
  expect(facts).toEqual(again);
  expect(facts["secret_key"]).toBe(first["secret_key"]!);
}, 20_000);

test("up leaves neither secret nor recovery code in what it keeps, and shows why a start failed", async () => {
  await using home = await Home.make();
  const first = await home.up(...start, join(home.path, "mirror"));
  const code = /Recovery code\s+(\S+)/.exec(first.stdout)![1]!;
  const { secret_key: secret } = JSON.parse(
    await readFile(join(home.config, "credentials.json"), "utf8"),
  ) as { secret_key: string };
  for (const name of ["server.log", "server.pid", "up.json"]) {
    const text = await readFile(join(home.config, "up", name), "utf8");
    expect(text).not.toContain(code);
    expect(text).not.toContain(secret);
  }
  await home.up("--stop");
  await writeFile(join(home.config, "credentials.json"), "{");
  const failed = await home.up();
  expect(failed.code).toBe(1);
  expect(failed.stderr).toContain("The node did not start");
  expect(failed.stderr).toContain("credentials.json");
  expect(failed.stderr).not.toContain(secret);
}, 20_000);
