/**
 * Notifications over real HTTP: what is set, what a webhook is told, and what goes on when it is away. Faults: a
 * webhook that refuses, is down, answers errors; a node that is opened anew.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Bed, type Call, type Reply } from "./bed.test-helper.ts";

interface Got {
  readonly authorization: string | null;
  readonly body: Record<string, unknown>;
}
interface EventRecord {
  readonly eventName: string;
  readonly s3: { readonly object: Record<string, unknown> };
}

/** A webhook that keeps what it gets, each event once, and answers as it is told. */
class Webhook implements AsyncDisposable {
  readonly got: Got[] = [];
  /** An event comes at least once: again when its answer was late. */
  readonly #known = new Set<string>();
  answer = (): number => 200;
  readonly #server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const status = this.answer();
      const body = (await request.json()) as Record<string, unknown>;
      const id = request.headers.get("x-kiseki-event-id");
      const isNew = id === null || !this.#known.has(id);
      if (status === 200 && isNew) {
        if (id !== null) this.#known.add(id);
        this.got.push({ authorization: request.headers.get("authorization"), body });
      }
      return new Response("thank you", { status });
    },
  });
  get url(): string {
    return `http://127.0.0.1:${this.#server.port}/hook?x=1`;
  }
  get records(): readonly EventRecord[] {
    return this.got.flatMap(({ body }) => (body["Records"] as EventRecord[] | undefined) ?? []);
  }
  /** `name key` of every event so far. */
  get names(): readonly string[] {
    return this.records.map(({ eventName, s3 }) => `${eventName} ${String(s3.object["key"])}`);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

async function until(what: string, look: () => boolean): Promise<void> {
  for (const end = performance.now() + 15_000; !look();) {
    if (performance.now() > end)
      throw new Error(`Waited in vain until ${what}; came: ${hook.names.join(", ")}`);
    await Bun.sleep(10);
  }
}

const owned = new AsyncDisposableStack();
let bed: Bed;
let hook: Webhook;
let other: Webhook;
const call = (method: string, target: string, options?: Call): Promise<Reply> =>
  bed.call(bed.main, method, target, options);
const element = (text: string, name: string): string | undefined =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];

beforeAll(async () => {
  const path = await mkdtemp(`${tmpdir()}/kiseki-targets-`);
  owned.defer(() => rm(path, { recursive: true }));
  hook = owned.use(new Webhook());
  other = owned.use(new Webhook());
  await writeFile(`${path}/token`, "let me in\n");
  const targets = [
    { id: "hook", type: "webhook", url: hook.url, token_file: `${path}/token` },
    { id: "other", type: "webhook", url: other.url, timeout_s: 1 },
    { id: "nobody", type: "webhook", url: "http://127.0.0.1:1/" },
  ];
  await writeFile(`${path}/targets.json`, JSON.stringify({ targets }));
  bed = owned.use(
    await Bed.open("256MiB", [
      ...["--notification-targets", `${path}/targets.json`],
      ...["--notification-retry-max-s", "1"],
    ]),
  );
}, 20_000);
afterAll(() => owned.disposeAsync());

const rule = (id: string, events: readonly string[], rest = "", target = "hook") =>
  `<QueueConfiguration><Id>${id}</Id>${rest}<Queue>arn:kiseki:sqs::${target}:webhook</Queue>${events.map((event) => `<Event>${event}</Event>`).join("")}</QueueConfiguration>`;
async function subscribe(bucket: string, ...rules: readonly string[]): Promise<Reply> {
  await call("PUT", `/${bucket}`);
  const body = `<NotificationConfiguration>${rules.join("")}</NotificationConfiguration>`;
  return call("PUT", `/${bucket}?notification`, { body });
}

test("a configuration is kept after its targets took a test event, and refused when they are not there", async () => {
  const set = await subscribe("config", rule("a", ["s3:ObjectCreated:*"]));
  expect(set.status).toBe(200);
  const tests = hook.got.filter(
    ({ body }) => body["Event"] === "s3:TestEvent" && body["Bucket"] === "config",
  );
  expect(tests).toHaveLength(1);
  expect(tests[0]).toMatchObject({
    authorization: "Bearer let me in",
    body: { Service: "Amazon S3", Bucket: "config" },
  });
  const shown = await call("GET", "/config?notification");
  expect(shown.text).toContain("<Queue>arn:kiseki:sqs::hook:webhook</Queue>");
  for (const target of ["nobody", "unknown"]) {
    const refused = await subscribe("config", rule("b", ["s3:ObjectCreated:*"], "", target));
    expect(refused.status).toBe(400);
    expect(refused.text).toContain("Unable to validate the following destination");
  }
  const body = `<NotificationConfiguration>${rule("c", ["s3:ObjectCreated:*"], "", "nobody")}</NotificationConfiguration>`;
  const headers = { "x-amz-skip-destination-validation": "true" };
  expect((await call("PUT", "/config?notification", { body, headers })).status).toBe(200);
  expect((await subscribe("config")).status).toBe(200);
  expect((await call("GET", "/config?notification")).text).not.toContain("Queue");
}, 20_000);

test("a webhook is told of every kind of change, with AWS's fields, in the order of the key", async () => {
  const events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*"];
  await subscribe("kinds", rule("all", events));
  hook.got.length = 0;
  await call("PUT", "/kinds/a%20b/%C3%A9%2B", { body: "hello" });
  await call("PUT", "/kinds/copy", { headers: { "x-amz-copy-source": "/kinds/a%20b/%C3%A9%2B" } });
  const id = element((await call("POST", "/kinds/parts?uploads")).text, "UploadId")!;
  const part = await call("PUT", `/kinds/parts?partNumber=1&uploadId=${id}`, { body: "part" });
  const named = `<Part><PartNumber>1</PartNumber><ETag>${part.headers["etag"]}</ETag></Part>`;
  const body = `<CompleteMultipartUpload>${named}</CompleteMultipartUpload>`;
  await call("POST", `/kinds/parts?uploadId=${id}`, { body });
  await call("POST", `/kinds/parts?uploadId=${id}`, { body }); // a repetition is no change
  const tagging = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>";
  await call("PUT", "/kinds/copy?tagging", { body: tagging });
  await call("DELETE", "/kinds/copy?tagging");
  await call("DELETE", "/kinds/copy");
  await call("DELETE", "/kinds/nothing");
  await until("all have come", () => hook.records.length >= 6);
  expect(hook.names.toSorted()).toEqual(
    [
      "ObjectCreated:Put a+b/%C3%A9%2B",
      "ObjectCreated:Copy copy",
      "ObjectCreated:CompleteMultipartUpload parts",
      "ObjectTagging:Put copy",
      "ObjectTagging:Delete copy",
      "ObjectRemoved:Delete copy",
    ].toSorted(),
  );
  expect(hook.names.filter((name) => name.endsWith(" copy"))).toEqual([
    "ObjectCreated:Copy copy",
    "ObjectTagging:Put copy",
    "ObjectTagging:Delete copy",
    "ObjectRemoved:Delete copy",
  ]);
  expect(hook.records.find(({ eventName }) => eventName === "ObjectCreated:Put")).toMatchObject({
    eventVersion: "2.1",
    eventSource: "aws:s3",
    awsRegion: "us-east-1",
    requestParameters: { sourceIPAddress: "127.0.0.1" },
    responseElements: { "x-amz-request-id": expect.stringMatching(/^[0-9A-F]{16}$/) },
    s3: {
      s3SchemaVersion: "1.0",
      configurationId: "all",
      bucket: { name: "kinds", arn: "arn:aws:s3:::kinds" },
      object: { size: 5, eTag: "5d41402abc4b2a76b9719d911017c592" },
    },
  });
  const sequencers = hook.records
    .filter(({ s3 }) => s3.object["key"] === "copy")
    .map(({ s3 }) => String(s3.object["sequencer"]));
  expect(sequencers).toEqual(sequencers.toSorted());
  expect(new Set(sequencers).size).toBe(4);
}, 20_000);

test("events of a bucket with versions name them as the answers do", async () => {
  await subscribe("versions", rule("all", ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]));
  const body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
  expect((await call("PUT", "/versions?versioning", { body })).status).toBe(200);
  hook.got.length = 0;
  const made = (await call("PUT", "/versions/key", { body: "x" })).headers["x-amz-version-id"]!;
  const marker = (await call("DELETE", "/versions/key")).headers["x-amz-version-id"]!;
  expect((await call("DELETE", `/versions/key?versionId=${made}`)).status).toBe(204);
  await until("all have come", () => hook.records.length === 3);
  expect(
    hook.records.map(({ eventName, s3 }) => [eventName, s3.object["versionId"], s3.object["size"]]),
  ).toEqual([
    ["ObjectCreated:Put", made, 1],
    ["ObjectRemoved:DeleteMarkerCreated", marker, undefined],
    ["ObjectRemoved:Delete", made, undefined],
  ]);
}, 20_000);

test("another tenant's events are its own", async () => {
  const its = (method: string, target: string, options?: Call): Promise<Reply> =>
    bed.call(bed.other, method, target, options);
  await its("PUT", "/theirs");
  const body = `<NotificationConfiguration>${rule("x", ["s3:ObjectCreated:*"])}</NotificationConfiguration>`;
  expect((await its("PUT", "/theirs?notification", { body })).status).toBe(200);
  hook.got.length = 0;
  await its("PUT", "/theirs/key", { body: "x" });
  await until("it has come", () => hook.records.length === 1);
  const owner = (hook.records[0] as unknown as { s3: { bucket: { ownerIdentity: unknown } } }).s3
    .bucket;
  const list = await its("GET", "/");
  expect(owner.ownerIdentity).toEqual({ principalId: element(list.text, "ID")! });
  // What waits when its tenant closes comes without any request of the tenant's.
  hook.got.length = 0;
  hook.answer = () => 503;
  await its("PUT", "/theirs/waits", { body: "x" });
  const { id } = bed.node.storage.catalog.tenants().find(({ name }) => name === "other")!;
  await bed.node.tenants.close(id);
  hook.answer = () => 200;
  await until("it has come", () => hook.names.includes("ObjectCreated:Put waits"));
}, 20_000);

test("prefix, suffix and event choose, and buckets without a subscription are silent", async () => {
  const filter = `<Filter><S3Key><FilterRule><Name>prefix</Name><Value>in/</Value></FilterRule><FilterRule><Name>suffix</Name><Value>.jpg</Value></FilterRule></S3Key></Filter>`;
  await subscribe(
    "filters",
    rule("jpg", ["s3:ObjectCreated:Put"], filter),
    rule("gone", ["s3:ObjectRemoved:Delete"], "", "other"),
  );
  await call("PUT", "/silent");
  hook.got.length = 0;
  for (const key of ["in/a.jpg", "in/a.png", "out/a.jpg", "in/b.jpg"]) {
    await call("PUT", `/filters/${key}`, { body: "x" });
    await call("PUT", `/silent/${key}`, { body: "x" });
  }
  await call("DELETE", "/filters/in/a.png");
  await until("they have come", () => hook.records.length === 2 && other.records.length === 1);
  await Bun.sleep(50);
  expect(hook.names.toSorted()).toEqual([
    "ObjectCreated:Put in/a.jpg",
    "ObjectCreated:Put in/b.jpg", // keys have no order among each other
  ]);
  expect(other.names).toEqual(["ObjectRemoved:Delete in/a.png"]);
}, 20_000);

test("an entry that holds events is known before it is committed, so that no target passes it", async () => {
  await subscribe("known", rule("a", ["s3:ObjectCreated:*"]));
  const { notifier } = bed.node;
  const tenant = await bed.node.openDefaultTenant(AbortSignal.timeout(1000));
  const isAhead: boolean[] = [];
  const { noticed } = notifier;
  notifier.noticed = (id, index) => {
    isAhead.push(tenant.store.head().index < index);
    noticed.call(notifier, id, index);
  };
  await call("PUT", "/known/a", { body: "x" });
  notifier.noticed = noticed;
  expect(isAhead).toEqual([true, false]);
  await until("it has come", () => hook.names.includes("ObjectCreated:Put a"));
  hook.got.length = 0;
}, 20_000);

test("an event goes on being sent while its target is away, and is put aside when it is refused", async () => {
  await subscribe("flaky", rule("a", ["s3:ObjectCreated:*"]));
  hook.got.length = 0;
  let tries = 0;
  hook.answer = () => (++tries <= 3 ? 503 : 200);
  await call("PUT", "/flaky/late", { body: "x" });
  await until("it came", () => hook.records.length === 1);
  expect(tries).toBeGreaterThanOrEqual(4);
  hook.answer = () => 422;
  await call("PUT", "/flaky/never", { body: "x" });
  const tenant = await bed.node.openDefaultTenant(AbortSignal.timeout(1000));
  await until("it is dead", () => bed.node.notifier.dead(tenant, "hook").length === 1);
  hook.answer = () => 200;
  await call("PUT", "/flaky/next", { body: "x" });
  await until("the next came", () => hook.names.includes("ObjectCreated:Put next"));
  const [letter] = bed.node.notifier.dead(tenant, "hook");
  expect(letter!.row.reason).toContain("422");
  expect(await bed.node.notifier.retry(tenant, "hook")).toBe(1);
  await until("the dead one came", () => hook.names.includes("ObjectCreated:Put never"));
  expect(bed.node.notifier.dead(tenant, "hook")).toEqual([]);
}, 20_000);
