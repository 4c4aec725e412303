/** Starts our server and the peers on folders of one disk; each is ended by its pid. */
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { plainEnvironment } from "../tests/support/node-process.ts";
import { S3Client } from "../tests/support/s3-client.ts";

export const root = join(import.meta.dir, "..");
export const cacheDirectory =
  process.env["KISEKI_CACHE_DIR"] ??
  join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "kiseki");

export type ServerName = "kiseki" | "minio" | "versitygw";
/** `one`: a single device or folder; `six`: 4+2 over six devices or folders. */
export type Layout = "one" | "six";

const startMs = 120_000; // device files are written once through

/** A server that answers, and what a client has to know of it. */
export class Server implements AsyncDisposable {
  readonly name: ServerName;
  readonly port: number;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly #child: Subprocess;

  constructor(
    name: ServerName,
    child: Subprocess,
    access: { readonly port: number; readonly accessKey: string; readonly secretKey: string },
  ) {
    this.name = name;
    this.#child = child;
    this.port = access.port;
    this.accessKey = access.accessKey;
    this.secretKey = access.secretKey;
  }
  get pid(): number {
    return this.#child.pid;
  }
  /** Takes it off the processor while another one is measured. */
  pause(): void {
    this.#child.kill("SIGSTOP");
  }
  resume(): void {
    this.#child.kill("SIGCONT");
  }
  /** Ends it without a chance to tidy up; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
  client(): S3Client {
    return new S3Client(this.port, { accessKey: this.accessKey, secretKey: this.secretKey });
  }
  /** MinIO says that it is ready before it takes requests. */
  async createBucket(name: string): Promise<void> {
    using client = this.client();
    for (let left = 100; ; left--) {
      const answer = await client.call("PUT", name, "");
      if (answer.status === 200) return;
      if (answer.status !== 503 || left === 0) {
        throw new Error(`Cannot make a bucket on ${this.name}: ${answer.status}`);
      }
      await Bun.sleep(100);
    }
  }
  /** What a careful administrator sets: every version is kept, and a policy is asked on each request. */
  async guard(bucket: string): Promise<void> {
    using client = this.client();
    const resource = `arn:aws:s3:::${bucket}`;
    const statements = [
      {
        ...{ Sid: "NoForeigners", Effect: "Deny", Principal: "*", Action: "s3:*" },
        Resource: [resource, `${resource}/*`],
        Condition: { NotIpAddress: { "aws:SourceIp": "127.0.0.0/8" } },
      },
      {
        ...{ Sid: "Published", Effect: "Allow", Principal: "*", Action: ["s3:GetObject"] },
        Resource: `${resource}/public/*`,
      },
    ];
    const policy = JSON.stringify({ Version: "2012-10-17", Statement: statements });
    await client.expect("PUT", bucket, "", { query: { policy: "" }, body: policy });
    const body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    await client.expect("PUT", bucket, "", { query: { versioning: "" }, body });
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.resume();
    this.#child.kill("SIGTERM");
    const slow = setTimeout(() => this.#child.kill("SIGKILL"), 10_000);
    await this.#child.exited;
    clearTimeout(slow);
  }
}

/** `deviceSize`: of each device of ours, made by the first start on the folder. */
export async function startServer(
  name: ServerName,
  layout: Layout,
  folder: string,
  deviceSize = layout === "six" ? "3GiB" : "12GiB",
): Promise<Server> {
  await mkdir(folder, { recursive: true });
  switch (name) {
    case "kiseki":
      return startKiseki(layout, folder, deviceSize);
    case "minio":
      return startMinio(layout, folder);
    case "versitygw":
      return startVersitygw(folder);
    default:
      return name satisfies never;
  }
}

async function startKiseki(layout: Layout, folder: string, deviceSize: string): Promise<Server> {
  const count = layout === "six" ? 6 : 1;
  const devices = Array.from({ length: count }, (_, at) => join(folder, `device-${at}`));
  const any = "127.0.0.1:0";
  const words = {
    "--data-dir": join(folder, "data"),
    "--config-dir": join(folder, "config"),
    "--devices": devices.join(","),
    "--device-size": deviceSize,
    "--s3-addr": any,
    "--data-addr": any,
    "--bulk-addr": any,
    "--metrics-addr": any,
    "--advisory-addr": any,
    "--log-level": "warn",
  };
  const program = process.env["KISEKI_BENCH_PROGRAM"]?.split(" ") ?? [
    process.execPath,
    join(root, "apps/server/src/kiseki-server.ts"),
  ];
  const child = Bun.spawn(
    [...program, ...Object.entries(words).flat(), ...(count === 1 ? ["--allow-single-copy"] : [])],
    { stdout: "pipe", stderr: "inherit", env: plainEnvironment() },
  );
  const port = await readyPort(child.stdout);
  const text = await readFile(join(folder, "config/credentials.json"), "utf8");
  const keys: { access_key: string; secret_key: string } = JSON.parse(text);
  return new Server("kiseki", child, {
    port,
    accessKey: keys.access_key,
    secretKey: keys.secret_key,
  });
}

/** Of the line that says that it is ready. @throws {Error} when it ended before. */
async function readyPort(output: ReadableStream<Uint8Array>): Promise<number> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const slice of output) {
    text += decoder.decode(slice, { stream: true });
    const line = text.split("\n").find((one) => one.includes('"ready":true') && one.endsWith("}"));
    if (line === undefined) continue;
    const ready: { s3_port: number } = JSON.parse(line);
    return ready.s3_port;
  }
  throw new Error("Cannot bench: kiseki-server ended before it was ready");
}

const peerKeys = { accessKey: "benchaccess", secretKey: "benchsecretbenchsecret" };

function peerProgram(name: "minio" | "versitygw"): string {
  const path = join(cacheDirectory, "peers", name);
  if (!existsSync(path))
    throw new Error(`Cannot bench against ${name}: run bench/peers.sh ${name}`);
  return path;
}

async function startMinio(layout: Layout, folder: string): Promise<Server> {
  const port = await freePort();
  const folders =
    layout === "six"
      ? [1, 2, 3, 4, 5, 6].map((at) => join(folder, `drive-${at}`))
      : [join(folder, "drive")];
  for (const one of folders) await mkdir(one, { recursive: true });
  const child = Bun.spawn(
    [peerProgram("minio"), "server", "--quiet", "--address", `127.0.0.1:${port}`, ...folders],
    {
      stdout: "ignore",
      stderr: "ignore",
      env: {
        ...plainEnvironment(),
        MINIO_ROOT_USER: peerKeys.accessKey,
        MINIO_ROOT_PASSWORD: peerKeys.secretKey,
        MINIO_BROWSER: "off",
        MINIO_UPDATE: "off",
        MINIO_ROOTDRIVE_THRESHOLD_SIZE: "1MiB",
        ...(layout === "six" ? { MINIO_STORAGE_CLASS_STANDARD: "EC:2" } : {}),
      },
    },
  );
  await answers(`http://127.0.0.1:${port}/minio/health/ready`, (status) => status === 200);
  return new Server("minio", child, { port, ...peerKeys });
}

async function startVersitygw(folder: string): Promise<Server> {
  const port = await freePort();
  const child = Bun.spawn(
    [
      ...[peerProgram("versitygw"), "--access", peerKeys.accessKey, "--secret", peerKeys.secretKey],
      ...["--port", `127.0.0.1:${port}`, "--keep-alive", "--quiet", "posix", folder],
    ],
    { stdout: "ignore", stderr: "ignore", env: plainEnvironment() },
  );
  await answers(`http://127.0.0.1:${port}/`, (status) => status > 0);
  return new Server("versitygw", child, { port, ...peerKeys });
}

async function freePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const server = createServer();
  server.once("error", reject);
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
  });
  return promise;
}

async function answers(url: string, isReady: (status: number) => boolean): Promise<void> {
  for (const until = Date.now() + startMs; Date.now() < until; await Bun.sleep(100)) {
    const status = await fetch(url).then(
      (answer) => answer.status,
      () => 0,
    );
    if (isReady(status)) return;
  }
  throw new Error(`Cannot bench: nothing answers at ${url}`);
}
