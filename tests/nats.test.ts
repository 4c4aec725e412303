/**
 * Notifications to a real NATS server with JetStream: stored in a stream before they count as sent, repetitions
 * dropped, nothing lost while the server is away. Also that an access log is delivered at a stop.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { kiseki, kisekiJson } from "./support/cli.ts";
import { NodeProcess, until } from "./support/node-process.ts";
import { S3Client, xmlValues } from "./support/s3-client.ts";
import { cached } from "./support/tools.ts";

/** A NATS server on a free port that it keeps over restarts. */
class NatsServer implements AsyncDisposable {
  readonly directory: string;
  port = -1;
  monitor = -1;
  token = "";
  #child: Bun.Subprocess | undefined;
  private constructor(directory: string) {
    this.directory = directory;
  }
  static async create(): Promise<NatsServer> {
    return new NatsServer(await mkdtemp(join(tmpdir(), "kiseki-nats-")));
  }
  async start(): Promise<void> {
    const program = cached("nats-server-2.15.1/nats-server");
    const ports = ["--port", String(this.port), "--http_port", String(this.monitor)];
    const store = ["--jetstream", "--store_dir", join(this.directory, "store")];
    const words = ["--addr", "127.0.0.1", ...ports, ...store, "--ports_file_dir", this.directory];
    if (this.token !== "") words.push("--auth", this.token);
    this.#child = Bun.spawn([program, ...words], { stdout: "ignore", stderr: "ignore" });
    const file = join(this.directory, `nats-server_${this.#child.pid}.ports`);
    await until("NATS tells its ports", () => Bun.file(file).exists());
    const told = (await Bun.file(file).json()) as { nats: string[]; monitoring: string[] };
    this.port = Number(new URL(told.nats[0]!).port);
    this.monitor = Number(new URL(told.monitoring[0]!).port);
  }
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** The text protocol, as far as the test speaks it: one request, one answer. */
async function ask(port: number, subject: string, body: string): Promise<Record<string, unknown>> {
  const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown>>();
  let text = "";
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data(_, bytes) {
        text += bytes.toString("latin1");
        const [, size, rest] = /\r\nMSG inbox 1 (\d+)\r\n([^]*)/.exec(`\r\n${text}`) ?? [];
        if (rest !== undefined && rest.length >= Number(size)) {
          resolve(JSON.parse(rest.slice(0, Number(size))) as Record<string, unknown>);
        }
      },
      error: (_, reason) => reject(reason),
      close: () => reject(new Error("NATS closed the connection")),
    },
  });
  socket.write(
    `CONNECT {"verbose":false}\r\nSUB inbox 1\r\nPUB ${subject} inbox ${Buffer.byteLength(body)}\r\n${body}\r\n`,
  );
  try {
    return await promise;
  } finally {
    socket.end();
  }
}

let nats: NatsServer;
let node: NodeProcess;
let words: string[];

beforeAll(async () => {
  nats = await NatsServer.create();
  await nats.start();
  const stream = { name: "EVENTS", subjects: ["kiseki.events"], storage: "file" };
  const made = await ask(nats.port, "$JS.API.STREAM.CREATE.EVENTS", JSON.stringify(stream));
  expect(made["error"]).toBeUndefined();
  node = await NodeProcess.create({ devices: 1, mirrors: 0, deviceSize: "128MiB" });
  const targets = join(node.directory, "targets.json");
  const bus = {
    id: "bus",
    type: "nats",
    servers: [`127.0.0.1:${nats.port}`],
    subject: "kiseki.events",
  };
  await writeFile(targets, JSON.stringify({ targets: [{ ...bus, timeout_s: 1 }] }));
  words = ["--notification-targets", targets, "--notification-retry-max-s", "1"];
  await node.start({ words });
}, 20_000);
afterAll(async () => {
  await node[Symbol.asyncDispose]();
  await nats[Symbol.asyncDispose]();
});

/** Keys of the events in the stream, in its order. */
async function streamed(): Promise<readonly string[]> {
  const info = await ask(nats.port, "$JS.API.STREAM.INFO.EVENTS", "");
  const { last_seq: last } = info["state"] as { last_seq: number };
  const keys: string[] = [];
  for (let seq = 1; seq <= last; seq++) {
    const got = await ask(nats.port, "$JS.API.STREAM.MSG.GET.EVENTS", JSON.stringify({ seq }));
    const { data } = got["message"] as { data: string };
    const event = JSON.parse(Buffer.from(data, "base64").toString()) as {
      Records?: { s3: { object: { key: string } } }[];
    };
    if (event.Records) keys.push(event.Records[0]!.s3.object.key);
  }
  return keys;
}

const rule = `<NotificationConfiguration><TopicConfiguration><Topic>arn:kiseki:sns::bus:nats</Topic><Event>s3:ObjectCreated:*</Event></TopicConfiguration></NotificationConfiguration>`;

/** Refused where the target does not take a test event within its second. */
async function subscribes(s3: S3Client): Promise<boolean> {
  const query = { notification: "" };
  return (await s3.call("PUT", "bus", "", { query, body: rule })).status === 200;
}

test("events are in the stream, once each, also those of the time when the server was away", async () => {
  using s3 = await S3Client.of(node);
  const its = ["--config-dir", node.configDirectory];
  await s3.createBucket("bus");
  await until("it takes the test event", () => subscribes(s3));
  await s3.put("bus", "one", "1");
  await until("the first is there", async () => (await streamed()).length === 1);
  await nats.kill();
  await s3.put("bus", "two", "2");
  await s3.put("bus", "three", "3");
  const waiting = async (): Promise<boolean> => {
    const [target] = await kisekiJson(["notification", "targets", ...its]);
    expect(target).toMatchObject({ id: "bus", arn: "arn:kiseki:sqs::bus:nats" });
    return (await kiseki(["notification", "status", ...its])).out.includes("waiting");
  };
  await until("the status says that it waits", waiting);
  await nats.start();
  await until("all are there", async () => (await streamed()).length === 3);
  const [first, ...others] = await streamed();
  expect([first, others.toSorted()]).toEqual(["one", ["three", "two"]]); // keys have no order among each other
  await until("it is well again", async () => {
    const { code } = await kiseki(["notification", "status", ...its]);
    return code === 0;
  });
  expect((await kiseki(["notification", "dead-letters", "bus", ...its])).code).toBe(0);
  expect((await kiseki(["notification", "retry", "nobody", ...its])).code).toBe(1);
}, 20_000);

test("a server that asks for a token gets it from the file, and refuses another", async () => {
  await using guarded = await NatsServer.create();
  guarded.token = "s3cret-token";
  await guarded.start();
  for (const [token, isRight] of [
    ["s3cret-token\n", true],
    ["another", false],
  ] as const) {
    await using other = await NodeProcess.create({ devices: 1, mirrors: 0, deviceSize: "128MiB" });
    const file = join(other.directory, "token");
    await writeFile(file, token);
    const bus = { id: "bus", type: "nats", servers: [`127.0.0.1:${guarded.port}`], subject: "a.b" };
    const target = { ...bus, jetstream: false, token_file: file, timeout_s: 1 };
    const targets = join(other.directory, "targets.json");
    await writeFile(targets, JSON.stringify({ targets: [target] }));
    await other.start({ words: ["--notification-targets", targets] });
    using s3 = await S3Client.of(other);
    await s3.createBucket("bus");
    if (isRight) await until("it takes the test event", () => subscribes(s3));
    else expect(await subscribes(s3)).toBe(false);
    expect(other.output).not.toContain(token.trim());
  }
}, 20_000);

test("what waits of an access log is delivered at a stop", async () => {
  {
    using s3 = await S3Client.of(node);
    for (const bucket of ["logged", "logs"]) await s3.createBucket(bucket);
    const body = `<BucketLoggingStatus><LoggingEnabled><TargetBucket>logs</TargetBucket><TargetPrefix/></LoggingEnabled></BucketLoggingStatus>`;
    await s3.call("PUT", "logged", "", { query: { logging: "" }, body });
    await s3.put("logged", "key", "x");
  }
  expect(await node.stop()).toMatchObject({ code: 0 });
  await node.start({ words });
  using s3 = await S3Client.of(node);
  const { body } = await s3.call("GET", "logs", "", { query: { "list-type": "2" } });
  expect(xmlValues(body, "Key")).toHaveLength(1);
}, 20_000);
