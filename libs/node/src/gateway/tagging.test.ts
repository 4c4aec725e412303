/** Tags of objects and buckets over real HTTP, and what lifecycle rules say of an object. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Bed, type Call, type Reply } from "./bed.test-helper.ts";

let bed: Bed;
const call = (method: string, target: string, options?: Call): Promise<Reply> =>
  bed.call(bed.main, method, target, options);
const codeOf = (reply: Reply): string =>
  `${reply.status} ${/<Code>([^<]*)<\/Code>/.exec(reply.text)?.[1] ?? ""}`.trim();

beforeAll(async () => {
  bed = await Bed.open();
  await call("PUT", "/tags");
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

const documentOf = (tags: Readonly<Record<string, string>>): Call => ({
  body: `<Tagging><TagSet>${Object.entries(tags)
    .map(([key, value]) => `<Tag><Key>${key}</Key><Value>${value}</Value></Tag>`)
    .join("")}</TagSet></Tagging>`,
});
async function tagsOf(target: string): Promise<Record<string, string>> {
  const { status, text } = await call("GET", `${target}?tagging`);
  expect(status).toBe(200);
  const found = text.matchAll(/<Tag><Key>([^<]*)<\/Key><Value(?:\/>|>([^<]*)<\/Value>)<\/Tag>/g);
  return Object.fromEntries([...found].map(([, key, value]) => [key!, value ?? ""]));
}

test("an object's tags are set with it, shown, replaced and taken away", async () => {
  const headers = { "x-amz-tagging": "foo=bar&bar" };
  expect((await call("PUT", "/tags/a", { body: "x", headers })).status).toBe(200);
  expect(await tagsOf("/tags/a")).toEqual({ bar: "", foo: "bar" });
  expect((await call("HEAD", "/tags/a")).headers["x-amz-tagging-count"]).toBe("2");
  expect((await call("GET", "/tags/a")).headers["x-amz-tagging-count"]).toBe("2");
  expect((await call("PUT", "/tags/a?tagging", documentOf({ k: "v w" }))).status).toBe(200);
  expect(await tagsOf("/tags/a")).toEqual({ k: "v w" });
  expect((await call("DELETE", "/tags/a?tagging")).status).toBe(204);
  expect(await tagsOf("/tags/a")).toEqual({});
  expect((await call("HEAD", "/tags/a")).headers["x-amz-tagging-count"]).toBeUndefined();
  await call("PUT", "/tags/a?tagging", documentOf({ k: "v" }));
  await call("PUT", "/tags/a", { body: "y" });
  expect(await tagsOf("/tags/a")).toEqual({}); // a new object has its own
});

test("tags that AWS refuses change nothing", async () => {
  await call("PUT", "/tags/b", { body: "x", headers: { "x-amz-tagging": "a=1" } });
  const many = Object.fromEntries(Array.from({ length: 11 }, (_, i) => [`k${i}`, ""]));
  expect(codeOf(await call("PUT", "/tags/b?tagging", documentOf(many)))).toBe("400 InvalidTag");
  expect(codeOf(await call("PUT", "/tags/b?tagging", { body: "<Tagging/>" }))).toBe(
    "400 MalformedXML",
  );
  expect(codeOf(await call("PUT", "/tags/b?tagging", { body: "x".repeat(600_000) }))).toBe(
    "400 MaxMessageLengthExceeded",
  );
  const headers = { "x-amz-tagging": "a=1&a=2" };
  expect(codeOf(await call("PUT", "/tags/b", { body: "y", headers }))).toBe("400 InvalidArgument");
  expect(await tagsOf("/tags/b")).toEqual({ a: "1" });
  expect((await call("GET", "/tags/b")).text).toBe("x");
  for (const method of ["GET", "DELETE"]) {
    expect(codeOf(await call(method, "/tags/none?tagging"))).toBe("404 NoSuchKey");
  }
  expect(codeOf(await call("PUT", "/tags/none?tagging", documentOf({})))).toBe("404 NoSuchKey");
});

test("a copy takes the tags along, or those that its header names", async () => {
  await call("PUT", "/tags/from", { body: "x".repeat(9000), headers: { "x-amz-tagging": "a=1" } });
  const copy = (target: string, more: Record<string, string>) =>
    call("PUT", target, { headers: { "x-amz-copy-source": "/tags/from", ...more } });
  expect((await copy("/tags/kept", {})).status).toBe(200);
  expect((await copy("/tags/meta", { "x-amz-metadata-directive": "REPLACE" })).status).toBe(200);
  const replaced = { "x-amz-tagging-directive": "REPLACE", "x-amz-tagging": "b=2" };
  expect((await copy("/tags/new", replaced)).status).toBe(200);
  expect((await copy("/tags/bare", { "x-amz-tagging-directive": "REPLACE" })).status).toBe(200);
  expect(codeOf(await copy("/tags/odd", { "x-amz-tagging-directive": "KEEP" }))).toBe(
    "400 InvalidArgument",
  );
  const seen = await Promise.all(
    ["kept", "meta", "new", "bare"].map((key) => tagsOf(`/tags/${key}`)),
  );
  expect(seen).toEqual([{ a: "1" }, { a: "1" }, { b: "2" }, {}]);
});

test("an upload's tags are its object's", async () => {
  const created = await call("POST", "/tags/big?uploads", { headers: { "x-amz-tagging": "a=1" } });
  const id = /<UploadId>([^<]*)</.exec(created.text)![1];
  const part = await call("PUT", `/tags/big?partNumber=1&uploadId=${id}`, { body: "part" });
  const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${part.headers["etag"]}</ETag></Part></CompleteMultipartUpload>`;
  expect((await call("POST", `/tags/big?uploadId=${id}`, { body })).status).toBe(200);
  expect(await tagsOf("/tags/big")).toEqual({ a: "1" });
});

test("a bucket's tags are its own", async () => {
  expect(codeOf(await call("GET", "/tags?tagging"))).toBe("404 NoSuchTagSet");
  expect((await call("PUT", "/tags?tagging", documentOf({ team: "a" }))).status).toBe(204);
  expect(await tagsOf("/tags")).toEqual({ team: "a" });
  await call("PUT", "/tags/plain", { body: "x" });
  expect(await tagsOf("/tags/plain")).toEqual({});
  expect((await call("DELETE", "/tags?tagging")).status).toBe(204);
  expect(codeOf(await call("GET", "/tags?tagging"))).toBe("404 NoSuchTagSet");
});

test("policies are asked about the tags that are set, not about a header beside them", async () => {
  await call("PUT", "/asked");
  await call("PUT", "/asked/a", { body: "x" });
  const isPrivate = { StringEquals: { "s3:RequestObjectTag/security": "private" } };
  const actions = ["s3:PutObjectTagging", "s3:PutObject"];
  const statement = {
    ...{ Effect: "Allow", Principal: "*", Resource: "arn:aws:s3:::asked/*" },
    Action: actions,
    Condition: isPrivate,
  };
  const readable = {
    ...{ Effect: "Allow", Principal: "*", Resource: "arn:aws:s3:::asked/*" },
    Action: ["s3:GetObject", "s3:GetObjectTagging"],
  };
  const body = JSON.stringify({ Version: "2012-10-17", Statement: [statement, readable] });
  expect((await call("PUT", "/asked?policy", { body })).status).toBe(204);
  const set = async (value: string, headers: Record<string, string> = {}) => {
    const options = { ...documentOf({ security: value }), headers };
    return codeOf(await bed.call(bed.other, "PUT", "/asked/a?tagging", options));
  };
  expect(await set("public")).toBe("403 AccessDenied");
  expect(await set("public", { "x-amz-tagging": "security=private" })).toBe("403 AccessDenied");
  expect(await set("private", { "x-amz-tagging": "security=public" })).toBe("200");
  expect(await tagsOf("/asked/a")).toEqual({ security: "private" });
  // The header of a copy that keeps its source's tags sets nothing.
  const copy = async (headers: Record<string, string>) =>
    codeOf(
      await bed.call(bed.other, "PUT", "/asked/b", {
        headers: {
          "x-amz-copy-source": "/asked/a",
          "x-amz-tagging": "security=private",
          ...headers,
        },
      }),
    );
  expect(await copy({})).toBe("403 AccessDenied");
  expect(await copy({ "x-amz-tagging-directive": "REPLACE" })).toBe("200");
});

test("how many tags there are is told to those who may read them", async () => {
  await call("PUT", "/shared");
  await call("PUT", "/shared/a", { body: "x", headers: { "x-amz-tagging": "k=v" } });
  const policyOf = (...actions: readonly string[]): Call => ({
    body: JSON.stringify({
      Version: "2012-10-17",
      Statement: [
        {
          Effect: "Allow",
          Principal: "*",
          Action: actions,
          Resource: "arn:aws:s3:::shared/*",
        },
      ],
    }),
  });
  const count = async () => {
    const { status, headers } = await bed.send("GET", "/shared/a", {});
    return [status, headers["x-amz-tagging-count"]];
  };
  await call("PUT", "/shared?policy", policyOf("s3:GetObject"));
  expect(await count()).toEqual([200, undefined]);
  await call("PUT", "/shared?policy", policyOf("s3:GetObject", "s3:GetObjectTagging"));
  expect(await count()).toEqual([200, "1"]);
});

test("each version has tags of its own", async () => {
  await call("PUT", "/versions");
  const body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
  expect((await call("PUT", "/versions?versioning", { body })).status).toBe(200);
  const put = async (value: string): Promise<string> => {
    const headers = { "x-amz-tagging": `v=${value}` };
    const reply = await call("PUT", "/versions/a", { body: value, headers });
    return reply.headers["x-amz-version-id"]!;
  };
  const [first, second] = [await put("1"), await put("2")];
  const rules = lifecycle(rule("all", "<Filter/><Expiration><Days>1</Days></Expiration>"));
  expect((await call("PUT", "/versions?lifecycle", rules)).status).toBe(200);
  const expiry = async (id: string) =>
    (await call("HEAD", `/versions/a?versionId=${id}`)).headers["x-amz-expiration"];
  expect(await expiry(first)).toBeUndefined(); // what is not current does not expire
  expect(await expiry(second)).toContain('rule-id="all"');
  const of = (id: string) => `/versions/a?tagging&versionId=${id}`;
  const shown = await call("GET", of(first));
  expect(shown.text).toContain("<Value>1</Value>");
  expect(shown.headers["x-amz-version-id"]).toBe(first);
  const changed = await call("PUT", of(first), documentOf({ v: "3" }));
  expect([changed.status, changed.headers["x-amz-version-id"]]).toEqual([200, first]);
  const removed = await call("DELETE", "/versions/a?tagging");
  expect([removed.status, removed.headers["x-amz-version-id"]]).toEqual([204, second]);
  expect((await call("GET", of(first))).text).toContain("<Value>3</Value>");
  expect((await call("GET", of(second))).text).toContain("<TagSet></TagSet>");
  const marker = (await call("DELETE", "/versions/a")).headers["x-amz-version-id"]!;
  expect(codeOf(await call("GET", "/versions/a?tagging"))).toBe("404 NoSuchKey");
  expect(codeOf(await call("GET", of(marker)))).toBe("405 MethodNotAllowed");
  expect(codeOf(await call("PUT", of(marker), documentOf({})))).toBe("405 MethodNotAllowed");
  expect(codeOf(await call("GET", of("0".repeat(32))))).toBe("400 InvalidArgument");
  expect((await call("GET", of(first))).text).toContain("<Value>3</Value>");
  await call("DELETE", `/versions/a?versionId=${first}`);
  expect(codeOf(await call("GET", of(first)))).toBe("404 NoSuchVersion");
});

const rule = (id: string, inner: string): string =>
  `<Rule><ID>${id}</ID><Status>Enabled</Status>${inner}</Rule>`;
const lifecycle = (...rules: readonly string[]): Call => ({
  body: `<LifecycleConfiguration>${rules.join("")}</LifecycleConfiguration>`,
});

test("a lifecycle says when an object expires and an upload is aborted", async () => {
  await call("PUT", "/rules");
  const target = "/rules?lifecycle";
  expect(codeOf(await call("GET", target))).toBe("404 NoSuchLifecycleConfiguration");
  const expire = "<Filter><Prefix>logs/</Prefix></Filter><Expiration><Days>1</Days></Expiration>";
  const tagged =
    "<Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter><Expiration><Days>9</Days></Expiration>";
  const abort =
    "<Filter/><AbortIncompleteMultipartUpload><DaysAfterInitiation>3</DaysAfterInitiation></AbortIncompleteMultipartUpload>";
  const rules = lifecycle(rule("old logs", expire), rule("tagged", tagged), rule("left", abort));
  expect((await call("PUT", target, rules)).status).toBe(200);
  expect((await call("GET", target)).text).toContain("<ID>old logs</ID>");
  const midnight = (days: number): string => {
    const at = Math.ceil((Date.now() + days * 86_400_000) / 86_400_000) * 86_400_000;
    return new Date(at).toUTCString();
  };
  const said = (days: number, id: string): string =>
    `expiry-date="${midnight(days)}", rule-id="${id}"`;
  const put = await call("PUT", "/rules/logs/a", { body: "x" });
  expect(put.headers["x-amz-expiration"]).toBe(said(1, "old%20logs"));
  for (const method of ["GET", "HEAD"]) {
    const { headers } = await call(method, "/rules/logs/a");
    expect(headers["x-amz-expiration"]).toBe(said(1, "old%20logs"));
  }
  const plain = await call("PUT", "/rules/a", { body: "x" });
  expect(plain.headers["x-amz-expiration"]).toBeUndefined();
  await call("PUT", "/rules/a?tagging", documentOf({ k: "v" }));
  expect((await call("HEAD", "/rules/a")).headers["x-amz-expiration"]).toBe(said(9, "tagged"));
  const created = await call("POST", "/rules/big?uploads", { headers: { "x-amz-tagging": "k=v" } });
  expect(created.headers["x-amz-abort-date"]).toBe(midnight(3));
  expect(created.headers["x-amz-abort-rule-id"]).toBe("left");
  const id = /<UploadId>([^<]*)</.exec(created.text)![1];
  const part = await call("PUT", `/rules/big?partNumber=1&uploadId=${id}`, { body: "part" });
  const parts = await call("GET", `/rules/big?uploadId=${id}`);
  expect(parts.headers["x-amz-abort-rule-id"]).toBe("left");
  const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${part.headers["etag"]}</ETag></Part></CompleteMultipartUpload>`;
  const completed = await call("POST", `/rules/big?uploadId=${id}`, { body });
  expect(completed.headers["x-amz-expiration"]).toBe(said(9, "tagged"));
  const odd = lifecycle(rule("a", "<Filter/><Expiration><Days>0</Days></Expiration>"));
  expect(codeOf(await call("PUT", target, odd))).toBe("400 InvalidArgument");
  expect((await call("DELETE", target)).status).toBe(204);
  expect((await call("HEAD", "/rules/logs/a")).headers["x-amz-expiration"]).toBeUndefined();
});
