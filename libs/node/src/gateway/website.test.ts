/** Buckets as websites over real HTTP: by host name, to anybody whom the bucket's policy lets read. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Bed, type Call, type Reply } from "./bed.test-helper.ts";
import { siteOf } from "./website.ts";

let bed: Bed;
const call = (method: string, target: string, options?: Call): Promise<Reply> =>
  bed.call(bed.main, method, target, options);
const domain = "web.example";

const index = "<IndexDocument><Suffix>index.html</Suffix></IndexDocument>";
const errorDocument = "<ErrorDocument><Key>error.html</Key></ErrorDocument>";
async function siteWith(bucket: string, configuration: string, isPublic = true): Promise<void> {
  expect((await call("PUT", `/${bucket}`)).status).toBe(200);
  const body = `<WebsiteConfiguration>${configuration}</WebsiteConfiguration>`;
  expect((await call("PUT", `/${bucket}?website`, { body })).status).toBe(200);
  if (!isPublic) return;
  const policy = JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Principal: "*",
        Action: ["s3:GetObject", "s3:ListBucket"],
        Resource: [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`],
      },
    ],
  });
  expect((await call("PUT", `/${bucket}?policy`, { body: policy })).status).toBe(204);
}
const put = async (target: string, body: string, headers: Record<string, string> = {}) => {
  expect((await call("PUT", target, { body, headers })).status).toBe(200);
};
const page = (bucket: string, path: string, method = "GET", headers: Record<string, string> = {}) =>
  bed.send(method, path, { ...headers, host: `${bucket}.${domain}:80` });
const html = { "content-type": "text/html" };

beforeAll(async () => {
  bed = await Bed.open("256MiB", ["--website-domains", domain]);
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

test("a website sends index documents, pages and its own error page", async () => {
  await siteWith("site", index + errorDocument);
  await put("/site/index.html", "<h1>home</h1>", html);
  await put("/site/docs/index.html", "docs", html);
  await put("/site/a%20b.txt", "text", { "content-type": "text/plain" });
  await put("/site/error.html", "lost", html);
  const home = await page("site", "/?utm=1&versionId=x");
  expect([home.status, home.text]).toEqual([200, "<h1>home</h1>"]);
  expect(home.headers["content-type"]).toBe("text/html");
  expect((await page("site", "/docs/")).text).toBe("docs");
  expect((await page("site", "/a%20b.txt")).text).toBe("text");
  const folder = await page("site", "/docs");
  expect([folder.status, folder.headers["location"]]).toEqual([302, "/docs/"]);
  const part = await page("site", "/a%20b.txt", "GET", { range: "bytes=1-2" });
  expect([part.status, part.text]).toEqual([206, "ex"]);
  const { etag } = home.headers;
  expect((await page("site", "/", "GET", { "if-none-match": etag! })).status).toBe(304);
  const lost = await page("site", "/none", "GET", { range: "bytes=0-0" });
  expect([lost.status, lost.text]).toEqual([404, "lost"]);
  expect(lost.headers["x-amz-error-code"]).toBe("NoSuchKey");
  expect(lost.headers["content-type"]).toBe("text/html");
  const head = await page("site", "/none", "HEAD");
  expect([head.status, head.text, head.headers["content-length"]]).toEqual([404, "", "4"]);
});

test("a website without an error page says what is wrong in HTML, and shows no markup of the key", async () => {
  await siteWith("plain", index);
  const lost = await page("plain", "/%3Cscript%3E");
  expect(lost.status).toBe(404);
  expect(lost.headers["content-type"]).toBe("text/html; charset=utf-8");
  expect(lost.text).toContain("<li>Code: NoSuchKey</li>");
  expect(lost.text).not.toContain("<script>");
  const head = await page("plain", "/none", "HEAD");
  expect([head.status, head.text]).toEqual([404, ""]);
  for (const method of ["PUT", "POST", "DELETE"]) {
    const refused = await page("plain", "/a", method);
    expect([refused.status, refused.headers["allow"]]).toEqual([405, "GET, HEAD"]);
  }
  expect((await page("plain", "/%ff")).status).toBe(400);
});

test("a website is shown to nobody whom no policy lets read, and is not told from a bucket that is not there", async () => {
  await siteWith("closed", index + errorDocument, false);
  await put("/closed/index.html", "secret");
  await put("/closed/error.html", "secret too");
  const refused = await page("closed", "/");
  expect(refused.status).toBe(403);
  expect(refused.text).toContain("<li>Code: AccessDenied</li>");
  expect(refused.text).not.toContain("secret");
  await call("PUT", "/bare");
  const told = async (bucket: string): Promise<string> =>
    (await page(bucket, "/")).text.replaceAll(bucket, "").replace(/<li>RequestId[^\n]*/, "");
  expect(await told("bare")).toContain("NoSuchWebsiteConfiguration");
  expect(await told("bare")).toBe(await told("nobodys"));
  expect((await page("not_a_bucket", "/")).status).toBe(404);
});

test("rules and an object's own redirect lead elsewhere", async () => {
  const rules = `<RoutingRules><RoutingRule><Condition><KeyPrefixEquals>old/</KeyPrefixEquals></Condition><Redirect><ReplaceKeyPrefixWith>new/</ReplaceKeyPrefixWith></Redirect></RoutingRule><RoutingRule><Condition><KeyPrefixEquals>lost/</KeyPrefixEquals><HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals></Condition><Redirect><HostName>a.example</HostName><HttpRedirectCode>307</HttpRedirectCode></Redirect></RoutingRule></RoutingRules>`;
  await siteWith("rules", index + rules);
  await put("/rules/lost/found", "found");
  await put("/rules/moved", "", { "x-amz-website-redirect-location": "/elsewhere" });
  const seen = async (path: string) => {
    const { status, headers, text } = await page("rules", path);
    return [status, headers["location"] ?? text];
  };
  expect(await seen("/old/x")).toEqual([301, `http://rules.${domain}:80/new/x`]);
  expect(await seen("/lost/a")).toEqual([307, "http://a.example/lost/a"]);
  expect(await seen("/lost/found")).toEqual([200, "found"]);
  expect(await seen("/moved")).toEqual([301, "/elsewhere"]);
  const direct = await call("GET", "/rules/moved"); // S3 itself only says so
  expect(direct.status).toBe(200);
  expect(direct.headers["x-amz-website-redirect-location"]).toBe("/elsewhere");
  await siteWith(
    "all",
    "<RedirectAllRequestsTo><HostName>b.example</HostName><Protocol>https</Protocol></RedirectAllRequestsTo>",
    false,
  );
  const all = await page("all", "/x?y=z");
  expect([all.status, all.headers["location"]]).toEqual([301, "https://b.example/x"]);
});

test("a website's configuration is shown, and gone when it is deleted", async () => {
  await siteWith("short", index);
  await put("/short/index.html", "home");
  expect((await call("GET", "/short?website")).text).toContain("<Suffix>index.html</Suffix>");
  expect((await page("short", "/")).status).toBe(200);
  expect((await call("DELETE", "/short?website")).status).toBe(204);
  expect((await page("short", "/")).text).toContain("NoSuchWebsiteConfiguration");
  expect((await call("GET", "/short?website")).status).toBe(404);
});

test.each([
  ["a.web.example", "a"],
  ["A.WEB.example:8080", "a"],
  ["a.b.web.example", "a.b"],
  ["a.deep.web.example", "a"],
  ["web.example", undefined],
  ["xweb.example", undefined],
  ["web.example.evil", undefined],
] as const)("siteOf(%p) is %p", (host, site) => {
  expect(siteOf(host, ["web.example", "deep.web.example"])).toBe(site as string);
});
