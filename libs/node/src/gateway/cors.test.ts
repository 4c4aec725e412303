/** CORS over real HTTP: preflights without a signature, and what answers say to pages of an origin. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Bed, type Call, type Reply } from "./bed.test-helper.ts";

let bed: Bed;
const call = (method: string, target: string, options?: Call): Promise<Reply> =>
  bed.call(bed.main, method, target, options);
const codeOf = (reply: Reply): string =>
  `${reply.status} ${/<Code>([^<]*)<\/Code>/.exec(reply.text)?.[1] ?? ""}`.trim();

const rule = (inner: string): string => `<CORSRule>${inner}</CORSRule>`;
const rules = [
  "<AllowedMethod>GET</AllowedMethod><AllowedOrigin>http://a.example</AllowedOrigin><AllowedHeader>x-amz-*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds>",
  "<AllowedMethod>PUT</AllowedMethod><AllowedOrigin>http://*.b.example</AllowedOrigin>",
  "<AllowedMethod>HEAD</AllowedMethod><AllowedOrigin>*</AllowedOrigin>",
];
beforeAll(async () => {
  bed = await Bed.open();
  for (const bucket of ["/pages", "/bare"]) await call("PUT", bucket);
  const body = `<CORSConfiguration>${rules.map(rule).join("")}</CORSConfiguration>`;
  expect((await call("PUT", "/pages?cors", { body })).status).toBe(200);
  await call("PUT", "/pages/k", { body: "content" });
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

const preflight = (target: string, headers: Record<string, string>): Promise<Reply> =>
  bed.send("OPTIONS", target, headers);
const asking = (origin: string, method: string, headers?: string): Record<string, string> => ({
  origin,
  "access-control-request-method": method,
  ...(headers === undefined ? {} : { "access-control-request-headers": headers }),
});
const corsOf = ({ headers }: Reply): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers)
      .filter(([name]) => name.startsWith("access-control-") || name === "vary")
      .map(([name, value]) => [name.replace("access-control-", ""), value]),
  );
const vary = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";

test("a preflight is answered from the bucket's rules, without a signature", async () => {
  for (const target of ["/pages", "/pages/k", "/pages/none?X-Amz-Signature=0"]) {
    const reply = await preflight(target, asking("http://a.example", "GET", "X-Amz-Date, x-amz-a"));
    expect(reply.status).toBe(200);
    expect(corsOf(reply)).toEqual({
      "allow-origin": "http://a.example",
      "allow-methods": "GET",
      "allow-headers": "x-amz-date, x-amz-a",
      "expose-headers": "ETag",
      "max-age": "60",
      "allow-credentials": "true",
      vary,
    });
  }
  expect(corsOf(await preflight("/pages/k", asking("http://x.b.example", "PUT")))).toEqual({
    "allow-origin": "http://x.b.example",
    "allow-methods": "PUT",
    vary,
  });
  expect(corsOf(await preflight("/pages/k", asking("http://c.example", "HEAD")))).toEqual({
    "allow-origin": "*",
    "allow-methods": "HEAD",
    vary,
  });
});

test("a preflight that no rule fits is refused in S3's form, and tells nothing of buckets", async () => {
  const refused: readonly (readonly [string, Record<string, string>])[] = [
    ["/pages/k", asking("http://c.example", "GET")],
    ["/pages/k", asking("http://a.example", "DELETE")],
    ["/pages/k", asking("http://a.example", "GET", "x-other")],
    ["/pages/k", asking("http://a.example", "GET", Array(101).fill("x-amz-a").join(","))],
    ["/bare", asking("http://a.example", "GET")],
    ["/not-there", asking("http://a.example", "GET")],
    ["/", asking("http://a.example", "GET")],
  ];
  for (const [target, headers] of refused) {
    const reply = await preflight(target, headers);
    expect(codeOf(reply)).toBe("403 AccessForbidden");
    expect(reply.text).toContain("<Method>");
    expect(reply.headers["access-control-allow-origin"]).toBeUndefined();
  }
  const text = async (target: string) =>
    (await preflight(target, asking("http://a.example", "GET"))).text
      .replaceAll(target, "")
      .replaceAll(/<(RequestId|HostId|Resource|BucketName)>[^<]*<\/\1>/g, "");
  expect(await text("/bare")).toBe(await text("/not-there"));
  expect(codeOf(await preflight("/pages", {}))).toBe("400 BadRequest");
  expect(codeOf(await preflight("/pages", { origin: "http://a.example" }))).toBe("400 BadRequest");
  expect(codeOf(await preflight("/pages", asking("http://a.example", "PATCH")))).toBe(
    "400 BadRequest",
  );
});

test("answers to a page say what the rules allow, refusals too", async () => {
  const headers = { origin: "http://a.example" };
  const allowed = {
    "allow-origin": "http://a.example",
    "allow-methods": "GET",
    "expose-headers": "ETag",
    "max-age": "60",
    "allow-credentials": "true",
    vary,
  };
  const read = await call("GET", "/pages/k", { headers });
  expect([read.status, read.text]).toEqual([200, "content"]);
  expect(corsOf(read)).toEqual(allowed);
  expect(corsOf(await call("GET", "/pages/none", { headers }))).toEqual(allowed);
  const anonymous = await bed.send("GET", "/pages/k", headers);
  expect(anonymous.status).toBe(403);
  expect(corsOf(anonymous)).toEqual(allowed);
  expect(corsOf(await bed.call(bed.other, "GET", "/pages/k", { headers }))).toEqual(allowed);
  expect(corsOf(await call("PUT", "/pages/w", { headers, body: "x" }))).toEqual({ vary });
  expect(corsOf(await call("GET", "/pages/k", { headers: { origin: "http://c" } }))).toEqual({
    vary,
  });
  expect(corsOf(await call("GET", "/pages/k"))).toEqual({});
  expect(corsOf(await call("GET", "/bare", { headers }))).toEqual({});
});

test("rules go with the bucket, and count no more when they are taken away", async () => {
  await call("PUT", "/fleeting");
  const body = `<CORSConfiguration>${rule(rules[0]!)}</CORSConfiguration>`;
  await call("PUT", "/fleeting?cors", { body });
  const ask = () => preflight("/fleeting", asking("http://a.example", "GET"));
  expect((await ask()).status).toBe(200);
  expect((await call("GET", "/fleeting?cors")).text).toContain("<AllowedOrigin>http://a.example<");
  expect((await call("DELETE", "/fleeting?cors")).status).toBe(204);
  expect(codeOf(await ask())).toBe("403 AccessForbidden");
  expect(codeOf(await call("GET", "/fleeting?cors"))).toBe("404 NoSuchCORSConfiguration");
});
