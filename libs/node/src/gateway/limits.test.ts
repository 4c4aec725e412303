/** Limits of access keys and trusted proxies, over real HTTP. */
import { expect, test } from "bun:test";
import { proxyTrust } from "../front/forwarded.ts";
import { Bed, type Reply } from "./bed.test-helper.ts";

const codeOf = (reply: Reply): string =>
  `${reply.status} ${/<Code>([^<]*)</.exec(reply.text)?.[1] ?? "none"}`;

test("a key over its rate gets SlowDown with Retry-After, others go on, and limits of its own count", async () => {
  await using bed = await Bed.open("256MiB", ["--key-requests-per-s", "1", "--key-burst", "3"]);
  const { catalog } = bed.node.storage;
  /** Until one is refused: a slow machine lets in more than the burst, a second later each. */
  const ask = async (send: () => Promise<Reply>): Promise<readonly Reply[]> => {
    const replies = [await send()];
    while (codeOf(replies.at(-1)!) !== "503 SlowDown") replies.push(await send());
    return replies;
  };
  const mine = await ask(() => bed.call(bed.main, "GET", "/"));
  expect(mine.slice(0, 3).map(({ status }) => status)).toEqual([200, 200, 200]);
  expect(mine.at(-1)!.headers["retry-after"]).toBe("1");
  expect((await bed.call(bed.other, "GET", "/")).status).toBe(200);
  const nobody = await ask(() => bed.send("GET", "/", { host: bed.host }));
  expect(nobody.slice(0, 3).map(codeOf)).toEqual(Array(3).fill("403 AccessDenied"));
  catalog.setAccessKeyLimits(bed.main.id, { requestsPerSecond: 0 });
  for (let i = 0; i < 5; i++) expect((await bed.call(bed.main, "GET", "/")).status).toBe(200);
}, 20_000);

test("bytes of both directions count, what was refused does not", async () => {
  await using bed = await Bed.open();
  const { catalog } = bed.node.storage;
  const body = Buffer.alloc(100_000, 1);
  expect((await bed.call(bed.main, "PUT", "/bucket")).status).toBe(200);
  const large = Buffer.alloc(3_000_000, 2);
  expect((await bed.call(bed.main, "PUT", "/bucket/large", { body: large })).status).toBe(200);
  catalog.setAccessKeyLimits(bed.main.id, { bytesPerSecond: 100_001 });
  expect(codeOf(await bed.call(bed.main, "PUT", "/nobody/key", { body }))).toBe("404 NoSuchBucket");
  expect((await bed.call(bed.main, "PUT", "/bucket/key", { body })).status).toBe(200);
  const got = await bed.call(bed.main, "GET", "/bucket/large"); // half a minute's worth
  expect(got.body.byteLength).toBe(large.byteLength);
  const refused = await bed.call(bed.main, "GET", "/bucket/key");
  expect(codeOf(refused)).toBe("503 SlowDown");
  expect(Number(refused.headers["retry-after"])).toBeGreaterThan(1);
}, 20_000);

test("requests under way count until their answer is sent", async () => {
  await using bed = await Bed.open();
  const { catalog } = bed.node.storage;
  expect((await bed.call(bed.main, "PUT", "/bucket")).status).toBe(200);
  catalog.setAccessKeyLimits(bed.main.id, { requestsAtOnce: 1 });
  const { promise: isOpen, resolve: open } = Promise.withResolvers<void>();
  const body = Buffer.alloc(1000, 1);
  const { headers } = bed.sign(bed.main, "PUT", "/bucket/slow", { body });
  const slow = bed.sendSlowly("PUT", "/bucket/slow", headers, body, isOpen);
  await slow.begun;
  expect(codeOf(await bed.call(bed.main, "GET", "/"))).toBe("503 SlowDown");
  open();
  expect(await slow.status).toBe(200);
  expect((await bed.call(bed.main, "GET", "/")).status).toBe(200);
}, 20_000);

test("a signature covers the Host that a trusted proxy says, and only a trusted one's", async () => {
  for (const isTrusted of [true, false]) {
    const trust = isTrusted ? proxyTrust(["127.0.0.0/8"], "x-forwarded") : undefined;
    await using bed = await Bed.open("256MiB", [], trust);
    const { headers } = bed.sign(bed.main, "GET", "/", { headers: { host: "s3.example.org" } });
    const forwarded = {
      ...headers,
      host: bed.host,
      "x-forwarded-host": "s3.example.org",
      "x-forwarded-for": "8.8.8.8",
    };
    const reply = await bed.send("GET", "/", forwarded);
    expect(reply.status).toBe(isTrusted ? 200 : 403);
    if (!isTrusted) continue;
    // The client is not on this machine, and came in the clear: its unsigned body is not taken.
    const unsigned = { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" };
    const put = bed.sign(bed.main, "PUT", "/bucket", {
      headers: unsigned,
      payload: "UNSIGNED-PAYLOAD",
    });
    const plain = { ...put.headers, "x-forwarded-for": "8.8.8.8" };
    expect(codeOf(await bed.send("PUT", "/bucket", plain))).toBe("403 AccessDenied");
    const secure = { ...plain, "x-forwarded-proto": "https" };
    expect((await bed.send("PUT", "/bucket", secure)).status).toBe(200);
  }
}, 20_000);
