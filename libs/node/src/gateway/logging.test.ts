/** Access logs of buckets over real HTTP: what is kept, what is delivered, that a delivery writes no line. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Bed, type Call, type Reply } from "./bed.test-helper.ts";

let bed: Bed;
const call = (method: string, target: string, options?: Call): Promise<Reply> =>
  bed.call(bed.main, method, target, options);
const keysOf = async (bucket: string): Promise<readonly string[]> => {
  const list = await call("GET", `/${bucket}?list-type=2`);
  return [...list.text.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => key!);
};
/** All lines that were delivered to the bucket so far. */
async function linesOf(bucket: string): Promise<readonly string[]> {
  await bed.node.accessLog.flush();
  const objects = await Promise.all(
    (await keysOf(bucket)).map(async (key) => (await call("GET", `/${bucket}/${key}`)).text),
  );
  return objects.flatMap((text) => text.split("\n").filter((line) => line !== ""));
}
const enable = (bucket: string, target: string, rest = "", who = bed.main): Promise<Reply> =>
  bed.call(who, "PUT", `/${bucket}?logging`, {
    body: `<BucketLoggingStatus><LoggingEnabled><TargetBucket>${target}</TargetBucket><TargetPrefix>log/</TargetPrefix>${rest}</LoggingEnabled></BucketLoggingStatus>`,
  });

beforeAll(async () => {
  bed = await Bed.open("256MiB", ["--website-domains", "web.example"]);
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

test("requests of a logged bucket are delivered as lines of AWS's form, those of others are not", async () => {
  for (const bucket of ["/source", "/target", "/quiet"]) await call("PUT", bucket);
  expect((await enable("source", "nowhere")).text).toContain("InvalidTargetBucketForLogging");
  expect((await enable("source", "target")).status).toBe(200);
  expect((await call("GET", "/source?logging")).text).toContain("<TargetBucket>target<");
  await call("PUT", "/source/a%20key", { body: "hello", headers: { "user-agent": "tool/1 (x)" } });
  await call("GET", "/source/a%20key", { headers: { range: "bytes=1-2" } });
  await call("HEAD", "/source/a%20key");
  await call("GET", "/source/missing");
  await call("PUT", "/quiet/key", { body: "x" });
  await bed.send("GET", bed.presign(bed.main, "GET", "/source/a%20key"), { host: bed.host });
  const body =
    "<Delete><Object><Key>a key</Key></Object><Object><Key>other</Key></Object></Delete>";
  const digest = createHash("md5").update(body).digest("base64");
  await call("POST", "/source?delete", { body, headers: { "content-md5": digest } });
  const lines = await linesOf("target");
  const form =
    /^[0-9a-f]{64} source \[\d\d\/\w{3}\/\d{4}:\d\d:\d\d:\d\d \+0000\] 127\.0\.0\.1 [0-9a-f]{64} [0-9A-F]{16} (\S+) (\S+) "(\S+ \S+) HTTP\/1\.1" (\d{3}|-) (\S+) (\S+) (\S+) \d+ \d+ - ("[^"]*"|-) - kiseki SigV4 - (AuthHeader|QueryString) 127\.0\.0\.1:\d+ - - -$/;
  const seen = lines.map((line) => {
    const found = form.exec(line);
    if (found === null) throw new Error(`not of the form: ${line}`);
    const [, operation, key, , status, code, sent, size, agent, auth] = found;
    const isDocument = Number(sent) > 100; // how long a document is does not matter here
    return [operation, key, status, code, isDocument ? "n" : sent, size, agent, auth].join(" ");
  });
  expect(seen).toEqual([
    "REST.PUT.LOGGING_STATUS - 200 - - - - AuthHeader",
    "REST.GET.LOGGING_STATUS - 200 - n - - AuthHeader",
    'REST.PUT.OBJECT a%2520key 200 - - 5 "tool/1 (x)" AuthHeader',
    "REST.GET.OBJECT a%2520key 206 - 2 5 - AuthHeader",
    "REST.HEAD.OBJECT a%2520key 200 - - 5 - AuthHeader",
    "REST.GET.OBJECT missing 404 NoSuchKey n - - AuthHeader",
    "REST.GET.OBJECT a%2520key 200 - 5 5 - QueryString",
    "REST.POST.MULTI_OBJECT_DELETE - 200 - n - - AuthHeader",
    "BATCH.DELETE.OBJECT a%2520key 204 - - - - AuthHeader",
    "BATCH.DELETE.OBJECT other 204 - - - - AuthHeader",
  ]);
  expect(lines.join("\n")).toContain("X-Amz-Signature=- ");
  const keys = await keysOf("target");
  expect(keys).toHaveLength(1);
  expect(keys[0]).toMatch(/^log\/\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d-[0-9A-F]{16}$/);
}, 20_000);

test("a log goes where whoever asks for it may put objects, and nowhere else", async () => {
  for (const bucket of ["/asked", "/mine", "/closed"]) await call("PUT", bucket);
  const { catalog } = bed.node.storage;
  const user = catalog.createUser(bed.node.defaultTenant, "logger");
  const allow = (Action: string, resource: string) => ({
    Effect: "Allow",
    Action,
    Resource: `arn:aws:s3:::${resource}`,
  });
  const Statement = [allow("s3:PutBucketLogging", "asked"), allow("s3:PutObject", "mine/log/*")];
  const policy = JSON.stringify({ Version: "2012-10-17", Statement });
  catalog.putPolicy(bed.node.defaultTenant, "logger", policy);
  catalog.attachPolicy(user.id, "logger");
  const key = catalog.createAccessKey(user.id);
  const ask = async (target: string): Promise<readonly (number | string)[]> => {
    const { status, text } = await enable("asked", target, "", key);
    return [status, /<Code>([^<]*)/.exec(text)?.[1] ?? ""];
  };
  expect(await ask("closed")).toEqual([403, "AccessDenied"]);
  expect(await ask("nowhere")).toEqual([403, "AccessDenied"]);
  expect(await ask("mine")).toEqual([200, ""]);
  const shown = await call("GET", "/asked?logging");
  expect(shown.text).toContain("<TargetBucket>mine<");
});

test("a bucket may log to itself: a delivery is no request", async () => {
  await call("PUT", "/loop");
  await enable(
    "loop",
    "loop",
    "<TargetObjectKeyFormat><PartitionedPrefix/></TargetObjectKeyFormat>",
  );
  await call("PUT", "/loop/key", { body: "x" });
  for (let i = 0; i < 3; i++) await bed.node.accessLog.flush();
  const keys = (await keysOf("loop")).filter((key) => key.startsWith("log/"));
  expect(keys).toHaveLength(1);
  expect(keys[0]).toMatch(
    /^log\/\d{12}\/us-east-1\/loop\/\d{4}\/\d\d\/\d\d\/[\d-]{19}-[0-9A-F]{16}$/,
  );
}, 20_000);

test("a log that is switched off, or whose target is gone, ends without trouble", async () => {
  for (const bucket of ["/ending", "/gone"]) await call("PUT", bucket);
  await enable("ending", "gone");
  await call("GET", "/ending");
  expect((await call("DELETE", "/gone")).status).toBe(204);
  await bed.node.accessLog.flush();
  expect((await call("PUT", "/ending?logging", { body: "<BucketLoggingStatus/>" })).status).toBe(
    200,
  );
  expect((await call("GET", "/ending?logging")).text).not.toContain("LoggingEnabled");
  await call("PUT", "/gone");
  await call("GET", "/ending");
  expect(await linesOf("gone")).toEqual([]);
}, 20_000);

test("pages of a website are lines too", async () => {
  for (const bucket of ["/site", "/site-log"]) await call("PUT", bucket);
  const website =
    "<WebsiteConfiguration><IndexDocument><Suffix>i.html</Suffix></IndexDocument></WebsiteConfiguration>";
  expect((await call("PUT", "/site?website", { body: website })).status).toBe(200);
  await enable("site", "site-log");
  expect((await bed.send("GET", "/d/", { host: "site.web.example" })).status).toBe(403);
  const lines = await linesOf("site-log");
  expect(lines.at(-1)).toMatch(
    / - [0-9A-F]{16} WEBSITE\.GET\.OBJECT d\/i\.html "GET \/d\/ HTTP\/1\.1" 403 /,
  );
}, 20_000);
